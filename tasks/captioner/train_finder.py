"""Trains the finder of a trained captioner, which finds photos by sentences, on the photos and captions of its corpus.

    python -m tasks.captioner.train_finder --model RUN
    python -m tasks.captioner.train_finder --model flickr8k --run found     # of a released run, in a copy of it

Writes finder.safetensors into the run; `find` and `export` use it, and `evaluate` measures it. Captioner and encoder
stay as they are. The best epoch on the development split is kept, and its metrics are printed; a finder that the run
has and that is better there stays. The same seed gives the same file, and the same command goes on with the copy that
it has made. Where the finder takes part in the order of captions (`ranking.py`), these are then measured again.
"""

import sys
from dataclasses import dataclass

from shared.bounds import Count, Seed
from shared.cli import DataOptions, ModelOptions, command, parse
from shared.commands import as_lines
from shared.native.precompile import compile_ahead
from tasks.captioner import evaluate
from tasks.captioner.config import Config, find_run


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, DataOptions):
    run: str | None = None
    """Name of a new run, a copy of the model with the finder; a released run is never written to, and needs one."""
    epochs: Count = 6
    """Passes over the captions."""
    seed: Seed = 1
    """Seed of the initial weights, of dropout and of the order of the captions."""
    replace: bool = False
    """Keep the best epoch even if the finder that the run has is better."""


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.captioner.train_finder", __doc__)
    run = find_run(options.model)
    run.read_config(Config)
    compile_ahead("gru")
    from tasks.captioner.finder_training import train_finder, writable_run

    written = writable_run(run, options.run)
    metrics = train_finder(run, written, options.seed, options.epochs, options.data_dir, options.replace)
    if written.read_config(Config).finder_weight:
        evaluate.measure(written, evaluate.Arguments(data_dir=options.data_dir))
    print(as_lines({"run": written.name, "split": "dev", **{name: round(value, 4) for name, value in metrics.items()}}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
