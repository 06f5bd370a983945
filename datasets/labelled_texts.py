"""Texts with labels in the user's own files: a table, JSON lines, or a folder for each label.

The format is recognised by the content:

    tab-separated   A fine film. <tab> positive              the column whose values recur more often has the labels
    CSV             1,"A fine, warm film.",positive          commas or semicolons; a quoted text may have several lines
    JSON lines      {"text": "A fine film.", "label": "positive"}        or one array of objects
    fastText        __label__positive A fine film.
    folders         reviews/positive/1.txt, reviews/negative/2.txt       a file is a text, its folder the label

The first line of a table may name its columns. A folder may hold splits: `train`, `dev` (or `valid`) and `test`, each a
file of a format above or a folder of labels. Otherwise a tenth of the texts of each label is dev and a tenth is test.
"""

import csv
import hashlib
import io
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import CorpusError
from datasets.lines import read_text
from datasets.pair_files import json_records, steadiness, unquoted, usual_width
from shared.errors import shortened, shown
from shared.inputs import list_folder
from shared.text import as_lines, corpus_files, tidy

# Names of columns, in the order of preference.
TEXT_NAMES = (
    "text", "sentence", "review", "review_text", "comment", "content", "document", "body", "message", "tweet", "phrase",
    "utterance", "question", "sms", "description", "input", "title", "v2",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "category", "polarity", "rating", "stars", "intent", "emotion", "topic",
    "language", "lang", "score", "tag", "target", "output", "y", "v1",
)  # fmt: skip
SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "val", "validation", "development"),
    "test": ("test",),
}
UNLABELLED = {"unsup"}  # folders of IMDB's reviews without a label
FASTTEXT = "__label__"
MAX_LABELS = 1000
MAX_LABEL = 100  # characters
MAX_BAD, FEW = 0.01, 3  # rows without text or label: more than this fraction, and number, refuse a file
HELD_OUT = 10  # of ten texts of a label one is dev, one is test


class Labelled(NamedTuple):
    """A text and its label."""

    text: str
    label: str


def read_splits(path: Path, own: dict[str, Path]) -> dict[str, list[Labelled]]:
    """Return the texts of train, dev and test; no text of dev or test is in train.

    Args:
        path: A file, or a folder.
        own: Files or folders of "dev" and "test" that are not part of `path`.

    Raises:
        CorpusError: A file cannot be read or has no labels, or all texts to train on have one label.
    """
    splits = _splits_of_folder(path) if path.is_dir() else {}
    splits = splits or {"train": read_labelled(path)}
    splits |= {name: read_all(file) for name, file in own.items()}
    held_out = {_key(text) for name in ("dev", "test") for text, _ in splits.get(name, ())}
    rows = [row for row in splits["train"] if _key(row.text) not in held_out]
    parts = _assigned(rows, [name for name in ("dev", "test") if name not in splits])
    found = {name: parts.get(name) or splits.get(name, []) for name in SPLITS} | {"train": parts["train"]}
    labels = Counter(label for _, label in found["train"])
    if len(labels) < 2:
        only = f"have one label, {shown(next(iter(labels)))}" if labels else "are in dev or test too"
        raise CorpusError(f"{path}: all texts to train on {only}; at least two labels were expected")
    return found


def read_all(path: Path) -> list[Labelled]:
    """Return the texts of a file, or of a folder with its splits; raises CorpusError as `read_labelled`."""
    splits = _splits_of_folder(path) if path.is_dir() else {}
    return [row for rows in splits.values() for row in rows] or read_labelled(path)


def read_labelled(path: Path) -> list[Labelled]:
    """Return the texts of a file, or of a folder of labels; rows without text or label are skipped and reported.

    Raises:
        CorpusError: The file cannot be read or has no labels, or more than 1 % of its rows lack a text or a label.
    """
    rows = _of_folder(path) if path.is_dir() else _of_file(path, read_text(path, markup=True))
    kept, bad = [], []
    for number, text, label in rows:
        row = Labelled(tidy(re.sub(r"\s", " ", text)), " ".join(unicodedata.normalize("NFC", label).split()))
        if row.text and row.label:
            kept.append(row)
        else:
            bad.append(number)
    if len(bad) > max(FEW, MAX_BAD * len(rows)) or not kept:
        first = f", first line {bad[0]}" if bad else ""
        raise CorpusError(
            f"{path}: {len(bad):,} of {len(rows):,} rows have no text or no label{first}; a text and its label a row,"
            " separated by a tab or as CSV or JSON lines, were expected"
        )
    if bad:
        print(f"{path}: {len(bad):,} rows without text or label are skipped, first line {bad[0]}", file=sys.stderr)
    _check_labels(path, Counter(label for _, label in kept))
    return kept


