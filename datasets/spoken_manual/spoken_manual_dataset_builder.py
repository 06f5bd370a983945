"""TFDS builder of the spoken manual: sentences of `python_manual`, synthesized with phone times."""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from datasets.python_manual.python_manual_dataset_builder import split_paragraphs
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, random_request

SEED = 2
REPEATS = {"train": 3, "dev": 1, "test": 1}  # utterances per sentence, each in a random voice
WORDS = (4, 12)  # minimum and maximum length of a sentence
_ENDS = re.compile(r"(?<=[.!?;:,])\s+|[()]")
_WORD = re.compile(r"[A-Za-z][a-z]*(?:['-][a-z]+)*")


def sentences(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yield the clauses of WORDS plain words; code and numbers are not plain."""
    for paragraph in paragraphs:
        for part in _ENDS.split(paragraph):
            words = part.strip(" .,;:!?").split()
            if WORDS[0] <= len(words) <= WORDS[1] and all(map(_WORD.fullmatch, words)):
                yield " ".join(words)


def make_requests() -> dict[str, list[Request]]:
    """Return the utterances of each split; no sentence is in two splits."""
    requests: dict[str, list[Request]] = {}
    taken: set[str] = set()  # sentences of the splits before
    for index, (split, paragraphs) in enumerate(split_paragraphs().items()):
        rng = np.random.default_rng([SEED, index])
        texts = [text for text in dict.fromkeys(sentences(paragraphs)) if text not in taken]
        requests[split] = [random_request(f"{text}.", split, rng) for _ in range(REPEATS[split]) for text in texts]
        taken |= set(texts)
    return requests


class Builder(SpokenBuilder):
    """Synthesized sentences of the Python language reference with phone times in samples."""

    def requests(self) -> dict[str, list[Request]]:
        return make_requests()
