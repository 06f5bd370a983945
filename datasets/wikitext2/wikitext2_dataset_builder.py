"""TFDS builder of WikiText-2 (Merity et al. 2017), from its archive or the three files in it."""

from typing import ClassVar

import tensorflow_datasets as tfds

from datasets.builders import LineBuilder, corpus_folder, manual_instructions
from datasets.lines import read_lines

FILES = {"train": "wiki.train.tokens", "dev": "wiki.valid.tokens", "test": "wiki.test.tokens"}


class Builder(LineBuilder):
    """Good and featured articles of Wikipedia: case, numbers and punctuation kept, rare words <unk>."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("wikitext2")
    EXPECTED: ClassVar = {"train": (36_718, 2_088_628), "dev": (3_760, 217_646), "test": (4_358, 245_569)}

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        folder = corpus_folder(dl_manager, "wikitext2")
        paths = {path.name: path for path in sorted(folder.rglob("wiki.*.tokens"))}
        return {split: read_lines(paths.get(name, folder / name)) for split, name in FILES.items()}
