"""The recurrent loops in machine code, made by another process while this one has other things to do.

It takes the better part of a minute, once for a machine; and a training command first prepares and reads its corpus.
"""

import atexit
import hashlib
import subprocess
import sys
from pathlib import Path

_SOURCES = [Path(__file__).with_name(name).read_bytes() for name in ("products.py", "loops.py")]
# Beside the bytecode, by what it was compiled from: numba itself looks at one file of them alone.
KEPT = Path(__file__).with_name("__pycache__") / f"native-{hashlib.sha256(b''.join(_SOURCES)).hexdigest()[:16]}"

LAST = {"simple_rnn": "_rnn_backward", "lstm": "_lstm_backward", "gru": "_gru_backward"}
"""Of each cell the loop that is compiled last."""

_others: list[subprocess.Popen] = []


def compile_ahead(cell: str) -> None:
    """Begins to compile the loops that train a cell, if there are any for it and they are not kept yet."""
    if cell in LAST and not any(KEPT.rglob(f"loops.{LAST[cell]}-*.nbi")):
        # Not with -m: what is compiled is kept by the name of its module.
        command = [sys.executable, "-c", f"from shared.native import loops; loops.compile_loops({cell!r})"]
        silent = subprocess.DEVNULL
        other = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)
        atexit.register(other.kill)
        _others.append(other)


def wait_for_compiled() -> None:
    """Returns when nothing is being compiled any more by another process."""
    while _others:
        _others.pop().wait()
