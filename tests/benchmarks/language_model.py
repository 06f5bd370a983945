"""Times the training of a language model beside the same model in torch, in one run; writes LANGUAGE_MODEL.md.

    python -m tests.benchmarks.language_model

The model: Zaremba et al. (2014), medium, with a tied softmax, on random words with frequencies by Zipf's law. A step is
that of `Trainer`: set the learning rate, forward, backward, clip the gradient, gradient descent, read the loss. The
peer is the model of torch's word language model example.
"""

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from shared.losses import mean_nats, output_nats
from shared.training import warmup_factor
from tasks.language_model.config import PRESETS, ZAREMBA_MEDIUM, Config
from tasks.language_model.data import StreamBatches, WordSampler
from tasks.language_model.model import LanguageModel, StreamReader
from tests.benchmarks.side_by_side import GEMM_FLOP, HERE, Torch, circumstances, gemm, medians, write_results

CONFIG = replace(ZAREMBA_MEDIUM, tied=True)
SAMPLED = replace(CONFIG, sampled_softmax_size=2000)  # torch.nn has no sampled softmax
WORDS = 10_000
SIZES = {"penn_treebank": (10_003, 929_589), "wikitext2": (33_281, 2_088_628)}  # vocabulary size, training tokens
RATE = CONFIG.learning_rate * warmup_factor(0, CONFIG.warmup_steps)  # of the first step; random words cannot be learned
WARM_UP, ROUNDS = 3, 15  # steps of each before timing, and timed
MAX_SECONDS = 60  # after which 5 rounds are enough


@dataclass(frozen=True)
class Peer:
    """A model: its number of parameters, and a step that returns its seconds and the loss in nats."""

    parameters: int
    step: Callable[[], tuple[float, float]]


def keras_peer(config: Config, words: int = WORDS) -> Peer:
    """The objects of `tasks.language_model.train`."""
    keras.utils.set_random_seed(config.seed)
    model = LanguageModel(config, words)
    model.build()
    reader: Any = StreamReader(model, config.batch_size)
    reader.compile(config.build_optimizer(), mean_nats, metrics=[output_nats])

    odds = 1 / np.arange(1, words + 1)  # Zipf's law
    tokens = (WARM_UP + ROUNDS) * config.batch_size * config.sequence_length
    stream = np.random.default_rng(config.seed).choice(words, tokens, p=odds / odds.sum()).astype(np.int32)
    sampler = WordSampler(tokens * odds, config.sampled_softmax_size) if config.sampled_softmax_size else None
    sizes = config.batch_size, config.sequence_length
    batches = itertools.cycle(StreamBatches(stream, *sizes, start_id=0, sampler=sampler))  # some steps are not timed

    def step() -> tuple[float, float]:
        start = time.perf_counter()
        reader.optimizer.learning_rate = RATE
        logs = reader.train_on_batch(*next(batches), return_dict=True)
        return time.perf_counter() - start, float(logs["output_nats"])

    return Peer(model.count_params(), step)


def torch_peer(torch: Torch) -> Peer:
    def step() -> tuple[float, float]:
        seconds, nats = map(float, torch.ask("step").split())
        return seconds, nats

    return Peer(int(torch.ask(json.dumps(vars(CONFIG) | {"words": WORDS, "learning_rate": RATE}))), step)


def warm_up(peers: dict[str, Peer]) -> None:
    """Runs the first steps, and asserts that the models are equal in size and start at the uniform distribution."""
    parameters = {name: peer.parameters for name, peer in peers.items()}
    assert len(set(parameters.values())) == 1, parameters
    for name, peer in peers.items():
        nats = [peer.step()[1] for _ in range(WARM_UP)]
        assert abs(nats[0] - math.log(WORDS)) < 0.1, f"{name} starts at {nats[0]} nats, not ln {WORDS}"


def products() -> float:
    """Floating-point operations of the matrix products of a step: forward, backward to inputs, backward to weights."""
    recurrent = CONFIG.num_layers * 4 * CONFIG.units * 2 * CONFIG.units
    return 3 * 2 * CONFIG.batch_size * CONFIG.sequence_length * (recurrent + CONFIG.units * WORDS)


def presets() -> list[str]:
    """A table of the presets on public corpora: parameters and minutes per epoch."""
    lines = ["| preset | parameters | minutes an epoch |", "|---|---|---|"]
    for name, config in PRESETS.items():
        if config.corpus in SIZES and config.reads == "forwards":
            words, tokens = SIZES[config.corpus]
            peer = keras_peer(config, words)
            for _ in range(WARM_UP):
                peer.step()
            seconds = float(np.median([peer.step()[0] for _ in range(WARM_UP)]))
            minutes = tokens / (config.batch_size * config.sequence_length) * seconds / 60
            lines.append(f"| {name} | {peer.parameters / 1e6:.1f} M | {minutes:.1f} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    torch = Torch.start("torch_language_model.py")
    peers = {"torch": torch_peer(torch)} if torch else {}
    peers |= {
        "ours": keras_peer(CONFIG),
        f"ours, a softmax over {SAMPLED.sampled_softmax_size:,} sampled words": keras_peer(SAMPLED),
    }
    warm_up(peers)
    steps = {name: lambda peer=peer: peer.step()[0] for name, peer in peers.items()}
    seconds = medians({**steps, "gemm": gemm}, ROUNDS, MAX_SECONDS)
    rate = GEMM_FLOP / seconds.pop("gemm")
    words = CONFIG.batch_size * CONFIG.sequence_length
    lines = [
        circumstances(torch),
        "",
        f"{CONFIG.num_layers} LSTMs of {CONFIG.units} units, embedding and softmax of {WORDS:,} words tied,"
        f" {peers['ours'].parameters:,} parameters; {CONFIG.batch_size} streams of {CONFIG.sequence_length} steps,"
        " float32.",
        "",
        "| | ms a step | words/s |",
        "|---|---|---|",
        *(f"| {name} | {taken * 1e3:.0f} | {words / taken:,.0f} |" for name, taken in seconds.items()),
    ]
    lines.append("")
    if torch:
        lines += [
            f"- torch / {name}: {seconds['torch'] / taken:.2f}" for name, taken in seconds.items() if "ours" in name
        ]
    lines.append(
        f"- the matrix products of a step, {products() / 1e9:.0f} GFLOP, at the rate of a plain 2048^3 product"
        f" ({rate / 1e9:.0f} GFLOP/s): {products() / rate * 1e3:.0f} ms"
    )
    print("\n".join(lines[4:]), flush=True)
    write_results(HERE / "LANGUAGE_MODEL.md", "Training a language model, side by side", [*lines, "", *presets()])


if __name__ == "__main__":
    main()
