"""Lines of text files and the splits of a corpus."""

import gzip
import io
import os
import re
import sys
import threading

import pytest
import tensorflow as tf

from shared.errors import UserError
from shared.text import (
    SPACE,
    as_lines,
    check_readable,
    join_paragraphs,
    read_batches,
    read_corpus,
    read_lines,
    split_inside,
    split_lines,
    tidy,
    unspaced_example,
    wrapped_width,
)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("", ""), (" \t\n", ""), ("  a\r\n b\tc\f\vd ", "a b c d"), ("\u00a0a\u00a0 b\u3000", "\u00a0a\u00a0 b\u3000")],
)
def test_tidy(sentence, expected):
    assert tidy(sentence) == expected
    in_graph = tf.strings.strip(tf.strings.regex_replace(sentence.encode(), SPACE, " "))
    assert in_graph.numpy().decode() == expected


def test_space_has_the_same_characters_in_python_and_tensorflow():
    characters = [chr(code) for code in range(1, 0x300)]
    in_graph = tf.strings.regex_full_match([character.encode() for character in characters], SPACE)
    assert in_graph.numpy().tolist() == [bool(re.fullmatch(SPACE, character)) for character in characters]


def test_check_readable_accepts_files_and_pipes(tmp_path):
    (tmp_path / "a.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    for source in ("-", str(tmp_path / "a.txt"), str(tmp_path / "pipe")):
        check_readable(source)
    with pytest.raises(UserError, match="missing: no such file"):
        check_readable(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="a folder; a file was expected"):
        check_readable(str(tmp_path))


INNER = "a\u2028b\u2029c\x85d\ve\ff\x1cg\x1dh\x1ei\rj"  # all of `str.splitlines`, and no line end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\n\r\nb\r\n", ["a", "", "b"]),
        (f"{INNER}\n{INNER}\r", [INNER, f"{INNER}\r"]),
    ],
)
def test_only_line_feeds_end_a_line(tmp_path, text, expected):
    assert as_lines(text) == expected
    (tmp_path / "lines.txt").write_bytes(text.encode())
    assert list(read_lines(str(tmp_path / "lines.txt"))) == expected


def test_lines_of_any_bytes(tmp_path, capsys):
    (tmp_path / "odd.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\nbroken \xff\nlast \xff")
    assert list(read_lines(str(tmp_path / "odd.txt"))) == ["one", "two", "", "broken \ufffd", "last \ufffd"]
    error = capsys.readouterr().err
    assert "line 4 is not UTF-8" in error
    assert error.count("\n") == 1  # reported once


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_encoding_and_compression_are_recognised(encoding, compress, tmp_path, monkeypatch, capsys):
    content = compress("Grüße\r\n\n日本".encode(encoding))
    (tmp_path / "text").write_bytes(content)
    assert list(read_lines(str(tmp_path / "text"))) == ["Grüße", "", "日本"]
    assert read_corpus(tmp_path / "text") == ["Grüße", "", "日本"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert list(read_lines("-")) == ["Grüße", "", "日本"]
    assert capsys.readouterr().err == ""


def test_what_is_no_text_is_refused_before_and_while_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "a.docx").write_bytes(b"PK\x03\x04 and more")
    for read in (check_readable, lambda name: list(read_lines(name)), lambda name: read_corpus(tmp_path)):
        with pytest.raises(UserError, match=r"(a\.docx is a ZIP archive or an office document|no \.txt file)"):
            read(str(tmp_path / "a.docx"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"%PDF-1.4")))
    with pytest.raises(UserError, match="standard input is a PDF document; plain text in UTF-8 was expected"):
        list(read_lines("-"))


def test_lines_that_arrive_together_stay_together(tmp_path):
    (tmp_path / "file").write_text("".join(f"{number}\n" for number in range(7)))
    assert list(read_batches(str(tmp_path / "file"), 3)) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]

    os.mkfifo(tmp_path / "pipe")
    answered = threading.Semaphore(0)

    def ask() -> None:
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            for question in (b"one\n", b"two\nthr", b"ee\nfour"):
                pipe.write(question)
                answered.acquire(timeout=5)

    asking = threading.Thread(target=ask)
    asking.start()
    answers = []
    for lines in read_batches(str(tmp_path / "pipe")):
        answers.append(lines)
        answered.release()
    answered.release()
    asking.join()
    assert answers == [["one"], ["two"], ["three"], ["four"]]


