"""Untrusted text: lines of files and of standard input, of any bytes."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from shared.cli import print_error
from shared.errors import UserError
from shared.files import MediaError
from shared.plain_text import BLOCK, as_utf8, encoding_hint
from shared.vocabulary import REPLACEMENT, SPACE

TEXT = re.compile(r"^[^.].*\.txt(\.(gz|bz2|xz))?$", re.IGNORECASE)  # names of a corpus in a folder
MAX_BAD = 0.01  # of the lines of a corpus


def tidy(sentence: str) -> str:
    """The sentence with single spaces between words, and none around it."""
    return re.sub(SPACE, " ", sentence).strip(" ")


def as_lines(text: str) -> list[str]:
    """The lines of a text; LF or CRLF ends a line, and nothing else, unlike in `str.splitlines`."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def read_lines(source: str) -> Iterator[str]:
    """Yield the lines of a file, or of standard input for "-", as they arrive; a stream may be endless.

    The text may be compressed and in any encoding of `shared.plain_text`. LF or CRLF ends a line. Invalid UTF-8 becomes
    U+FFFD and is reported once. Raises UserError if the file cannot be read or is no text.
    """
    for lines in read_batches(source):
        yield from lines


def read_batches(source: str, most: int = 1000) -> Iterator[list[str]]:
    """Yield the lines of `read_lines` in lists of at most `most`; a list ends where the input pauses.

    A program that writes one line and waits for its answer gets it, and lines that arrive together stay together.
    """
    decode = _Decoder(source)
    for lines in _byte_lines(source):
        for first in range(0, len(lines), most):
            yield [decode(line) for line in lines[first : first + most]]


def check_readable(source: str) -> None:
    """Raise UserError, before any work is done, if the file is missing, a folder or no text; pipes are accepted."""
    if source != "-" and not Path(source).exists():
        raise UserError(f"{source}: no such file")
    if Path(source).is_dir():
        raise UserError(f"{source}: a folder; a file was expected")
    if source != "-" and Path(source).is_file():
        next(_byte_lines(source), None)


def read_corpus(path: Path) -> list[str]:
    """The lines of a text file, or of every .txt file in a folder and its subfolders, in order of names.

    Raises UserError if a file is missing, unreadable or no text, or if all have only white space.
    """
    files = corpus_files(path)
    lines = [line for file in files for line in _read_whole(str(file))]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: {'no text' if files else 'no .txt file'} in it; text to train on was expected")
    return lines


def corpus_files(path: Path) -> list[Path]:
    """A text file, or the files of a folder and its subfolders whose names end in .txt or, compressed, .txt.gz."""
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.rglob("*")) if TEXT.search(file.name) and file.is_file()]


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


def _read_whole(source: str) -> list[str]:
    """The lines of a file; raises UserError if it is no text as a whole, or more than `MAX_BAD` lines are not UTF-8."""
    decode, lines = _Decoder(source), []
    for part in _byte_lines(source):
        lines += map(decode, part)
    if nul := next((number for number, line in enumerate(lines, 1) if "\0" in line), 0):
        raise UserError(f"{source} has a NUL character in line {nul}: binary data; plain text was expected")
    if decode.invalid > MAX_BAD * len(lines):
        raise UserError(f"{source} is not UTF-8: {encoding_hint(decode.first_invalid)}")
    return lines


def _byte_lines(source: str) -> Iterator[list[bytes]]:
    """Yield the lines of a file, or of standard input, without their ends: those that arrive together in one list."""
    if source == "-" and sys.stdin is None:
        raise UserError(f"{source}: cannot be read (standard input is closed)")
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
            begun: list[bytes] = []  # parts of a line
            for block in as_utf8(iter(lambda: file.read1(BLOCK), b"")):
                *lines, rest = block.split(b"\n")
                if lines:
                    lines[0] = b"".join([*begun, lines[0]])
                    begun = []
                    yield [line.removesuffix(b"\r") for line in lines]
                begun += [rest] * bool(rest)
            if begun:
                yield [b"".join(begun)]
    except MediaError as error:
        raise UserError(f"{'standard input' if source == '-' else source} {error}") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


class _Decoder:
    """Decodes lines; invalid UTF-8 becomes U+FFFD and is reported once."""

    def __init__(self, name: str):
        self.name, self.lines, self.invalid, self.first_invalid = name, 0, 0, 0

    def __call__(self, line: bytes) -> str:
        self.lines += 1
        try:
            return line.decode()
        except UnicodeDecodeError:
            if not self.invalid:
                self.first_invalid = self.lines
                message = f"line {self.lines} is not UTF-8; invalid bytes are read as {REPLACEMENT}"
                print_error(f"{self.name}: {message}")
            self.invalid += 1
            return line.decode(errors="replace")
