"""What a recognition is scored against: of all ways to say the words, the one that needs the fewest edits.

A dictionary has several pronunciations of many words, and which one was said is not known. The reference is the
sequence, one pronunciation of each word, with the lowest edit distance (Levenshtein) to the hypothesis:

    cost after a word, of hypothesis[:j]  =  min over its pronunciations p, and i <= j, of
                                             cost before the word, of hypothesis[:i]  +  edits(p, hypothesis[i:j])

which counts all combinations. Of equally near ones, the one with the usual pronunciations is taken: the cost has the
sum of their indices too, which is always less than an edit.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.phones import SpokenWord, fold_all

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.data import Utterance


def references_of(utterances: "Sequence[Utterance]", hypotheses: Sequence[Sequence[str]]) -> list[list[str]]:
    """The reference of each utterance, in the 39 scored classes without silence, for its hypothesis."""
    return [
        nearest(utterance.words, hypothesis) if utterance.words else utterance.scored()
        for utterance, hypothesis in zip(utterances, hypotheses, strict=True)
    ]


def nearest(words: Sequence[SpokenWord], hypothesis: Sequence[str]) -> list[str]:
    """The phones of the words that are nearest to the hypothesis."""
    options = [list(dict.fromkeys(tuple(fold_all(said, 39)) for said in word.pronunciations)) for word in words]
    if all(len(said) == 1 for said in options):
        return [phone for (said,) in options for phone in said]
    phones, edit = np.array(hypothesis, object), 1 + sum(map(len, options))
    costs, choices = edit * np.arange(len(phones) + 1), []
    for said in options:
        after = [_extended(costs + index, phone_list, phones, edit) for index, phone_list in enumerate(said)]
        by_pronunciation, starts = (np.stack(arrays) for arrays in zip(*after, strict=True))
        costs, choice = by_pronunciation.min(axis=0), by_pronunciation.argmin(axis=0)
        choices.append((choice, starts))
    found, end = [], len(phones)
    for said, (choice, starts) in zip(reversed(options), reversed(choices), strict=True):
        found.append(said[choice[end]])
        end = starts[choice[end], end]
    return [phone for said in reversed(found) for phone in said]


def _extended(
    costs: np.ndarray, pronunciation: Sequence[str], hypothesis: np.ndarray, edit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Costs after a pronunciation, from those before it, by the position in the hypothesis; and where it starts there.

    All arrays are `(phones of the hypothesis + 1,)`; `edit` is the cost of an edit. A key is a cost and a start.
    """
    positions, unit = np.arange(len(costs)), len(costs)
    keys, step = costs * unit + positions, edit * unit
    for phone in pronunciation:
        replaced = keys[:-1] + step * (hypothesis != phone)
        keys = keys + step  # the phone is deleted
        keys[1:] = np.minimum(keys[1:], replaced)
        keys = np.minimum.accumulate(keys - step * positions) + step * positions  # phones are inserted after it
    return keys // unit, keys % unit
