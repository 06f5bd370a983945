"""Experts' scores of pronunciation in speechocean762 (Zhang et al. 2021), of phones, words and utterances.

resource/scores.json          of the corpus: phones 0 to 2, words and utterances 0 to 10
resource/phone_scores.tsv     of copies that lack it: utterance, phones and their scores, a line each; the words of an
                              utterance are then those of resource/text-phone, and the score of a word or an utterance
                              is the mean of its phones
All scores are read as numbers from 0 to 2.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets import CorpusError
from datasets.lines import read_text
from shared.errors import shortened
from shared.text import as_lines

MAX_PHONE, MAX_OTHER = 2.0, 10.0  # the best scores of a phone, and of a word or an utterance
SCORES, PHONE_SCORES, WORDS = "scores.json", "phone_scores.tsv", "text-phone"


@dataclass(frozen=True, kw_only=True)
class ExpertScores:
    """The scores of an utterance, between 0 and 2."""

    phones: tuple[str, ...]  # of ARPAbet in capitals, without stress
    of_phones: np.ndarray  # float64 (phones,)
    word_lengths: tuple[int, ...]  # number of phones of each word
    of_words: np.ndarray  # float64 (words,)
    of_utterance: float
    are_derived: bool  # whether those of words and of the utterance are means of those of phones


def read_expert_scores(folder: Path) -> dict[str, ExpertScores]:
    """Return the scores of each utterance by its name; none if the folder and its subfolders have no file of them.

    Raises:
        CorpusError: A file of scores is damaged.
    """
    for name, read in ((SCORES, read_scores), (PHONE_SCORES, read_phone_scores)):
        if path := next(iter(sorted(folder.rglob(name))), None):
            return read(path)
    return {}


def read_scores(path: Path) -> dict[str, ExpertScores]:
    """Read `scores.json`."""
    text = read_text(path, markup=True)
    try:
        scores = json.loads(text)
        return {name: _of_record(record) for name, record in scores.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        problem = shortened(str(error))
        raise CorpusError(f"{path}: {problem}; an object of speechocean762's scores was expected") from None


def _of_record(record: Mapping[str, Any]) -> ExpertScores:
    phones, of_phones, lengths, of_words = [], [], [], []
    for word in record["words"]:
        own = word["phones"].split() if isinstance(word["phones"], str) else word["phones"]
        phones += own
        of_phones += word["phones-accuracy"]
        lengths.append(len(own))
        of_words.append(word["accuracy"] * MAX_PHONE / MAX_OTHER)
    of_utterance = record["accuracy"] * MAX_PHONE / MAX_OTHER
    return _checked(phones, of_phones, lengths, (of_words, of_utterance))


def read_phone_scores(path: Path) -> dict[str, ExpertScores]:
    """Read `phone_scores.tsv`, and the words of the utterances from `text-phone` beside it."""
    lengths: dict[str, list[int]] = {}
    for line in filter(str.strip, as_lines(read_text(path.with_name(WORDS)))):
        key, *phones = line.split()
        lengths.setdefault(key.rpartition(".")[0], []).append(len(phones))
    found = {}
    for number, line in enumerate(as_lines(read_text(path)), start=1):
        name, *columns = line.rstrip("\n").split("\t")
        if number == 1 or not name:  # the names of the columns
            continue
        try:
            phones, scores = (column.split() for column in columns)
            found[name] = _checked(phones, [float(score) for score in scores], lengths[name])
        except KeyError:
            raise CorpusError(f"{path}: line {number}: {shortened(name)} is not in {WORDS}") from None
        except ValueError as error:
            problem = shortened(str(error))
            raise CorpusError(f"{path}: line {number}: {problem}; utterance, phones, scores were expected") from None
    return found


def _checked(
    phones: list[str], of_phones: list[float], lengths: list[int], others: tuple[list[float], float] | None = None
) -> ExpertScores:
    """The scores; `others` are those of words and of the utterance, by default means.

    Raises ValueError unless each phone, each word and the utterance has one between 0 and 2.
    """
    if not phones or not len(phones) == len(of_phones) == sum(lengths) or not all(lengths):
        raise ValueError(f"{len(phones)} phones in words of {sum(lengths)} have {len(of_phones)} scores")
    means = [float(np.mean(part)) for part in np.split(of_phones, np.cumsum(lengths)[:-1])]
    of_words, of_utterance = others or (means, float(np.mean(of_phones)))
    everything = np.array([*of_phones, *of_words, of_utterance], np.float64)
    if not ((everything >= 0) & (everything <= MAX_PHONE)).all():
        raise ValueError(f"a score is not between 0 and {MAX_PHONE:g}, or {MAX_OTHER:g} for words and utterances")
    return ExpertScores(
        phones=tuple(re.sub(r"\d$", "", phone) for phone in phones),
        of_phones=everything[: len(phones)],
        word_lengths=tuple(lengths),
        of_words=everything[len(phones) : -1],
        of_utterance=float(everything[-1]),
        are_derived=others is None,
    )
