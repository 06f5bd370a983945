"""How a word that no dictionary has may be said: a translator of this suite, from letters to phones.

It is the released run `cmudict` of the translator, trained on the CMU Pronouncing Dictionary:

    python -m datasets pronunciations cmudict        # letters.txt and phones.txt
    python -m tasks.translator.train --corpus files --source letters --source-file cmudict/letters.txt \\
      --target phones --target-file cmudict/phones.txt --units 160 --embedding-units 64 --embedding-dropout 0.1 \\
      --memory-dropout 0.25 --output-dropout 0.25 --word-dropout 0 --alignment-weight 0 --max-length 40 \\
      --batch-size 128 --epochs 12 --learning-rate 4e-3 --weight-average 0.995 --length-penalty 0.5 --run cmudict

Of unseen words 26.8 % differ from the dictionary, and 6.4 % of the phones do: `tests/benchmarks/spelling.py`.
Tasks do not import each other, so it is used through the door that users have, `quatrain`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from typing import Any

from shared import runs

RUN = "cmudict"
N_BEST = 3
MIN_RATIO = 0.15  # of the probability of a pronunciation to that of the most probable one
LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "th", "þ": "th"})


def plain_letters(word: str) -> str:
    """The word in the letters a to z and the apostrophe; empty if it has others, accents apart."""
    split = unicodedata.normalize("NFKD", word.lower().translate(LETTERS))
    plain = "".join(letter for letter in split if not unicodedata.combining(letter))
    return plain if re.fullmatch("[a-z']*[a-z][a-z']*", plain) else ""


@dataclass(frozen=True)
class Speller:
    """Pronounces words by their spelling; the model is loaded for the first word."""

    @classmethod
    def load(cls) -> "Speller | None":
        """The speller of the released model; None if a checkout has none."""
        return cls() if (runs.ROOT / "translator" / RUN / "config.json").is_file() else None

    def __call__(self, words: Sequence[str]) -> list[list[tuple[str, ...]]]:
        """The likely pronunciations of each word, the most probable first; none of what is not written in Latin."""
        plain = [plain_letters(word) for word in words]
        known = sorted(set(filter(None, plain)))
        if not known:
            return [[] for _ in words]
        translations = _translator()([" ".join(word) for word in known])
        found = dict(zip(known, map(likely, translations), strict=True))
        return [found.get(word, []) for word in plain]


@cache
def _translator() -> Any:
    from quatrain import Translator

    return Translator.load(RUN, n_best=N_BEST, as_is=True)


def likely(translations: Sequence[Any]) -> list[tuple[str, ...]]:
    """The pronunciations of a word that are not much less probable than the first."""
    best = translations[0].log_prob
    kept = [each for each in translations if each.text and exp(min(each.log_prob - best, 0)) >= MIN_RATIO]
    return list(dict.fromkeys(tuple(each.text.split()) for each in kept))
