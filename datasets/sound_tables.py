"""The rows of a table of sounds and transcripts: tab-separated, CSV or JSON, also compressed."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from datasets import CorpusError
from datasets.lines import read_text
from datasets.tables import find_delimiter, json_records, read_rows, rejoined, usual_width
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
        CorpusError: The file cannot be read, or its records are not objects of JSON.
    """
    is_json = path.name.removesuffix(".gz").endswith((".jsonl", ".json"))
    text = read_text(path, markup=is_json)
    found = _of_json(path, text) if is_json else _of_table(as_lines(text))
    return [row for row in found if row.sound and row.text], [row.line for row in found if not (row.sound and row.text)]


def _of_table(lines: Sequence[str]) -> list[Row]:
    delimiter = find_delimiter(lines) or "\t"
    records = read_rows(lines, delimiter)
    header = records[0].cells if records else []
    columns = [_column(header, names) for names in (SOUND_COLUMNS, TEXT_COLUMNS, SPEAKER_COLUMNS)]
    if columns[0] is None or columns[1] is None:
        columns, header = [0, 1, None], None
    width = usual_width(record.cells for record in records)
    rows = []
    for line, cells, _ in records[1:] if header else records:
        cells = rejoined(cells, width, columns[1] or 0, delimiter)
        sound, text, speaker = ("" if i is None or i >= len(cells) else cells[i] for i in columns)
        rows.append(Row(line, sound.strip(), " ".join(text.split()), speaker, 0.0, None))
    return rows


def _of_json(path: Path, text: str) -> list[Row]:
    rows = []
    for number, record in json_records(path, text):
        try:
            cells = {str(key).lower(): value for key, value in record.items()}
            offset, duration = cells.get("offset"), cells.get("duration")
            start = float(offset or 0)
            end = None if offset is None or duration is None else start + float(duration)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise CorpusError(f"{path}: line {number}: a JSON object for each sound was expected") from None
        if not (0 <= start < inf and (end is None or start < end < inf)):
            raise CorpusError(f"{path}: line {number}: an offset and a duration in seconds were expected")
        sound, transcript, speaker = (_value(cells, names) for names in (SOUND_COLUMNS, TEXT_COLUMNS, SPEAKER_COLUMNS))
        rows.append(Row(number, sound, transcript, speaker, start, end))
    return rows


def _value(cells: Mapping[str, object], names: Sequence[str]) -> str:
    return next((" ".join(str(cells[name]).split()) for name in names if cells.get(name)), "")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    lowered = [cell.strip().lower().replace(" ", "_") for cell in header]
    return next((lowered.index(name) for name in names if name in lowered), None)
