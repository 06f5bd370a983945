"""TFDS builder of the Stanford Sentiment Treebank's whole sentences, positive or negative (Socher et al. 2013)."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CorpusError
from datasets.builders import manual_instructions, user_folder
from datasets.labelled_texts import Labelled, read_labelled

SPLITS = ("train", "dev", "test")


class Builder(tfds.core.GeneratorBasedBuilder):
    """Lower-case sentences of film reviews, split into words."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("sst2")
    EXPECTED: ClassVar[Mapping[str, int]] = {"train": 6_920, "dev": 872, "test": 1_821}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = user_folder(dl_manager)
        if folder is None:
            raise CorpusError("sst2: no copy was found, and nothing is downloaded.")
        splits = {split: read_labelled(folder / f"{split}.tsv") for split in SPLITS}
        for split, rows in splits.items():
            if len(rows) != self.EXPECTED[split]:
                raise CorpusError(f"sst2: {split} has {len(rows):,} sentences, expected {self.EXPECTED[split]:,}.")
        return {split: self._generate_examples(rows) for split, rows in splits.items()}

    def _generate_examples(self, rows: list[Labelled]) -> Iterator[tuple[int, dict]]:
        yield from ((index, row._asdict()) for index, row in enumerate(rows))
