"""Outputs of commands: checked together before any work, then replaced whole or written through.

A regular file is replaced by the rename of a temporary file beside it, so the earlier content stays until there is a
new one. All else is written through: a FIFO, a device, an open descriptor such as `/dev/stdout`. Files are compared by
device and inode, so another spelling, a symbolic link and a hard link are the same file.
"""

import contextlib
import fcntl
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.atomic import replacement
from shared.descriptors import descriptor_of
from shared.errors import UserError
from shared.runs import released_folders

PICTURES = (".png", ".jpg", ".pdf", ".svg")  # formats of plots
UNSUITABLE = {stat.S_IFDIR: "folder", stat.S_IFBLK: "block device", stat.S_IFSOCK: "socket"}
STANDARD = {1: "standard output", 2: "standard error"}

Identity = tuple[int, int, str]
"""Device and inode of a file; of one that does not exist yet, those of its folder, and its name."""


def numbered_paths(option: str, path: Path, count: int, suffixes: Sequence[str]) -> list[Path]:
    """One output path for each of `count` inputs: `a.png`, or `a-1.png`, `a-2.png` and so on.

    `check_outputs` should get the path too: a slip that names an input must not replace files beside it.

    Raises UserError if the path given to `option` has another suffix.
    """
    if path.suffix not in suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: a name that ends in {' '.join(suffixes)} was expected")
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number:0{len(str(count))}}") for number in range(1, count + 1)]


