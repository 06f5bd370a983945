"""Texts with labels in the user's own files: a table, JSON lines, or a folder for each label.

The format is recognised by the content:

    tab-separated   A fine film. <tab> positive              the column whose values recur more often has the labels
    CSV             1,"A fine, warm film.",positive          commas or semicolons; a quoted text may have several lines
    JSON lines      {"text": "A fine film.", "label": "positive"}        or ["A fine film.", "positive"]; or one array
    fastText        __label__positive A fine film.
    folders         reviews/positive/1.txt, reviews/negative/2.txt       a file is a text, its folder the label

The first line of a table may name its columns. A folder may hold splits: `train`, `dev` (or `valid`) and `test`, each a
file of a format above, such as `train.tsv`, or a folder of labels. Otherwise a tenth of the texts of each label is dev
and a tenth is test.
"""

import hashlib
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import CorpusError
from datasets.label_columns import columns_by_values, is_header, named_columns
from datasets.lines import read_text
from datasets.tables import TableRow, find_delimiter, json_records, read_rows, rejoined, usual_width
from shared.bounds import MAX_LABELS
from shared.errors import shortened, shown
from shared.inputs import list_folder
from shared.text import TEXT, as_lines, tidy

SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "val", "validation", "development"),
    "test": ("test",),
}
# What follows the name of a split in that of a file; a copy that an editor keeps, such as train.tsv~, ends otherwise.
SUFFIX = re.compile(r"\.(tsv|tab|csv|txt|json|jsonl|ndjson)(\.(gz|bz2|xz))?$", re.IGNORECASE)
UNLABELLED = {"unsup"}  # folders of IMDB's reviews without a label
FASTTEXT = "__label__"
MAX_LABEL = 100  # characters
MAX_BAD, FEW = 0.01, 3  # rows without text or label: more than this fraction and this count, or half, refuse a file
HELD_OUT = 10  # of ten texts of a label one is dev, one is test


class Labelled(NamedTuple):
    """A text and its label."""

    text: str
    label: str


def read_splits(path: Path, own: dict[str, Path]) -> dict[str, list[Labelled]]:
    """Return the texts of train, dev and test; a text that dev or test has too is left out of train, and reported.

    Args:
        path: A file, or a folder.
        own: Files or folders of "dev" and "test" that are not part of `path`.

    Raises:
        CorpusError: A file cannot be read or has no labels, or all texts to train on have one label.
    """
    entries = _splits_of_folder(path) or {"train": path}
    if "train" not in entries:
        found = " and ".join(entries)
        raise CorpusError(f"{path}: has {found}, but no train; train.tsv or a folder train was expected")
    splits = {name: _read_split(name, entry) for name, entry in entries.items() if name not in own}
    splits |= {name: read_all(file) for name, file in own.items()}
    held_out = {_key(text) for name in ("dev", "test") for text, _ in splits.get(name, ())}
    rows = [row for row in splits["train"] if _key(row.text) not in held_out]
    if repeated := len(splits["train"]) - len(rows):
        print(f"{path}: texts of train that dev or test has too are left out: {repeated:,}", file=sys.stderr)
    parts = _assigned(rows, [name for name in ("dev", "test") if name not in splits])
    found = {name: parts.get(name) or splits.get(name, []) for name in SPLITS} | {"train": parts["train"]}
    labels = Counter(label for _, label in found["train"])
    if len(labels) < 2:
        only = f"have one label, {shown(next(iter(labels)))}" if labels else "are in dev or test too"
        raise CorpusError(f"{path}: all texts to train on {only}; at least two labels were expected")
    return found


def read_all(path: Path) -> list[Labelled]:
    """Return the texts of a file, or of a folder with its splits; raises CorpusError as `read_labelled`."""
    entries = _splits_of_folder(path).values() or [path]
    return [row for entry in entries for row in read_labelled(entry)]


def _read_split(name: str, path: Path) -> list[Labelled]:
    try:
        return read_labelled(path)
    except CorpusError as error:
        if name == "train":
            raise
        raise CorpusError(f"{str(error).removesuffix('.')}; --{name}-corpus can name another {name} split") from None


def read_labelled(path: Path) -> list[Labelled]:
    """Return the texts of a file, or of a folder of labels; rows without text or label are skipped and reported.

    Raises:
        CorpusError: The file cannot be read or has no labels, or more than 1 % of its rows lack a text or a label.
    """
    rows = _of_folder(path) if path.is_dir() else _of_file(path, read_text(path, markup=True))
    kept, bad = [], []
    for where, text, label, problem in rows:
        # As a classifier reads it later; other spaces than those between words are characters of the text.
        row = Labelled(tidy(text), " ".join(unicodedata.normalize("NFC", label).split()))
        has_text = bool(row.text.strip())
        if has_text and row.label:
            kept.append(row)
        else:
            bad.append(problem or f"{where} has no {'label' if has_text else 'text'}")
    what = "files without a text" if path.is_dir() else "rows without a text or a label"
    found = f"{len(bad):,} of {len(rows):,} {what}: {'; '.join(bad[:FEW])}{' ...' if bad[FEW:] else ''}"
    if len(bad) > max(FEW, MAX_BAD * len(rows)) or len(bad) >= len(kept):
        a_row = ", as lines of a table or of JSON," if not path.is_dir() else ""
        raise CorpusError(f"{path}: {found if rows else 'no rows'}; texts with labels{a_row} were expected")
    if bad:
        print(f"{path}: skipped {found}", file=sys.stderr)
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
    """A text as others are compared with it, which a classifier reads in lower case."""
    return unicodedata.normalize("NFC", text).casefold()


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


