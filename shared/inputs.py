"""Inputs of commands: files, folders and standard input."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.cli import print_error
from shared.files import FileKind, MediaError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")  # pathlib makes one slash of two
# Texts beside a file of the same name belong to it, and are not mentioned.
COMPANIONS = frozenset({".txt", ".caption", ".json", ".xmp", ".textgrid", ".lab", ".phn", ".wrd"})


class Input(NamedTuple):
    """A file that the command line names."""

    name: str
    path: Path | None  # None: standard input
    error: MediaError | None  # why it cannot be used, if that is known already


# --- finding --------------------------------------------------------------------------------------------------------


class Listing(NamedTuple):
    """The visible content of a folder, sorted by path."""

    files: list[Path]  # with those of subfolders, if these are searched
    subfolders: list[Path]  # that are not searched


def list_folder(folder: Path, recursive: bool) -> Listing:
    """The files of a folder; hidden files and folders are left out, links are followed, each folder once.

    Raises OSError if the folder itself cannot be read.
    """
    files, subfolders, seen = [], [], set()

    def failed(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        print_error(f"{error.filename}: cannot be read ({error.strerror})")

    for root, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        files += [Path(root, name) for name in names if not name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        if not recursive:
            subfolders += [Path(root, name) for name in folders]
            folders.clear()
    return Listing(sorted(path for path in files if path.is_file()), sorted(subfolders))


def find_inputs(kind: FileKind, names: Iterable[str], recursive: bool = False) -> list[Input]:
    """The files that names of files and folders, and `-`, stand for, in order.

    A folder gives its visible files with a suffix of this kind, sorted by path; with `recursive`, also those of its
    subfolders. One line on standard error counts what else it has. A file that is named is taken whatever its suffix.
    What cannot be used is returned with its error, so that the others can be processed.
    """
    inputs = []
    for name in names:
        path = Path(name)
        try:
            if name == "-":
                inputs.append(Input(name, None, None))
            elif path.is_dir():
                inputs += _of_folder(kind, path, recursive)
            else:
                path.stat()
                inputs.append(Input(name, path, None))
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            inputs.append(Input(name, path, _missing(kind, name, error)))
    return inputs


def _missing(kind: FileKind, name: str, error: Exception) -> MediaError:
    """Why a name cannot be used."""
    if isinstance(error, FileNotFoundError) and URL.match(name):
        return MediaError(f"is a URL, which is not fetched; download it, and name {kind.name} or a folder of them")
    return kind.error(error)


def _of_folder(kind: FileKind, folder: Path, recursive: bool) -> list[Input]:
    listing = list_folder(folder, recursive)
    found = [path for path in listing.files if path.suffix.lower() in kind.suffixes]
    rest = _passed_over(kind, listing, found)
    if not found:
        files = f"{kind.name.split(maxsplit=1)[1]}s"
        has = f"; it has {rest}" if rest else ""
        error = MediaError(f"is a folder without {files} ({' '.join(sorted(kind.suffixes))}){has}")
        return [Input(str(folder), folder, error)]
    if rest:
        print(f"{folder}: not read: {rest}", file=sys.stderr)
    return [Input(str(path), path, None) for path in found]


def _passed_over(kind: FileKind, listing: Listing, found: list[Path]) -> str:
    """What of a folder is not read, counted: "2 .heic (the extra heic reads them), 1 .jp2, 3 subfolders"."""
    read = {path.with_suffix("") for path in found}
    counts = Counter(
        path.suffix.lower() or "without a suffix"
        for path in listing.files
        if path.suffix.lower() not in kind.suffixes and not _belongs(path, read)
    )
    parts = [
        f"{count} {suffix}" + (f" (the extra {kind.extras[suffix]} reads them)" if suffix in kind.extras else "")
        for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    if count := len(listing.subfolders):
        parts.append(f"{count} subfolder{'s' if count > 1 else ''} (--recursive reads {'them' if count > 1 else 'it'})")
    return ", ".join(parts)


def _belongs(path: Path, read: set[Path]) -> bool:
    """Whether a file is a text of one that is read, `a.txt` or `a.jpg.txt` of `a.jpg`."""
    stem = path.with_suffix("")
    return path.suffix.lower() in COMPANIONS and (stem in read or stem.with_suffix("") in read)


# --- reading --------------------------------------------------------------------------------------------------------


def read_standard_input(kind: FileKind) -> bytes:
    """All of standard input; raises MediaError when it is closed or larger than a file of that kind may be."""
    if sys.stdin is None:
        raise MediaError("cannot be read: standard input is closed")
    try:
        content = sys.stdin.buffer.read(kind.max_bytes + 1)
    except OSError as error:
        raise kind.error(error) from None
    if len(content) > kind.max_bytes:
        raise MediaError(f"has more than {kind.max_bytes:,} bytes; {kind.remedy}")
    return content


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads inputs in batches."""

    kind: FileKind
    read: Callable[[Path | bytes], Any]  # path or bytes -> content; raises MediaError
    size: Callable[[Any], int]  # of a content
    max_size: int  # a batch ends when its total size exceeds this
    max_items: int  # of a batch

    def batches(self, inputs: Iterable[Input], failed: list[str]) -> Iterator[list[tuple[str, Any]]]:
        """Names and contents of the readable inputs; reports the others and appends their names to `failed`."""
        batch, size = [], 0
        for name, path, error in inputs:
            try:
                if error is not None:
                    raise error
                content = self.read(read_standard_input(self.kind) if path is None else path)
            except MediaError as reason:
                print_error(f"{name} {reason}")
                failed.append(name)
                continue
            batch.append((name, content))
            size += self.size(content)
            if len(batch) == self.max_items or size > self.max_size:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
