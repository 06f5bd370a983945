"""Times recurrent layers: ours beside Keras' own and torch.nn's, in turn within one run; writes RESULTS.md.

    python -m tests.benchmarks.recurrent [--no-torch]

A training step is forward, backward and an SGD update of one layer on fixed data. torch is installed into an
environment of its own, .venv-torch; where that fails it is left out.
"""

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN

SIZES = ((20, 35, 200), (20, 35, 650), (64, 70, 1024), (32, 400, 256), (1, 200, 512))  # batch, time, units
CELLS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN, "Bidirectional LSTM": LSTM}
GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "Bidirectional LSTM": 8}
ROUNDS, SECONDS = 25, 5  # the median of so many of each, in turn, or of as many as so many seconds allow; at least 5

HERE = Path(__file__).parent
TORCH_ENVIRONMENT = HERE.parents[1] / ".venv-torch"
TORCH = "torch==2.13.0"


def layer(cell: str, ours: bool, units: int, dtype: str = "float32") -> keras.layers.Layer:
    kind = CELLS[cell] if ours else getattr(keras.layers, CELLS[cell].__name__)
    made = kind(units, return_sequences=True, dtype=dtype)
    if not cell.startswith("Bidirectional"):
        return made
    return (Bidirectional if ours else keras.layers.Bidirectional)(made, dtype=dtype)


