"""Untrusted text: lines of files and of standard input, of any bytes."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from shared.cli import print_error
from shared.errors import UserError
from shared.vocabulary import REPLACEMENT, SPACE


def tidy(sentence: str) -> str:
    """The sentence with single spaces between words, and none around it."""
    return re.sub(SPACE, " ", sentence).strip(" ")


def as_lines(text: str) -> list[str]:
    """The lines of a text; LF or CRLF ends a line, and nothing else, unlike in `str.splitlines`."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def read_lines(source: str) -> Iterator[str]:
    """Yield the lines of a file, or of standard input for "-", as they arrive; a stream may be endless.

    LF or CRLF ends a line; a leading byte order mark is removed. Invalid UTF-8 becomes U+FFFD and is reported once.
    Raises UserError if the file cannot be read.
    """
    if source == "-" and sys.stdin is None:
        raise UserError(f"{source}: cannot be read (standard input is closed)")
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
            yield from _decoded(source, file)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


def check_readable(source: str) -> None:
    """Raise UserError, before any work is done, if the file is missing or a folder; pipes are accepted."""
    if source != "-" and not Path(source).exists():
        raise UserError(f"{source}: no such file")
    if Path(source).is_dir():
        raise UserError(f"{source}: a folder; a file was expected")


def read_corpus(path: Path) -> list[str]:
    """The lines of a text file, or of every .txt file in a folder and its subfolders, in order of names.

    Raises UserError if a file is missing or unreadable, or if all have only white space.
    """
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    lines = [line for file in files for line in read_lines(str(file))]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: {'no text' if files else 'no .txt file'} in it; text to train on was expected")
    return lines


def split_lines(lines: Sequence[str]) -> dict[str, list[str]]:
    """Split lines in order: train (the first 90 %), dev (5 %) and test (the last 5 %).

    A line, unless blank, is removed from a split if an earlier split has it.
    """
    dev, test = len(lines) * 18 // 20, len(lines) * 19 // 20
    seen: set[str] = set()
    splits = {}
    for name, part in (("train", lines[:dev]), ("dev", lines[dev:test]), ("test", lines[test:])):
        splits[name] = [line for line in part if line not in seen or not line.strip()]
        seen.update(part)
    return splits


def _decoded(name: str, lines: Iterable[bytes] | BinaryIO) -> Iterator[str]:
    is_reported = False
    for index, line in enumerate(lines):
        if index == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.endswith(b"\n"):
            line = line[:-1].removesuffix(b"\r")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            if not is_reported:
                print_error(f"{name}: line {index + 1} is not UTF-8; invalid bytes are read as {REPLACEMENT}")
            is_reported = True
            yield line.decode(errors="replace")
