"""Where builders read a corpus from, and the base class of those of plain text: one record a line, in their order.

TFDS prepares and reads these corpora without TensorFlow: they need none of its features, and archives are extracted
here, where TFDS would use TensorFlow.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from datasets import CorpusError, find_corpus
from shared.atomic import temporary_folder


class LineBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builder of records `{"text": line}`; a subclass implements `lines`.

    Attributes:
        EXPECTED: Lines and tokens of each split. Tokens are separated by white space; each line end counts as one.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    EXPECTED: ClassVar[Mapping[str, tuple[int, int]]] = {}

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        """Return the lines of each split."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        splits = self.lines(dl_manager)
        for split, expected in self.EXPECTED.items():
            counts = len(splits[split]), sum(len(line.split()) + 1 for line in splits[split])
            if counts != expected:
                actual, wanted = ("{:,} lines and {:,} tokens".format(*pair) for pair in (counts, expected))
                raise CorpusError(f"{self.name}: {split} has {actual}, expected {wanted}.")
        return {split: self._generate_examples(lines) for split, lines in splits.items()}

    def _generate_examples(self, lines: list[str]) -> Iterator[tuple[int, dict]]:
        yield from ((index, {"text": line}) for index, line in enumerate(lines))


def user_folder(dl_manager: tfds.download.DownloadManager) -> Path | None:
    """Return the folder of the user's copy, or None when the corpus is downloaded."""
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError:  # TFDS raises it when there is no such folder
        return None


def corpus_folder(dl_manager: tfds.download.DownloadManager, name: str) -> Path:
    """Return the folder of the user's copy, or of the extracted download, of a corpus with one URL."""
    if folder := user_folder(dl_manager):
        return folder
    (url,) = find_corpus(name).urls
    return extracted(dl_manager, Path(dl_manager.download(url)))


def extracted(dl_manager: tfds.download.DownloadManager, archive: Path) -> Path:
    """Return a folder of the files of an archive, zip or tar, which is extracted once."""
    parent = Path(dl_manager.download_dir) / "extracted"
    folder = parent / archive.name
    if not folder.is_dir():
        filters: dict[str, Any] = {} if archive.suffix == ".zip" else {"filter": "data"}  # zip has none
        with temporary_folder(parent, archive.name) as temporary:
            shutil.unpack_archive(archive, temporary / "files", **filters)
            (temporary / "files").rename(folder)
    return folder


def manual_instructions(name: str) -> str:
    """Return the MANUAL_DOWNLOAD_INSTRUCTIONS of a builder."""
    return f"Expected: {find_corpus(name).layout}."
