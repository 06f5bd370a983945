"""Rows of tables: quotation marks of the format, and those of texts."""

import pytest

from datasets.lines import with_line_feeds
from datasets.tables import find_delimiter, read_rows


def cells(text: str, delimiter: str) -> list[list[str]]:
    return [row.cells for row in read_rows(text.split("\n"), delimiter)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\nc", "a\nb\nc"),
        ("a\rb\r", "a\nb\n"),  # of a Mac of the last century
        ("a\rb\rc\n", "a\nb\nc\n"),
        ("a\rb\nc\r\r\n", "a b\nc \n"),
    ],
)
def test_line_ends(text, expected):
    assert with_line_feeds(text) == expected


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["Good, really\tpos", "Bad, so bad\tneg"], "\t"),
        (["Good, really;pos", "Bad, so bad;neg"], ";"),
        (['"Good, but', "long, too long, or", 'so",pos', '"Bad, bad, bad",neg'], ","),  # most lines are of one text
        (['"Good', "so far", 'and on"\tpos', "Bad\tneg"], "\t"),
        (["Good", "Bad"], None),
    ],
)
def test_delimiters(lines, delimiter):
    assert find_delimiter(lines) == delimiter


def test_a_quoted_cell_has_any_lines_and_any_length():
    long = "so " * 100_000
    text = f'a,"Dear all,\nhello, there\n\nThanks, Ann",pos\nb,"Dear all,\nno\nThanks, Ann",neg\nc,"{long}",pos\n'
    assert cells(text, ",") == [
        ["a", "Dear all,\nhello, there\n\nThanks, Ann", "pos"], ["b", "Dear all,\nno\nThanks, Ann", "neg"],
        ["c", long, "pos"],
    ]  # fmt: skip
    assert [(row.line, row.height) for row in read_rows(text.split("\n"), ",")] == [(1, 4), (5, 3), (8, 1)]
    assert cells('"one\n""two""\nthree"\tpos\n"four"\tneg', "\t") == [['one\n"two"\nthree', "pos"], ['"four"', "neg"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"so good,pos\nbad,neg\n5" long,pos', [['"so good', "pos"], ["bad", "neg"], ['5" long', "pos"]]),
        ('"so good,pos\nbad,neg\nthe end,pos', [['"so good', "pos"], ["bad", "neg"], ["the end", "pos"]]),
        ('"no" he said,pos\na,neg', [['"no" he said', "pos"], ["a", "neg"]]),
        # what would be a cell of three rows
        (
            '"so good,pos\nbad,neg\n5",pos\nx,neg\ny,neg',
            [['"so good', "pos"], ["bad", "neg"], ['5"', "pos"], ["x", "neg"], ["y", "neg"]],
        ),
        # a cell of two columns more
        ('a,b\n"c,d\ne",f,g\nh,i', [["a", "b"], ['"c', "d"], ['e"', "f", "g"], ["h", "i"]]),
    ],
)
def test_other_quotation_marks_are_of_the_text(text, expected):
    assert cells(text, ",") == expected
