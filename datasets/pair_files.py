"""Sentence pairs in one file: TMX, tab-separated text, CSV or JSON lines, plain or compressed.

The format is recognised by the content:

    TMX             <tu><tuv xml:lang="en"><seg>A dog.</seg></tuv><tuv xml:lang="de"><seg>Ein Hund.</seg></tuv></tu>
    tab-separated   A dog. <tab> Ein Hund. <tab> CC-BY 2.0 ...       Tatoeba, Anki: columns after the two are not read
                    1276 <tab> A dog. <tab> 77 <tab> Ein Hund.       with the ids of Tatoeba's sentences
    CSV             "A dog.","Ein Hund."                             any delimiter of `tables`
                    1,"A dog.","Ein Hund."                           columns of numbers are not read
    JSON lines      {"en": "A dog.", "de": "Ein Hund."}              or below "translation", or ["A dog.", "Ein Hund."]

The first line of a table may name its columns. Where a file names languages, they decide which side is the source;
otherwise names such as "source" do, or else the order.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import whitespace
from typing import Any

from datasets import CorpusError
from datasets.lines import read_text
from datasets.tables import DELIMITERS, find_delimiter, json_records, read_rows, usual_width
from datasets.tmx import read_tmx
from shared.languages import is_known, primary_language
from shared.text import as_lines

Pair = tuple[str, str]

# Names of the sides, source first.
NAMES = (
    {"source", "src", "source_text", "source_sentence", "input", "original", "sentence1", "text1"},
    {"target", "tgt", "trg", "target_text", "target_sentence", "output", "translation", "sentence2", "text2"},
)
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")  # of a column of ids or scores
LINE_END = re.compile(r"\s*[\r\n]\s*")  # in a quoted cell, or in a text of JSON
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
        records = [(number, _lifted(record)) for number, record in json_records(path, text)]
        names = list(records[0][1]) if isinstance(records[0][1], dict) else []
        sides = _named_sides(path, names, languages)
        if names and sides is None and len(names) != 2:
            raise CorpusError(f"{path}: has {', '.join(names)}; {source} and {target}, or source and target, expected.")
        first, second = sides or (0, 1)
        return _pairs(path, records, *((names[first], names[second]) if names else (first, second)))
    if not text.strip(DELIMITERS + whitespace):
        raise CorpusError(f"{path} has only empty columns; sentence pairs were expected.")
    records = _rows(path, text, languages)
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
            pairs.append((_in_one_line(sides[0]), _in_one_line(sides[1])))
        except (TypeError, LookupError, AttributeError):  # columns are missing, or are not text
            bad.append(line)
    if len(bad) > MAX_BAD * (len(pairs) + len(bad)):
        formats = "TMX, columns with tabs or commas between, or JSON lines were expected"
        lines = f"{len(bad):,} of {len(pairs) + len(bad):,} lines, first line {bad[0]},"
        raise CorpusError(f"{path}: {lines} hold no sentence and translation; {formats}.")
    if bad:
        print(f"{path}: {len(bad):,} lines hold no pair and are skipped, first line {bad[0]}", file=sys.stderr)
    return pairs


def _in_one_line(sentence: str) -> str:
    return LINE_END.sub(" ", sentence.strip())


def _rows(path: Path, text: str, languages: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of tab-separated text or CSV, with the numbers of their first lines.

    A row of CSV with other columns than the names or most rows has none: its sentences have delimiters.
    """
    lines = as_lines(text)
    delimiter = find_delimiter(lines) or "\t"
    rows = [(row.line, row.cells) for row in read_rows(lines, delimiter)]
    if delimiter == "\t":
        return rows
    has_names = rows and _named_sides(path, rows[0][1], languages)
    width = len(rows[0][1]) if has_names else usual_width(row for _, row in rows)
    return [(line, row if len(row) == width else []) for line, row in rows]


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


def _lifted(record: Any) -> Any:
    """The pair below "translation", if it is there."""
    inside = record.get("translation") if isinstance(record, dict) else None
    return inside if isinstance(inside, dict) else record
