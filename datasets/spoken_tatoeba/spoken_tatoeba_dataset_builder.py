"""TFDS builder of spoken Tatoeba: English sentences of `tatoeba` in the voices of espeak-ng, every phone timed."""

import re
from collections.abc import Iterable

import numpy as np

import datasets
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, in_some_voice

SEED = 3
SENTENCES = {"train": 4_000, "dev": 150, "test": 150}
WORDS = (3, 10)  # in a sentence
_SENTENCE = re.compile(r"[A-Z][A-Za-z',; -]*[.?!]")


def sentences(texts: Iterable[str]) -> list[str]:
    """Those that are one sentence of a few plain words, each once."""
    plain = (text for text in texts if _SENTENCE.fullmatch(text) and WORDS[0] <= len(text.split()) <= WORDS[1])
    return list(dict.fromkeys(plain))


class Builder(SpokenBuilder):
    """Sentences of everyday life, spoken, with phones timed to the sample."""

    def requests(self) -> dict[str, list[Request]]:
        requests = {}
        for number, (split, count) in enumerate(SENTENCES.items()):
            rng = np.random.default_rng([SEED, number])
            found = sentences(record["eng"] for record in datasets.load("tatoeba", split))
            chosen = rng.choice(found, count, replace=False)
            requests[split] = [in_some_voice(text, split, rng) for text in chosen.tolist()]
        return requests
