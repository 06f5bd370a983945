"""Errors of a full disk, whatever library has them, name the file or the folder that could not be written."""

import errno
import os
from pathlib import Path

import pytest

from shared.atomic import atomic_file, atomic_folder, full_disk_named, reserve, temporary_folder, write_bytes
from shared.errors import UserError

FULL = os.strerror(errno.ENOSPC)


class LibraryError(Exception):
    """As TensorFlow's, which is no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(f"[Errno 28] Can't write data (errno = 28, error message = '{FULL}')"),  # of HDF5
        LibraryError(f"/a/.export.x/part-0; {FULL} [Op:SaveV2]"),
    ],
)
def test_a_full_disk_names_what_was_written(tmp_path, error):
    for write in (atomic_file, atomic_folder, full_disk_named):
        with pytest.raises(OSError, match=FULL) as raised, write(tmp_path / "new"):
            raise error
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "new"))
    with pytest.raises(OSError, match=FULL) as raised, temporary_folder(tmp_path, "export"):
        raise error
    assert raised.value.filename == str(tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folder_has_its_final_name(tmp_path, monkeypatch):
    def fill(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, FULL)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match=FULL) as raised, atomic_folder(tmp_path / "step") as folder:
        write_bytes(folder / "part" / "tensors", b"x")
    assert raised.value.filename == str(tmp_path / "step" / "part" / "tensors")


def test_the_space_of_a_file_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    reserve(path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size == 1 << 20

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, FULL)

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=FULL) as raised:
        reserve(path)
    assert raised.value.filename == str(path)


@pytest.mark.parametrize(
    "error", [ValueError("another error"), UserError(f"a.txt: {FULL}"), PermissionError(13, "no", "a")]
)
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, full_disk_named(tmp_path):
        raise error
    assert raised.value is error
