"""What a recognition is scored against: of all ways to say the words, the one that needs the fewest edits.

A dictionary has several pronunciations of many words, and which one was said is not known. The reference is the
sequence, one pronunciation of each word, with the lowest edit distance (Levenshtein) to the hypothesis:

    after word w   distance[j] = min over its pronunciations p and over i of
                                 distance before w[i] + edits(p, hypothesis[i:j])

which is exact, since the words are independent of each other given where they end in the hypothesis.
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
    """The phones of the words that are nearest to the hypothesis; of equally near ones, those listed first."""
    options = [list(dict.fromkeys(tuple(fold_all(said, 39)) for said in word.pronunciations)) for word in words]
    if all(len(said) == 1 for said in options):
        return [phone for (said,) in options for phone in said]
    phones = np.array(hypothesis, object)
    distances, choices = np.arange(len(phones) + 1), []
    for said in options:
        after = [_extended(distances, pronunciation, phones) for pronunciation in said]
        costs, starts = (np.stack(arrays) for arrays in zip(*after, strict=True))
        distances, choice = costs.min(axis=0), costs.argmin(axis=0)
        choices.append((choice, starts))
    found, end = [], len(phones)
    for said, (choice, starts) in zip(reversed(options), reversed(choices), strict=True):
        found.append(said[choice[end]])
        end = starts[choice[end], end]
    return [phone for said in reversed(found) for phone in said]


def _extended(
    before: np.ndarray, pronunciation: Sequence[str], hypothesis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Edits of a pronunciation after those `before` it, by the position in the hypothesis, and where it starts there.

    All arrays are `(phones of the hypothesis + 1,)`. A key holds both, the number of edits first.
    """
    edit = len(before)  # more than any position
    positions = np.arange(edit)
    keys = before * edit + positions
    for phone in pronunciation:
        changed = keys[:-1] + edit * (hypothesis != phone)
        keys = keys + edit  # the phone is deleted
        keys[1:] = np.minimum(keys[1:], changed)
        keys = np.minimum.accumulate(keys - edit * positions) + edit * positions  # phones are inserted after it
    return keys // edit, keys % edit