def steps_of(made: keras.layers.Layer, batch: int, length: int, units: int) -> dict[str, Callable[[], float]]:
    """A training step and an inference step, each returning the seconds that it took."""
    inputs = keras.Input((None, units))
    model = keras.Model(inputs, made(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((batch, length, units), np.float32))
    y = tf.constant(rng.standard_normal((batch, length, model.output_shape[-1]), np.float32))
    infer = tf.function(lambda x: made(x, training=False), jit_compile=False)

    def timed(run: Callable[[], Any]) -> Callable[[], float]:
        def step() -> float:
            start = time.perf_counter()
            run()
            return time.perf_counter() - start

        for _ in range(2):
            step()
        return step

    return {"train": timed(lambda: model.train_on_batch(x, y)), "infer": timed(lambda: infer(x)[0, 0, 0].numpy())}


class Torch:
    """torch.nn in a process of its own."""

    def __init__(self, python: Path):
        self.process = subprocess.Popen(
            [python, HERE / "torch_peer.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @classmethod
    def start(cls) -> "Torch | None":
        """None, with a word, where torch cannot be had."""
        python = TORCH_ENVIRONMENT / "bin" / "python"
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", TORCH_ENVIRONMENT], check=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, "numpy"], check=True)
            subprocess.run([python, "-c", "import torch"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"without torch: {error}", file=sys.stderr)
            return None
        return cls(python)

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def steps_of(self, cell: str, batch: int, length: int, units: int) -> dict[str, Callable[[], float]]:
        self.ask(f"{cell}\t{batch}\t{length}\t{units}")
        steps = {kind: lambda kind=kind: float(self.ask(kind)) for kind in ("train", "infer")}
        for step in steps.values():
            step()
        return steps


def medians(steps: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median seconds of each, taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    began = time.monotonic()
    for round_ in range(ROUNDS):
        if round_ >= 5 and time.monotonic() - began > SECONDS:
            break
        for name, step in steps.items():
            taken[name].append(step())
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def gemm_rate() -> float:
    """FLOP/s of a plain 2048^3 float32 matrix product."""
    a = tf.random.normal((2048, 2048))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        tf.matmul(a, a)[0, 0].numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / float(np.median(seconds))


def compare(torch: Torch | None) -> list[str]:
    """The grid: a row per cell and size; then geometric means."""
    rows = [
        "| layer | batch, time, units | | Keras, ms | torch, ms | ours, ms | Keras / ours | torch / ours | GFLOP/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ratios: dict[tuple[str, str], list[float]] = {}
    for cell in CELLS:
        for size in SIZES:
            peers = {name: steps_of(layer(cell, name == "ours", size[-1]), *size) for name in ("Keras", "ours")}
            if torch is not None:
                peers["torch"] = torch.steps_of(cell, *size)
            for kind in ("train", "infer"):
                found = medians({name: steps[kind] for name, steps in peers.items()})
                flops = (3 if kind == "train" else 1) * 2 * GATES[cell] * 2 * size[2] ** 2 * size[0] * size[1]
                against = {name: found[name] / found["ours"] for name in peers if name != "ours"}
                for name, ratio in against.items():
                    ratios.setdefault((kind, name), []).append(ratio)
                milliseconds = [
                    f"{found[name] * 1e3:.1f}" if name in found else "" for name in ("Keras", "torch", "ours")
                ]
                shown = [f"{against[name]:.2f}" if name in against else "" for name in ("Keras", "torch")]
                cells = [
                    cell,
                    ", ".join(map(str, size)),
                    kind,
                    *milliseconds,
                    *shown,
                    f"{flops / found['ours'] / 1e9:.0f}",
                ]
                rows.append("| " + " | ".join(cells) + " |")
                print(rows[-1], flush=True)
    rows.append("")
    for (kind, name), values in ratios.items():
        mean = math.exp(float(np.mean(np.log(values))))
        rows.append(f"- {kind}, {name} / ours: geometric mean {mean:.2f}, worst {min(values):.2f}")
    return rows


def scaling() -> list[str]:
    """Share of the GEMM rate, bfloat16 against float32, twice the length."""
    rate = gemm_rate()
    batch, length, units = 64, 70, 1024
    steps = {
        "float32": steps_of(layer("LSTM", True, units), batch, length, units)["train"],
        "bfloat16": steps_of(layer("LSTM", True, units, "mixed_bfloat16"), batch, length, units)["train"],
    }
    found = medians(steps)
    flops = 3 * 2 * 4 * 2 * units**2 * batch * length / found["float32"]
    lengths = {str(n): steps_of(layer("LSTM", True, 256), 32, n, 256)["train"] for n in (200, 400, 800)}
    doubled = medians(lengths)
    return [
        f"- a plain 2048^3 float32 product: {rate / 1e9:.0f} GFLOP/s; LSTM of 1024 units, training: {flops / rate:.0%}",
        f"- bfloat16 against float32, LSTM of 1024 units: {found['float32'] / found['bfloat16']:.2f}",
        f"- time for twice the length, LSTM (32, ., 256): 200 to 400 {doubled['400'] / doubled['200']:.2f},"
        f" 400 to 800 {doubled['800'] / doubled['400']:.2f}",
    ]


def memory() -> list[str]:
    """Peak memory of a process that trains, beyond that of one that only imports; each in a process of its own."""

    def peak(name: str) -> int:
        result = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.recurrent", "--peak", name],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(result.stdout.split()[-1])

    idle, ours, theirs = (peak(name) for name in ("none", "ours", "Keras"))
    return [f"- peak memory of training, LSTM (64, 70, 1024), ours / Keras: {(ours - idle) / (theirs - idle):.2f}"]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main() -> None:
    if "--peak" in sys.argv:
        name = sys.argv[-1]
        if name != "none":
            step = steps_of(layer("LSTM", name == "ours", 1024), 64, 70, 1024)["train"]
            for _ in range(3):
                step()
        status = Path("/proc/self/status").read_text()  # `getrusage` would tell of the parent's peak too
        print(status.split("VmHWM:")[1].split()[0])
        return
    torch = None if "--no-torch" in sys.argv else Torch.start()
    lines = [
        "# Recurrent layers, side by side",
        "",
        f"Written by `make bench` on {os.cpu_count()} cores of {processor()}, keras {keras.__version__}, tensorflow"
        f" {tf.__version__}{', ' + TORCH.replace('==', ' ') if torch else ''}. Medians, taken in turn within one run.",
        "",
        *compare(torch),
        *scaling(),
        *memory(),
    ]
    results = HERE / "RESULTS.md"
    _, tried, notes = (results.read_text() if results.exists() else "").partition("\n## Tried")
    results.write_text("\n".join(lines) + "\n" + tried + notes)  # what was tried is written by hand, below
    print("\n".join(lines[-8:]))


if __name__ == "__main__":
    main()
