"""The rows of a table of sounds and transcripts: tab-separated, CSV (`,` `;` or `|`) or JSON lines, also compressed."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from datasets import CorpusError
from datasets.lines import read_text
from shared.text import as_lines

# Names of columns, in the order of preference.
SOUND_COLUMNS = (
    "path", "file", "file_name", "filename", "audio_filepath", "wav_filename", "audio_file", "audio_path", "audio",
    "wav", "sound", "clip", "name", "id",
)  # fmt: skip
TEXT_COLUMNS = ("sentence", "text", "transcript", "transcription", "normalized_text", "words", "utterance", "label")
SPEAKER_COLUMNS = ("client_id", "speaker", "speaker_id", "spk", "spk_id")


class Row(NamedTuple):
    """A line of a table."""

    line: int
    sound: str
    text: str
    speaker: str
    start: float
    end: float | None


def read_table(path: Path) -> tuple[list[Row], list[int]]:
    """Return the rows of a table that have a sound and a transcript, and the numbers of the other lines.

    Raises:
        CorpusError: The file cannot be read, or has columns with names but none of a sound and of a transcript.
    """
    is_json = path.name.removesuffix(".gz").endswith((".jsonl", ".json"))
    lines = as_lines(read_text(path, markup=is_json))
    if is_json:
        return _read_json(path, lines)
    cells = _cells(path, lines)
    header = next((row for _, row in cells), [])
    columns = [_column(header, names) for names in (SOUND_COLUMNS, TEXT_COLUMNS, SPEAKER_COLUMNS)]
    if columns[0] is None or columns[1] is None:
        columns, header = [0, 1, None], None
    rows, bad = [], []
    for number, row in cells[1:] if header else cells:
        sound, text, speaker = ("" if i is None or i >= len(row) else row[i] for i in columns)
        if sound and " ".join(text.split()):
            rows.append(Row(number, sound, " ".join(text.split()), speaker, 0.0, None))
        elif any(cell.strip() for cell in row):
            bad.append(number)
    return rows, bad


def _cells(path: Path, lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return the cells of each line that is not empty, with the line's number."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        first = next((line for line in lines if line.strip()), "")
        separator = min(",;|\t", key=lambda mark: first.find(mark) % (len(first) + 1))  # the first of them in the line
        if separator in ",;":  # in the others a quotation mark is text, as in Common Voice's and LJSpeech's tables
            text = io.StringIO("\n".join(line.replace("\r", " ") for line in lines))
            reader, number = csv.reader(text, delimiter=separator, strict=True), 1
            cells = []
            try:
                for row in reader:
                    if any("\n" in cell for cell in row):
                        raise csv.Error("a quotation mark without a second one in its line")
                    cells += [(number, row)] if row else []
                    number = reader.line_num + 1
            except csv.Error as error:
                raise CorpusError(f'{path}: line {number}: {error}; cells such as "a, b" were expected') from None
            return cells
    else:
        separator = "\t"
    return [(number, line.split(separator)) for number, line in enumerate(lines, start=1) if line.strip()]


def _read_json(path: Path, lines: Sequence[str]) -> tuple[list[Row], list[int]]:
    rows, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            cells = {str(key).lower(): value for key, value in record.items()}
            offset, duration = cells.get("offset"), cells.get("duration")
            start = float(offset or 0)
            end = None if offset is None or duration is None else start + float(duration)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            raise CorpusError(f"{path}: line {number}: a JSON object for each sound was expected") from None
        if not (0 <= start < inf and (end is None or start < end < inf)):
            raise CorpusError(f"{path}: line {number}: an offset and a duration in seconds were expected")
        sound, text, speaker = (_value(cells, names) for names in (SOUND_COLUMNS, TEXT_COLUMNS, SPEAKER_COLUMNS))
        if sound and text:
            rows.append(Row(number, sound, text, speaker, start, end))
        else:
            bad.append(number)
    return rows, bad


def _value(cells: Mapping[str, object], names: Sequence[str]) -> str:
    return next((" ".join(str(cells[name]).split()) for name in names if cells.get(name)), "")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    lowered = [cell.strip().lower().replace(" ", "_") for cell in header]
    return next((lowered.index(name) for name in names if name in lowered), None)
