"""TFDS builder of the Penn Treebank in the split and form of Mikolov et al. (2010), from its three files."""

from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CORPORA
from datasets.lines import LineBuilder, instructions, own_folder, read_lines

FILES = {"train": "ptb.train.txt", "dev": "ptb.valid.txt", "test": "ptb.test.txt"}


class Builder(LineBuilder):
    """Sentences of the Wall Street Journal in lower case, numbers as N, 10,000 words, the others as <unk>."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions("penn_treebank")
    EXPECTED: ClassVar = {"train": (42_068, 929_589), "dev": (3_370, 73_760), "test": (3_761, 82_430)}

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        folder = own_folder(dl_manager)
        if folder is None:
            urls = dict(zip(FILES, CORPORA["penn_treebank"].urls, strict=True))
            return {split: read_lines(path) for split, path in dl_manager.download(urls).items()}
        return {split: read_lines(folder / name) for split, name in FILES.items()}
