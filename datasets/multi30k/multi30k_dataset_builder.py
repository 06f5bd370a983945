"""TFDS builder of Multi30k, task 1 (Elliott et al. 2016, 2017): image captions and their translations."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CORPORA, CorpusError
from datasets.builders import manual_instructions, user_folder
from datasets.lines import read_lines

LANGUAGES = ("en", "de", "fr")
FILES = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
EXPECTED = {"train": 29_000, "dev": 1_014, "test": 1_000}


class Builder(tfds.core.GeneratorBasedBuilder):
    """English captions of Flickr photos, translated into German and French."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("multi30k")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({language: tfds.features.Text() for language in LANGUAGES})
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = user_folder(dl_manager)
        if folder is None:
            urls = {url.rpartition("/")[2]: url for url in CORPORA["multi30k"].urls}
            paths = {name: Path(path) for name, path in dl_manager.download(urls).items()}
        else:
            paths = {path.name: path for path in sorted(folder.rglob("*"))}
        return {split: self._generate_examples(FILES[split], EXPECTED[split], paths) for split in FILES}

    def _generate_examples(self, name: str, expected: int, paths: dict[str, Path]) -> Iterator[tuple[int, dict]]:
        columns = {}
        for language in LANGUAGES:
            file = f"{name}.{language}"
            path = paths.get(f"{file}.gz", paths.get(file, Path(f"{file}.gz")))
            columns[language] = lines = read_lines(path)
            if len(lines) != expected:
                raise CorpusError(f"multi30k: {path.name} has {len(lines):,} lines, expected {expected:,}.")
        for index, texts in enumerate(zip(*columns.values(), strict=True)):
            yield index, dict(zip(columns, texts, strict=True))
