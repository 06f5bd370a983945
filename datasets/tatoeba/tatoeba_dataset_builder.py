"""TFDS builder of Tatoeba's sentence pairs in English and another language, from the files of manythings.org."""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from datasets import CorpusError
from datasets.aligned_files import assign_splits
from datasets.builders import corpus_folder, manual_instructions
from datasets.lines import read_lines


class Builder(tfds.core.GeneratorBasedBuilder):
    """Short everyday sentences in English and their translations by volunteers."""

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "2.0.0": "No sentence of a split is in another one in other case or punctuation.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("tatoeba")
    BUILDER_CONFIGS: ClassVar[list] = [tfds.core.BuilderConfig(name="deu")]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {language: tfds.features.Text() for language in ("eng", self.language)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    @property
    def language(self) -> str:
        """Code of three letters (ISO 639-3)."""
        config: Any = self.builder_config
        return config.name

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = corpus_folder(dl_manager, f"tatoeba/{self.language}")
        name = f"{self.language}.txt"
        lines = read_lines(next(iter(sorted(folder.rglob(name))), folder / name))
        pairs = [read_pair(name, number, line) for number, line in enumerate(lines, start=1)]
        splits: dict[str, list[tuple[str, str]]] = {"train": [], "dev": [], "test": []}
        for pair, split in zip(pairs, assign_splits(pairs), strict=True):
            splits[split].append(pair)
        return {split: self._generate_examples(pairs) for split, pairs in splits.items()}

    def _generate_examples(self, pairs: list[tuple[str, str]]) -> Iterator[tuple[int, dict]]:
        for index, (english, other) in enumerate(pairs):
            yield index, {"eng": english, self.language: other}


def read_pair(name: str, number: int, line: str) -> tuple[str, str]:
    """Split a line into English and translation, the first two columns; raises CorpusError if one of them is empty."""
    columns = line.split("\t")
    if len(columns) < 2 or not (columns[0].strip() and columns[1].strip()):
        raise CorpusError(f"tatoeba: line {number} of {name} is not English, a tab and a translation.")
    return columns[0].strip(), columns[1].strip()
