"""One line instead of an abort inside a C++ library.

JAX's connection between processes ends a process by `abort()` when another one is lost, with a report and a stack trace
on file descriptor 2. No exception reaches Python, and a handler of Python's `signal` runs too late. So a handler of the
C library's `signal` writes the line and ends the process.
"""

import atexit
import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from shared.streams import flush_output

DELAY = 0.3  # seconds that what libraries write is held back, so that the report of an abort can be left out

_ending = threading.Lock()  # of the first that ends the process; never released


def explain_aborts(explain: Callable[[str], str | None], code: int) -> None:
    """From now on, an abort writes one line to standard error and ends the process with `code`.

    Args:
        explain: what a library has just written to file descriptor 2 -> the line; None for an unknown abort, which
            writes that text and has the exit code of an abort.
    """
    visible = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    os.set_blocking(reading, False)
    given_back = threading.Event()
    sys.stderr.flush()
    sys.stderr = open(visible, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115  # to the end

    def write(text: bytes) -> None:
        with suppress(OSError):  # standard error is gone
            os.write(visible, text)

    def held_back() -> bytes:
        text = b""
        with suppress(BlockingIOError):  # no more
            while content := os.read(reading, 1 << 16):
                text += content
        return text

    def forward() -> None:
        while not given_back.is_set():
            select.select([reading], [], [])
            time.sleep(DELAY)
            if not _ending.locked():
                write(held_back())

    def end(_: int) -> None:
        begin_end()
        text = held_back().decode(errors="backslashreplace")
        line = explain(text)
        write((text if line is None else f"error: {line}\n").encode(errors="backslashreplace"))
        os._exit(128 + signal.SIGABRT if line is None else code)

    @atexit.register
    def give_back() -> None:
        given_back.set()
        write(held_back())
        os.dup2(visible, 2)

    global _handler
    _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    ctypes.CDLL(None).signal(signal.SIGABRT, _handler)
    threading.Thread(target=forward, daemon=True).start()


_handler: object = None  # C code keeps no reference


def begin_end() -> None:
    """States that the caller ends the process and says why; blocks if another thread does so already."""
    _ending.acquire()


def end_at_once(code: int) -> None:
    """Ends the process without waiting for other processes, as the functions of `atexit` may."""
    flush_output()
    sys.stderr.flush()
    os._exit(code)
