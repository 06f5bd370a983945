"""Lines of text files, and how a corpus is split by them."""

import pytest

from shared.errors import UserError
from shared.text import read_corpus, read_lines, split_lines


def test_lines_whatever_the_bytes(tmp_path, capsys):
    (tmp_path / "odd.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\nbroken \xff\nlast \xff")
    assert list(read_lines(str(tmp_path / "odd.txt"))) == ["one", "two", "", "broken \ufffd", "last \ufffd"]
    error = capsys.readouterr().err
    assert "line 4 is not UTF-8" in error
    assert error.count("\n") == 1  # told once


def test_a_corpus_is_a_file_or_the_texts_of_a_folder(tmp_path):
    (tmp_path / "b.txt").write_text("2\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.txt").write_text("1\n")
    (tmp_path / "other.md").write_text("3\n")
    assert read_corpus(tmp_path) == ["1", "2"]
    assert read_corpus(tmp_path / "other.md") == ["3"]
    (tmp_path / "blank.md").write_text(" \n\n")
    with pytest.raises(UserError, match="no text in it"):
        read_corpus(tmp_path / "blank.md")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"no \.txt file in it"):
        read_corpus(tmp_path / "nothing")


def test_no_line_stands_in_two_splits():
    lines = [str(number) for number in range(40)]  # 36, 2 and 2 of them
    lines[5] = lines[36] = ""  # blank ones may
    lines[37] = "3"
    lines[38] = "4"
    assert split_lines(lines) == {"train": lines[:36], "dev": [""], "test": ["39"]}
    lines[37], lines[38] = "new", "new"
    assert split_lines(lines) == {"train": lines[:36], "dev": ["", "new"], "test": ["39"]}
