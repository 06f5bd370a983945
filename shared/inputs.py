"""What commands read and write: files, folders and standard input, named on the command line, and files beside."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.cli import complain
from shared.errors import UserError
from shared.files import Kind, MediaError

PICTURES = (".png", ".jpg", ".pdf", ".svg")  # what is drawn


class Input(NamedTuple):
    """A file that was asked for."""

    name: str
    path: Path | None  # None: standard input
    error: MediaError | None  # why it cannot be used, if that is known already


def find_inputs(kind: Kind, given: Iterable[str]) -> list[Input]:
    """What is meant by names of files and folders, and by -, in their order."""
    inputs = []
    for name in given:
        if name == "-":
            inputs.append(Input(name, None, None))
            continue
        for path, error in kind.find([name]):
            inputs.append(Input(name if path == Path(name) else str(path), path, error))
    return inputs


def read_standard_input(kind: Kind) -> bytes:
    """All of it; MediaError when it is closed or has more than a file of that kind may have."""
    if sys.stdin is None:
        raise MediaError("cannot be read: standard input is closed")
    content = sys.stdin.buffer.read(kind.max_bytes + 1)
    if len(content) > kind.max_bytes:
        raise MediaError(f"has more than {kind.max_bytes:,} bytes; {kind.remedy}")
    return content


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How inputs are read, several at a time.

    Attributes:
        kind: what they are.
        read: of a file's path or its bytes what it holds; MediaError when that cannot be read.
        size: of what one holds.
        limit: a batch ends when what it holds is larger together.
        most: inputs in a batch.
    """

    kind: Kind
    read: Callable[[Path | bytes], Any]
    size: Callable[[Any], int]
    limit: int
    most: int

    def batches(self, inputs: Iterable[Input], failed: list[str]) -> Iterator[list[tuple[str, Any]]]:
        """Names and contents of all inputs that can be read; complains of the others and lists them in `failed`."""
        batch, size = [], 0
        for name, path, error in inputs:
            try:
                if error is not None:
                    raise error
                content = self.read(read_standard_input(self.kind) if path is None else path)
            except MediaError as reason:
                complain(f"{name} {reason}")
                failed.append(name)
                continue
            batch.append((name, content))
            size += self.size(content)
            if len(batch) == self.most or size > self.limit:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def numbered(option: str, path: Path, count: int, suffixes: Sequence[str]) -> list[Path]:
    """Where to write what belongs to each of `count` inputs: a.png, or a-1.png, a-2.png and so on.

    Raises:
        UserError: `option` was given a name with another suffix.
    """
    if path.suffix not in suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: a name that ends in {' '.join(suffixes)} was expected")
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number:0{len(str(count))}}") for number in range(1, count + 1)]


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Input], meant: str) -> None:
    """UserError, before any work is done, for an output that cannot be written or would replace an input.

    Args:
        outputs: files to write.
        inputs: what is read.
        meant: what the inputs are, such as "the images to caption".
    """
    taken = {path.resolve() for _, path, _ in inputs if path is not None}
    for path in outputs:
        if path.is_dir():
            raise UserError(f"{path} is a folder; the name of a file to write was expected")
        if not path.parent.is_dir():
            raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UserError(f"{path} cannot be written: permission denied")
        if path.resolve() in taken:
            raise UserError(f"{path} is one of {meant}; another name to write to was expected")