def test_a_corpus_of_other_bytes_is_refused(tmp_path, capsys):
    (tmp_path / "latin").write_bytes("Grüße\n".encode("latin-1") * 10)
    with pytest.raises(UserError, match="latin is not UTF-8: line 1 has other bytes"):
        read_corpus(tmp_path / "latin")
    (tmp_path / "few").write_bytes(b"good\n" * 200 + b"bad \xff\n")
    assert read_corpus(tmp_path / "few")[-1] == "bad \ufffd"
    assert "line 201 is not UTF-8" in capsys.readouterr().err
    (tmp_path / "some").write_bytes(b"good\n" * 80 + b"bad \xff\n" * 4)
    with pytest.raises(UserError, match="some is not UTF-8: line 81 has other bytes"):
        read_corpus(tmp_path / "some")
    (tmp_path / "short").write_bytes(b"good\n" * 8 + b"bad \xff\n")
    with pytest.raises(UserError, match="short is not UTF-8: line 9 has other bytes"):
        read_corpus(tmp_path / "short")
    (tmp_path / "three").write_bytes(b"good\n" * 80 + b"bad \xff\n" * 3)
    assert len(read_corpus(tmp_path / "three")) == 83
    (tmp_path / "late").write_bytes(b"good\n" * 20_000 + b"bad \0\n")
    with pytest.raises(UserError, match="late has a NUL character in line 20001"):
        read_corpus(tmp_path / "late")


def test_a_corpus_is_a_file_or_the_text_files_of_a_folder(tmp_path, capsys):
    (tmp_path / "b.txt").write_text("2\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.txt").write_text("1\n")
    (tmp_path / "other.md").write_text("3\n")
    (tmp_path / ".hidden.txt").write_text("4\n")
    assert read_corpus(tmp_path) == ["1", "2"]
    (tmp_path / "c.TXT.gz").write_bytes(gzip.compress(b"5"))
    assert read_corpus(tmp_path) == ["1", "2", "5"]
    assert capsys.readouterr().err.endswith(": 1 file not read, the name does not end in .txt: other.md\n")
    assert read_corpus(tmp_path / "other.md") == ["3"]
    (tmp_path / "blank.md").write_text(" \n\n")
    with pytest.raises(UserError, match="no text in it"):
        read_corpus(tmp_path / "blank.md")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"no \.txt file in it"):
        read_corpus(tmp_path / "nothing")


def test_no_line_is_in_two_splits():
    lines = [str(i) for i in range(40)]  # 36, 2 and 2 lines
    lines[5] = lines[36] = ""  # blank lines may repeat
    lines[37] = "3"
    lines[38] = "4"
    assert split_lines(lines) == {"train": lines[:36], "dev": [""], "test": ["39"]}
    lines[37], lines[38] = "new", "new"
    assert split_lines(lines) == {"train": lines[:36], "dev": ["", "new"], "test": ["39"]}
    assert [len(part) for part in split_lines(lines, has_dev=False).values()] == [38, 0, 1]
    assert [len(part) for part in split_lines(lines, has_dev=False, has_test=False).values()] == [40, 0, 0]


def test_a_long_line_is_cut_between_words():
    line = " ".join(f"{number:02}" for number in range(100))  # 299 characters
    splits = split_inside(["a short line", line, "", "end"])
    assert splits["train"][0] == "a short line"
    assert splits["test"][-2:] == ["", "end"]
    assert " ".join([*splits["train"][1:], *splits["dev"], *splits["test"][:-2]]) == line
    assert [sum(map(len, part)) for part in splits.values()] == pytest.approx([282, 16, 16], abs=4)
    assert split_inside([line], has_dev=False, has_test=False) == {"train": [line], "dev": [], "test": []}
    unspaced = "\u732b" * 1000
    assert {name: len(part[0]) for name, part in split_inside([unspaced]).items()} == {
        "train": 900,
        "dev": 50,
        "test": 50,
    }


PROSE = "It was the best of times, it was the worst of times. It was the age of wisdom, as some of them said. " * 9


def test_wrapped_paragraphs_are_recognised_and_joined():
    words, lines = PROSE.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 50:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    text = [*lines, "", *lines]
    width = wrapped_width(text)
    assert width is not None
    assert 48 <= width <= 51
    assert join_paragraphs(["", *text, " "]) == [" ".join(words)] * 2
    assert wrapped_width(lines[:10]) is None  # too few
    assert wrapped_width([PROSE] * 40) is None
    assert wrapped_width(["A sentence of a length like all the others."] * 40) is None
    assert wrapped_width([f"{'word ' * (number % 9)}end" for number in range(80)]) is None


def test_languages_without_spaces():
    assert unspaced_example(["\u8fd9\u53ea\u732b\u5728\u57ab\u5b50\u4e0a\u7761\u89c9\u3002"] * 3)
    assert unspaced_example(
        [
            "\u0e41\u0e21\u0e27\u0e19\u0e2d\u0e19\u0e2b\u0e25\u0e31\u0e1a\u0e2d\u0e22\u0e39\u0e48\u0e1a\u0e19\u0e1e\u0e23\u0e21\u0e2a\u0e35\u0e41\u0e14\u0e07"
        ]
    )
    assert unspaced_example(["\u8fd9 \u53ea \u732b \u5728 \u57ab\u5b50 \u4e0a \u7761\u89c9 \u3002"]) is None
    assert (
        unspaced_example(["the cat, \u8fd9\u53ea\u732b\u5728\u57ab\u5b50\u4e0a\u7761\u89c9", *["sat on the mat"] * 9])
        is None
    )
