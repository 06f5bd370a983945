"""Compiles the recurrent loops in another process while this one prepares its data.

Compilation takes about a minute, once for a user of a machine: all copies of the project share the result.
"""

import atexit
import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from shared.backend import choose, installed_version
from shared.machine import instructions, user_cache

SOURCES = "bfloat16.py", "products.py", "loops.py"
CELLS = ("simple_rnn", "lstm", "gru")

_processes: list[subprocess.Popen] = []


@cache
def cache_folder() -> Path:
    """The folder of the compiled loops, which is made: among the user's caches or, if that is read-only, beside here.

    Numba checks a function's own file only, so the name depends on all sources; and on what else its files are for.
    """
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in SOURCES)
    made_for = f"{instructions()} {sys.implementation.cache_tag} {installed_version('numba')}"
    name = f"loops-{hashlib.sha256(sources + made_for.encode()).hexdigest()[:16]}"
    try:
        folder = user_cache() / name
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (RuntimeError, OSError):  # no home, or a read-only one
        pass
    return Path(__file__).with_name("__pycache__") / name


def is_compiled(cell: str) -> bool:
    """Whether the cache folder has the loops that train `cell`."""
    return any(cache_folder().rglob(f"loops.{cell}_backward-*.nbi"))  # numba's index of the function compiled last


def compile_ahead(cell: str) -> None:
    """Starts a process that compiles the loops that train `cell`, unless it has none or they are compiled already.

    Only TensorFlow uses them.

    Args:
        cell: as for `shared.recurrent.Stack`.
    """
    if cell in CELLS and choose() == "tensorflow" and not is_compiled(cell):
        # Not with -m: the cache is found by the name of the module. The installed command runs in any folder.
        command = [sys.executable, "-c", f"from shared.native import passes; passes.compile_loops({cell!r})"]
        silent = subprocess.DEVNULL
        checkout = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(command, cwd=checkout, stdin=silent, stdout=silent, stderr=silent)
        atexit.register(process.kill)
        _processes.append(process)


def wait_for_compilation() -> None:
    """Waits until the processes that `compile_ahead` started have ended; says so if they have not."""
    if any(process.poll() is None for process in _processes):
        print("compiling the recurrent loops for this processor, once, which takes about a minute", file=sys.stderr)
    while _processes:
        _processes.pop().wait()
