"""A run: the folder that a training writes and all other commands read.

    saved_models/<task>/<run>/
      config.json           task, configuration, data fingerprints, package versions
      vocabulary.json       written by the task
      encoder.safetensors   image encoder of the captioner
      finder.safetensors    its finder of photos
      ngrams.safetensors    n-grams of the phoneme recognizer
      scorer.safetensors    its scorer of pronunciation
      checkpoints/<step>/   tensors.safetensors and state.json: the complete state of a training
      weights.safetensors   the best weights on the development split so far
      model.keras           the same model in Keras' format; written when training ends
      history.csv           one row per epoch
      metrics.json          metrics and protocol of each split
      README.md             model card
      export/<version>/     SavedModels

Files and folders are atomic: each is written under a temporary name, synced, and renamed. No file holds a pickle.
Temporary names start with a dot; the next command that locks the run removes those that a killed process left.
"""

import csv
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import sys
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from shared.atomic import atomic_file, atomic_folder, remove_temporaries, restore, restore_all, write_bytes
from shared.backend import choose, installed_version
from shared.bounds import MAX_PARAMETERS
from shared.errors import UserError, shortened, shown
from shared.files import MediaError, parse_json, read_regular
from shared.letters import is_mark
from shared.quantization import SCALE, dequantize

ROOT = Path(__file__).resolve().parent.parent / "saved_models"
NAME = re.compile(r"\w[\w.+-]*")  # a run's name: one folder, neither hidden nor like an option

MAX_JSON = 2**20  # bytes of a JSON file, which take up to 30 times that in memory
MAX_HISTORY = 2**24  # bytes of `state.json` and `history.csv`, which grow with every epoch
MAX_HEADER = 2**20  # bytes of the header of a safetensors file
MAX_TENSORS = 4 * MAX_PARAMETERS + MAX_HEADER  # bytes of a safetensors file
MAX_CHECKPOINT = 5 * MAX_TENSORS  # with gradients' moments and averages
LOCK_SECONDS = 2.0  # a training waits this long for `evaluate`, which locks a run while it writes its results

Tensors = dict[str, np.ndarray]
Config = TypeVar("Config")


def safe_name(text: str, otherwise: str) -> str:
    """The text with only the characters that a run's name may have; `otherwise` if none is left."""
    return re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII).strip("-.") or otherwise


class RunError(UserError):
    """A run cannot be used; the message names it, what is wrong, and what is expected."""


def is_name(text: str) -> bool:
    """Whether a run may have this name; marks belong to their letters."""
    return not is_mark(text[:1]) and NAME.fullmatch("".join(x for x in text if not is_mark(x))) is not None


def check_name(name: str) -> None:
    """Raises RunError for a name that a run cannot have."""
    if not is_name(name):
        raise RunError(f"run name {name!r} is invalid; letters, digits, - _ . and + are allowed")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_file(path: Path, max_bytes: int, count: int | None = None) -> bytes:
    """The content of a file of a run, or its first `count` bytes; raises RunError for one that is not as expected."""
    try:
        return read_regular(path, max_bytes, count)
    except MediaError as error:
        raise RunError(f"{path} {error}") from None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None


def read_json(path: Path, max_bytes: int = MAX_JSON) -> dict[str, Any]:
    """Reads a JSON object; raises RunError when the file is missing, damaged, too large or holds another value."""
    if not path.exists():
        raise RunError(f"{path}: no such file; the run is incomplete")
    try:
        value = parse_json(read_file(path, max_bytes))
        json.dumps(value, ensure_ascii=False).encode()  # half of a character could not be written again
    except ValueError as error:
        raise RunError(f"{path}: not readable as JSON ({error}); the run is damaged") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, received {type(value).__name__}")
    return value


