"""Hostile run folders and states: each file of a tiny run damaged or replaced, in its bytes or in its values.

A run may come from anywhere, so loading it may neither take memory for lies nor wait for a device.
"""

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from shared.runs import Run, write_tensors
from tests.robustness.cases import Case, Draw, choose
from tests.robustness.mutations import EXTREMES, mutate
from tests.robustness.sandbox import make_device
from tests.robustness.tiny import RUN, TASKS

VALUES = (
    *EXTREMES, -1, 0.5, 1e308, 10**30, float("nan"), float("inf"), None, True, "", "x", "9" * 400, [], {}, {"a": 1},
)  # fmt: skip
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL", "C64", "F8_E4M3", "x")
ZERO = 5  # minor number of the device that never ends


def source(task: str) -> Path:
    """The sound run that cases are made from."""
    import shared.runs

    return shared.runs.ROOT / task / RUN


def draw(rng: np.random.Generator, folder: Path) -> Case:
    """A run whose files are read as commands read them, short of building the model."""
    task = choose(rng, TASKS)
    description = damage(rng, task, folder / RUN)
    return Case(description=f"{task}: {description}", read=lambda: _read(task, folder / RUN))


def draw_loading(rng: np.random.Generator, folder: Path) -> Case:
    """A run whose model is built and loaded, and with it the n-grams of a recognizer."""
    task = choose(rng, TASKS)
    description = damage(rng, task, folder / RUN)

    def read() -> None:
        run = Run.open(folder / RUN, task)
        model = import_module(f"tasks.{task}.model")
        model.load_model(run)
        if task == "phoneme_recognizer":
            import_module("tasks.phoneme_recognizer.inference").SoundRecognizer.load(str(run.path), beam=2)

    return Case(description=f"{task}: {description}", read=read)


def draw_state(rng: np.random.Generator, folder: Path) -> Case:
    """A saved state of `generate`, which is restored and continued."""
    from tasks.language_model.inference import TextGenerator

    path = folder / "state.safetensors"

    def read() -> list:
        generator = TextGenerator.load(str(source("language_model")))
        generator.read("the cat")
        generator.save(path)
        damage_tensors(rng, path)
        generator.restore(path)
        generator.read("sees")
        return list(generator.spell(int(token_ids[0]) for token_ids, _ in generator.draw(2)))

    return Case(description="a damaged state", read=read)


def _read(task: str, path: Path) -> None:
    from shared.card import write_card
    from shared.vocabulary import Vocabulary, load_vocabulary

    config = import_module(f"tasks.{task}.config")
    Run.find(str(path), task, RUN)
    run = Run.open(path, task)
    run.read_config(config.Config)
    run.load_weights()
    for name in ("vocabulary", "target_vocabulary"):
        if (path / f"{name}.json").exists():
            load_vocabulary(run, Vocabulary)
    for name in ("encoder", "ngrams"):
        if os.path.lexists(path / f"{name}.safetensors"):
            run.load_weights(name)
    run.load_metrics()
    run.load_history()
    run.checkpoints.latest(lambda words: None)
    write_card(run, title="a run", summary="", terms="", usage="")


def damage(rng: np.random.Generator, task: str, path: Path) -> str:
    """Copies the sound run of a task to `path` and damages one or two of its files; returns what it did."""
    shutil.copytree(source(task), path, ignore=shutil.ignore_patterns("plots", "export", "model.keras", ".*"))
    if rng.random() < 0.3:
        _sign(path)
    files = [
        file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix in (".json", ".csv", ".safetensors")
    ]
    chosen = {choose(rng, files) for _ in range(int(rng.integers(1, 3)))}
    if rng.random() < 0.3:
        chosen.add(path / "config.json")
    return "; ".join(f"{file.relative_to(path)}: {_damage_file(rng, file)}" for file in sorted(chosen))


def _damage_file(rng: np.random.Generator, file: Path) -> str:
    if rng.random() < 0.1:
        return _replace(rng, file)
    if rng.random() < 0.7 and file.suffix == ".json":
        return damage_json(rng, file)
    if rng.random() < 0.7 and file.suffix == ".safetensors":
        return damage_tensors(rng, file)
    mutated = mutate(rng, file.read_bytes())
    file.write_bytes(mutated.content)
    return mutated.description


