"""Rows of a table of texts, tab-separated or CSV, with quotation marks of the format and of the texts; records of JSON.

A quoted cell may have several lines and any length (RFC 4180). A quotation mark that opens no such cell belongs to the
text, as in the tweets and reviews that people paste into tables: its line is a row by itself.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from datasets import CorpusError
from shared.files import parse_json
from shared.text import as_lines

DELIMITERS = "\t,;|"
PROBED = 100  # rows from which the delimiter is recognised
MAX_CELL = 2**31 - 1  # characters; Python's limit of 128 KiB is less than a long review has


class TableRow(NamedTuple):
    """A row of a table."""

    line: int
    """The first of its lines, from 1."""
    cells: list[str]
    height: int = 1
    """How many lines it has."""


def find_delimiter(lines: Sequence[str]) -> str | None:
    """The character between the columns of a table; None if it has one column.

    It is the tab, if that gives most rows the same columns. Otherwise it is the character that does so for the most
    rows; then the one that has a space after it the least often, since punctuation has one.
    """

    def steadiness(delimiter: str) -> tuple[float, float]:
        rows = list(islice(_rows(lines, delimiter), PROBED))
        width = usual_width(row.cells for row in rows)
        spaced, count = (sum(line.count(x) for line in lines[:PROBED]) for x in (f"{delimiter} ", delimiter))
        return (sum(len(row.cells) == width for row in rows) / len(rows) if width > 1 else 0), -spaced / max(1, count)

    found = {delimiter: steadiness(delimiter) for delimiter in DELIMITERS}
    if found["\t"][0] >= 0.5:
        return "\t"
    best = max(found, key=found.__getitem__)
    return best if found[best][0] else None


def read_rows(
    lines: Sequence[str], delimiter: str, begins_row: Callable[[str], Any] = lambda _: False
) -> list[TableRow]:
    """The rows that are not empty.

    What could be a quoted cell of several lines is none if its row has other columns than most rows; if one of the
    lines after its first begins another row, as `begins_row` says; or if each of its lines is a row too: as many
    columns, and a value that a row has in the same column, such as a label.
    """
    rows = list(_rows(lines, delimiter))
    if all(row.height == 1 for row in rows):
        return rows
    width = usual_width(row.cells for row in rows)
    columns = zip(*(row.cells for row in rows if len(row.cells) == width), strict=True)
    values = [{*column} - {""} for column in columns]
    between = re.compile(f"{re.escape(delimiter)}(?! )")

    def is_row(line: str) -> bool:
        cells = between.split(line)
        return len(cells) == width and any(cell in known for cell, known in zip(cells, values, strict=True))

    def is_tall(row: TableRow) -> bool:
        inside = lines[row.line - 1 : row.line - 1 + row.height]
        is_one = not any(map(begins_row, inside[1:])) and not all(map(is_row, filter(str.strip, inside)))
        return is_one and len(row.cells) == width

    return list(_rows(lines, delimiter, is_tall))


def _rows(
    lines: Sequence[str], delimiter: str, is_tall: Callable[[TableRow], bool] = lambda _: True
) -> Iterator[TableRow]:
    """Yield the rows; `is_tall` says whether what could be one row of several lines is one."""
    index = 0
    while index < len(lines):
        row = _quoted(lines, index, delimiter) if '"' in lines[index] else None
        if row is None or (row.height == 1 and delimiter == "\t") or (row.height > 1 and not is_tall(row)):
            row = TableRow(index + 1, list(map(unquoted, lines[index].split(delimiter))))
        if any(map(str.strip, row.cells)):
            yield row
        index += row.height


def _quoted(lines: Sequence[str], index: int, delimiter: str) -> TableRow | None:
    """The row that begins in a line, of one line or more; None if its quotation marks are not those of RFC 4180."""
    following = (f"{lines[i]}\n" for i in range(index, len(lines)))
    reader = csv.reader(following, delimiter=delimiter, skipinitialspace=True, strict=True)
    limit = csv.field_size_limit(MAX_CELL)  # of the whole process
    try:
        return TableRow(index + 1, next(reader), reader.line_num)
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)


def usual_width(rows: Iterable[Sequence[str]]) -> int:
    """The number of columns that most rows have, of those with any."""
    widths = Counter(len(row) for row in rows if row)
    return widths.most_common(1)[0][0] if widths else 0


def rejoined(cells: list[str], width: int, text: int, delimiter: str) -> list[str]:
    """The cells of a row of that width; the text in the first or the last column may have delimiters.

    A row with fewer cells, or with a text between other columns, stays as it is.
    """
    more = len(cells) - width
    if more <= 0 or text not in (0, width - 1):
        return cells
    end = text + more + 1
    return [*cells[:text], delimiter.join(cells[text:end]), *cells[end:]]


def unquoted(cell: str) -> str:
    """A cell without the quotes of a program that doubles those inside; other quotes belong to the sentence."""
    inside = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' in inside and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if is_quoted else cell


def json_records(path: Path, text: str) -> list[tuple[int, Any]]:
    """The records of JSON lines, with the numbers of their lines, or of one array; lines that are not JSON are None.

    Raises CorpusError, which begins with `path`, for another text that is not JSON.
    """
    numbered = [(number, line) for number, line in enumerate(as_lines(text), start=1) if line.strip()]
    records = [(number, _parsed(line)) for number, line in numbered]
    if not records:
        return []
    if records[0][1] is None or (len(records) == 1 and isinstance(records[0][1], list)):  # not one record a line
        whole = _parsed(text)
        if not isinstance(whole, list) or not whole:
            raise CorpusError(f"{path}: line 1 is not JSON; one object a line, or an array of objects, was expected.")
        records = list(enumerate(whole, start=1))
    return records


def _parsed(text: str) -> Any:
    """The value of JSON; None if it is not JSON."""
    try:
        return parse_json(text.encode())
    except ValueError:
        return None
