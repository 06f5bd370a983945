"""Trains the scorer of pronunciation of a trained recognizer, on the experts' scores of speechocean762.

    python -m tasks.phoneme_recognizer.train_scorer --model RUN
    python -m tasks.phoneme_recognizer.train_scorer --model RUN --data-dir speechocean762

Writes scorer.safetensors into the run, in minutes; `recognize --score` and `evaluate --scores` use it. The recognizer
stays as it is. Prints how the scorer agrees with the experts on the speakers of dev, whose scores it has not seen, and
adds it to metrics.json. The same seed gives the same file. A released run is never written to; train its scorer before
the release.
"""

import sys
from dataclasses import dataclass

from shared.bounds import Seed
from shared.cli import DataOptions, ModelOptions, command, parse
from shared.commands import as_lines
from shared.runs import RunError
from tasks.phoneme_recognizer.config import Config, find_run


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, DataOptions):
    seed: Seed = 1
    """Seed of the initial weights, of the augmentation and of the order of the utterances."""


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.train_scorer", __doc__)
    run = find_run(options.model)
    run.read_config(Config)
    if run.is_released:
        raise RunError(f"run {run.path} is a released model and is never written to; a run before release was expected")
    from tasks.phoneme_recognizer.scorer_training import train_scorer

    print(as_lines({"run": run.name, "split": "dev", **train_scorer(run, options.seed, options.data_dir)}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