def named_paths(option: str, path: Path, names: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """One output path for each input: `path` for one input, or files in the folder `path` with the inputs' names.

    Args:
        names: of the inputs, with their subfolders: `x/a.wav` is written to `path/x/a.png`. An input whose output would
            have the name of another's keeps its own suffix: `a.wav.png`.
        suffixes: that the file of one input may have; those in a folder have the first.

    Raises UserError if `path` is neither such a file nor a folder, is one file for several inputs, or two inputs have
    the same name.
    """
    is_file = path.suffix in suffixes or path.suffix.lower() in suffixes
    if is_file and len(names) > 1 and not path.is_dir():
        raise UserError(f"{option} {path}: a folder was expected, for {len(names)} files named after the inputs")
    if is_file and not path.is_dir():
        return [path]
    if path.suffix and not path.is_dir():
        raise UserError(f"{option} {path}: a name that ends in {' '.join(suffixes)}, or a folder, was expected")
    counts = Counter(name.with_suffix("") for name in names)
    paths = [
        path / name.with_suffix(("" if counts[name.with_suffix("")] == 1 else name.suffix) + suffixes[0])
        for name in names
    ]
    taken: dict[Path, Path] = {}
    for output, name in zip(paths, names, strict=True):
        if output in taken:
            raise UserError(f"{option} {path}: two inputs are named {name}; a folder that has both was expected")
        taken[output] = name
    return paths


def writable(path: Path, files: Iterable[Path]) -> list[Path]:
    """What `check_outputs` can check of the files of `named_paths`: those whose folder exists, or the new folder."""
    return [path] if not path.exists() else [file for file in files if file.parent.is_dir()]


# --- checks --------------------------------------------------------------------------------------------------------


def check_outputs(
    outputs: Mapping[str, Iterable[Path | None]], reads: Mapping[str, Iterable[str | Path | None]] | None = None
) -> None:
    """Raises UserError, before any work is done, for an output that cannot be written or that would destroy a file.

    Args:
        outputs: the paths of each option, None for an option that is not given.
        reads: the files and folders that the command reads, by the words that describe one of them, such as "the file
            that --file names"; `-` and None are skipped. Within a folder that is read, and within any released model,
            nothing may be written.
    """
    read, folders = _reads(reads or {})
    given = [(option, path) for option, paths in outputs.items() for path in paths if path]
    if given:
        folders = {**folders, **dict.fromkeys(released_folders(), "a file of a released model")}
    standard = {_identity_of(status): name for fd, name in STANDARD.items() if (status := _regular(fd))}
    output = _regular(1)
    if output and (owner := read.get(_identity_of(output))):
        raise UserError(f"standard output is {owner}; another file to write to was expected")
    taken: dict[Identity, str] = {}
    for option, path in given:
        try:
            status = _status(path)
            _check_writable(f"{option} {path}", path, status)
            identity = _identity(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            raise UserError(f"{option} {path} cannot be written: {_reason(error)}") from None
        if status and stat.S_ISCHR(status.st_mode):  # such as /dev/null, which may be given twice
            continue
        owner = read.get(identity) or taken.get(identity)
        if not owner and descriptor_of(path) is None:
            owner = standard.get(identity) or _folder_of(path, status, folders)
        if owner:
            raise UserError(f"{option} {path} is {owner}; another name to write to was expected")
        taken[identity] = f"also the output of {option}"


def _reads(reads: Mapping[str, Iterable[str | Path | None]]) -> tuple[dict[Identity, str], dict[Path, str]]:
    """What is read: the files by identity, and the folders, each with the words that describe it."""
    files: dict[Identity, str] = {}
    folders: dict[Path, str] = {}
    for words, paths in reads.items():
        for path in paths:
            if path is None or path == "-":
                continue
            with contextlib.suppress(OSError, ValueError):  # reported when it is read
                if os.path.isdir(path):
                    folders[Path(path)] = words
                else:
                    files[_identity(path)] = words
    status = _regular(0)
    if status:
        files[_identity_of(status)] = "standard input"
    return files, folders


def _check_writable(named: str, path: Path, status: os.stat_result | None) -> None:
    """Raises UserError unless the output can be written."""
    if status is None:
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise UserError(f"{named} cannot be written: there is no folder {folder}")
        is_writable = os.access(folder, os.W_OK | os.X_OK)
    elif (kind := stat.S_IFMT(status.st_mode)) in UNSUITABLE and (kind == stat.S_IFDIR or descriptor_of(path) is None):
        raise UserError(f"{named} is a {UNSUITABLE[kind]}; the name of a file to write was expected")
    elif (descriptor := descriptor_of(path)) is not None:
        is_writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    else:
        is_writable = os.access(path, os.W_OK)
    if not is_writable:
        raise UserError(f"{named} cannot be written: permission denied")


def _folder_of(path: Path, status: os.stat_result | None, folders: Mapping[Path, str]) -> str | None:
    """The words of the folder that is read and has this file, in it or by a link; None if there is none."""
    parents = {_identity(parent) for parent in Path(os.path.realpath(path)).parents}
    for folder, words in folders.items():
        if _identity(folder) in parents or (status and _identity_of(status) in _identities(folder)):
            return f"{words} in {folder}"
    return None


def _identities(folder: Path) -> Iterator[Identity]:
    """The files in a folder and its subfolders, through links."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        with contextlib.suppress(OSError):
            if (identity := _identity(root)) in seen:  # a link to a folder above it
                folders.clear()
                continue
            seen.add(identity)
        for name in names:
            with contextlib.suppress(OSError):
                yield _identity_of(os.stat(os.path.join(root, name)))


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, ""


def _identity(path: str | Path) -> Identity:
    if status := _status(Path(path)):
        return _identity_of(status)
    folder, name = os.path.split(os.path.realpath(path))
    status = os.stat(folder)
    return status.st_dev, status.st_ino, name


def _status(path: Path) -> os.stat_result | None:
    """The status of the file at the end of all links; None if there is none. Raises OSError."""
    descriptor = descriptor_of(path)
    try:
        return os.stat(path) if descriptor is None else os.fstat(descriptor)
    except FileNotFoundError:
        return None


def _regular(descriptor: int) -> os.stat_result | None:
    """The status of a regular file that this process has open; None if it is closed or of another kind."""
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        return status if stat.S_ISREG(status.st_mode) else None
    return None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


# --- writing -------------------------------------------------------------------------------------------------------


class Output:
    """An output of a command, opened at its first content: a run without results leaves an earlier file as it was.

    A context manager. When it is closed, also by an error, the content so far replaces that of a regular file. Methods
    raise UserError when that fails, and BrokenPipeError when the reader of a pipe has closed it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._size: int | None = None  # of the contents that are complete; None: there is no content

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: bytes) -> None:
        """Appends a content, which may be empty."""
        with self._errors():
            if self._file is None:
                self._file = self._stack.enter_context(_opened(self.path))
            rest = memoryview(content)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._size = (self._size or 0) + len(content)

    def close(self) -> None:
        """Closes the output; keeps no part of a content whose writing failed, in a file that can be replaced."""
        file, self._file = self._file, None
        with self._errors():
            if self._size is None:
                discarded = UserError()
                self._stack.__exit__(UserError, discarded, None)
            elif file is not None:
                if descriptor_of(self.path) is None and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    file.truncate(self._size)
                self._stack.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({_reason(error)})") from None


def write_output(path: Path, content: bytes) -> None:
    """Writes an output as a whole; raises UserError and BrokenPipeError as `Output`."""
    with Output(path) as output:
        output.write(content)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """An unbuffered file that becomes the content of `path`."""
    descriptor, status = descriptor_of(path), _status(path)
    target = Path(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        if descriptor is not None:
            number = os.dup(descriptor)  # opening it again would truncate the file, or fail
        elif status is None or (stat.S_ISREG(status.st_mode) and os.access(target.parent, os.W_OK | os.X_OK)):
            number = os.open(stack.enter_context(replacement(target)), os.O_WRONLY)
        else:
            number = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_TRUNC)
        yield stack.enter_context(open(number, "wb", buffering=0))
