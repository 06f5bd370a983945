"""Compiles the recurrent loops in another process while this one prepares its data.

Compilation takes about a minute, once for a machine; the result is kept in a cache folder.
"""

import atexit
import hashlib
import subprocess
import sys
from pathlib import Path

from shared.backend import choose

_SOURCES = [Path(__file__).with_name(name).read_bytes() for name in ("products.py", "loops.py")]
# numba checks a function's own file only, so the name of the folder depends on both.
CACHE_FOLDER = Path(__file__).with_name("__pycache__") / f"native-{hashlib.sha256(b''.join(_SOURCES)).hexdigest()[:16]}"

CELLS = ("simple_rnn", "lstm", "gru")

_processes: list[subprocess.Popen] = []


def is_compiled(cell: str) -> bool:
    """Whether the cache folder has the loops that train `cell`."""
    return any(CACHE_FOLDER.rglob(f"loops.{cell}_backward-*.nbi"))  # numba's index of the function compiled last


def compile_ahead(cell: str) -> None:
    """Starts a process that compiles the loops that train `cell`, unless it has none or they are compiled already.

    Only TensorFlow uses them.


    Args:
        cell: as for `shared.recurrent.Stack`.
    """
    if cell in CELLS and choose() == "tensorflow" and not is_compiled(cell):
        # Not with -m: the cache is found by the name of the module.
        command = [sys.executable, "-c", f"from shared.native import passes; passes.compile_loops({cell!r})"]
        silent = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
        atexit.register(process.kill)
        _processes.append(process)


def wait_for_compilation() -> None:
    """Waits until the processes that `compile_ahead` started have ended."""
    while _processes:
        _processes.pop().wait()
