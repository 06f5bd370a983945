"""Photos with captions, as a corpus: a folder, or a file of captions with the folder of its photos.

    photos/                            photos/                  captions.json   any file of `caption_files`; its folder
      captions.csv   image,caption       a.jpg       a.txt                      or the one above it has the photos
      a.jpg  trip/b.png                  trip/b.png  trip/b.txt

A photo has one caption or more: rows of the file, or lines of the text beside it. Splits are those that the file gives
(a column `split`, Karpathy's field), else those in its name (captions_train2014.json), in lists of names
(Flickr_8k.trainImages.txt) or in folders (train/, val/). A split that none of them gives is made of the training
photos, one in ten, by a hash of the content of each: it stays the same when photos are added, moved or renamed. What is
left out is counted on standard error.
"""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import CorpusError, RecordSequence
from datasets.caption_files import SPLITS, SUFFIXES, Captioned, by_keys, matching, merged, name_keys, read_captions
from datasets.lines import read_text
from shared.inputs import list_folder
from shared.text import as_lines

# Files of captions in a folder: those of the first group that has any. Files of the last group are tried.
CAPTION_FILES = (
    ("dataset*.json",),
    ("captions*.json", "captions*.jsonl", "metadata.jsonl"),
    ("captions*.csv", "captions*.tsv", "captions*.txt", "metadata.csv", "results*.csv", "*token.txt", "*.token"),
    ("*.json", "*.jsonl", "*.csv", "*.tsv"),
)
IGNORED = "*.lemma.token.txt"  # captions of Flickr8k without inflections
TEXTS = (".txt", ".caption")  # suffixes of the text beside a photo
SPLIT_IN_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(SPLITS)})(?:images|ids|list|[^a-z]|$)", re.IGNORECASE)
PERIOD = 10  # of as many photos, one is of dev and one of test, where these are made
MAX_EXAMPLES = 5  # names in a report
NAMED = {
    "flickr30k": "dataset_flickr30k.json (Karpathy) or results_20130124.token, and the photos in any subfolder",
    "coco": (
        "dataset_coco.json (Karpathy), or annotations/captions_train2017.json and captions_val2017.json, and the photos"
        " in any subfolder"
    ),
}
"""Public corpora that are read as a folder, `$QUATRAIN_DATA/<name>`, and their expected files."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo with captions."""

    path: Path
    name: str  # its path within the folder
    sha256: str  # of its content
    captions: tuple[str, ...]
    split: str  # "train", "dev" or "test" if it is given, else ""


