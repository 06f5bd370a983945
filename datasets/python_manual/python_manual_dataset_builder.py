"""TFDS builder of the manual that `help()` shows, from the running Python; nothing is downloaded."""

import zlib

import tensorflow_datasets as tfds

from datasets.builders import LineBuilder

BUCKETS = 10  # of the hash that assigns paragraphs to splits: one bucket is dev, one is test


def paragraphs() -> list[str]:
    """Return the distinct paragraphs of the manual, each on one line, in order of their topics."""
    from pydoc_data.topics import topics

    texts = (" ".join(text.split()) for topic in sorted(topics) for text in topics[topic].split("\n\n"))
    return [text for text in dict.fromkeys(texts) if text]


def split_paragraphs() -> dict[str, list[str]]:
    """Return the paragraphs of each split."""
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for text in paragraphs():
        # A hash of the text keeps each paragraph in its split when another version of Python adds paragraphs.
        bucket = zlib.crc32(text.encode()) % BUCKETS
        splits[{0: "dev", 1: "test"}.get(bucket, "train")].append(text)
    return splits


class Builder(LineBuilder):
    """Paragraphs of the language reference: prose, grammar and examples, about 95,000 words and symbols."""

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        del dl_manager  # nothing to download
        return split_paragraphs()
