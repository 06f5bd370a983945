"""Which word translates which, found in the training pairs alone: what attention is first told to look at.

The model is that of `fast_align` (Dyer, Chahuneau and Smith 2013): a target word comes from a source word, the likelier
the nearer that is to the diagonal, or from none; and is what that is translated by.

    p(y_j, a_j = i | x) = h(i, j) t(y_j | x_i),    h(i, j) ~ exp(-tension |i / n - j / m|),    h(none, j) = NONE

Expectation and maximisation in turns find t; the expectation is the alignment. Both languages are asked about each
other, and what both say counts: the geometric mean.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

TENSION = 4.0  # pull to the diagonal
NONE = 0.02  # probability that a word comes from none
ROUNDS = 5  # of expectation and maximisation
LARGEST_TABLE = 100_000_000  # of all words by all words, in a byte each; where it is smaller nothing need be sorted
PRIOR = 0.01  # added to every count, so that rare words are not explained by anything


def align(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """From which word of its sentence each word of a translation comes.

    Args:
        sources, targets: ids of pairs of sentences, without specials; none is empty.

    Returns:
        For each pair probabilities (target, source + 1), float32, of no word last.
    """
    aligned = []
    for forth, back in zip(_expect(sources, targets), _expect(targets, sources), strict=True):
        agreed = np.sqrt(forth[:, :-1] * back[:, :-1].T)
        none = np.maximum(1 - agreed.sum(axis=1, keepdims=True), 0)
        both = np.concatenate([agreed, none], axis=1)
        aligned.append(both / both.sum(axis=1, keepdims=True))
    return aligned


def _expect(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The same as one of the two languages says."""
    pairs = list(zip(sources, targets, strict=True))
    # All cells of all pairs in one row: pair after pair, target word after target word, source words, no word.
    words = np.concatenate([np.tile([*source, -1], len(target)) for source, target in pairs])
    said = np.concatenate([np.repeat(target, len(source) + 1) for source, target in pairs])
    prior = np.concatenate([_diagonal(len(target), len(source)).ravel() for source, target in pairs])
    widths = np.concatenate([np.full(len(target), len(source) + 1) for source, target in pairs])
    begins = np.cumsum(widths) - widths  # of each target word's cells

    size = int(said.max()) + 1
    met, cells = _distinct((words + 1) * size + said)
    of_word = met // size  # of two words that meet, the source word, or none
    table, found = np.ones(len(met)), prior
    for _ in range(ROUNDS):
        found = prior * table[cells]
        found /= np.repeat(np.add.reduceat(found, begins), widths)
        counts = np.bincount(cells, found, len(met)) + PRIOR
        table = counts / np.bincount(of_word, counts)[of_word]
    ends = np.cumsum([len(target) * (len(source) + 1) for source, target in pairs])
    parts = np.split(np.float32(found), ends[:-1])
    return [part.reshape(len(target), -1) for part, (_, target) in zip(parts, pairs, strict=True)]


def _distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones, in order, and of each number which of these it is."""
    if numbers.max() > LARGEST_TABLE:
        return np.unique(numbers, return_inverse=True)
    is_there = np.zeros(int(numbers.max()) + 1, bool)
    is_there[numbers] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there, dtype=np.int32) - 1)[numbers]


@cache
def _diagonal(target: int, source: int) -> np.ndarray:
    """h, (target, source + 1)."""
    i, j = (np.arange(source) + 0.5) / source, (np.arange(target) + 0.5) / target
    near = np.exp(-TENSION * np.abs(i - j[:, None]))
    near *= (1 - NONE) / near.sum(axis=1, keepdims=True)
    return np.concatenate([near, np.full((target, 1), NONE)], axis=1)
