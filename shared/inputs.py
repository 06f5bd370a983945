"""Inputs and outputs of commands: files, folders and standard input, and the files that results are written to."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.cli import print_error
from shared.errors import UserError
from shared.files import FileKind, MediaError

PICTURES = (".png", ".jpg", ".pdf", ".svg")  # formats of plots


class Input(NamedTuple):
    """A file that the command line names."""

    name: str
    path: Path | None  # None: standard input
    error: MediaError | None  # why it cannot be used, if that is known already


def find_inputs(kind: FileKind, names: Iterable[str]) -> list[Input]:
    """The files that names of files and folders, and `-`, stand for, in order."""
    inputs = []
    for name in names:
        if name == "-":
            inputs.append(Input(name, None, None))
        else:
            found = kind.find([name])
            inputs += [Input(name if path == Path(name) else str(path), path, error) for path, error in found]
    return inputs


def read_standard_input(kind: FileKind) -> bytes:
    """All of standard input; raises MediaError when it is closed or larger than a file of that kind may be."""
    if sys.stdin is None:
        raise MediaError("cannot be read: standard input is closed")
    content = sys.stdin.buffer.read(kind.max_bytes + 1)
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


def numbered_paths(option: str, path: Path, count: int, suffixes: Sequence[str]) -> list[Path]:
    """One output path for each of `count` inputs: `a.png`, or `a-1.png`, `a-2.png` and so on.

    Raises UserError if the path given to `option` has another suffix.
    """
    if path.suffix not in suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: a name that ends in {' '.join(suffixes)} was expected")
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number:0{len(str(count))}}") for number in range(1, count + 1)]


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Input], description: str) -> None:
    """Raises UserError, before any work is done, for an output that cannot be written or would replace an input.

    `description` names the inputs, such as "the images to caption".
    """
    read = {path.resolve() for _, path, _ in inputs if path is not None}
    for path in outputs:
        if path.is_dir():
            raise UserError(f"{path} is a folder; the name of a file to write was expected")
        if not path.parent.is_dir():
            raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UserError(f"{path} cannot be written: permission denied")
        if path.resolve() in read:
            raise UserError(f"{path} is one of {description}; another name to write to was expected")
