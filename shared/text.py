"""Untrusted text: lines of files and of standard input, of any bytes."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby, pairwise
from pathlib import Path

from shared.cli import print_error
from shared.errors import UserError
from shared.files import MediaError
from shared.plain_text import BLOCK, as_utf8, encoding_hint
from shared.vocabulary import REPLACEMENT, SPACE

TEXT = re.compile(r"^[^.].*\.txt(\.(gz|bz2|xz))?$", re.IGNORECASE)  # names of a corpus in a folder
MAX_WORD = 100  # characters; a longer one may be cut
MIN_WRAPPED = 20  # lines inside of paragraphs that show how these are broken
UNSPACED = {  # scripts without spaces, by more letters than a word has
    8: re.compile("[\u3400-\u9fff\uf900-\ufaff\u3040-\u30ff]+"),  # Chinese, Japanese
    20: re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+"),  # Thai, Lao, Tibetan, Burmese, Khmer
}
MAX_BAD = 0.01  # of the lines of a corpus: more are no errors, but another encoding
BAD_LINES, MAX_BAD_OF_FEW = 3, 0.1  # a short corpus may have some bad lines, up to this fraction


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
    if passed_over := _passed_over(path, files):
        print(passed_over, file=sys.stderr)
    lines = [line for file in files for line in _read_whole(str(file))]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: {'no text' if files else 'no .txt file'} in it; text to train on was expected")
    return lines


def corpus_files(path: Path) -> list[Path]:
    """A text file, or the files of a folder and its subfolders whose names end in .txt or, compressed, .txt.gz."""
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.rglob("*")) if TEXT.search(file.name) and file.is_file()]


def _passed_over(path: Path, files: Sequence[Path]) -> str:
    """How many files of a folder are not read, in one line; "" if none, or for a file."""
    found = path.rglob("*") if path.is_dir() else ()
    others = sorted({file for file in found if file.is_file() and not file.name.startswith(".")} - {*files})
    if not others:
        return ""
    count = "1 file" if len(others) == 1 else f"{len(others):,} files"
    return f"{path}: {count} not read, the name does not end in .txt: {others[0].name}{' ...' if others[1:] else ''}"


def split_lines(lines: Sequence[str], has_dev: bool = True, has_test: bool = True) -> dict[str, list[str]]:
    """Split lines in order: train (the first 90 %), dev (5 %) and test (the last 5 %).

    Without dev or test, train has their part. A line, unless blank, is removed from a split if an earlier split has it.
    """
    dev, test = (len(lines) * part // 20 for part in _bounds(has_dev, has_test))
    seen: set[str] = set()
    splits = {}
    for name, part in (("train", lines[:dev]), ("dev", lines[dev:test]), ("test", lines[test:])):
        splits[name] = [line for line in part if line not in seen or not line.strip()]
        seen.update(part)
    return splits


def split_inside(lines: Sequence[str], has_dev: bool = True, has_test: bool = True) -> dict[str, list[str]]:
    """The same shares of the characters of a text: a line is cut, between two words if it has spaces."""
    total, read = sum(map(len, lines)), 0
    ends = [total * part // 20 for part in _bounds(has_dev, has_test)]
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for line in lines:
        first = 0
        for name, end in zip(splits, [*ends, total], strict=True):
            last = _word_end(line, min(max(end - read, first), len(line)))
            if last > first or (not line and end > read):
                splits[name].append(line[first:last].strip(" "))
                first = last
                if not line:
                    break
        read += len(line)
    return splits


def _bounds(has_dev: bool, has_test: bool) -> tuple[int, int]:
    """The twentieths of a text where dev and test begin."""
    return 20 - has_dev - has_test, 20 - has_test


def _word_end(line: str, index: int) -> int:
    """The index of the space at or after an index of a line; the index itself if there is none within a long word."""
    if not 0 < index < len(line):
        return index
    space = line.find(" ", index, index + MAX_WORD)
    return index if space < 0 else space


def join_paragraphs(lines: Iterable[str]) -> list[str]:
    """Each paragraph as one line: the lines up to a blank one, joined by spaces."""
    paragraphs = groupby(lines, lambda line: bool(line.strip()))
    return [" ".join(line.strip() for line in group) for is_text, group in paragraphs if is_text]


def wrapped_width(lines: Sequence[str]) -> int | None:
    """The width at which paragraphs are broken into lines, in characters; None if they are not.

    Of the lines inside of paragraphs nearly all are about as long as the longest ones, and few end a sentence.
    """
    inner = [line for line, following in pairwise(lines) if line.strip() and following.strip()]
    if len(inner) < MIN_WRAPPED or not all(" " in line.strip() for line in inner[:MIN_WRAPPED]):
        return None
    width = sorted(map(len, inner))[len(inner) * 49 // 50]
    full = [line for line in inner if len(line) > 0.75 * width]
    sentences = sum(line.rstrip()[-1] in ".!?" for line in full)
    is_wrapped = 30 <= width <= 120 and len(full) > 0.8 * len(inner) and sentences < 0.3 * len(full)
    return width if is_wrapped else None


def unspaced_example(lines: Iterable[str]) -> str | None:
    """A text without spaces from lines of a language that writes none between words; None for any other language.

    Lines whose words are separated already, as a segmenter does, are of the second kind.
    """
    letters, unspaced, example = 0, 0, None
    for word in (word for line in lines for word in line.split()):
        letters += len(word)
        if any(len(run) > limit for limit, script in UNSPACED.items() for run in script.findall(word)):
            unspaced += len(word)
            example = example or word
    return example if unspaced > 0.3 * letters else None


def _read_whole(source: str) -> list[str]:
    """The lines of a file; raises UserError if it is no text as a whole, or too many lines are not UTF-8."""
    decode, lines = _Decoder(source), []
    for part in _byte_lines(source):
        lines += map(decode, part)
    if nul := next((number for number, line in enumerate(lines, 1) if "\0" in line), 0):
        raise UserError(f"{source} has a NUL character in line {nul}: binary data; plain text was expected")
    if decode.invalid > min(max(BAD_LINES, MAX_BAD * len(lines)), MAX_BAD_OF_FEW * len(lines)):
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
