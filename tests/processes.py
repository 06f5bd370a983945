"""Starts several processes of one training on this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SECONDS = 300  # for all processes; they end each other within a minute


class Ended(NamedTuple):
    """How a process has ended."""

    code: int
    output: str
    errors: str


def free_port() -> int:
    """A port that no program of this machine uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_processes(count: int, module: str, *arguments: str | Path) -> list[Ended]:
    """Runs a module in `count` processes that train together, on JAX without accelerators, to their end."""
    settings = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    settings |= {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
    }
    command = [sys.executable, "-m", module, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = []
    for index in range(count):
        environment = os.environ | settings | {"KERAS_DISTRIBUTION_PROCESS_ID": str(index)}
        started.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in started]
    finally:
        for process in started:
            process.kill()
    return [Ended(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]
