"""Text from outside: lines of files and of standard input, whatever bytes they hold."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.cli import complain
from shared.errors import UserError
from shared.vocabulary import REPLACEMENT


def read_lines(source: str) -> Iterator[str]:
    """The lines of a file, or of standard input for "-", as they come, so that a stream may be endless.

    Lines end with LF or CRLF, the last one perhaps with nothing; a byte order mark at the beginning is left out. Bytes
    that are no UTF-8 become U+FFFD, and are told of once.

    Raises:
        UserError: the file cannot be read.
    """
    if source == "-":
        yield from _decoded(source, sys.stdin.buffer)
        return
    try:
        with open(source, "rb") as file:
            yield from _decoded(source, file)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


def check_readable(source: str) -> None:
    """UserError, before any work is done, for a file that is not there; a pipe is as good as a file."""
    if source != "-" and not Path(source).exists():
        raise UserError(f"{source}: no such file")
    if Path(source).is_dir():
        raise UserError(f"{source}: a folder; the name of a file was expected")


def read_corpus(path: Path) -> list[str]:
    """The lines of a text file, or of every .txt file in a folder and its subfolders, by name.

    Raises:
        UserError: there is no such file, it cannot be read, or there is nothing but white space in it.
    """
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    lines = [line for file in files for line in read_lines(str(file))]
    if not any(line.strip() for line in lines):
        what = "no .txt file in it" if not files else "no text in it"
        raise UserError(f"{path}: {what}")
    return lines


def split_lines(lines: Sequence[str]) -> dict[str, list[str]]:
    """The first nine tenths to train on, a twentieth for development, the last twentieth for test, in order.

    No line of development stands in train, none of test in either of them, blank lines apart.
    """
    dev, test = len(lines) * 18 // 20, len(lines) * 19 // 20
    seen: set[str] = set()
    splits = {}
    for name, part in (("train", lines[:dev]), ("dev", lines[dev:test]), ("test", lines[test:])):
        splits[name] = [line for line in part if line not in seen or not line.strip()]
        seen.update(part)
    return splits


def _decoded(name: str, lines: Iterable[bytes] | BinaryIO) -> Iterator[str]:
    told = False
    for number, line in enumerate(lines):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            if not told:
                complain(f"{name}: line {number + 1} is not UTF-8; what cannot be read is taken for {REPLACEMENT}")
            told = True
            yield line.decode(errors="replace")
