"""Makes a trained run a released model: small, measured with its final weights, and signed.

    python -m tasks.release captioner flickr8k
    python -m tasks.release language_model wikitext2 --cache    # further arguments are those of `evaluate`
    python -m tasks.release language_model wikitext2 --int8     # half the size

Weights are rounded to float16, matrices with --int8 to eight bits (`shared.quantization`), dev and test are measured
with the rounded weights, the card is written, and the SHA-256 of the weights is recorded in config.json; checkpoints
and exports are removed. All of it happens in a copy, which replaces the run at the end: after an error, an interruption
or a kill the run is as it was or released. A released run is never written to.
"""

import inspect
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module

from shared.atomic import atomic_folder, remove_temporaries
from shared.cli import command
from shared.errors import UserError
from shared.runs import Run, RunError, write_json, write_tensors

KEPT = ("config.json", "metrics.json", "history.csv", "README.md", "plots")  # besides the task's RELEASED_FILES
SPLITS = ("dev", "test")
INT8 = "--int8"
OWN_OPTIONS = ("--model", "--split", "--output")  # the model is the copy, and every split is measured


def release(task: str, name: str, options: Sequence[str] = (), int8: bool = False) -> None:
    """Releases a run, measured with `options` of `evaluate`; with `int8`, matrices have eight bits.

    Raises RunError if the run cannot be opened, is in training or is released, UserError if a split cannot be measured.
    """
    for option in options:
        if option.partition("=")[0] in OWN_OPTIONS:
            raise UserError(f"{option}: the run itself is measured, on {' and '.join(SPLITS)}; leave this option out")
    run = Run.find(name, task, name)
    if run.is_released:
        if remove_temporaries(run.path.resolve().parent, run.path.resolve().name):  # of a release killed at its end
            print(run.path)
            return
        raise RunError(f"{run.path}: released already")
    files = {*KEPT, *import_module(f"tasks.{task}.config").RELEASED_FILES}
    with run.training(), atomic_folder(run.path) as folder:
        for path in run.path.iterdir():
            if path.is_dir() and path.name in files:
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns(".*"))
            elif path.name in files:
                shutil.copy2(path, folder / path.name)
        copy = Run(folder)
        names = sorted(path.stem for path in folder.glob("*.safetensors"))
        sha256 = {f"{name}_sha256": round_weights(copy, name, int8) for name in names}
        for split in SPLITS:
            measure(task, run, copy, ["--split", split, *options])
        for path in folder.glob(".*"):  # such as the lock of a measurement
            path.unlink()
        write_json(folder / "config.json", copy.config | sha256)
    print(run.path)


def measure(task: str, run: Run, copy: Run, options: Sequence[str]) -> None:
    """Measures the copy of a run; raises UserError that names the run if this fails."""
    evaluate = inspect.unwrap(import_module(f"tasks.{task}.evaluate").main)  # without its handling of errors
    try:
        code = evaluate(["--model", str(copy.path), *options])
    except (UserError, OSError) as error:
        reason = str(error).replace(str(copy.path), str(run.path))
        raise UserError(f"{run.path}: not released, because it cannot be measured: {reason}") from None
    if code:
        raise UserError(f"{run.path}: not released, because `evaluate {' '.join(options)}` ended with exit code {code}")


def round_weights(run: Run, name: str, int8: bool = False) -> str:
    """Rounds float32 tensors of `<name>.safetensors` to float16, except those beyond its range; returns the SHA-256.

    With `int8`, large matrices have eight bits and scales.
    """
    import numpy as np

    from shared.quantization import quantize

    tensors = run.load_weights(name)
    matrices = quantize(tensors) if int8 else {}
    others = {key: x for key, x in tensors.items() if key not in matrices}
    fits = {key for key, x in others.items() if x.dtype == np.float32 and np.abs(x).max(initial=0) < 65_504}
    half = {key: x.astype(np.float16) if key in fits else x for key, x in others.items()}
    return write_tensors(run.path / f"{name}.safetensors", half | matrices)


@command
def main(arguments: list[str]) -> None:
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return
    others = [argument for argument in arguments if argument != INT8]
    if len(others) < 2:
        raise UserError(f"usage: python -m tasks.release TASK RUN [{INT8}] [OPTION ...]")
    task, name, *options = others
    if task not in (tasks := import_module("tasks.__main__").EXAMPLES):
        raise UserError(f"{task}: no such task; the tasks are {', '.join(tasks)}")
    release(task, name, options, INT8 in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
