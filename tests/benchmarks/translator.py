"""Times the training of the translator beside the same in torch, and its SavedModel on a file of sentences.

    python -m tests.benchmarks.translator                   # writes TRANSLATOR.md
    python -m tests.benchmarks.translator EXPORT FILE       # sentences a second, without start-up

A step is what `Trainer` does for a batch of Multi30k's presets, with random tokens: forward and backward pass, gradient
clipping, Adam, weight average, and reading the perplexity. In torch, attention inside the recurrence is a loop over
cells, the usual implementation.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from shared.losses import SequenceCrossEntropy, nats_per_token
from shared.vocabulary import SPECIALS, WordVocabulary
from tasks.translator.config import MULTI30K
from tasks.translator.model import build_model
from tasks.translator.vocabularies import Vocabularies
from tests.benchmarks.side_by_side import HERE, Torch, circumstances, medians, write_results

SOURCE, TARGET = 16, 17  # tokens of the mean pair
WARM_UP, ROUNDS = 3, 15  # steps of each side, without and with timing
MAX_SECONDS = 60  # after this time 5 rounds are enough
LINES = 100  # sentences per batch of the SavedModel


@dataclass(frozen=True)
class Peer:
    """One side: its number of parameters, and a step that returns its time in seconds and the loss in nats."""

    parameters: int
    step: Callable[[], tuple[float, float]]


def keras_peer() -> Peer:
    """The model and optimizer of `tasks.translator.train`."""
    keras.utils.set_random_seed(MULTI30K.seed)
    size = MULTI30K.vocabulary_size
    vocabulary = WordVocabulary([*SPECIALS, *map(str, range(size - len(SPECIALS)))])
    model = build_model(MULTI30K, Vocabularies(vocabulary, vocabulary))
    optimizer = MULTI30K.build_optimizer()
    optimizer.learning_rate = MULTI30K.learning_rate
    model.compile(optimizer, SequenceCrossEntropy(MULTI30K.label_smoothing), metrics=[nats_per_token])
    rng, batch = np.random.default_rng(MULTI30K.seed), MULTI30K.batch_size

    def step() -> tuple[float, float]:
        source_ids, targets = (rng.integers(4, size, (batch, time_)).astype(np.int32) for time_ in (SOURCE, TARGET))
        alignment = np.full((batch, TARGET, SOURCE), 1 / SOURCE, np.float32)
        start = time.perf_counter()
        inputs = {"source_ids": source_ids, "target_ids": targets, "alignment": alignment}
        logs = model.train_on_batch(inputs, targets, return_dict=True)
        return time.perf_counter() - start, float(logs["nats_per_token"])

    return Peer(model.count_params(), step)


def torch_peer(torch: Torch) -> Peer:
    """The same model in the process of torch."""

    def step() -> tuple[float, float]:
        seconds, nats = map(float, torch.ask("step").split())
        return seconds, nats

    sizes = {"words": MULTI30K.vocabulary_size, "source_length": SOURCE, "target_length": TARGET}
    return Peer(int(torch.ask(json.dumps(vars(MULTI30K) | sizes))), step)


def train() -> None:
    """Times both sides and writes TRANSLATOR.md."""
    torch = Torch.start("torch_translator.py")
    peers = {"torch": torch_peer(torch)} if torch else {}
    peers["ours"] = keras_peer()
    parameters = {name: peer.parameters for name, peer in peers.items()}
    assert len(set(parameters.values())) == 1, parameters
    for name, peer in peers.items():
        nats = [peer.step()[1] for _ in range(WARM_UP)]
        assert abs(nats[0] - math.log(MULTI30K.vocabulary_size)) < 0.5, f"{name} starts at {nats[0]} nats"
    seconds = medians({name: lambda peer=peer: peer.step()[0] for name, peer in peers.items()}, ROUNDS, MAX_SECONDS)
    tokens = MULTI30K.batch_size * TARGET
    lines = [
        circumstances(torch),
        "",
        f"The model of Multi30k's presets, {peers['ours'].parameters:,} parameters, {MULTI30K.vocabulary_size:,}"
        f" subwords; batches of {MULTI30K.batch_size} pairs of {SOURCE} and {TARGET} tokens, float32.",
        "",
        "| | ms a step | target tokens/s |",
        "|---|---|---|",
        *(f"| {name} | {time_ * 1e3:.0f} | {tokens / time_:,.0f} |" for name, time_ in seconds.items()),
    ]
    if torch:
        lines += ["", f"- torch / ours: {seconds['torch'] / seconds['ours']:.2f}"]
    print("\n".join(lines[4:]), flush=True)
    write_results(HERE / "TRANSLATOR.md", "Training the translator, side by side", lines)


def translate(export: str, file: str) -> None:
    """Times a SavedModel on the lines of a file."""
    import tensorflow as tf

    with open(file, encoding="utf-8") as lines:
        sentences = sorted(lines.read().splitlines(), key=len)
    batches = [sentences[start : start + LINES] for start in range(0, len(sentences), LINES)]
    loaded = tf.saved_model.load(export)  # the model must outlive its functions
    loaded.translate(tf.constant(batches[0]))  # start-up
    start = time.perf_counter()
    for batch in batches:
        loaded.translate(tf.constant(batch))
    print(f"{len(sentences) / (time.perf_counter() - start):.0f} sentences a second, {LINES} at a time")


if __name__ == "__main__":
    translate(*sys.argv[1:]) if len(sys.argv) == 3 else train()