class Row(NamedTuple):
    """What may be a text with its label."""

    where: str
    """Its line or object, or its file in the folder."""
    text: str
    label: str
    problem: str = ""
    """What is wrong with it, and where."""


# --- folders --------------------------------------------------------------------------------------------------------


def _splits_of_folder(folder: Path) -> dict[str, Path]:
    """The files or subfolders of a folder that are named after splits; empty for a file, or a folder of labels."""
    if not folder.is_dir():
        return {}
    files, subfolders = list_folder(folder, recursive=False)
    named = [(SUFFIX.sub("", file.name), file) for file in files] + [(entry.name, entry) for entry in subfolders]
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        entries = [entry for stem, entry in named if stem.lower() in names]
        if len(entries) > 1:
            both = " and ".join(entry.name for entry in entries)
            raise CorpusError(f"{folder}: {both} are named after the {split} split; one of them was expected")
        if entries:
            found[split] = entries[0]
    if "train" not in found and not {*subfolders} <= {*found.values()}:  # labels, one of which is called test
        return {}
    return found


def _of_folder(folder: Path) -> list[Row]:
    """The text of each .txt file in the subfolders of a folder, with the name of the subfolder as its label."""
    rows: list[Row] = []
    others: list[Path] = []  # files
    for label in list_folder(folder, recursive=False).subfolders:
        if label.name in UNLABELLED:
            continue
        files = list_folder(label, recursive=True).files
        texts = [file for file in files if TEXT.search(file.name)]
        others += [file for file in files if not TEXT.search(file.name)]
        for file in texts:
            try:
                rows.append(Row(str(file.relative_to(folder)), read_text(file), label.name))
            except CorpusError as error:
                problem = str(error).removeprefix(f"{folder}/").removesuffix(".")
                rows.append(Row("", "", label.name, problem))
        if not texts:
            print(f"{label}: no .txt files, so {shown(label.name)} is no label", file=sys.stderr)
    if not rows:
        raise CorpusError(
            f"{folder}: no .txt files in subfolders that are named after labels; these, or train.tsv, were expected"
        )
    if others:
        print(f"{folder}: not read, the name does not end in .txt: {len(others):,}; {others[0]}", file=sys.stderr)
    return rows


# --- files ----------------------------------------------------------------------------------------------------------


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
    delimiter = find_delimiter(lines) or "\t"
    return _of_table(path, read_rows(lines, delimiter), delimiter)


def _of_fasttext(path: Path, text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(as_lines(text), 1):
        label, rest = [*line.split(maxsplit=1), "", ""][:2]
        if rest.startswith(FASTTEXT):
            raise CorpusError(f"{path}: line {number} has several labels; one for each text was expected")
        if line.strip():
            found = label.removeprefix(FASTTEXT) if label.startswith(FASTTEXT) else ""
            rows.append(Row(f"line {number}", rest, found))
    return rows


def _of_json(path: Path, text: str) -> list[Row] | None:
    """The rows of JSON, of objects or of arrays; None for a table whose first text begins with a bracket."""
    begin = text.lstrip()[0]
    try:
        records = json_records(path, text)
    except CorpusError:
        if begin == "[" or "\t" in text.lstrip().partition("\n")[0]:
            return None
        raise
    if all(isinstance(record, list) and len(record) > 1 for _, record in records):
        return _of_table(path, [TableRow(number, list(map(_written, record))) for number, record in records], " ")
    if not any(isinstance(record, dict) for _, record in records):
        return None
    names = list(dict.fromkeys(name for _, record in records[:100] if isinstance(record, dict) for name in record))
    found = named_columns(names)
    if found is None:
        raise CorpusError(f"{path}: has {', '.join(names)}; text and label were expected")
    keys = [names[index] for index in found]
    unit = "line" if begin == "{" else "object"
    rows: list[Row] = []
    for number, record in records:
        text, label = (_written(record.get(key)) if isinstance(record, dict) else "" for key in keys)
        rows.append(Row(f"{unit} {number}", text, label))
    return rows


def _written(value: object) -> str:
    """A value of JSON as a text; "" for one that has none."""
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _of_table(path: Path, records: Sequence[TableRow], delimiter: str) -> list[Row]:
    """The text and label of each row; a text of the first or last column may have delimiters."""
    width = usual_width(record.cells for record in records)
    if width < 2:
        raise CorpusError(f"{path}: one column; a text and its label, separated by a tab or as CSV, were expected")
    header = records[0].cells
    found = named_columns(header)
    is_named = found is not None
    if found is None:
        found = columns_by_values([record.cells for record in records if len(record.cells) == width])
        is_named = is_header(records, width, *found)
        where = f"text in column {found[0] + 1}, label in column {found[1] + 1}"
        print(f"{path}: {where}{', names in the first line' if is_named else ''}", file=sys.stderr)
    width = len(header) if is_named else width
    text, label = found
    rows: list[Row] = []
    for line, cells, _ in records[1:] if is_named else records:
        cells = rejoined(cells, width, text, delimiter)
        if len(cells) == width:
            rows.append(Row(f"line {line}", cells[text], cells[label]))
        else:
            rows.append(Row(f"line {line}", "", "", f"line {line} has {len(cells)} columns, others have {width}"))
    return rows