def as_safetensors(tensors: Tensors) -> bytes:
    """The content of a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()})


def write_tensors(path: Path, tensors: Tensors) -> str:
    """Writes tensors as safetensors and returns the SHA-256 of the file."""
    content = as_safetensors(tensors)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


class TensorSpec(NamedTuple):
    """Type, as safetensors writes it, and shape of a tensor in a file."""

    dtype: str
    shape: tuple[int, ...]


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """The tensors that safetensors declare, read from the header alone; raises RunError when it is damaged."""
    content = read_file(path, MAX_TENSORS, 8 + MAX_HEADER)
    length = int.from_bytes(content[:8], "little")
    try:
        if not 2 <= length <= len(content) - 8:
            raise ValueError("its header is cut short or too long")
        header = parse_json(content[8 : 8 + length])
        header.pop("__metadata__", None)
        size = 8 + length + max((value["data_offsets"][1] for value in header.values()), default=0)
        if size != path.stat().st_size:
            raise ValueError(f"its header declares {size:,} bytes, it has {path.stat().st_size:,}")
        return {name: _spec(value) for name, value in header.items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RunError(f"{path}: not a safetensors file ({shortened(str(error))})") from None


def _spec(value: dict[str, Any]) -> TensorSpec:
    shape = tuple(value["shape"])
    if not isinstance(value["dtype"], str) or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("it declares an impossible tensor")
    return TensorSpec(value["dtype"], shape)


def read_tensors(path: Path, sha256: str | None = None, max_bytes: int = MAX_TENSORS) -> Tensors:
    """Reads safetensors; raises RunError when the file is damaged, too large, or its SHA-256 is not `sha256`."""
    content = read_file(path, max_bytes)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(f"{path}: its SHA-256 differs from the recorded one; the file is damaged or was replaced")
    return parse_tensors(content, str(path))


def parse_tensors(content: bytes, name: str) -> Tensors:
    """The tensors of the content of a safetensors file; raises RunError, which begins with `name`, for another one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:  # such as an unknown type
        raise RunError(f"{name}: not a safetensors file ({shortened(str(error))})") from None


def released_folders(root: Path | None = None) -> list[Path]:
    """The folders of the released models of all tasks, which nothing may change."""

    def is_released(path: Path) -> bool:
        try:
            return "weights_sha256" in read_json(path)
        except RunError:
            return False

    return [path.parent for path in sorted((root or ROOT).glob("*/[!.]*/config.json")) if is_released(path)]


