"""What the builders of plain text share: a record is a line, in the order of its file."""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CorpusError, find_corpus

GZIP = b"\x1f\x8b"  # how its files begin


class LineBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Lines of text; `lines` says where a split's come from.

    Attributes:
        EXPECTED: for each split its lines, and its tokens between white space with one more for each line's end.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    EXPECTED: ClassVar[Mapping[str, tuple[int, int]]] = {}

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        splits = self.lines(dl_manager)
        for split, expected in self.EXPECTED.items():
            found = len(splits[split]), sum(len(line.split()) + 1 for line in splits[split])
            if found != expected:
                raise CorpusError(
                    f"{self.name}: {split} has {found[0]:,} lines of {found[1]:,} tokens,"
                    f" not {expected[0]:,} of {expected[1]:,}."
                )
        return {split: self._generate_examples(lines) for split, lines in splits.items()}

    def _generate_examples(self, lines: list[str]) -> Iterator[tuple[int, dict]]:
        yield from ((number, {"text": line}) for number, line in enumerate(lines))


def read_lines(path: Path) -> list[str]:
    """The lines of a file in UTF-8, compressed by gzip or not; white space at their ends is left out."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content.startswith(GZIP) else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise CorpusError(f"{path} is not there.") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8: {error}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path} is damaged: {error}.") from None
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")  # and at no other sign: pairs stay in step
    return [line.strip() for line in lines]


def own_folder(dl_manager: tfds.download.DownloadManager) -> Path | None:
    """The folder of the user's copy, None when the corpus is to be downloaded."""
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS says that there is no such folder
        return None


def instructions(name: str) -> str:
    return f"Expected: {find_corpus(name).layout}."