class PhotoFolder(RecordSequence):
    """Records of photos, read on access: `image` (the bytes of its file), `name` and `captions` (a list)."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.photos = photos

    @classmethod
    def load(
        cls, corpus: str, split: str, data_dir: Path | None = None, made: Sequence[str] = ("dev", "test")
    ) -> "PhotoFolder":
        """Open a split of a corpus.

        Args:
            corpus: A folder, a file of captions, or a name in `NAMED`.
            split: "train", "dev" or "test"; or "all".
            data_dir: For a file the folder of its photos; for a name the folder of the corpus.
            made: Splits that are made of training photos if the corpus gives none.

        Raises:
            CorpusError: There is no such corpus, its captions cannot be read, or the split has no photo.
        """
        photos = read_photos(corpus, data_dir)
        if split != "all":
            photos = [photo for photo in with_splits(photos, made) if photo.split == split]
        if not photos:
            raise CorpusError(f"{corpus}: no photo is of the {split} split; at least one was expected")
        return cls(photos)

    def without(self, others: Iterable[Sequence[dict[str, Any]]]) -> "PhotoFolder":
        """The photos that are not, byte for byte, among the images of others, of any corpus."""
        taken = {sha256 for other in others for sha256 in _hashes(other)}
        return PhotoFolder([photo for photo in self.photos if photo.sha256 not in taken])

    def __len__(self) -> int:
        return len(self.photos)

    def record(self, index: int) -> dict[str, Any]:
        photo = self.photos[index]
        return {"image": photo.path.read_bytes(), "name": photo.name, "captions": list(photo.captions)}


def fingerprint(corpus: str, data_dir: Path | None = None) -> str:
    """Return a hash of the photos, their captions and splits."""
    digest = hashlib.sha256()
    for photo in read_photos(corpus, data_dir):
        digest.update(repr((photo.sha256, photo.captions, photo.split)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


@functools.cache  # each split needs it, and it reads all files
def read_photos(corpus: str, data_dir: Path | None = None) -> tuple[Photo, ...]:
    """Return all photos of a corpus that have captions, in order of path; report what is left out.

    Raises:
        CorpusError: There is no such corpus, or its captions cannot be read.
    """
    files, folder = _locate(corpus, data_dir)
    album = Album(folder)
    if not album.photos and files and data_dir is None:  # such as annotations/captions_val2017.json
        album = Album(folder.absolute().parent)
    if not album.photos:
        raise CorpusError(f"{folder}: no photos in it or its subfolders; files such as a.jpg were expected")
    files = files or album.caption_files()
    rows = [row for file in files for row in album.of_file(file)] if files else album.of_texts()
    captions = {row.name: row for row in merged(rows)}
    album.report(captions, files)
    if not captions:
        raise CorpusError(
            f"{folder}: no photo has a caption; a text file beside each, or a file that names the photos, such as"
            " captions.csv (image,caption), was expected"
        )
    given = {name: row.split for name, row in captions.items() if row.split} or album.listed_splits()
    photos = [
        Photo(
            path=path,
            name=name,
            sha256=_sha256(path),
            captions=tuple(captions[name].captions),
            split=given.get(name) or _split_in(PurePosixPath(name).parent.as_posix()),
        )
        for name, path in album.photos.items()
        if name in captions
    ]
    return tuple(photos)


def gives_splits(corpus: str, data_dir: Path | None = None) -> bool:
    """Whether a corpus says of which split its photos are."""
    return any(photo.split in ("dev", "test") for photo in read_photos(corpus, data_dir))


def with_splits(photos: Sequence[Photo], made: Sequence[str]) -> list[Photo]:
    """The photos, each with a split: the given one, else train. Splits to be made that none has are made of train.

    Raises:
        CorpusError: They are too few for that.
    """
    given = {photo.split for photo in photos}
    in_train = {photo.sha256 for photo in photos if photo.split in ("", "train")}
    chosen: dict[str, str] = {}  # by content, so that two copies of a photo are not in two splits
    for bucket, split in enumerate(("dev", "test")):
        if split in made and split not in given:
            rest = sorted(in_train - chosen.keys())
            own = [sha256 for sha256 in rest if int(sha256[:8], 16) % PERIOD == bucket]
            chosen |= dict.fromkeys(own or rest[:1], split)  # of a few photos the first, by their hash
    if chosen and len(chosen) == len(in_train):
        raise CorpusError(f"{len(in_train)} different photos are too few to be split for training; more were expected")
    return [
        photo if photo.split in ("dev", "test") else replace(photo, split=chosen.get(photo.sha256, "train"))
        for photo in photos
    ]


def _locate(corpus: str, data_dir: Path | None) -> tuple[list[Path], Path]:
    """The file of captions, if it is named, and the folder of the photos."""
    path = Path(corpus).expanduser()
    if corpus in NAMED:
        root = os.environ.get("QUATRAIN_DATA")
        folder = data_dir or (Path(root).expanduser() / corpus if root else None)
        if folder is None or not folder.is_dir():
            missing = f"there is no folder {folder}" if folder else "$QUATRAIN_DATA is not set"
            raise CorpusError(f"{corpus}: {missing}; name one with --data-dir; expected files: {NAMED[corpus]}")
        return [], folder
    if data_dir and not (path.is_file() and data_dir.is_dir()):
        raise CorpusError(f"--data-dir {data_dir}: the folder of the photos of a file of captions was expected")
    if corpus.strip() and path.is_dir():
        return [], path
    if not path.is_file():
        raise CorpusError(f"corpus {corpus!r}: a folder of photos with captions, or a file of captions, was expected")
    return [path], data_dir or path.parent


class Album:
    """The photos of a folder, and what it says about them.

    Attributes:
        photos: Path of each photo, by its path within the folder, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, list_folder(folder, recursive=True).files
        pictures = [path for path in self.files if path.suffix.lower() in SUFFIXES]
        self.photos = {path.relative_to(folder).as_posix(): path for path in pictures}
        self._names = by_keys(self.photos)
        self._texts = {
            name: path.with_name(stem + suffix)
            for name, path in self.photos.items()
            for stem in (path.name, path.stem)
            for suffix in TEXTS
            if path.with_name(stem + suffix).is_file()
        }
        self._problems: dict[str, list[str]] = {}  # names, by what is wrong with them

    def find(self, name: str) -> str | None:
        """The photo that a file calls by this name: more or fewer parts of its path, or no suffix; None without one."""
        names = matching(name, self._names)
        if len(names) == 1:
            return names[0]
        self._problems.setdefault(f"names of {'several photos' if names else 'no photo'}", []).append(name)
        return None

    def caption_files(self) -> list[Path]:
        """The files of captions in the folder; none if the captions are beside the photos."""
        texts = set(self._texts.values())
        for patterns in CAPTION_FILES:
            names = {path: path.name.lower().removesuffix(".gz") for path in self.files if path not in texts}
            files = [path for path, name in names.items() if any(fnmatch(name, pattern) for pattern in patterns)]
            files = [path for path in files if not fnmatch(names[path], IGNORED)]
            if patterns == CAPTION_FILES[-1]:
                files = [path for path in files if self._names_photos(path)]
            if files:
                return files
        return []

    def _names_photos(self, path: Path) -> bool:
        try:
            return any(key in self._names for row in read_captions(path) for key in name_keys(row.name))
        except CorpusError:
            return False

    def of_file(self, path: Path) -> list[Captioned]:
        """The captions in a file; names are those of `photos`."""
        split = _split_in(path.stem)
        folder = os.path.relpath(path.parent, self.folder)
        rows = []
        for row in read_captions(path):
            beside = PurePosixPath(os.path.normpath(PurePosixPath(folder, row.name))).as_posix()
            if name := beside if beside in self.photos else self.find(row.name):
                rows.append(row._replace(name=name, split=row.split or split))
        return rows

    def of_texts(self) -> list[Captioned]:
        """The captions in the texts beside the photos, one a line."""
        texts = set(self._texts.values())
        lonely = [path for path in self.files if path.suffix.lower() in TEXTS and path not in texts]
        self._problems["texts without a photo"] = [path.relative_to(self.folder).as_posix() for path in lonely]
        return [Captioned(name, as_lines(read_text(path))) for name, path in self._texts.items()]

    def listed_splits(self) -> dict[str, str]:
        """The splits in lists of names, such as `Flickr_8k.trainImages.txt`."""
        texts, splits = set(self._texts.values()), {}
        for path in self.files:
            if path.suffix == ".txt" and path not in texts and (split := _split_in(path.stem)):
                names = [line.strip() for line in as_lines(read_text(path)) if line.strip()]
                if names and all(PurePosixPath(name.lower()).name in self._names for name in names):
                    splits |= {found: split for name in names if (found := self.find(name))}
        return splits

    def report(self, captions: Mapping[str, Captioned], files: Sequence[Path]) -> None:
        """Count on standard error what is left out."""
        if files and self._texts:
            self._problems[f"texts beside photos, since {files[0].name} has captions"] = list(self._texts)
        without = [name for name in self.photos if name not in captions]
        for problem, names in {"photos without a caption": without, **self._problems}.items():
            if names := list(dict.fromkeys(names)):
                more = f" and {len(names) - MAX_EXAMPLES:,} more" if len(names) > MAX_EXAMPLES else ""
                print(
                    f"{self.folder}: {len(names):,} {problem}: {', '.join(names[:MAX_EXAMPLES])}{more}", file=sys.stderr
                )


def _split_in(name: str) -> str:
    """The split that the name of a file or the folders of a photo give; "" if none."""
    found = SPLIT_IN_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name))
    return SPLITS[found[1].lower()] if found else ""


def _hashes(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    if isinstance(records, PhotoFolder):  # without reading the images
        return (photo.sha256 for photo in records.photos)
    return (hashlib.sha256(record["image"]).hexdigest() for record in records)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); a photo was expected") from None
