"""Captions that somebody has already, to be measured against the references of a corpus."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import CorpusError
from datasets.caption_files import name_keys, read_captions
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
        UserError: The file cannot be read, or a photo has no caption in it.
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
    found: dict[str, str] = {}
    for row in rows:
        for key in name_keys(row.name):
            found.setdefault(key, row.captions[0])
    captions = [next((found[key] for key in name_keys(name) if key in found), None) for name in names]
    if missing := [name for name, caption in zip(names, captions, strict=True) if caption is None]:
        shown = ", ".join(missing[:MAX_EXAMPLES])
        count = f"{len(missing):,} of {len(names):,} photos"
        raise UserError(f"{path} has no caption of {count}, such as {shown}; one of each was expected")
    used = {key for name in names for key in name_keys(name)}
    if others := sum(not used & set(name_keys(row.name)) for row in rows):
        print(f"{path}: {others:,} captions of other photos are not measured", file=sys.stderr)
    return [caption for caption in captions if caption is not None]
