"""Sentence pairs in one file: TMX, tab-separated text, CSV or JSON lines, plain or compressed.

The format is recognised by the content:

    TMX             <tu><tuv xml:lang="en"><seg>A dog.</seg></tuv><tuv xml:lang="de"><seg>Ein Hund.</seg></tuv></tu>
    tab-separated   A dog. <tab> Ein Hund. <tab> CC-BY 2.0 ...       Tatoeba, Anki: columns after the two are not read
                    1276 <tab> A dog. <tab> 77 <tab> Ein Hund.       with the ids of Tatoeba's sentences
    CSV             "A dog.","Ein Hund."                             commas or semicolons; a row is a line
                    1,"A dog.","Ein Hund."                           columns of numbers are not read
    JSON lines      {"en": "A dog.", "de": "Ein Hund."}              or below "translation", or ["A dog.", "Ein Hund."]

The first line of a table may name its columns. Where a file names languages, they decide which side is the source;
otherwise names such as "source" do, or else the order.
"""

import csv
import io
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets import CorpusError
from datasets.lines import read_text
from datasets.tables import unquoted, usual_width
from datasets.tmx import read_tmx
from shared.files import parse_json
from shared.languages import is_known, primary_language
from shared.text import as_lines

Pair = tuple[str, str]

# Names of the sides, source first.
NAMES = (
    {"source", "src", "source_text", "source_sentence", "input", "original", "sentence1", "text1"},
    {"target", "tgt", "trg", "target_text", "target_sentence", "output", "translation", "sentence2", "text2"},
)
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")  # of a column of ids or scores
PROBED = 100  # lines from which the format is recognised
MAX_BAD = 0.01  # fraction of lines without a pair above which a file is refused


def read_pair_file(path: Path, source: str, target: str) -> list[Pair]:
    """Return the sentence pairs of a file; lines without a pair are skipped and reported.

    Args:
        path: The file.
        source: Code of the source language, such as "en", "en-GB" or "eng".
        target: Code of the target language.

    Raises:
        CorpusError: The file cannot be read, has none of the formats or names other languages, or more than 1 % of its
            lines hold no pair.
    """
    text = read_text(path, markup=True)
    begin, languages = text.lstrip()[:1], (source, target)
    if not begin:
        raise CorpusError(f"{path} is empty; sentence pairs were expected.")
    if begin == "<":
        return [(first, second) for first, second in read_tmx(path, text, languages)]
    if begin in "{[":
        records = json_records(path, text)
        names = list(records[0][1]) if isinstance(records[0][1], dict) else []
        sides = _named_sides(path, names, languages)
        if names and sides is None and len(names) != 2:
            raise CorpusError(f"{path}: has {', '.join(names)}; {source} and {target}, or source and target, expected.")
        first, second = sides or (0, 1)
        return _pairs(path, records, *((names[first], names[second]) if names else (first, second)))
    records = _rows(path, text, languages)
    if not records:
        raise CorpusError(f"{path} has only empty columns; sentence pairs were expected.")
    if sides := _named_sides(path, records[0][1], languages):
        return _pairs(path, records[1:], *sides)
    return _pairs(path, *_text_columns(path, records))


def _named_sides(path: Path, names: Sequence[str], languages: Sequence[str]) -> tuple[int, int] | None:
    """The indices of source and target among the names of columns; None if these are no such names.

    Raises CorpusError if they name two languages, but not the two that are asked for.
    """
    names = [name.strip().lower() for name in names]
    codes = [primary_language(name) for name in names]
    found = []
    for language, known in zip(languages, NAMES, strict=True):
        same = [i for i, code in enumerate(codes) if code == primary_language(language)]
        found.append([*same, *(i for i, name in enumerate(names) if name in known)])
    if all(found):
        return found[0][0], found[1][0]
    if len(given := [name for name in names if is_known(name)]) > 1:
        wanted = " and ".join(languages)
        raise CorpusError(f"{path}: has the languages {', '.join(given)}; --source and --target name {wanted}.")
    return None


def _pairs(path: Path, records: Iterable[tuple[int, Any]], first: Any, second: Any) -> list[Pair]:
    """The sides of records with these keys or indices; lines that hold no pair are reported."""
    pairs, bad = [], []
    for line, record in records:
        try:
            if isinstance(record, str):  # its items are letters
                raise TypeError
            sides = record[first], record[second]
            pairs.append((sides[0].strip(), sides[1].strip()))
        except (TypeError, LookupError, AttributeError):  # columns are missing, or are not text
            bad.append(line)
    if len(bad) > MAX_BAD * (len(pairs) + len(bad)):
        formats = "TMX, columns with tabs or commas between, or JSON lines were expected"
        lines = f"{len(bad):,} of {len(pairs) + len(bad):,} lines, first line {bad[0]},"
        raise CorpusError(f"{path}: {lines} hold no sentence and translation; {formats}.")
    if bad:
        print(f"{path}: {len(bad):,} lines hold no pair and are skipped, first line {bad[0]}", file=sys.stderr)
    return pairs


