"""Common parts of the side-by-side benchmarks: torch in a process of its own, alternating medians, files of results."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from shared.machine import processor_name

ROUNDS, SECONDS = 25, 5  # maximum number of alternating rounds, and of seconds; at least 5 rounds

HERE = Path(__file__).parent
TORCH_ENVIRONMENT = HERE.parents[1] / ".venv-torch"
TORCH = "torch==2.13.0"


class Torch:
    """A script for torch in a process of its own; it answers each line with a line."""

    def __init__(self, python: Path, script: str):
        self.process = subprocess.Popen(
            [python, HERE / script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @classmethod
    def start(cls, script: str) -> "Torch | None":
        """Starts a script; None, with a message, if torch cannot be installed."""
        python = TORCH_ENVIRONMENT / "bin" / "python"
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", TORCH_ENVIRONMENT], check=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, "numpy"], check=True)
            subprocess.run([python, "-c", "import torch"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"without torch: {error}", file=sys.stderr)
            return None
        return cls(python, script)

    def ask(self, line: str) -> str:
        """Sends a line; returns the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


def medians(
    steps: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, max_seconds: float = SECONDS
) -> dict[str, float]:
    """The median seconds of each step, measured in alternation."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    began = time.monotonic()
    for round_ in range(rounds):
        if round_ >= 5 and time.monotonic() - began > max_seconds:
            break
        for name, step in steps.items():
            taken[name].append(step())
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def gemm() -> float:
    """Seconds of a plain 2048^3 float32 matrix product."""
    a = tf.ones((2048, 2048))
    start = time.perf_counter()
    tf.matmul(a, a)[0, 0].numpy()
    return time.perf_counter() - start


def circumstances(torch: Torch | None) -> str:
    """Command, processor and versions of a file of results."""
    return (
        f"Written by `make bench` on {os.cpu_count()} cores of {processor_name()}, keras {keras.__version__},"
        f" tensorflow {tf.__version__}{', ' + TORCH.replace('==', ' ') if torch else ''}. Medians, taken in turn within"
        " one run."
    )


def write_results(name: str, lines: list[str]) -> None:
    """Writes a file of results in this folder; its section "Tried", written by hand, is kept."""
    results = HERE / name
    _, tried, notes = (results.read_text() if results.exists() else "").partition("\n## Tried")
    results.write_text("\n".join(lines) + "\n" + tried + notes)
