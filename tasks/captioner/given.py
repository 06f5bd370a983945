"""Captions that somebody has already, to be measured against the references of a corpus."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import CorpusError
from datasets.caption_files import by_keys, matching, read_captions
from datasets.lines import read_lines
from datasets.photo_folder import PhotoFolder
from shared.errors import UserError

MAX_EXAMPLES = 5  # names in a message


def measure_given(path: Path, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of the captions in a file, against those of records.

    Raises:
        UserError: A photo has no caption in the file.
    """
    from shared.metrics import CAPTION_PROTOCOL, caption_scores, distinct
    from tasks.captioner.data import read_references

    if isinstance(records, PhotoFolder):  # without reading the images
        names = [photo.name for photo in records.photos]
    else:
        names = [record["name"] for record in records]
    captions = given_captions(path, names)
    metrics = caption_scores(captions, read_references(records)) | {"distinct": distinct(captions)}
    record = {"images": len(captions), "protocol": CAPTION_PROTOCOL}
    return record | {name: round(value, 4) for name, value in metrics.items()}


def given_captions(path: Path, names: Sequence[str]) -> list[str]:
    """The first caption of each photo in a file of captions, or of plain lines in the order of the photos.

    Raises:
        UserError: The file cannot be read, a photo has no caption in it, or one name stands for several photos.
    """
    try:
        rows = read_captions(path)
    except CorpusError as error:
        lines = read_lines(path)
        while lines and not lines[-1]:
            lines.pop()
        if len(lines) == len(names):
            return lines
        raise UserError(f"{error}; or {len(names):,} lines, one for each photo; it has {len(lines):,}") from None
    captions = {row.name: row.captions[0] for row in rows}
    pictures = by_keys(captions)
    found = {name: matching(name, pictures) for name in names}
    uses = Counter(own[0] for own in found.values() if len(own) == 1)
    problems = {
        "has no caption of": [name for name, own in found.items() if not own],
        "does not say which caption is that of": [
            name for name, own in found.items() if len(own) > 1 or any(uses[row] > 1 for row in own)
        ],
    }
    for problem, wrong in problems.items():
        if wrong:
            count, such = f"{len(wrong):,} of {len(found):,} photos", ", ".join(wrong[:MAX_EXAMPLES])
            raise UserError(f"{path} {problem} {count}, such as {such}; one of each was expected")
    if others := len(captions) - len(uses):
        print(f"{path}: {others:,} captions of other photos are not measured", file=sys.stderr)
    return [captions[found[name][0]] for name in names]
