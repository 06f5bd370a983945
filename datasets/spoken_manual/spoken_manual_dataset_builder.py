"""TFDS builder of the spoken manual: sentences of `python_manual` in the voices of espeak-ng, every phone timed."""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from datasets.python_manual.python_manual_dataset_builder import split_paragraphs
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, in_some_voice

SEED = 2
TIMES = {"train": 3, "dev": 1, "test": 1}  # that each sentence is said, in other voices
WORDS = (4, 12)  # in a sentence
_ENDS = re.compile(r"(?<=[.!?;:,])\s+|[()]")
_WORD = re.compile(r"[A-Za-z][a-z]*(?:['-][a-z]+)*")


def sentences(paragraphs: Iterable[str]) -> Iterator[str]:
    """What people would read aloud: a few words in a row, all of them plain, without code and numbers."""
    for paragraph in paragraphs:
        for part in _ENDS.split(paragraph):
            words = part.strip(" .,;:!?").split()
            if WORDS[0] <= len(words) <= WORDS[1] and all(map(_WORD.fullmatch, words)):
                yield " ".join(words)


def make_requests() -> dict[str, list[Request]]:
    """What is said in each split: no sentence of one is heard in another."""
    requests: dict[str, list[Request]] = {}
    taken: set[str] = set()  # in the splits before
    for number, (split, paragraphs) in enumerate(split_paragraphs().items()):
        rng = np.random.default_rng([SEED, number])
        found = [text for text in dict.fromkeys(sentences(paragraphs)) if text not in taken]
        requests[split] = [in_some_voice(f"{text}.", split, rng) for _ in range(TIMES[split]) for text in found]
        taken |= set(found)
    return requests


class Builder(SpokenBuilder):
    """Sentences of the Python language reference, spoken, with phones timed to the sample."""

    def requests(self) -> dict[str, list[Request]]:
        return make_requests()
