"""Times the training of a language model: ours beside the same in torch, in turn in one run; writes LANGUAGE_MODEL.md.

    python -m tests.benchmarks.language_model

The medium model of Zaremba et al. (2014) with a tied softmax, on words drawn at random, about as often as in a text. A
step is what `Trainer` does for a batch: the rate set, forward, backward, the gradient clipped, plain gradient descent,
and the loss read. torch.nn has the model of its own word language model example.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from shared.losses import mean_nats, told_nats
from shared.training import warmed_up
from tasks.language_model.config import PRESETS, ZAREMBA_MEDIUM, Config
from tasks.language_model.data import StreamBatches, WordSampler
from tasks.language_model.model import StreamReader, build_model
from tasks.language_model.train import build_optimizer
from tests.benchmarks.side_by_side import Torch, circumstances, gemm, medians, write_results

CONFIG = replace(ZAREMBA_MEDIUM, tied=True)
SAMPLED = replace(CONFIG, sampled_words=2000)  # what torch.nn does not have
WORDS = 10_000
SIZES = {"penn_treebank": (10_003, 929_589), "wikitext2": (33_281, 2_088_628)}  # vocabulary, tokens to train on
RATE = CONFIG.learning_rate * warmed_up(0, CONFIG.warmup_steps)  # the first: random words teach nothing to hurry for
WARM_UP, ROUNDS = 3, 15  # steps of each that do not count, and that do
MOST = 60  # seconds, after which at least 5 rounds are enough


@dataclass(frozen=True)
class Peer:
    """One of the two: its parameters, and a step that returns the seconds it took and the loss in nats."""

    parameters: int
    step: Callable[[], tuple[float, float]]


def ours(config: Config, words: int = WORDS) -> Peer:
    """The objects of `tasks.language_model.train`."""
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, words)
    reader: Any = StreamReader(model, config.batch_size)
    reader.compile(build_optimizer(config), mean_nats, metrics=[told_nats])

    odds = 1 / np.arange(1, words + 1)  # Zipf's law
    tokens = (WARM_UP + ROUNDS) * config.batch_size * config.length
    stream = np.random.default_rng(config.seed).choice(words, tokens, p=odds / odds.sum()).astype(np.int32)
    sampler = WordSampler(tokens * odds, config.sampled_words) if config.sampled_words else None
    batches = iter(StreamBatches(stream, config.batch_size, config.length, start_id=0, sampler=sampler))

    def step() -> tuple[float, float]:
        start = time.perf_counter()
        reader.optimizer.learning_rate = RATE
        logs = reader.train_on_batch(*next(batches), return_dict=True)
        return time.perf_counter() - start, float(logs["told_nats"])

    return Peer(model.count_params(), step)


def theirs(torch: Torch) -> Peer:
    def step() -> tuple[float, float]:
        seconds, nats = map(float, torch.ask("step").split())
        return seconds, nats

    return Peer(int(torch.ask(json.dumps(vars(CONFIG) | {"words": WORDS, "learning_rate": RATE}))), step)


def warm_up(peers: dict[str, Peer]) -> None:
    """The first steps of each, and that both are the same model, which knows nothing yet."""
    parameters = {name: peer.parameters for name, peer in peers.items()}
    assert len(set(parameters.values())) == 1, parameters
    for name, peer in peers.items():
        nats = [peer.step()[1] for _ in range(WARM_UP)]
        assert abs(nats[0] - math.log(WORDS)) < 0.1, f"{name} begins with {nats[0]} nats, not ln {WORDS}"


def products() -> float:
    """Floating-point operations of the matrix products of a step: forward, and backward to inputs and to weights."""
    recurrent = CONFIG.num_layers * 4 * CONFIG.units * 2 * CONFIG.units
    return 3 * 2 * CONFIG.batch_size * CONFIG.length * (recurrent + CONFIG.units * WORDS)


def presets() -> list[str]:
    """Parameters and minutes an epoch of each preset on a public corpus."""
    lines = ["| preset | parameters | minutes an epoch |", "|---|---|---|"]
    for name, config in PRESETS.items():
        if config.corpus in SIZES:
            words, tokens = SIZES[config.corpus]
            peer = ours(config, words)
            for _ in range(WARM_UP):
                peer.step()
            seconds = float(np.median([peer.step()[0] for _ in range(WARM_UP)]))
            minutes = tokens / (config.batch_size * config.length) * seconds / 60
            lines.append(f"| {name} | {peer.parameters / 1e6:.1f} M | {minutes:.1f} |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    torch = Torch.start("torch_language_model.py")
    peers = {"torch": theirs(torch)} if torch else {}
    peers |= {"ours": ours(CONFIG), f"ours, a softmax over {SAMPLED.sampled_words:,} drawn words": ours(SAMPLED)}
    warm_up(peers)
    steps = {name: lambda peer=peer: peer.step()[0] for name, peer in peers.items()}
    seconds = medians({**steps, "gemm": gemm}, ROUNDS, MOST)
    rate = 2 * 2048**3 / seconds.pop("gemm")
    words = CONFIG.batch_size * CONFIG.length
    lines = [
        "# Training a language model, side by side",
        "",
        circumstances(torch),
        "",
        f"{CONFIG.num_layers} LSTMs of {CONFIG.units} units, embedding and softmax of {WORDS:,} words tied,"
        f" {peers['ours'].parameters:,} parameters; {CONFIG.batch_size} streams, {CONFIG.length} steps, float32.",
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
    print("\n".join(lines[6:]), flush=True)
    write_results("LANGUAGE_MODEL.md", [*lines, "", *presets()])


if __name__ == "__main__":
    main()
