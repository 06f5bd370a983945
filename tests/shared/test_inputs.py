"""Inputs of commands."""

import io
import sys
from dataclasses import replace
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


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A folder with files of the kind, of others, hidden ones, and subfolders, one of which leads back to it."""
    folder = tmp_path / "mixed"
    names = ["b.WORD", "a.word", "a.txt", "n.txt", "c.odd", "d.odd", "e.alien", "NONE", ".hidden.word"]
    for name in (*names, "deep/er/f.word", "deep/g.odd", ".git/h.word"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "folder.word").mkdir()
    return folder


def test_what_a_folder_has_besides_is_counted_in_one_line(mixed, capsys):
    """A text of the name of a file that is read belongs to it."""
    kind = replace(WORDS, extras={".alien": "aliens"})
    assert [path.name for _, path, _ in find_inputs(kind, [str(mixed)])] == ["a.word", "b.WORD"]
    assert capsys.readouterr().err == (
        f"{mixed}: not read: 2 .odd, 1 .alien (the extra aliens reads them), 1 .txt, 1 without a suffix,"
        " 2 subfolders (--recursive reads them)\n"
    )


def test_subfolders_are_searched_if_asked_each_once(mixed, capsys):
    found = [str(path.relative_to(mixed)) for _, path, _ in find_inputs(WORDS, [str(mixed)], recursive=True)]
    assert found == ["a.word", "b.WORD", "deep/er/f.word"]
    assert capsys.readouterr().err == f"{mixed}: not read: 3 .odd, 1 .alien, 1 .txt, 1 without a suffix\n"


def test_a_folder_of_other_files_is_an_error_that_counts_them(mixed, capsys):
    for path in mixed.glob("*.[wW]*"):
        path.rmdir() if path.is_dir() else path.unlink()
    ((_, _, error),) = find_inputs(WORDS, [str(mixed)])
    assert str(error) == (
        "is a folder without word files (.word); it has 2 .odd, 2 .txt, 1 .alien, 1 without a suffix,"
        " 1 subfolder (--recursive reads it)"
    )
    assert capsys.readouterr().err == ""


def test_names_that_stand_for_no_file(tmp_path):
    urls = ["https://example.org/a.word", "s3://bucket/a.word", "file:///a.word"]
    errors = [str(error) for *_, error in find_inputs(WORDS, [*urls, str(tmp_path / "none"), "nul\0", "c:x"])]
    assert errors[0] == "is a URL, which is not fetched; download it, and name a word file or a folder of them"
    assert errors[1] == errors[2] == errors[0]
    assert errors[3].startswith("does not exist")
    assert errors[4].startswith("cannot be read")
    assert errors[5].startswith("does not exist")
    assert find_inputs(WORDS, []) == []


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
    assert errors[0] == ".: not read: 1 .txt"
    assert errors[1].startswith("error: missing does not exist")
    assert errors[2].startswith("error: empty.word is empty")


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [({"max_items": 2}, [["0", "1"], ["2", "3"], ["4"]]), ({"max_size": 4}, [["0", "1", "2"], ["3", "4"]])],
)
def test_batches_are_limited_in_number_and_size(tmp_path, sizes, batches):
    for i in range(5):
        (tmp_path / str(i)).write_bytes(b"xx")
    inputs = [item._replace(name=item.path.name) for item in find_inputs(WORDS, map(str, sorted(tmp_path.iterdir())))]
    assert batch_names(inputs, [], **sizes) == batches
