"""The only folder that a campaign writes to, and the guard that refuses every other write.

A campaign gives devices, other programs' files and numbers beyond all bounds to commands, often as root. So it claims a
folder of its own, leads everything that has a default place into it, and its processes refuse to write elsewhere.
"""

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import UserError

MARK = ".quatrain-robustness"  # a file in each folder of a campaign
OUTSIDE = "outside the campaign's folder"
DEVICES = ("/dev/null", "/dev/full", "/dev/zero", "/dev/tty")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def claim(folder: Path | None) -> Path:
    """Returns a folder of the campaign: a new temporary one, a new one of this name, or one with the campaign's mark.

    Raises UserError for any other folder, whoever runs the campaign: what is in it would be overwritten.
    """
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="quatrain-robustness-"))
    elif folder.is_symlink() or (folder.exists() and not (folder / MARK).is_file()):
        raise UserError(f"--folder {folder}: not a folder of a campaign; a new name, or one with {MARK}, was expected")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"--folder {folder}: of another user; a folder of your own was expected")
    (folder / MARK).touch()
    return folder.resolve()


@contextmanager
def sandbox(folder: Path | None, keep: bool = False) -> Iterator[Path]:
    """Claims a folder, makes it the current, home and temporary folder, and leads runs and corpora into it.

    Removes it at the end, unless it was named or `keep` is true. Raises UserError as `claim` does.
    """
    import shared.runs

    own = claim(folder)
    for variable, name in (
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("MPLCONFIGDIR", "home"),
        ("XDG_CACHE_HOME", "home"),
        ("TFDS_DATA_DIR", "prepared"),
        ("QUATRAIN_PREPARED", "prepared"),
        ("QUATRAIN_DATA", "data"),
        ("KERAS_HOME", "home"),
    ):
        (own / name).mkdir(exist_ok=True)
        os.environ[variable] = str(own / name)
    tempfile.tempdir = None  # read $TMPDIR again
    shared.runs.ROOT = own / "saved_models"
    before = Path.cwd()
    os.chdir(own)
    try:
        yield own
    finally:
        os.chdir(before)
        if folder is None and not keep:
            shutil.rmtree(own, ignore_errors=True)


def written_paths(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The absolute paths that an event of `sys.addaudithook` is about to create, change or remove."""
    if event == "open":
        path, _, flags = arguments
        is_write = not isinstance(path, int) and path is not None and (flags or 0) & _WRITES
        return [os.path.realpath(os.fsdecode(path))] if is_write else []
    if event == "os.rename":
        source, target, source_folder, target_folder = arguments
        return [_entry(source, source_folder), _entry(target, target_folder)]
    if event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown"):
        return [] if isinstance(arguments[0], int) else [_entry(arguments[0], arguments[-1])]
    if event in ("os.symlink", "os.link"):
        return [_entry(arguments[1], arguments[-1])]
    if event == "os.truncate":
        return [] if isinstance(arguments[0], int) else [os.path.realpath(os.fsdecode(arguments[0]))]
    return []


def _entry(path: Any, folder: int) -> str:
    """The absolute path of an entry of a folder; a link is not followed."""
    base = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else os.getcwd()
    head, name = os.path.split(os.path.join(base, os.fsdecode(path)))
    return os.path.join(os.path.realpath(head), name)


def guard(own: Path) -> None:
    """Makes this process refuse, with PermissionError, each write outside `own` that Python knows of.

    Writes of compiled code are not seen; none of the project's are to a path that the command line names. The caches of
    bytecode and of compiled loops are let through. It cannot be undone, so only forked processes call it.
    """
    root, inside = str(own), f"{own}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        for path in written_paths(event, arguments):
            is_allowed = path == root or path.startswith((inside, "/proc/self/", "/dev/shm/")) or "__pycache__" in path
            if not is_allowed and (path not in DEVICES or event != "open"):
                raise PermissionError(errno.EACCES, OUTSIDE, path)

    sys.addaudithook(hook)


def make_device(path: Path, minor: int) -> bool:
    """Makes a copy of the memory device of this minor number, such as 3 for null and 7 for full; False if it may not.

    A command that replaces what it should write through then destroys the copy.
    """
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        with path.open("rb"):
            return True
    except OSError:  # without the right to make devices, or a file system without devices
        path.unlink(missing_ok=True)
        return False
