"""The standard streams of a process, which may be closed, full, or pipes whose reader is gone, and its signals."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from shared import starting


def repair_streams() -> None:
    """Gives closed standard streams a descriptor, so that no file that is opened later receives their contents.

    Standard input keeps being None. Writing to closed standard output is an error, as in other programs.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    sys.stdout = _repaired(_StandardOutput, 1, sys.stdout, sys.__stdout__)
    sys.stderr = _repaired(_StandardError, 2, sys.stderr, sys.__stderr__)


class _StandardOutput(io.TextIOWrapper):
    """Standard output, which remembers an error: some libraries ignore it."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        with self._errors():
            return super().write(text)

    def flush(self) -> None:
        with self._errors():
            super().flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


class _StandardError(io.TextIOWrapper):
    """Standard error, which drops what cannot be written: no work ends for a message."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _drop(self)


def _repaired(kind: type[io.TextIOWrapper], descriptor: int, stream: TextIO | None, original: TextIO | None) -> TextIO:
    """A standard stream as one of `kind`, unless a test or a notebook has replaced it."""
    if stream is None:
        return kind(open(descriptor, "wb", closefd=False), errors="backslashreplace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if stream is not original:
        stream.reconfigure(errors="backslashreplace")  # names of files need not be valid Unicode
        return stream
    with suppress(OSError):
        stream.flush()
    return kind(
        open(descriptor, "wb", buffering=0 if stream.write_through else -1, closefd=False),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def flush_output() -> OSError | None:
    """Writes what standard output holds back; returns the error that this or an earlier writing had."""
    error = None
    try:
        sys.stdout.flush()
    except OSError as failure:
        error = failure
    if isinstance(sys.stdout, _StandardOutput):
        error, sys.stdout.error = error or sys.stdout.error, None
    if error is not None:
        _drop(sys.stdout)
    return error


def _drop(stream: TextIO) -> None:
    """Drops what a stream holds back, and all that follows; else the exit would try to write it again, and complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Makes SIGINT, SIGTERM and SIGHUP end the block by an exception, so that results so far are kept."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    handlers = {signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGINT: signal.default_int_handler}
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in handlers} if is_main else {}
    # Others are kept: nohup ignores SIGHUP.
    replaced = {number: handler for number, handler in before.items() if handler in (signal.SIG_DFL, starting.end)}
    for number in replaced:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
