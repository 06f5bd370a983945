"""TFDS builder of the Penn Treebank with the splits and preprocessing of Mikolov et al. (2010), from three files."""

from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CORPORA
from datasets.builders import LineBuilder, manual_instructions, user_folder
from datasets.lines import read_lines

FILES = {"train": "ptb.train.txt", "dev": "ptb.valid.txt", "test": "ptb.test.txt"}


class Builder(LineBuilder):
    """Lower-case Wall Street Journal sentences; numbers are N, words beyond the 10,000 most frequent are <unk>."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("penn_treebank")
    EXPECTED: ClassVar = {"train": (42_068, 929_589), "dev": (3_370, 73_760), "test": (3_761, 82_430)}

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        folder = user_folder(dl_manager)
        if folder is None:
            urls = dict(zip(FILES, CORPORA["penn_treebank"].urls, strict=True))
            return {split: read_lines(path) for split, path in dl_manager.download(urls).items()}
        return {split: read_lines(folder / name) for split, name in FILES.items()}
