"""Files and folders that are written under a temporary name and renamed when they are complete.

A process that is killed leaves the earlier content or the new one, and at most a temporary file or folder, whose name
starts with a dot. Each is locked by its writer, so `remove_temporaries` keeps those of living processes.
"""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import UserError

TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}(\.\w+)?")  # the name of a temporary file or folder
BEFORE = ".before"  # ends the hidden name of a folder that is being replaced in two steps
FULL = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT)}


# --- full disks -----------------------------------------------------------------------------------------------------


def full_disk_error(error: Exception, path: Path) -> OSError | None:
    """An OSError that names the path, if an error of any library says that a disk is full; else None."""
    text = str(error)
    reason = next((words for words in FULL if words in text), None)
    return OSError(FULL[reason], reason, os.fspath(path)) if reason and not isinstance(error, UserError) else None


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Within the block, an error that says that a disk is full becomes an OSError that names the path.

    Those of TensorFlow and HDF5 are none, and those of writing to an open file name none. One that names another file
    stays as it is.
    """
    try:
        yield
    except Exception as error:
        names_another = isinstance(error, OSError) and error.filename not in (None, os.fspath(path))
        if names_another or (full := full_disk_error(error, path)) is None:
            raise
        raise full from None


# --- temporary names ------------------------------------------------------------------------------------------------


def _locked(make: Callable[[], str | Path]) -> tuple[Path, int]:
    """A new temporary file or folder, and an open descriptor that locks it: `remove_temporaries` keeps it."""
    while True:
        path = Path(make())
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # it was removed before it was locked
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)  # as above


def remove_temporaries(folder: Path, name: str | None = None) -> bool:
    """Removes the temporary files and folders that killed processes left in a folder; those of living ones stay.

    With a name, only those of the atomic folder `folder / name`. Returns whether there were any.
    """
    found = False
    if name and (folder / name).exists() and _before(folder / name).exists():
        found = True
        shutil.rmtree(_before(folder / name), ignore_errors=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        temporary = TEMPORARY.fullmatch(path.name)
        if not temporary or path.is_symlink() or (name and (temporary[1] != name or not path.is_dir())):
            continue
        with suppress(OSError):  # locked by a living process, or gone
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = True
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)
    return found


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yields a new folder `.<name>.<8 characters>` in `parent`, which is removed at the end; see `full_disk_named`."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, lock = _locked(lambda: tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
    try:
        with full_disk_named(parent / name):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sync(path: Path) -> None:
    """Writes a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Writes a folder and all that it holds to the disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def reserve(path: Path) -> None:
    """Takes the space of a file that is written through memory; a full disk would end the process with SIGBUS later.

    Raises OSError that names the file if there is too little.
    """
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with full_disk_named(path), path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


# --- files ----------------------------------------------------------------------------------------------------------


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yields a temporary file of the same suffix, which replaces `path` when the block ends without an error.

    It keeps the mode and, if that is allowed, the owner of an earlier file. An OSError names the path.
    """
    prefix = f".{path.stem[:40]}."

    def make() -> Path:
        temporary = path.with_name(f"{prefix}{secrets.token_hex(4)}{path.suffix}")
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode | stat.S_IRUSR | stat.S_IWUSR))
        return temporary

    temporary = lock = None
    try:
        earlier = os.stat(path) if path.is_file() else None
        mode = stat.S_IMODE(earlier.st_mode) if earlier else 0o666  # the umask applies to a new file
        temporary, lock = _locked(make)
        with full_disk_named(path):
            yield temporary
        if earlier:
            with suppress(OSError):
                os.chown(temporary, earlier.st_uid, earlier.st_gid)
            os.chmod(temporary, mode)
        try:
            os.replace(temporary, path)
        except OSError as error:  # a mount point, or another user's file in a folder such as /tmp
            if earlier is None or error.errno not in (errno.EBUSY, errno.EPERM, errno.EACCES):
                raise
            shutil.copyfile(temporary, path)
    except OSError as error:
        is_temporary = error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(prefix)
        if error.errno is not None and is_temporary:
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        if temporary is not None and lock is not None:
            temporary.unlink(missing_ok=True)
            os.close(lock)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """As `replacement`; also makes the folder, and writes both to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacement(path) as temporary:
        yield temporary
        sync(temporary)
    sync(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


# --- folders --------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder of the same name, which replaces `folder` when the block ends without an error."""
    folder = folder.resolve()  # a symbolic link stays; its target is replaced
    restore(folder)
    remove_temporaries(folder.parent, folder.name)
    with temporary_folder(folder.parent, folder.name) as temporary:
        written = temporary / folder.name
        written.mkdir()
        try:
            yield written
        except OSError as error:
            if isinstance(error.filename, str) and Path(error.filename).is_relative_to(written):
                error.filename = str(folder / Path(error.filename).relative_to(written))
            raise
        sync_all(written)
        _replace(folder, written)
        sync(folder.parent)


def restore(folder: Path) -> None:
    """Undoes a replacement of a folder in two steps that was interrupted between them."""
    if not folder.exists() and _before(folder).exists():
        with suppress(OSError):  # another process has restored it, or completed the replacement
            os.rename(_before(folder), folder)


def restore_all(parent: Path) -> None:
    """The same for every folder in `parent`."""
    for path in parent.glob(f".*{BEFORE}"):
        restore(parent / path.name[1 : -len(BEFORE)])


def _before(folder: Path) -> Path:
    return folder.parent / f".{folder.name}{BEFORE}"


def _replace(folder: Path, written: Path) -> None:
    """Exchanges `written` and `folder`, or moves `written` there if it does not exist."""
    if not folder.exists():
        os.rename(written, folder)
        return
    with suppress(OSError):
        _exchange(written, folder)
        return
    os.rename(folder, _before(folder))
    try:
        os.rename(written, folder)
        with suppress(FileNotFoundError):  # another process has removed it
            os.rename(_before(folder), written)
    finally:
        restore(folder)


def _exchange(first: Path, second: Path) -> None:
    """Exchanges two folders in one step; raises OSError where the system cannot."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <stdio.h>
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
