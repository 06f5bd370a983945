"""Captions of pictures, in the files that people have:

    captions.csv            image,caption          also separated by tabs, ; or |, with or without a header
    Flickr8k.token.txt      image.jpg#0<tab>caption
    dataset_flickr30k.json  {"images": [{"filename": ..., "split": ..., "sentences": [{"raw": ...}]}]}   (Karpathy)
    captions_val2017.json   {"images": [{"id": 7, "file_name": ...}], "annotations": [{"image_id": 7, "caption": ...}]}
    metadata.jsonl          {"file_name": ..., "text": ...} in each line; also a list of such objects
    captions.json           {"image.jpg": ["caption", ...]}

A picture may occur in several rows, with one caption or more in each, and with a split.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datasets import CorpusError
from datasets.lines import read_text
from datasets.tables import DELIMITERS, read_rows, unquoted
from shared.errors import shown
from shared.media import HEIC, IMAGES
from shared.text import as_lines

# Names of columns of a table and of fields of an object.
IMAGE_FIELDS = (
    *("image", "file_name", "filename", "image_name", "image_path", "image_file", "filepath", "file", "path", "img"),
    *("photo", "picture", "image_id", "name", "id"),
)
CAPTION_FIELDS = (
    *("caption", "captions", "text", "comment", "description", "sentence", "sentences", "raw", "caption_text"),
)
FIELDS = (IMAGE_FIELDS, CAPTION_FIELDS, ("split",))
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation", "development"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SUFFIXES = IMAGES.suffixes | HEIC
MAX_BAD = 0.01  # maximum fraction of rows with too few columns
NUMBERED = re.compile(r"#(?:enc#|r)?\d+$")  # image.jpg#0 of Flickr's files


class Captioned(NamedTuple):
    """Captions of one picture, as a file has them."""

    name: str  # of the picture, perhaps with folders
    captions: list[str]
    split: str = ""  # "train", "dev", "test", or "" if none is given


def read_captions(path: Path) -> list[Captioned]:
    """The captions in a file, a picture's together, in the order of their first rows.

    Raises:
        CorpusError: The file cannot be read, or is none of the formats at the top of this file.
    """
    text = read_text(path, markup=True)
    start = text.lstrip()[:1]
    skipped: list[str] = []
    try:
        rows = list(_of_json(text) if start in ("{", "[") else _of_table(text, skipped))
        if len(skipped) > MAX_BAD * (len(rows) + len(skipped)):
            raise ValueError(f"{skipped[0]} has too few columns")
    except RecursionError:
        raise CorpusError(f"{path} is no file of captions: its lists are nested too deep") from None
    except ValueError as error:  # json.JSONDecodeError is one
        raise CorpusError(f"{path} is no file of captions: {error}") from None
    if not rows:
        raise CorpusError(f"{path} has no captions; rows such as image,caption were expected")
    if skipped:
        print(f"{path}: skipped {len(skipped):,} rows with too few columns, such as {skipped[0]}", file=sys.stderr)
    return merged(rows)


def merged(rows: Iterable[Captioned]) -> list[Captioned]:
    """The rows of each picture as one; a caption that a picture has twice is kept once, an empty one not at all."""
    found: dict[str, tuple[dict[str, None], set[str]]] = {}
    for name, captions, split in rows:
        texts, splits = found.setdefault(name, ({}, set()))
        texts.update(dict.fromkeys(text for caption in captions if (text := " ".join(caption.split()))))
        splits.update({split} - {""})
    for name, (_, splits) in found.items():
        if len(splits) > 1:
            raise CorpusError(f"{name} is in the splits {' and '.join(sorted(splits))}; one was expected")
    return [Captioned(name, list(texts), next(iter(splits), "")) for name, (texts, splits) in found.items() if texts]


def name_keys(name: str) -> list[str]:
    """What a picture may be called, the most exact first: its path, its name, its stem, and COCO's number of it."""
    path = PurePosixPath(name.lower())
    number = re.fullmatch(r"(?:coco_\w+_)?0*(\d+)", path.stem)
    return list(dict.fromkeys([path.as_posix(), path.name, path.stem, *([f"number {number[1]}"] if number else [])]))


def by_keys(names: Iterable[str]) -> dict[str, list[str]]:
    """The pictures of each of `name_keys`."""
    found: dict[str, list[str]] = {}
    for name in names:
        for key in name_keys(name):
            found.setdefault(key, []).append(name)
    return found


def matching(name: str, pictures: Mapping[str, list[str]]) -> list[str]:
    """The pictures, of `by_keys`, that a name of more or fewer folders, or of no suffix, stands for.

    There is one, none, or several if the name does not say which.
    """
    for key in name_keys(name):
        if found := pictures.get(key):
            ends = [picture for picture in found if _is_end(picture.lower(), name.lower())]
            return [name] if name in found else ends if len(ends) == 1 else found
    return []


