"""Common parts of the side-by-side benchmarks: peers in their own processes, alternating medians, files of results."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shared.backend import installed_version
from shared.machine import processor_fields, processor_name, vector_instructions

ops: Any = keras.ops  # Keras declares no result types for its operations

MIN_ROUNDS, ROUNDS, SECONDS = 5, 25, 5  # minimum and maximum number of alternating rounds, and seconds for the latter
REST = 0.05  # seconds before a step: the threads of the peer before it spin for some milliseconds after its own
WARM_UP = 0.1  # seconds of steps after the rest, before one that takes less is timed, as in the middle of a training

HERE = Path(__file__).parent
TORCH_ENVIRONMENT = HERE.parents[1] / ".venv-torch"
TORCH = "torch==2.13.0"


class Peer:
    """A program in a process of its own; it answers each line with a line."""

    def __init__(self, command: Sequence[str | Path], **environment: str):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )

    def ask(self, line: str) -> str:
        """Sends a line; returns the answer, empty if the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Torch(Peer):
    """A script for torch, in this environment if torch is installed there, else in .venv-torch."""

    @classmethod
    def start(cls, script: str) -> "Torch | None":
        """Starts a script; None, with a message, if torch cannot be installed."""
        own = importlib.util.find_spec("torch") is not None
        python = Path(sys.executable) if own else TORCH_ENVIRONMENT / "bin" / "python"
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", TORCH_ENVIRONMENT], check=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, "numpy"], check=True)
            subprocess.run([python, "-c", "import torch"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"without torch: {error}", file=sys.stderr)
            return None
        return cls([python, HERE / script])


def medians(
    steps: Mapping[str, Callable[[], float]],
    rounds: int = ROUNDS,
    max_seconds: float = SECONDS,
    min_rounds: int = MIN_ROUNDS,
) -> dict[str, float]:
    """The median seconds of each step, measured in alternation."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    began = time.monotonic()
    for round_ in range(rounds):
        if round_ >= min_rounds and time.monotonic() - began > max_seconds:
            break
        for name, step in steps.items():
            time.sleep(REST)
            if not taken[name] or taken[name][-1] < WARM_UP:
                until = time.monotonic() + WARM_UP
                while time.monotonic() < until:
                    step()
            taken[name].append(step())
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


GEMM_FLOP = 2 * 2048**3


def gemm() -> float:
    """Seconds of a plain 2048^3 float32 matrix product."""
    a = ops.ones((2048, 2048))
    start = time.perf_counter()
    float(ops.matmul(a, a)[0, 0])
    return time.perf_counter() - start


def circumstances(torch: Torch | None) -> str:
    """How a section of results was measured."""
    versions = [f"keras {keras.__version__}", f"tensorflow {installed_version('tensorflow')}"]
    versions += [TORCH.replace("==", " ")] if torch else []
    return (
        f"Written by `make bench` on {os.cpu_count()} cores, {', '.join(versions)}. Medians, taken in turn within one"
        " run."
    )


def processor() -> str:
    """The processor and its instructions, the heading of a section of results."""
    fields = processor_fields()
    model = f", family {fields['cpu family']}, model {fields['model']}" if "cpu family" in fields else ""
    return f"{processor_name()}{model}: {vector_instructions()}"


def write_results(path: Path, title: str, lines: Sequence[str]) -> None:
    """Writes the section of this processor into a file of results.

    The other sections are kept: those of other processors, and "Tried", written by hand, which is the last.
    """
    text = path.read_text() if path.exists() else ""
    sections = [section for section in text.split("\n## ")[1:] if not section.startswith(f"{processor()}\n")]
    tried = [section for section in sections if section.startswith("Tried\n")]
    others = [section for section in sections if section not in tried]
    own = "\n".join([processor(), "", *lines]) + "\n"
    path.write_text("\n## ".join([f"# {title}\n", *others, own, *tried]))
