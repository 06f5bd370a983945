"""Makes a released model of a trained run: small, measured as it is released, and signed.

    python -m tasks.release captioner flickr8k
    python -m tasks.release language_model wikitext2 --cache    # more arguments are for `evaluate`

Weights become float16, checkpoints and exports go, dev and test are measured with the weights as they are now, the card
is written, and the SHA-256 of the weights is recorded in config.json: from then on the run is never written to.
"""

import shutil
import sys
from collections.abc import Sequence
from importlib import import_module

from shared.cli import command
from shared.errors import UserError
from shared.runs import Run, RunError, write_json, write_tensors

KEPT = {
    "config.json",
    "vocabulary.json",
    "target_vocabulary.json",
    "weights.safetensors",
    "encoder.safetensors",
    "ngrams.safetensors",
    "metrics.json",
    "history.csv",
    "README.md",
    "plots",
}
SPLITS = ("dev", "test")


def release(task: str, name: str, options: Sequence[str] = ()) -> None:
    """Releases a run in its place, measured with `options` of `evaluate`; RunError if it is released already."""
    import numpy as np

    run = Run.find(name, task, name)
    if run.is_released:
        raise RunError(f"{run.path}: released already")
    sha256 = {}
    for path in sorted(run.path.glob("*.safetensors")):
        tensors = run.load_weights(path.stem)
        half = {key: x.astype(np.float16) if x.dtype == np.float32 else x for key, x in tensors.items()}
        sha256[f"{path.stem}_sha256"] = write_tensors(path, half)
    for split in SPLITS:
        if import_module(f"tasks.{task}.evaluate").main(["--model", str(run.path), "--split", split, *options]):
            raise UserError(f"{run.path}: not released, {split} could not be measured")
    write_json(run.path / "config.json", run.config | sha256)
    for path in run.path.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(run.path)


@command
def main(arguments: list[str]) -> None:
    if len(arguments) < 2:
        raise UserError("usage: python -m tasks.release TASK RUN [OPTION ...]")
    task, name, *options = arguments
    release(task, name, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