def _sha256(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


class Checkpoints:
    """The checkpoints of a run: the last two and the best are kept."""

    def __init__(self, folder: Path):
        self.folder = folder

    def steps(self) -> list[int]:
        """The steps of all checkpoints, in ascending order."""
        names = [path.name for path in self.folder.glob("[0-9]*")] if self.folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    def _folder(self, step: int) -> Path:
        return self.folder / f"{step:09d}"

    def save(self, step: int, tensors: Tensors, state: dict[str, Any], best_step: int | None) -> None:
        """Writes checkpoint `step`, then deletes all but the last two and `best_step`."""
        with atomic_folder(self._folder(step)) as folder:
            tensors_sha256 = write_tensors(folder / "tensors.safetensors", tensors)
            state = {**state, "step": step, "tensors_sha256": tensors_sha256}
            write_json(folder / "state.json", {"sha256": _sha256(state), "state": state})
        # Checkpoints of later steps are damaged: training resumed from an earlier one.
        kept = {*[earlier for earlier in self.steps() if earlier <= step][-2:], best_step}
        for other in set(self.steps()) - kept:
            shutil.rmtree(self._folder(other))

    def load(self, step: int) -> tuple[Tensors, dict[str, Any]]:
        """Reads checkpoint `step`; raises RunError when it is damaged."""
        path = self._folder(step) / "state.json"
        written = read_json(path, MAX_HISTORY)
        state = written.get("state")
        if not isinstance(state, dict) or _sha256(state) != written.get("sha256"):
            raise RunError(f"{path}: its SHA-256 differs from the recorded one; the file is damaged")
        sha256 = str(state.get("tensors_sha256"))
        return read_tensors(path.with_name("tensors.safetensors"), sha256, MAX_CHECKPOINT), state

    def latest(self, report: Callable[[str], None] = print) -> tuple[Tensors, dict[str, Any]] | None:
        """Reads the newest intact checkpoint and reports each damaged one; None if there is none."""
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except RunError as error:
                report(f"checkpoint {step} is damaged, using the one before it: {error}")
        return None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is allowed for a dataclass field of this type."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in choices)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in choices)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint


def current_fields(config_class: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Saved configuration fields under their current names; `config_class.RENAMED` maps the former ones."""
    renamed = getattr(config_class, "RENAMED", {})
    return {renamed.get(name, name): value for name, value in fields.items()}


def _is_increased(config: Any, field: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a field differs only in that a training is longer."""
    was = before.get(field)
    return field in getattr(config, "PROLONGING", ()) and isinstance(was, int) and was < now[field]


def _described(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "").replace("Literal", "one of ")


class Run:
    """A run of a task, opened by `create`, `open` or `find`."""

    def __init__(self, path: Path):
        self.path = path
        restore(path)
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.later_checkpoints = Checkpoints(path / "checkpoints-2")  # of a training's second stage
        self._is_locked = False  # by `training` of this object

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def reference(self) -> str:
        """What `find` finds the run by in any folder: its name or, outside `saved_models`, its absolute path."""
        path = self.path.resolve()
        return self.name if path.parent.parent == ROOT.resolve() else str(path)

    @property
    def is_released(self) -> bool:
        """Whether this is a released model, which is verified by SHA-256 and never written to."""
        return "weights_sha256" in self.config

    @property
    def weights_fingerprint(self) -> str:
        """A hash of the weights, recorded by runs that start from them."""
        return hashlib.sha256(read_file(self.path / "weights.safetensors", MAX_TENSORS)).hexdigest()[:16]

    def was_trained_on(self, found: Mapping[str, str]) -> bool:
        """Whether the training read corpora with these fingerprints, by name; else splits may be other ones."""
        recorded = self.config.get("data")
        return isinstance(recorded, dict) and found.items() <= recorded.items()

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`: task, config, data, versions (and weights_sha256 if released)."""
        return read_json(self.path / "config.json")

    def read_config(self, config_class: type[Config]) -> Config:
        """The configuration as the task's dataclass.

        Former names of fields are translated (`current_fields`); a field that an older run lacks has its default.
        Raises RunError for a field that is unknown, has a value of another type, or lacks a value and a default.
        """
        path, saved = self.path / "config.json", self.config.get("config")
        if not isinstance(saved, dict):
            raise RunError(f"{path}: expected an object under config, received {shown(saved)}")
        hints = typing.get_type_hints(config_class)
        saved = current_fields(config_class, saved)
        for name, value in saved.items():
            if name not in hints:
                raise RunError(f"{path}: field {shortened(name)} is unknown; the run may be of a newer version")
            if not _fits(value, hints[name]):
                received = shown(value)
                raise RunError(f"{path}: field {name} cannot be {received}; it is {_described(hints[name])}")
        try:
            return config_class(**saved)
        except (TypeError, ValueError, UserError) as error:  # a missing field, or an invalid value
            raise RunError(f"{path}: {error}") from None

    @classmethod
    def create(
        cls,
        task: str,
        name: str,
        config: Any,
        data: Mapping[str, str],
        root: Path | None = None,
        initial_terms: str | None = None,
    ) -> "Run":
        """Creates the run or, if it exists with the same configuration and data, opens it to resume its training.

        A larger number of epochs than that of an existing run is recorded, so that its training goes on (the fields
        `PROLONGING` of the configuration).

        Args:
            task, name, root: of the run's folder.
            config: the task's dataclass.
            data: the fingerprint of each corpus, and of the weights that the training begins with as `begin`.
            initial_terms: the terms of those weights.

        Raises:
            RunError: the name is invalid; the run exists with another configuration (the message names the fields), or
                cannot be trained further; or another process creates it at the same time.
        """
        check_name(name)
        run = cls((root or ROOT) / task / name)
        versions = {package: installed_version(package) for package in ("keras", choose(), "numpy")}
        versions = {"python": platform.python_version(), **versions}
        described = {"task": task, "config": dataclasses.asdict(config), "data": dict(data), "versions": versions}
        if initial_terms:
            described["initial_terms"] = initial_terms
        described = json.loads(json.dumps(described))  # tuples become lists, as in the file
        path = run.path / "config.json"
        if not path.exists():
            with run.training():
                if not path.exists():  # otherwise another process has created it just now
                    write_json(path, described)
        if increased := run._refuse_differences(described, config):
            run._prolong(described["config"], increased)
        return run

    def _refuse_differences(self, described: dict[str, Any], config: Any) -> list[str]:
        """The fields of the configuration that are increased to train on; raises RunError for another difference."""
        existing, increased = self.config, []
        defaults = {field.name: field.default for field in dataclasses.fields(config)}  # of fields that it lacks
        for part in ("config", "data"):
            before, now = existing.get(part), described[part]
            if not isinstance(before, dict):
                raise RunError(f"{self.path / 'config.json'}: expected an object under {part}; the run is damaged")
            before = defaults | current_fields(type(config), before) if part == "config" else before
            differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
            if part == "config" and all(_is_increased(config, key, before, now) for key in differing):
                increased = differing
            elif differing:
                changes = ", ".join(
                    f"{shortened(key)} {shown(before.get(key))} -> {shown(now.get(key))}" for key in differing
                )
                raise RunError(f"run {self.path} exists with another {part}: {changes}; choose another --run name")
        if self.is_released:
            raise RunError(f"run {self.path} is a released model and is not trained further; choose another --run name")
        return increased

    def _prolong(self, config: dict[str, Any], increased: list[str]) -> None:
        """Records a configuration with more epochs; raises RunError if the training cannot go on."""
        start_anew = f"start a new run from its weights: --from {self.name} --run NAME"
        if self.later_checkpoints.steps() and increased != ["reward_epochs"]:
            problem = f"its second stage has begun, so {' and '.join(increased)} cannot be increased"
            raise RunError(f"run {self.path}: {problem}; {start_anew}")
        checkpoints = self.later_checkpoints if self.later_checkpoints.steps() else self.checkpoints
        if (self.path / "weights.safetensors").exists():
            found = checkpoints.latest()
            if found is None:
                raise RunError(f"run {self.path}: its checkpoints are gone, so it cannot train on; {start_anew}")
            waited = found[1].get("epochs_since_best")
            is_of_stage = "epochs" in increased or self.later_checkpoints.steps()
            if is_of_stage and isinstance(waited, int) and waited >= config["patience"]:
                problem = f"it stopped after {waited} epochs without a better score"
                raise RunError(f"run {self.path}: {problem}; a --patience above {waited} was expected as well")
        with self.training():
            write_json(self.path / "config.json", {**self.config, "config": config})

    @classmethod
    def open(cls, path: Path, task: str) -> "Run":
        """Opens a run of `task`; raises RunError if it does not exist, is of another task, or has no weights yet."""
        run = cls(path)
        if not path.is_dir():
            raise RunError(f"{path}: no such run")
        if (run_task := run.config.get("task")) != task:
            raise RunError(f"{path}: a run of task {shown(run_task)}, not of {task!r}")
        if not (path / "weights.safetensors").exists():
            raise RunError(f"{path}: no weights.safetensors; its training has not finished an epoch")
        return run

    @classmethod
    def trained(cls, task: str, root: Path | None = None) -> list["Run"]:
        """The runs of a task that have weights, by name."""
        folder = (root or ROOT) / task
        restore_all(folder)
        # A hidden folder is not a run.
        return [cls(path.parent) for path in sorted(folder.glob("[!.]*/weights.safetensors"))]

    @classmethod
    def find(
        cls,
        model: str | None,
        task: str,
        released: str,
        root: Path | None = None,
        suits: Callable[["Run"], bool] = lambda run: True,
    ) -> "Run":
        """The run that `--model RUN_OR_FOLDER` names; by default the released one, else the newest that `suits`.

        Raises RunError if there is none, or if the named one cannot be opened.
        """
        runs, trained = (root or ROOT) / task, cls.trained(task, root)
        if model is not None:
            if is_name(model) and (runs / model).is_dir():
                return cls.open(runs / model, task)
            if not cls(Path(model)).path.is_dir():
                names = ", ".join(run.name for run in trained)
                raise RunError(f"{model}: neither a folder nor a run of task {task}; there are {names or 'none yet'}")
            return cls.open(Path(model), task)
        if (runs / released / "weights.safetensors").exists():
            return cls.open(runs / released, task)
        trained.sort(key=lambda run: (run.path / "weights.safetensors").stat().st_mtime, reverse=True)
        damaged = ""
        for run in trained:
            try:
                run = cls.open(run.path, task)
                if suits(run):
                    return run
            except RunError as error:  # another run may do
                damaged = f"; damaged: {error}"
        raise RunError(f"no trained model under {runs}; train one with: python -m tasks.{task}.train{damaged}")

    @contextmanager
    def training(self) -> Iterator[None]:
        """Locks the run, so that this process alone writes it, and removes the temporary files of killed processes.

        Within the block the same object may be locked again. Raises RunError if another process has the lock, or has
        just released the run.
        """
        if self._is_locked:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".training", "wb") as lock:
            self._lock(lock.fileno())
            if not self._holds(lock) or ((self.path / "config.json").exists() and self.is_released):
                raise RunError(f"run {self.path} was just released; choose another --run name")
            self._is_locked = True
            try:
                remove_temporaries(self.path.resolve().parent, self.path.resolve().name)  # of releases
                for folder in (self.path, *self.path.iterdir()):
                    remove_temporaries(folder)
                yield
            finally:
                self._is_locked = False

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    problem = "is being trained by another process; wait for it, or choose another --run name"
                    raise RunError(f"run {self.path} {problem}") from None
                time.sleep(0.05)
            except OSError:
                return  # a file system without locks

    @contextmanager
    def results(self) -> Iterator[bool]:
        """Yields whether the block may write metrics, plots and the card.

        Not for a released run, nor while another process trains the run or if its folder cannot be written, which is
        reported on standard error.
        """
        with ExitStack() as stack:
            may_write = not self.is_released
            if may_write:
                try:
                    stack.enter_context(self.training())
                except RunError:
                    may_write = False
                    message = "another process trains it; the metrics of its current weights are not saved with it"
                    print(f"run {self.path}: {message}", file=sys.stderr)
                except OSError as error:  # such as a read-only file system
                    may_write = False
                    print(f"run {self.path}: {error.strerror}; the metrics are not saved with it", file=sys.stderr)
            yield may_write

    def _holds(self, lock: typing.IO[bytes]) -> bool:
        """Whether an open file is still inside the run."""
        try:
            return os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
        except FileNotFoundError:
            return False

    def save_weights(self, tensors: Tensors, name: str = "weights") -> None:
        """Writes `<name>.safetensors`: the best weights, or another learned part of the model."""
        write_tensors(self.path / f"{name}.safetensors", tensors)

    def save_model(self, model: Any) -> None:
        """Writes the model in Keras' format."""
        with atomic_file(self.path / "model.keras") as temporary:
            model.save(temporary)

    def weight_specs(self, name: str = "weights") -> dict[str, TensorSpec]:
        """Types and shapes in `<name>.safetensors`, which take no memory; see `read_specs`.

        A matrix of eight bits with scales has the type that it is loaded as.
        """
        specs = read_specs(self.path / f"{name}.safetensors")
        scaled = {scale.removesuffix(SCALE) for scale in specs if scale.endswith(SCALE)}
        return {
            name: spec._replace(dtype="F32") if name in scaled and spec.dtype == "I8" else spec
            for name, spec in specs.items()
            if name.removesuffix(SCALE) not in scaled or name in scaled
        }

    def load_weights(self, name: str = "weights") -> Tensors:
        """Reads `<name>.safetensors`, float16 and int8 as float32; checks the SHA-256 of a released model.

        Raises RunError if the file is damaged, or a value is not finite.
        """
        config, path = self.config, self.path / f"{name}.safetensors"
        sha256 = str(config[f"{name}_sha256"]) if f"{name}_sha256" in config else None
        tensors = read_tensors(path, sha256)
        try:
            tensors = dequantize(tensors)
        except ValueError as error:
            raise RunError(f"{path}: {error}") from None
        for weight, tensor in tensors.items():
            if tensor.dtype.kind in "fc" and not np.isfinite(tensor).all():
                raise RunError(f"{path}: {shortened(weight)} has values that are not finite; finite ones were expected")
        halves = {name: tensor.astype(np.float32) for name, tensor in tensors.items() if tensor.dtype == np.float16}
        return tensors | halves

    def save_history(self, rows: list[dict[str, Any]]) -> None:
        """Writes `history.csv`, one row per epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, dict.fromkeys(key for row in rows for key in row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.path / "history.csv", text.getvalue().encode())

    def load_history(self) -> list[dict[str, str]]:
        """The rows of `history.csv`; empty before the end of the first epoch. Raises RunError if it is damaged."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        try:
            return list(csv.DictReader(read_file(path, MAX_HISTORY).decode("utf-8").splitlines()))
        except (ValueError, csv.Error) as error:
            raise RunError(f"{path}: not readable as CSV ({error}); the run is damaged") from None

    def load_metrics(self) -> dict[str, Any]:
        """The metrics of each split that was measured; raises RunError if the file is damaged."""
        path = self.path / "metrics.json"
        metrics = read_json(path) if path.exists() else {}
        for split, values in metrics.items():
            if not isinstance(values, dict):
                problem = f"expected an object under {shortened(split)}, received {shown(values)}"
                raise RunError(f"{path}: {problem}; the run is damaged")
        return metrics

    def save_metrics(self, split: str, metrics: Mapping[str, Any]) -> None:
        """Adds the metrics of a split to `metrics.json`, and keeps those of the others."""
        write_json(self.path / "metrics.json", {**self.load_metrics(), split: dict(metrics)})
