"""TFDS builder of the manual that `help()` shows; nothing is downloaded, the text is that of the Python that runs."""

import zlib

import tensorflow_datasets as tfds

from datasets.lines import LineBuilder

EVERY = 10  # of so many paragraphs one goes to development and one to test


def paragraphs() -> list[str]:
    """Each paragraph of the manual once, on one line, in the order of the topics."""
    from pydoc_data.topics import topics

    found = (" ".join(text.split()) for topic in sorted(topics) for text in topics[topic].split("\n\n"))
    return [text for text in dict.fromkeys(found) if text]


def split_paragraphs() -> dict[str, list[str]]:
    """The paragraphs of each split."""
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for text in paragraphs():
        # By its own bytes: a paragraph stays in its split when the next Python adds another.
        place = zlib.crc32(text.encode()) % EVERY
        splits[{0: "dev", 1: "test"}.get(place, "train")].append(text)
    return splits


class Builder(LineBuilder):
    """Paragraphs of the language reference: prose, grammar and examples, about 95,000 words and signs."""

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        del dl_manager  # nothing to download
        return split_paragraphs()
