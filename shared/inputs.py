"""Inputs of commands: files, folders and standard input."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.cli import print_error
from shared.files import FileKind, MediaError


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
