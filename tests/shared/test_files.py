"""Files that are read whole: regular, of bounded size, and JSON without surprises."""

import os
import time
from pathlib import Path

import pytest

from shared.files import MediaError, parse_json, read_regular


def test_a_regular_file_is_read_whole_or_from_its_start(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcde")
    (tmp_path / "link").symlink_to(path)
    assert read_regular(path, 5) == read_regular(tmp_path / "link", 5) == b"abcde"
    assert read_regular(path, 5, 2) == b"ab"
    with pytest.raises(MediaError, match="has 5 bytes; at most 4 were expected"):
        read_regular(path, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 4)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [Path.mkdir, fifo, endless])
def test_anything_else_is_refused_at_once(tmp_path, make):
    make(tmp_path / "a")
    began = time.monotonic()
    with pytest.raises(MediaError, match="is not a regular file, which was expected"):
        read_regular(tmp_path / "a", 100)
    assert time.monotonic() - began < 1


def test_json():
    assert parse_json('{"a": [1, "犬"], "b": {}}'.encode()) == {"a": [1, "犬"], "b": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "an object has 'a' twice"),
        (b'{"b": {"a": 1, "a": 1}}', "an object has 'a' twice"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"9" * 5000, "Exceeds the limit"),
        (b"\xff", "can't decode"),
        (b"", "Expecting value"),
    ],
)
def test_other_json_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        parse_json(content)