def _is_end(first: str, second: str) -> bool:
    """Whether one of two paths ends with the other."""
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def split_name(text: str) -> str:
    """The split that a text names, such as "val" or "restval"; "" if it is empty. Raises ValueError for another."""
    if text and text.strip().lower() not in SPLITS:
        raise ValueError(f"split {shown(text)}: one of {', '.join(SPLITS)} was expected")
    return SPLITS.get(text.strip().lower(), "")


def is_picture(name: str) -> bool:
    """Whether a name ends as that of a picture does."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


# --- JSON -----------------------------------------------------------------------------------------------------------


def _of_json(text: str) -> Iterator[Captioned]:
    """The captions of JSON, or of JSON lines."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        value = [json.loads(line) for line in as_lines(text) if line.strip()]
    if isinstance(value, Mapping) and isinstance(value.get("annotations"), list):
        return _of_coco(value)
    if isinstance(value, Mapping) and isinstance(value.get("images"), list):
        value = value["images"]
    elif isinstance(value, Mapping):
        if _field(value, IMAGE_FIELDS) is None or _field(value, CAPTION_FIELDS) is None:
            value = [{"image": name, "captions": captions} for name, captions in value.items()]
        else:  # JSON lines of one line
            value = [value]
    return map(_of_object, value)


def _of_coco(value: Mapping[str, Any]) -> Iterator[Captioned]:
    """COCO's format: captions name their picture by an id."""
    names = {image.get("id"): image.get("file_name") for image in _objects(value.get("images"))}
    for annotation in _objects(value["annotations"]):
        if "caption" not in annotation:
            raise ValueError("annotations without a caption, such as those of objects")
        image = annotation.get("image_id")
        if not names.get(image):
            raise ValueError(f"a caption of image_id {shown(image)}, which is not among the images")
        yield Captioned(str(names[image]), [_caption(annotation["caption"])])


def _of_object(value: Any) -> Captioned:
    (value,) = _objects([value])
    name, captions = _field(value, IMAGE_FIELDS), _field(value, CAPTION_FIELDS)
    if name is None or captions is None:
        raise ValueError(f"an object with a picture and its captions was expected, received {shown(value)}")
    folder = value.get("filepath") if "filename" in value else None  # Karpathy's, of COCO
    name = f"{folder}/{value['filename']}" if folder else str(name)
    return Captioned(
        name, list(map(_caption, captions if isinstance(captions, list) else [captions])), _split_of(value)
    )


def _caption(value: Any) -> str:
    """A caption, or the caption of an object: Karpathy's sentences, and what `caption --json` writes."""
    if isinstance(value, Mapping):
        value = _field(value, CAPTION_FIELDS)
    if not isinstance(value, str):
        raise ValueError(f"a caption was expected, received {shown(value)}")
    return value


def _split_of(value: Mapping[str, Any]) -> str:
    return split_name(str(value.get("split") or ""))


def _field(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of these fields that an object has; None if it has none."""
    return next((value[name] for name in names if value.get(name) is not None), None)


def _objects(values: Any) -> list[Mapping[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise ValueError("a list of objects was expected")
    return values


# --- tables ---------------------------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """The columns of a table."""

    separator: str
    image: int = 0
    caption: int = 1
    split: int | None = None
    is_last: bool = True  # whether the caption is the last column: what it is separated into belongs to it
    has_header: bool = False


def _of_table(text: str, skipped: list[str]) -> Iterator[Captioned]:
    """The captions of rows that name a picture and have a caption, and perhaps a split; the others are `skipped`."""
    lines = as_lines(text)
    layout = _layout(next((line for line in lines if line.strip()), ""))
    separator = re.escape(layout.separator)
    is_row = re.compile(rf"[^{separator}]+\.\w{{3,4}}(#\d+)?\s*{separator}").match  # a picture before its caption
    for number, row, _ in read_rows(lines, layout.separator, is_row)[layout.has_header :]:
        if len(row) <= max(layout.image, layout.caption, layout.split or 0):
            skipped.append(f"row {number}, {shown(layout.separator.join(row))}")
            continue
        caption = layout.separator.join(row[layout.caption :]) if layout.is_last else row[layout.caption]
        name = NUMBERED.sub("", row[layout.image].strip().strip('"')).replace("\\", "/")
        split = "" if layout.split is None else split_name(row[layout.split])
        yield Captioned(name, [unquoted(caption.strip())], split)


def _layout(first: str) -> _Layout:
    """The layout of a table by its first row; ValueError if it is neither a header nor a picture and its caption."""
    for separator in DELIMITERS:
        names = [name.strip().strip('"').lower() for name in first.split(separator)]
        columns = [next((names.index(field) for field in fields if field in names), None) for fields in FIELDS]
        image, caption, split = columns
        if image is not None and caption is not None and image != caption:
            return _Layout(separator, image, caption, split, caption == len(names) - 1, has_header=True)
    for separator in DELIMITERS:
        name, found, _ = first.partition(separator)
        if found and is_picture(NUMBERED.sub("", name.strip().strip('"'))):
            return _Layout(separator)
    raise ValueError(f"a first row such as image,caption or photo.jpg,a caption was expected, received {shown(first)}")