def _sign(path: Path) -> None:
    """Makes the run a released one, by the hashes of its weights."""
    content = json.loads((path / "config.json").read_text())
    for file in path.glob("*.safetensors"):
        content[f"{file.stem}_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "config.json").write_text(json.dumps(content))


def _replace(rng: np.random.Generator, file: Path) -> str:
    """Something that is no regular file in the place of a file, or nothing."""
    file.unlink()
    kind = choose(
        rng,
        ("nothing", "a folder", "a pipe", "an endless device", "a link to nothing", "a link to itself", "a huge file"),
    )
    if kind == "a folder":
        file.mkdir()
    elif kind == "a pipe":
        os.mkfifo(file)
    elif kind == "an endless device":
        make_device(file, ZERO)
    elif kind == "a link to nothing":
        file.symlink_to("nowhere")
    elif kind == "a link to itself":
        file.symlink_to(file.name)
    elif kind == "a huge file":
        with file.open("wb") as sparse:
            sparse.truncate(2**40)
    return kind


def damage_json(rng: np.random.Generator, file: Path) -> str:
    """Replaces, removes or adds a value at any depth."""
    content = json.loads(file.read_text(encoding="utf-8"))
    inner, trail = content, []
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            break
        key = choose(rng, keys)
        trail.append(str(key))
        if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.2:
            break
        inner = inner[key]
    value: Any = choose(rng, VALUES)
    edit = int(rng.integers(6))
    if not trail or edit == 0:
        if isinstance(inner, dict):
            inner["unexpected"] = value
        else:
            inner.append(value)
    elif edit == 1:
        del inner[key]
    else:
        inner[key] = value
    file.write_text(json.dumps(content), encoding="utf-8")
    return f"{'.'.join(trail)[:60]} {('added', 'removed')[edit] if edit < 2 else repr(value)[:40]}"


def damage_tensors(rng: np.random.Generator, file: Path) -> str:
    """A lie in the header, or tensors of other names, shapes, types or values."""
    from safetensors.numpy import load

    content = file.read_bytes()
    if rng.random() < 0.4:
        (size,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + size])
        name = choose(rng, sorted(header))
        field, value = choose(rng, (
            ("dtype", choose(rng, DTYPES)),
            ("shape", [int(choose(rng, EXTREMES)) for _ in range(int(rng.integers(1, 4)))]),
            ("data_offsets", [int(choose(rng, EXTREMES)), int(choose(rng, EXTREMES))]),
        ))  # fmt: skip
        header[name][field] = value
        encoded = json.dumps(header).encode()
        length = int(choose(rng, EXTREMES)) if rng.random() < 0.2 else len(encoded)
        file.write_bytes(struct.pack("<Q", length) + encoded + content[8 + size :])
        return f"{name} with {field} {value}, header of {length} bytes"
    tensors = load(content)
    name = choose(rng, sorted(tensors))
    array, edits = tensors[name], _array_edits(rng)
    edit = choose(rng, sorted(edits))
    tensors[name] = edits[edit](array)
    if edit == "another name":
        tensors["unexpected"] = tensors.pop(name)
    try:
        write_tensors(file, tensors)
    except Exception:  # a type that the format does not have
        return "nothing"
    return f"{name}: {edit}"


def _array_edits(rng: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    value = float(choose(rng, (np.nan, np.inf, -np.inf, 3e38, -1.0, 70_000.0)))
    return {
        f"a value of {value}": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 0, value, x).astype(x.dtype),
        f"all values {value}": lambda x: np.full_like(x, value),
        "as int64": lambda x: np.nan_to_num(x).astype(np.int64),
        "as float64": lambda x: x.astype(np.float64),
        "as uint8": lambda x: np.nan_to_num(x).astype(np.uint8),
        "as complex": lambda x: x.astype(np.complex64),
        "as bool": lambda x: x.astype(bool),
        "empty": lambda x: x.reshape(-1)[:0],
        "flat": lambda x: x.reshape(-1),
        "transposed": lambda x: x.T,
        "one longer": lambda x: np.concatenate([x.reshape(-1), x.reshape(-1)[:1]]),
        "another name": lambda x: x,
    }


DRAWS: dict[str, Draw] = {"run folders": draw, "models": draw_loading, "states": draw_state}
