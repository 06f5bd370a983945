"""A tiny training that is disturbed once: `python -m tests.disturbed_training FOLDER [PROCESS PLACE SIGNAL]`.

Process PROCESS sends SIGNAL to itself at PLACE: before a step, after an evaluation or before a checkpoint. The run is
FOLDER/tagger/tiny.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import shared.runs
from shared import distribution
from shared.batching import BucketedBatches
from shared.cli import command
from shared.losses import SequenceCrossEntropy, nats_per_token
from shared.recipe import Recipe
from shared.runs import Checkpoints
from shared.steps import JAXSteps
from shared.training import Evaluation, Trainer, training_run

VOCAB = 7
RECIPE = Recipe(batch_size=4, epochs=3, learning_rate=0.02, warmup_steps=3, weight_average=0.5)
CALLS = {"step": (JAXSteps, "run", 8), "checkpoint": (Checkpoints, "save", 1), "evaluation": (Trainer, "_report", 1)}


def tagger() -> keras.Model:
    token_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Dropout(0.3)(keras.layers.Embedding(VOCAB, 5)(token_ids))
    model = keras.Model(token_ids, keras.layers.Dense(VOCAB)(x))
    model.compile(RECIPE.build_optimizer(), SequenceCrossEntropy(), metrics=[nats_per_token])
    return model


def batches() -> BucketedBatches:
    rng = np.random.default_rng(3)
    ids = rng.integers(1, VOCAB, (23, 5))  # the last of six batches has 3 rows

    def make_batch(indices: np.ndarray, *_: Any):
        return ids[indices], ids[indices] * 2 % VOCAB

    return BucketedBatches([5] * len(ids), RECIPE.batch_size, make_batch, RECIPE.seed)


def disturb(owner: Any, name: str, call: int, number: int) -> None:
    """Sends a signal to this process at the beginning of one call of a method."""
    method, calls = getattr(owner, name), 0

    def disturbed(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return method(*args)

    setattr(owner, name, disturbed)


@command
def main(arguments: list[str]) -> None:
    folder, *disturbance = arguments
    distribution.HEARTBEAT_SECONDS = 10
    distribution.join()
    shared.runs.ROOT = Path(folder)
    if disturbance:
        process, place, number = disturbance
        if int(process) == distribution.part()[0]:
            disturb(*CALLS[place], signal.Signals[number])
    with training_run("tagger", "tiny", RECIPE, {"examples": "22"}) as run:
        model = tagger()
        inputs, targets = batches()[1]

        def evaluate() -> Evaluation:
            found = keras.ops.convert_to_numpy(model(inputs)).argmax(axis=-1)
            return Evaluation(metrics={}, score=float((found == targets).mean()))

        Trainer(model, batches(), run, evaluate, RECIPE).fit()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