def _rows(path: Path, text: str, languages: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of tab-separated text or CSV, with the numbers of their lines; blank lines are skipped.

    A row of CSV that is more than a line, or has other columns than the names or most rows, has none.
    """
    lines = as_lines(text)
    head = [line for line in lines if line.strip()][:PROBED]
    if sum("\t" in line for line in head) * 2 >= len(head):
        numbered = enumerate(lines, start=1)
        return [(number, list(map(unquoted, line.split("\t")))) for number, line in numbered if line.strip()]
    rows: list[tuple[int, list[str]]] = []
    last = 0  # line of the row before
    try:
        delimiter = max(";,", key=lambda character: steadiness(head, character))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        for row in reader:
            if reader.line_num > last + 1:  # a quote without its second one takes in the rows up to the next quote
                rows += [(line, []) for line in range(last + 1, reader.line_num + 1)]
            elif any(cell.strip() for cell in row):
                rows.append((reader.line_num, row))
            last = reader.line_num
    except csv.Error as error:
        raise CorpusError(f"{path}: line {last + 1} is not CSV ({error}); check its quotes.") from None
    has_names = rows and _named_sides(path, rows[0][1], languages)
    width = len(rows[0][1]) if has_names else usual_width(row for _, row in rows)
    return [(line, row if len(row) == width else []) for line, row in rows]  # others have delimiters in the sentences


def steadiness(lines: Sequence[str], delimiter: str) -> tuple[float, float]:
    """How well a character delimits the columns of lines: the greater, the better.

    First the fraction of lines with the usual number of columns, if that is more than one; then that of the delimiters
    without a space after them, since one with a space is mostly punctuation.
    """
    rows = [next(csv.reader([line], delimiter=delimiter, skipinitialspace=True)) for line in lines]
    width = usual_width(rows)
    spaced, count = (sum(line.count(text) for line in lines) for text in (f"{delimiter} ", delimiter))
    return (sum(len(row) == width for row in rows) / len(lines) if width > 1 else 0.0), -spaced / max(1, count)


def _text_columns(path: Path, records: Sequence[tuple[int, list[str]]]) -> tuple[Sequence[tuple[int, Any]], int, int]:
    """The records, and the indices of the first two columns that are not numbers, such as ids and scores.

    A first row with other values in columns of numbers names them, and is left out. Raises CorpusError if all columns
    but one are numbers.
    """
    probed = [row for _, row in records[:PROBED] if row]
    width = usual_width(probed)
    values = [row for row in (probed[1:] or probed) if len(row) >= width]
    numeric = [i for i in range(width) if values and all(NUMBER.fullmatch(row[i].strip()) for row in values)]
    texts = [i for i in range(width) if i not in numeric]
    if numeric and len(texts) < 2:
        raise CorpusError(f"{path}: column {numeric[0] + 1} has only numbers; two columns of sentences were expected.")
    first, second = texts[:2] if len(texts) > 1 else (0, 1)
    names = records[0][1]
    has_names = len(names) == width and any(not NUMBER.fullmatch(names[i].strip()) for i in numeric)
    return records[1:] if has_names else records, first, second


def json_records(path: Path, text: str) -> list[tuple[int, Any]]:
    """The records of JSON lines or of one array, with the numbers of their lines; pairs below "translation" are lifted.

    Lines that are not JSON are records without a side.
    """
    numbered = [(number, line) for number, line in enumerate(as_lines(text), start=1) if line.strip()]
    records = [(number, _parsed(line)) for number, line in numbered]
    if records[0][1] is None or (len(records) == 1 and isinstance(records[0][1], list)):  # not one record a line
        whole = _parsed(text)
        if not isinstance(whole, list) or not whole:
            raise CorpusError(f"{path}: line 1 is not JSON; one object a line, or an array of objects, was expected.")
        records = list(enumerate(whole, start=1))
    return [(number, _lifted(record)) for number, record in records]


def _parsed(text: str) -> Any:
    """The value of JSON; None if it is not JSON."""
    try:
        return parse_json(text.encode())
    except ValueError:
        return None


def _lifted(record: Any) -> Any:
    inside = record.get("translation") if isinstance(record, dict) else None
    return inside if isinstance(inside, dict) else record
