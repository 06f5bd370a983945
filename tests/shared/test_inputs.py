"""Inputs of commands."""

import io
import sys
from pathlib import Path

import pytest

from shared.files import FileKind, MediaError
from shared.inputs import Reader, find_inputs, read_standard_input

WORDS = FileKind(name="a word file", suffixes=frozenset({".word"}), max_bytes=8, remedy="split it first")


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.word", "a.word", "other.txt"):
        (tmp_path / name).write_text(name[0])
    return tmp_path


def standard_input(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_names_stand_for_files_folders_and_standard_input(folder, monkeypatch):
    monkeypatch.chdir(folder)
    inputs = find_inputs(WORDS, ["other.txt", "-", ".", "missing"])
    assert [(name, path) for name, path, _ in inputs] == [
        ("other.txt", Path("other.txt")),
        ("-", None),
        ("a.word", Path("a.word")),
        ("b.word", Path("b.word")),
        ("missing", Path("missing")),
    ]
    assert [error is None for _, _, error in inputs] == [True] * 4 + [False]


def test_standard_input_is_limited(monkeypatch):
    standard_input(monkeypatch, b"12345678")
    assert read_standard_input(WORDS) == b"12345678"
    standard_input(monkeypatch, b"123456789")
    with pytest.raises(MediaError, match="has more than 8 bytes; split it first"):
        read_standard_input(WORDS)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(MediaError, match="standard input is closed"):
        read_standard_input(WORDS)


def read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else WORDS.read(source)


def batch_names(inputs, failed: list[str], max_size: int = 100, max_items: int = 100) -> list[list[str]]:
    reader = Reader(kind=WORDS, read=read, size=len, max_size=max_size, max_items=max_items)
    return [[name for name, _ in batch] for batch in reader.batches(inputs, failed)]


def test_unreadable_inputs_are_reported_and_the_others_processed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path("empty.word").touch()
    standard_input(monkeypatch, b"x")
    failed: list[str] = []
    assert batch_names(find_inputs(WORDS, ["missing", "-", "."]), failed) == [["-", "a.word", "b.word"]]
    assert failed == ["missing", "empty.word"]
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: missing does not exist")
    assert errors[1].startswith("error: empty.word is empty")


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [({"max_items": 2}, [["0", "1"], ["2", "3"], ["4"]]), ({"max_size": 4}, [["0", "1", "2"], ["3", "4"]])],
)
def test_batches_are_limited_in_number_and_size(tmp_path, sizes, batches):
    for i in range(5):
        (tmp_path / str(i)).write_bytes(b"xx")
    inputs = [item._replace(name=item.path.name) for item in find_inputs(WORDS, map(str, sorted(tmp_path.iterdir())))]
    assert batch_names(inputs, [], **sizes) == batches
