"""Untrusted files: found by name or in folders, read whole, with one line for each that cannot be read."""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.descriptors import make_regular
from shared.errors import UserError, shown


class MediaError(UserError, ValueError):
    """What is wrong with an input and what is expected, in one line without the path; the caller names the input."""


def read_regular(path: Path, max_bytes: int, count: int | None = None) -> bytes:
    """The content of a file, or its first `count` bytes; never waits, as the reader of a FIFO or a terminal would.

    Raises MediaError for anything but a regular file of at most `max_bytes`, OSError if it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("is not a regular file, which was expected")
        if status.st_size > max_bytes:
            raise MediaError(f"has {status.st_size:,} bytes; at most {max_bytes:,} were expected")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size if count is None else min(count, status.st_size))
    finally:
        os.close(descriptor)


def parse_json(content: bytes) -> Any:
    """The value of JSON in UTF-8; raises ValueError for anything else, and for an object that repeats a name."""
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_repetitions)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {shown(repeated)} twice")
    return found


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """A kind of file, with the words for its errors."""

    name: str
    """With its article, such as "an image file"."""
    suffixes: frozenset[str]
    """Suffixes that a folder is searched for, in lower case."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """Further suffixes, and for each the name of the extra that would read them."""
    max_bytes: int
    """Maximum size of a file."""
    remedy: str
    """What to do with a larger file."""

    def error(self, error: Exception) -> MediaError:
        """An error of the operating system in words for the user."""
        if isinstance(error, FileNotFoundError):
            return MediaError(f"does not exist; {self.name} or a folder of them was expected")
        if isinstance(error, PermissionError):
            return MediaError(f"may not be read (permission denied); {self.name} that may be read was expected")
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return MediaError(f"cannot be read ({reason}); {self.name} or a folder of them was expected")

    def read(self, path: Path) -> bytes:
        """The content of a file.

        Raises:
            MediaError: missing, a folder or a device, unreadable, empty, or over `max_bytes`.
        """
        try:
            if path.is_dir():
                raise MediaError(f"is a folder; {self.name} was expected")
            make_regular(path, self.max_bytes)
            if path.exists() and not path.is_file():
                raise MediaError(f"is not a regular file; {self.name} was expected")
            size = path.stat().st_size
            if size > self.max_bytes:
                raise MediaError(f"has {size:,} bytes, the limit is {self.max_bytes:,}; {self.remedy}")
            content = path.read_bytes()
        except MediaError:
            raise
        except (OSError, ValueError) as error:
            raise self.error(error) from None
        if not content:
            raise MediaError(f"is empty (0 bytes); {self.name} was expected")
        return content
