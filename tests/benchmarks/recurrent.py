"""Times recurrent layers of Quatrain, Keras and torch.nn in alternation; writes RESULTS.md.

    python -m tests.benchmarks.recurrent [--no-torch]

Also draws docs/recurrent_speed.png. A training step is the forward and backward pass of one layer, to the gradients of
its weights and its input. Inference is that of an evaluation or a server, in machine code; "operations" is that of a
saved model. torch is installed into an environment of its own, .venv-torch; without it, its columns are
empty.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from shared.plots import save
from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN, inference_in_machine_code
from tests.benchmarks.side_by_side import GEMM_FLOP, HERE, Torch, circumstances, gemm, medians, write_results

SIZES = ((20, 35, 200), (20, 35, 650), (64, 70, 1024), (32, 400, 256), (1, 200, 512))  # batch, time, units
CELLS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN, "Bidirectional LSTM": LSTM}
PEERS = ("Keras", "torch", "operations", "ours")
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "Bidirectional LSTM": 8}


def layer(cell: str, ours: bool, units: int, dtype: str = "float32") -> keras.layers.Layer:
    kind = CELLS[cell] if ours else getattr(keras.layers, CELLS[cell].__name__)
    made = kind(units, return_sequences=True, dtype=dtype)
    both = Bidirectional if ours else keras.layers.Bidirectional
    return both(made, dtype=dtype) if cell.startswith("Bidirectional") else made


KINDS = ("train", "infer")


def timed(run: Callable[[], Any]) -> Callable[[], float]:
    """A step that returns its duration in seconds, after two that warm it up."""

    def step() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    for _ in range(2):
        step()
    return step


def steps_of(
    made: keras.layers.Layer, batch: int, length: int, units: int, kinds: Sequence[str] = KINDS
) -> dict[str, Callable[[], float]]:
    """A training step and an inference step, traced here; each returns its duration in seconds."""
    outputs = made(keras.Input((None, units)))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((batch, length, units), np.float32))
    y = tf.constant(rng.standard_normal((batch, length, outputs.shape[-1]), np.float32))

    @tf.function(jit_compile=False)
    def train(x, y):
        weights = [weight.value for weight in made.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)  # as for the layer below
            loss = tf.reduce_mean((tf.cast(made(x, training=True), y.dtype) - y) ** 2)
        return tape.gradient(loss, [x, *weights])

    infer = tf.function(lambda x: made(x, training=False)[0, 0, 0], jit_compile=False)

    runs = {"train": lambda: train(x, y), "infer": lambda: infer(x).numpy()}
    return {kind: timed(runs[kind]) for kind in kinds}


def torch_steps_of(torch: Torch, cell: str, batch: int, length: int, units: int) -> dict[str, Callable[[], float]]:
    """`steps_of` for a layer of torch."""
    torch.ask(f"{cell}\t{batch}\t{length}\t{units}")
    steps = {kind: lambda kind=kind: float(torch.ask(kind)) for kind in KINDS}
    for step in steps.values():
        step()
    return steps


@dataclass(frozen=True)
class Timing:
    cell: str
    size: tuple[int, int, int]
    kind: str
    seconds: dict[str, float]  # by peer

    def rate(self, peer: str) -> float:
        """FLOP/s of the matrix products; input and state have the same width."""
        batch, length, units = self.size
        passes = 3 if self.kind == "train" else 1
        return passes * 2 * GATES[self.cell] * 2 * units**2 * batch * length / self.seconds[peer]

    def against(self, peer: str) -> float:
        """Time of the peer divided by ours."""
        return self.seconds[peer] / self.seconds["ours"]

    def row(self) -> str:
        shown = [f"{self.seconds[peer] * 1e3:.1f}" if peer in self.seconds else "" for peer in PEERS]
        ratios = [f"{self.against(peer):.2f}" if peer in self.seconds else "" for peer in PEERS[:-1]]
        size = ", ".join(map(str, self.size))
        return f"| {' | '.join([self.cell, size, self.kind, *shown, *ratios])} | {self.rate('ours') / 1e9:.0f} |"


def compare(torch: Torch | None) -> list[Timing]:
    timings = []
    for cell in CELLS:
        for size in SIZES:
            peers = {"Keras": steps_of(layer(cell, False, size[-1]), *size)}
            with inference_in_machine_code():
                peers["ours"] = steps_of(layer(cell, True, size[-1]), *size)
            peers["operations"] = steps_of(layer(cell, True, size[-1]), *size, ["infer"])
            if torch is not None:
                peers["torch"] = torch_steps_of(torch, cell, *size)
            for kind in KINDS:
                steps = {name: steps[kind] for name, steps in peers.items() if kind in steps}
                timings.append(Timing(cell, size, kind, medians(steps)))
                print(timings[-1].row(), flush=True)
    return timings


def table(timings: list[Timing]) -> list[str]:
    """A row per cell and size, then geometric means."""
    rows = [
        "| layer | batch, time, units | | Keras, ms | torch, ms | operations, ms | ours, ms | Keras / ours |"
        " torch / ours |"
        " operations / ours | GFLOP/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(timing.row() for timing in timings),
        "",
    ]
    for kind in KINDS:
        of_kind = [timing for timing in timings if timing.kind == kind]
        for peer in PEERS[:-1]:
            if peer in of_kind[0].seconds:
                ratios = [timing.against(peer) for timing in of_kind]
                mean = math.exp(float(np.mean(np.log(ratios))))
                rows.append(f"- {kind}, {peer} / ours: geometric mean {mean:.2f}, worst {min(ratios):.2f}")
    return rows


def draw(timings: list[Timing], path: Path) -> None:
    """Draws a panel per layer: FLOP/s of a training step of each peer, by size."""
    figure = Figure(figsize=(11, 3), layout="constrained")
    for axes, cell in zip(figure.subplots(1, len(CELLS), sharey=True), CELLS, strict=True):
        shown = [timing for timing in timings if timing.cell == cell and timing.kind == "train"]
        for i, (peer, color) in enumerate({"Keras": "#b9b9b9", "torch": "#d9a066", "ours": "#1f4e79"}.items()):
            if peer in shown[0].seconds:
                rates = [timing.rate(peer) / 1e9 for timing in shown]
                axes.bar(np.arange(len(shown)) + 0.27 * (i - 1), rates, 0.25, label=peer, color=color)
        sizes = ["\n".join(map(str, timing.size)) for timing in shown]
        axes.set(title=cell, xticks=range(len(shown)), xticklabels=sizes)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set(ylabel="GFLOP/s, training step")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    figure.supxlabel("batch, time, units", fontsize="medium")
    save(figure, path)


def scaling() -> list[str]:
    """Fraction of the GEMM rate, bfloat16 against float32, and the time for twice the length."""
    size = (64, 70, 1024)
    steps = {
        "ours": steps_of(layer("LSTM", True, size[-1]), *size)["train"],
        "bfloat16": steps_of(layer("LSTM", True, size[-1], "mixed_bfloat16"), *size)["train"],
        "gemm": gemm,
    }
    found = Timing("LSTM", size, "train", medians(steps))
    rate = GEMM_FLOP / found.seconds["gemm"]
    lengths = {str(n): steps_of(layer("LSTM", True, 256), 32, n, 256, ["train"])["train"] for n in (200, 400, 800)}
    doubled = medians(lengths, max_seconds=60)  # a ratio of few percent needs more rounds
    return [
        f"- a plain 2048^3 float32 product: {rate / 1e9:.0f} GFLOP/s; LSTM of 1024 units, training:"
        f" {found.rate('ours') / rate:.0%}",
        f"- bfloat16 against float32, LSTM of 1024 units: {found.against('bfloat16') ** -1:.2f}",
        f"- time for twice the length, LSTM (32, ., 256): 200 to 400 {doubled['400'] / doubled['200']:.2f},"
        f" 400 to 800 {doubled['800'] / doubled['400']:.2f}",
    ]


def memory() -> list[str]:
    """Peak memory of a process that trains, minus that of one that only imports.

    Freed memory is returned to the system at once; otherwise the part that the C library keeps differs more between
    runs than between layers.
    """

    def peak(name: str) -> int:
        result = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.recurrent", "--peak", name],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"},
        )
        return int(result.stdout.split()[-1])

    idle, ours, theirs = (peak(name) for name in ("none", "ours", "Keras"))
    return [f"- peak memory of training, LSTM (64, 70, 1024), ours / Keras: {(ours - idle) / (theirs - idle):.2f}"]


def main() -> None:
    if "--peak" in sys.argv:
        name = sys.argv[-1]
        if name != "none":
            step = steps_of(layer("LSTM", name == "ours", 1024), 64, 70, 1024, ["train"])["train"]
            for _ in range(5):
                step()
        status = Path("/proc/self/status").read_text()  # `getrusage` would include the parent's peak
        print(status.split("VmHWM:")[1].split()[0])
        return
    torch = None if "--no-torch" in sys.argv else Torch.start("torch_peer.py")
    before = medians({"gemm": gemm})["gemm"]
    timings = compare(torch)
    after = medians({"gemm": gemm})["gemm"]
    ours = LSTM(SIZES[0][-1])
    lines = [
        f"{circumstances(torch)} Ours trains in {ours.implementation(training=True)}. A plain 2048^3 float32 product"
        f" had {GEMM_FLOP / before / 1e9:.0f} GFLOP/s before, {GEMM_FLOP / after / 1e9:.0f} after.",
        "",
        *table(timings),
        *scaling(),
        *memory(),
    ]
    draw(timings, HERE.parents[1] / "docs" / "recurrent_speed.png")
    write_results(HERE / "RESULTS.md", "Recurrent layers, side by side", lines)
    print("\n".join(lines[-8:]))


if __name__ == "__main__":
    main()
