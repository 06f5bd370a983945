"""TFDS builder of spoken Tatoeba: English sentences of `tatoeba`, synthesized with phone times."""

import re
from collections.abc import Iterable

import numpy as np

import datasets
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, random_request

SEED = 3
SENTENCES = {"train": 4_000, "dev": 150, "test": 150}
WORDS = (3, 10)  # minimum and maximum length of a sentence
_SENTENCE = re.compile(r"[A-Z][A-Za-z',; -]*[.?!]")


def sentences(texts: Iterable[str]) -> list[str]:
    """Return the distinct texts that are one sentence of WORDS plain words."""
    plain = (text for text in texts if _SENTENCE.fullmatch(text) and WORDS[0] <= len(text.split()) <= WORDS[1])
    return list(dict.fromkeys(plain))


class Builder(SpokenBuilder):
    """Synthesized everyday sentences with phone times in samples."""

    def requests(self) -> dict[str, list[Request]]:
        requests = {}
        for index, (split, count) in enumerate(SENTENCES.items()):
            rng = np.random.default_rng([SEED, index])
            texts = sentences(record["eng"] for record in datasets.load("tatoeba", split))
            chosen = rng.choice(texts, count, replace=False)
            requests[split] = [random_request(text, split, rng) for text in chosen.tolist()]
        return requests
