"""A training that starts from the weights of another run: its vocabulary, extended, and its weights.

A vocabulary of words keeps its ids and gets the words of the new corpus that it lacks. The weights that have a row or
a column for each word begin, for a new word, with the mean of those of its pieces: `doghouse` from `dog` and `house`,
`Dog` from `dog`. A word without known pieces begins with the mean of all words. Everything else is taken over as it is,
so the logits of the known words do not change.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import keras
import numpy as np

from shared.bounds import MAX_VOCABULARY
from shared.letters import MARKS, compiled
from shared.training import assign_weights, weights_as_arrays
from shared.vocabulary import SPECIALS, Vocabulary, WordVocabulary

MIN_PIECE = 3  # letters of a word inside another one; shorter ones match anywhere
MAX_PART = 40  # letters of a part that is searched for words
PARTS = rf"[\p{{L}}\p{{N}}][\p{{L}}\p{{N}}{MARKS}]*|(?s:.)"  # letters and digits, or one other character


Kind = TypeVar("Kind", bound=Vocabulary)


class WordWeights(NamedTuple):
    """The weights of a model that have a part for each word of a vocabulary."""

    axes: Mapping[str, int]  # path of a weight -> its axis of words
    before: Vocabulary
    after: Vocabulary  # begins with the tokens of `before`


def extended(before: Kind, texts: Iterable[str], min_count: int, max_size: int | None = None) -> Kind:
    """A vocabulary of words with those of texts added; subwords and characters, which encode any text, as they are.

    Args:
        before: the vocabulary to extend.
        texts: the training texts.
        min_count, max_size: which words are added, as in `WordVocabulary.build` for these texts alone.
    """
    if not isinstance(before, WordVocabulary):
        return before
    normalisation, known = before.normalisation, set(before.table)
    own = WordVocabulary.build(texts, min_count=min_count, max_size=max_size, normalisation=normalisation)
    new = (word for word in own.table if word not in known)
    return type(before)([*before.table, *new][:MAX_VOCABULARY], normalisation)


def pieces(word: str, known: Mapping[str, int]) -> list[int]:
    """The ids of the known words that a word is made of; empty if one of its parts is not made of any.

    Parts are separated by punctuation. Each is a known word, also in lower case or with a capital, or a sequence of
    known words of at least three letters, the first as long as possible.
    """

    def find(form: str) -> int | None:
        return next((known[form] for form in (form, form.lower(), form.capitalize()) if form in known), None)

    @functools.cache
    def of_part(part: str) -> list[int]:
        if (index := find(part)) is not None:
            return [index]
        for end in range(len(part) - MIN_PIECE, MIN_PIECE - 1, -1) if len(part) <= MAX_PART else ():
            if (index := find(part[:end])) is not None and (others := of_part(part[end:])):
                return [index, *others]
        return []

    found = [of_part(part) for part in compiled(PARTS).findall(word)]
    return [index for ids in found for index in ids] if all(found) else []


def transfer(before: keras.Model, model: keras.Model, *words: WordWeights) -> None:
    """Sets the weights of a model to those of another one, whose vocabularies `words` extends.

    Raises RunError naming a weight that does not fit.
    """
    tensors = weights_as_arrays(before)
    for axes, old, new in words:
        known = {word: index for index, word in enumerate(old.table) if word not in SPECIALS}
        begun_from = [pieces(word, known) for word in new.table[len(old) :]]
        for name in axes.keys() & tensors.keys() if begun_from else ():
            tensors[name] = _grown(tensors[name], axes[name], begun_from)
    assign_weights(model, tensors)


def _grown(tensor: np.ndarray, axis: int, begun_from: list[list[int]]) -> np.ndarray:
    """A weight with a further part along an axis for each new word, from the ids of its pieces."""
    parts = np.moveaxis(tensor, axis, 0)
    mean = parts[len(SPECIALS) :].mean(axis=0) if len(parts) > len(SPECIALS) else parts.mean(axis=0)
    new = np.stack([parts[ids].mean(axis=0) if ids else mean for ids in begun_from])
    return np.moveaxis(np.concatenate([parts, new.astype(parts.dtype)]), 0, axis)


def growth(before: Vocabulary, after: Vocabulary) -> str:
    """What a vocabulary has kept and what it has got, in words."""
    if not isinstance(before, WordVocabulary):
        return f"{len(before):,} subwords, which encode any text"
    known = {word: index for index, word in enumerate(before.table) if word not in SPECIALS}
    new = after.table[len(before) :]
    from_pieces = sum(bool(pieces(word, known)) for word in new)
    return f"{len(before):,} words, {len(new):,} new; {from_pieces:,} of the new ones begin from their pieces"
