"""Makes a trained run a released model: small, measured with its final weights, and signed.

    python -m tasks.release captioner flickr8k
    python -m tasks.release language_model wikitext2 --cache    # further arguments are those of `evaluate`

Weights are rounded to float16, dev and test are measured with the rounded weights, the card is written, and the SHA-256
of the weights is recorded in config.json; checkpoints and exports are removed. All of it happens in a copy, which
replaces the run at the end: after an error, an interruption or a kill the run is as it was or released. A released run
is never written to.
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
OWN_OPTIONS = ("--model", "--split", "--output")  # the model is the copy, and every split is measured


def release(task: str, name: str, options: Sequence[str] = ()) -> None:
    """Releases a run, measured with `options` of `evaluate`.

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
        sha256 = {f"{name}_sha256": round_weights(copy, name) for name in names}
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


def round_weights(run: Run, name: str) -> str:
    """Rounds float32 tensors of `<name>.safetensors` to float16, except those beyond its range; returns the SHA-256."""
    import numpy as np

    tensors = run.load_weights(name)
    fits = {key for key, x in tensors.items() if x.dtype == np.float32 and np.abs(x).max(initial=0) < 65_504}
    half = {key: x.astype(np.float16) if key in fits else x for key, x in tensors.items()}
    return write_tensors(run.path / f"{name}.safetensors", half)


@command
def main(arguments: list[str]) -> None:
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return
    if len(arguments) < 2:
        raise UserError("usage: python -m tasks.release TASK RUN [OPTION ...]")
    task, name, *options = arguments
    if task not in (tasks := import_module("tasks.__main__").EXAMPLES):
        raise UserError(f"{task}: no such task; the tasks are {', '.join(tasks)}")
    release(task, name, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
