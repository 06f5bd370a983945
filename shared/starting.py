"""Signals while a command starts or ends: Ctrl-C, SIGTERM and SIGHUP end it at once, without a traceback.

Until `shared.cli.command` takes over, nothing has been written that is worth keeping, and Python would report the
interrupted import. This module imports little, because it is the first.
"""

import os
import signal
import sys
from types import FrameType

PACKAGES = "tasks", "datasets", "shared", "quatrain", "docs", "tests"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def is_command() -> bool:
    """Whether this process is a command: `quatrain ...`, or `python -m ...` whose module is being found."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    if name != "-m":
        return os.path.splitext(name)[0] == "quatrain"
    pairs = zip(sys.orig_argv[1:], [*sys.orig_argv[2:], ""], strict=True)
    module = next((option[2:] or value for option, value in pairs if option.startswith("-m")), "")
    return module.partition(".")[0] in PACKAGES  # a program of the user's that imports this has signals of its own


def end(number: int, frame: FrameType | None) -> None:
    """Ends the process with the exit code of a shell for the signal."""
    del frame
    if number == signal.SIGINT:
        os.write(2, b"error: interrupted\n")
    os._exit(128 + number)


def install() -> None:
    """Handles the signals that have Python's handlers; one that is ignored, as by nohup, stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)
