"""Times the training steps of all presets on JAX beside TensorFlow with our kernels, on the processor.

    python -m tests.benchmarks.backends [--jax PYTHON] [--presets PRESET ...] [--one-core]

Each backend has a process of its own; the two take turns. `--jax` is the interpreter of an environment with JAX, by
default that of .venv-jax; the one that runs this has TensorFlow. It prints a table, with the load of the machine, and
the geometric mean of the ratios of each task. On a machine that others use too, times of the clock mislead;
`--one-core` gives each process one core and counts the seconds that it computes.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from shared.machine import processor_name
from tests.benchmarks.side_by_side import HERE, Peer, medians
from tests.benchmarks.training_steps import PRESETS, UNITS

JAX = HERE.parents[1] / ".venv-jax" / "bin" / "python"
ROUNDS, SECONDS = 9, 20  # at most of a preset, after 3 rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax", default=JAX, help="interpreter of the environment with JAX")
    parser.add_argument("--presets", nargs="*", help="default: all")
    parser.add_argument("--one-core", action="store_true", help="processor time on one core")
    options = parser.parse_args()

    if options.one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    kind = "Processor time on one core" if options.one_core else f"{len(os.sched_getaffinity(0))} cores"
    print(f"{kind} of {processor_name()}, {time.strftime('%Y-%m-%d')}\n")
    columns = ("task", "preset", "a step", "TensorFlow, ms", "JAX, ms", "TensorFlow / JAX", "JAX, a second")
    columns += ("JAX, s to build and compile", "load")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    ratios: dict[str, list[float]] = {task: [] for task in PRESETS}
    for task, presets in PRESETS.items():
        for preset in presets:
            if options.presets and preset not in options.presets:
                continue
            pythons = {"tensorflow": sys.executable, "jax": options.jax}
            peers = {backend: peer(python, backend, options.one_core) for backend, python in pythons.items()}
            found = {name: process.ask(f"{task} {preset}") for name, process in peers.items()}
            if not all(found.values()):
                print(f"| {task} | {preset} | failed on {', '.join(name for name in found if not found[name])} |")
                continue
            steps = {name: lambda process=process: float(process.ask("step")) for name, process in peers.items()}
            seconds = medians(steps, ROUNDS, SECONDS, 3)
            for process in peers.values():
                process.close()
            described = {name: json.loads(answer) for name, answer in found.items()}
            units, first = described["jax"]["units"], described["jax"]["first"]
            ratios[task].append(seconds["tensorflow"] / seconds["jax"])
            shown = [f"{x * 1e3:.0f}" for x in seconds.values()]
            shown += [f"{ratios[task][-1]:.2f}", f"{units / seconds['jax']:,.0f} {UNITS[task]}", f"{first:.0f}"]
            row = [task, preset, f"{units:,.0f} {UNITS[task]}", *shown, f"{os.getloadavg()[0]:.1f}"]
            print(f"| {' | '.join(row)} |", flush=True)
    print()
    for task, of_task in ratios.items():
        if of_task:
            mean = float(np.exp(np.mean(np.log(of_task))))
            print(f"- {task}: geometric mean {mean:.2f}, worst {min(of_task):.2f}")


def peer(python: str | Path, backend: str, processor_time: bool) -> Peer:
    """The process of a backend."""
    command = [python, "-m", "tests.benchmarks.training_steps", *(["--processor-time"] if processor_time else [])]
    return Peer(command, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")


if __name__ == "__main__":
    main()