def fingerprint_of(splits: dict[str, list[Labelled]]) -> str:
    """Return a hash of the texts and labels of all splits, and of their order."""
    digest = hashlib.sha256()
    for name in SPLITS:
        for row in splits[name]:
            digest.update("\t".join((name, *row)).encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()[:16]


def _check_labels(path: Path, labels: Counter[str]) -> None:
    """Raise CorpusError if what was read as labels cannot be any."""
    longest = max(labels, key=len)
    if len(longest) > MAX_LABEL:
        found = f"a label of {len(longest)} characters, {shortened(longest, 40)}"
        raise CorpusError(f"{path}: {found}; labels of at most {MAX_LABEL} were expected")
    if len(labels) > MAX_LABELS or len(labels) == labels.total() >= 10:
        found = f"{len(labels):,} labels of {labels.total():,} texts, such as {shown(next(iter(labels)))}"
        raise CorpusError(f"{path}: {found}; at most {MAX_LABELS:,} labels that recur were expected")


def _key(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _assigned(rows: Sequence[Labelled], held_out: Sequence[str]) -> dict[str, list[Labelled]]:
    """The rows as train and the splits to hold out, in their order; equal texts are in one split.

    A tenth of the texts of each label, by hash, is held out for each split. A label with fewer than five texts is in
    train alone.
    """
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    seen: set[str] = set()
    for text, label in rows:
        if (key := _key(text)) not in seen:
            seen.add(key)
            texts[label][key] = None
    split_of: dict[str, str] = {}
    for keys in texts.values():
        if len(keys) < 5:
            continue
        ordered = sorted(keys, key=lambda key: hashlib.sha256(key.encode(errors="surrogatepass")).digest())
        count = max(1, len(ordered) // HELD_OUT)
        for i, name in enumerate(held_out):
            split_of |= dict.fromkeys(ordered[i * count : (i + 1) * count], name)
    parts: dict[str, list[Labelled]] = {name: [] for name in ("train", *held_out)}
    for row in rows:
        parts[split_of.get(_key(row.text), "train")].append(row)
    return parts


# --- folders --------------------------------------------------------------------------------------------------------

Row = tuple[object, str, str]
"""The number of a line or the name of a file, the text and the label."""


def _splits_of_folder(folder: Path) -> dict[str, list[Labelled]]:
    """The splits that the files or subfolders of a folder are named after; empty if there is no train."""
    entries = {entry.name.partition(".")[0].lower(): entry for entry in sorted(folder.iterdir())}
    found = {split: next((entries[name] for name in names if name in entries), None) for split, names in SPLITS.items()}
    if found["train"] is None:
        return {}
    return {split: read_labelled(entry) for split, entry in found.items() if entry is not None}


def _of_folder(folder: Path) -> list[Row]:
    """The text of each .txt file in the subfolders of a folder, with the name of the subfolder as its label."""
    labels = [entry for entry in list_folder(folder, recursive=False).subfolders if entry.name not in UNLABELLED]
    rows: list[Row] = []
    for label in labels:
        rows += [(file.name, read_text(file, markup=True), label.name) for file in corpus_files(label)]
    if not rows:
        raise CorpusError(
            f"{folder}: no .txt files in subfolders that are named after labels; these, or train.tsv, were expected"
        )
    return rows


# --- tables ---------------------------------------------------------------------------------------------------------


def _of_file(path: Path, text: str) -> list[Row]:
    begin = text.lstrip()[:1]
    if not begin:
        raise CorpusError(f"{path} is empty; texts with labels were expected")
    if text.lstrip().startswith(FASTTEXT):
        return _of_fasttext(path, text)
    records = _of_json(path, text) if begin in "{[" else None
    if records is not None:
        return records
    lines = as_lines(text)
    head = [line for line in lines if line.strip()][:100]
    if sum("\t" in line for line in head) * 2 >= len(head):
        cells = [(number, [unquoted(cell) for cell in line.split("\t")]) for number, line in enumerate(lines, 1)]
        return _of_cells(path, [(number, row) for number, row in cells if any(map(str.strip, row))], "\t")
    delimiter = max(";,|", key=lambda character: steadiness(head, character))
    if steadiness(head, delimiter)[0] == 0:
        raise CorpusError(f"{path}: one column; a text and its label, separated by a tab or as CSV, were expected")
    return _of_cells(path, _csv_rows(text, lines, delimiter), delimiter)


def _of_fasttext(path: Path, text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(as_lines(text), 1):
        label, _, rest = line.strip().partition(" ")
        if rest.startswith(FASTTEXT):
            raise CorpusError(f"{path}: line {number} has several labels; one for each text was expected")
        if line.strip():
            rows.append((number, rest, label.removeprefix(FASTTEXT) if label.startswith(FASTTEXT) else ""))
    return rows


def _of_json(path: Path, text: str) -> list[Row] | None:
    """The rows of JSON; None for a table whose first text begins with a bracket."""
    try:
        records = json_records(path, text)
    except CorpusError:
        if text.lstrip()[0] == "[" or "\t" in text.lstrip().partition("\n")[0]:
            return None
        raise
    if not any(isinstance(record, dict) for _, record in records):
        return None
    names = list(dict.fromkeys(name for _, record in records[:100] if isinstance(record, dict) for name in record))
    found = _named(names)
    if found is None:
        raise CorpusError(f"{path}: has {', '.join(names)}; text and label were expected")
    keys = [names[index] for index in found]
    rows: list[Row] = []
    for number, record in records:
        values = [record.get(key) if isinstance(record, dict) else None for key in keys]
        text, label = ("" if value is None or isinstance(value, dict | list) else str(value) for value in values)
        rows.append((number, text, label))
    return rows


def _csv_rows(text: str, lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows of CSV with the numbers of their lines; a quote that would take in the next rows is one of the text."""

    def parsed(content: str) -> list[tuple[int, list[str]]]:
        reader, rows, begin = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [], 1
        for row in reader:
            rows.append((begin, row))
            begin = reader.line_num + 1
        return rows

    try:
        rows = parsed(text)
    except csv.Error:  # such as a cell of more than 128 KiB, after a quote without a second one
        rows = []
    split = [line.split(delimiter) for line in lines]
    ends = Counter(cell.strip() for row in split if len(row) > 1 for cell in (row[0], row[-1]))
    recurring = {cell for cell, count in ends.items() if cell and count > 1}  # labels, wherever their column is
    inner = [line.split(delimiter) for _, row in rows for cell in row for line in cell.splitlines()[1:]]
    if rows and not any(len(row) > 1 and {row[0].strip(), row[-1].strip()} & recurring for row in inner):
        return [(number, row) for number, row in rows if any(map(str.strip, row))]
    return [(number, list(map(unquoted, row))) for number, row in enumerate(split, 1) if any(map(str.strip, row))]


def _of_cells(path: Path, records: Sequence[tuple[int, list[str]]], delimiter: str) -> list[Row]:
    """The text and label of each row; a text of the first or last column may have delimiters."""
    width = usual_width(row for _, row in records)
    if width < 2:
        raise CorpusError(f"{path}: one column; a text and its label, separated by a tab or as CSV, were expected")
    header = records[0][1]
    found = _named(header)
    is_named = found is not None
    if found is None:
        found = _columns(path, [row for _, row in records if len(row) == width])
        is_named = _is_header(records, width, *found)
        where = f"text in column {found[0] + 1}, label in column {found[1] + 1}"
        print(f"{path}: {where}{', names in the first line' if is_named else ''}", file=sys.stderr)
    width = len(header) if is_named else width
    text, label = found
    rows: list[Row] = []
    for number, row in records[1:] if is_named else records:
        more = len(row) - width  # delimiters in the text, if it is at an end of the row
        if more > 0 and text in (0, width - 1):
            end = text + more + 1
            row = [*row[:text], delimiter.join(row[text:end]), *row[end:]]
        rows.append((number, row[text], row[label]) if len(row) == width else (number, "", ""))
    return rows


def _named(header: Sequence[str]) -> tuple[int, int] | None:
    """The columns of text and label by their names; None if the names are no such."""
    names = [re.sub(r"\W+", "_", name.strip().strip("\ufeff").lower()) for name in header]
    text, label = (
        next((names.index(name) for name in known if name in names), None) for known in (TEXT_NAMES, LABEL_NAMES)
    )
    return None if text is None or label is None else (text, label)


def _columns(path: Path, rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The columns of text and label by their values: the text is the longest, the label recurs the most often."""
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    lengths = [sum(map(len, column)) for column in columns]
    kinds = [len(set(column)) for column in columns]
    if len(columns) == 2:
        label = 1 if kinds[1] < kinds[0] or (kinds[1] == kinds[0] and lengths[1] <= lengths[0]) else 0
        return 1 - label, label
    text = max(range(len(columns)), key=lengths.__getitem__)
    others = [i for i in range(len(columns)) if i != text and 2 <= kinds[i] < max(3, len(rows))]
    if not others:
        raise CorpusError(
            f"{path}: no column with labels; a first line that names the columns text and label is expected"
        )
    return text, min(others, key=lambda i: (kinds[i], -i))


def _is_header(records: Sequence[tuple[int, list[str]]], width: int, text: int, label: int) -> bool:
    """Whether the first row names columns: its label never recurs, all others do, and its text is one word."""
    labels = Counter(row[label].strip() for _, row in records if len(row) == width)
    first = records[0][1]
    is_alone = len(first) == width and labels.pop(first[label].strip(), 0) == 1
    return is_alone and bool(labels) and min(labels.values()) > 1 and " " not in first[text].strip()
