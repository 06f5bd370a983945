"""Paths that stand for a descriptor of this process: `/dev/stdin`, `/dev/fd/63` as a shell makes it of `<(command)`."""

import fcntl
import os
import re
import stat
import tempfile
from pathlib import Path

from shared.atomic import full_disk_named

BLOCK = 1 << 20  # bytes read at once
MAX_BYTES = 1 << 34  # kept of a pipe; readers have lower limits


def descriptor_of(path: str | Path) -> int | None:
    """N for `/dev/fd/N`, `/dev/stdout` and all links to them; None for any other path."""
    path, own = Path(path), (os.path.realpath("/proc/self/fd"), "/dev/fd")
    for _ in range(40):  # as many links as Linux follows
        folder = os.path.realpath(path.parent)
        if folder in own and re.fullmatch("[0-9]{1,9}", path.name):
            return int(path.name)
        path = Path(folder, path.name)
        if not path.is_symlink():
            break
        path = Path(folder, os.readlink(path))
    return None


def make_regular(path: str | Path, max_bytes: int = MAX_BYTES) -> None:
    """Replaces a pipe that this process has open for reading by an unnamed file with all that the pipe holds.

    The same path then leads to a file, which can be read again and from any byte. Other paths stay as they are: a FIFO
    that is not open could have no writer. Of more than `max_bytes`, one byte more is kept, so that readers refuse it.

    Raises OSError if the pipe cannot be read, or the file cannot be written.
    """
    descriptor = descriptor_of(path)
    if descriptor is None or not _is_readable_pipe(descriptor):
        return
    with full_disk_named(Path(tempfile.gettempdir())), tempfile.TemporaryFile() as file:
        while (missing := max_bytes + 1 - file.tell()) > 0 and (block := os.read(descriptor, min(BLOCK, missing))):
            file.write(block)
        file.flush()
        file.seek(0)
        os.dup2(file.fileno(), descriptor)


def _is_readable_pipe(descriptor: int) -> bool:
    """Whether a descriptor is open for reading, and is neither a file nor a folder."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # it is not open
        return False
    is_readable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY
    return is_readable and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
