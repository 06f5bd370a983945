"""An n-gram model as an automaton, for a search inside a graph."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

START = 0  # before the first label; not a label itself


class NGrams(NamedTuple):
    """One state per context (label sequence) with a known successor; state 0 is the start.

    Attributes:
        log_probs: natural logarithms of each label in each state, float32 `(states, vocab)`; 0 for id 0.
        following: the state after each label, unsigned integers `(states, vocab)`.
    """

    log_probs: np.ndarray
    following: np.ndarray


class _Counts(NamedTuple):
    """The n-grams of one length. An n-gram is one integer, its labels the digits in base `vocab`."""

    codes: np.ndarray  # sorted
    occurrences: np.ndarray
    counts: np.ndarray  # what the estimate uses; see `count_ngrams`


def count_ngrams(sequences: Sequence[Sequence[int]], vocab: int, order: int, min_count: int = 1) -> NGrams:
    """Estimate an n-gram model of the given order from sequences of ids from 1 to below `vocab`.

    Interpolated Kneser-Ney smoothing (Chen and Goodman 1999, section 3), with a discount per order of about
    n1 / (n1 + 2 n2) (Ney et al. 1994). Lower orders count the distinct labels that precede an n-gram. A context of two
    labels or more that occurs less than `min_count` times is left out: the model is smaller, and backs off there.

    Raises:
        ValueError: `order` or `min_count` is below 1, or `vocab` to the power of `order` is not below 2 ** 63.
    """
    if order < 1 or min_count < 1:
        raise ValueError(f"order and min_count must be at least 1. Received: {order} and {min_count}")
    if vocab**order >= 2**63:
        raise ValueError(f"vocab to the power of order must be below 2 ** 63. Received: {vocab} and {order}")
    by_length = _count(sequences, vocab, order)
    contexts = [_common_contexts(n, each, vocab, min_count) for n, each in enumerate(by_length)]
    firsts = np.cumsum([0, *map(len, contexts)])  # the first state of each length
    log_probs, following = [], []
    for n, (codes, grams) in enumerate(zip(contexts, by_length, strict=True)):
        if n:
            shorter = np.searchsorted(contexts[n - 1], codes % vocab ** (n - 1))
            backoff, next_states = log_probs[n - 1][shorter], following[n - 1][shorter]
        else:
            backoff, next_states = np.full((1, vocab), 1 / (vocab - 1)), np.zeros((1, vocab), np.int64)
        log_probs.append(_smoothed(codes, grams, backoff, vocab))
        if n + 1 < order:
            index, is_known = _find(contexts[n + 1], codes[:, None] * vocab + np.arange(vocab))
            next_states = np.where(is_known, firsts[n + 1] + index, next_states)
        following.append(next_states)
    table, next_states = np.concatenate(log_probs), np.concatenate(following)
    table[:, START] = 1
    if order > 1:  # the start becomes state 0; the context without labels was
        swapped = np.arange(len(table))
        swapped[:2] = 1, 0
        table, next_states = table[swapped], swapped[next_states[swapped]]
    dtype = np.min_scalar_type(len(table) - 1)  # keeps the file small
    return NGrams(np.log(table).astype(np.float32), next_states.astype(dtype))


def _count(sequences: Sequence[Sequence[int]], vocab: int, order: int) -> list[_Counts]:
    """The n-grams of each length from 1 to `order` that end in a label; the first label of a sequence follows START."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    labels = np.fromiter(chain.from_iterable((START, *sequence) for sequence in sequences), np.int64)
    position = np.arange(len(labels)) - np.repeat(np.cumsum(lengths + 1) - lengths - 1, lengths + 1)
    ends = np.flatnonzero(position)
    codes, found = np.zeros(len(ends), np.int64), []
    for n in range(order):
        is_long = position[ends] >= n
        ends, codes = ends[is_long], codes[is_long] + labels[ends[is_long] - n] * vocab**n
        found.append(np.unique(codes, return_counts=True))
    result = []
    for n, (codes, occurrences) in enumerate(found):
        counts = occurrences
        if n + 1 < order:  # those at the start have no predecessor: they count as often as they occur
            suffixes, predecessors = np.unique(found[n + 1][0] % vocab ** (n + 1), return_counts=True)
            counts = occurrences.copy()
            counts[np.searchsorted(codes, suffixes)] = predecessors
        result.append(_Counts(codes, occurrences, counts))
    return result


def _common_contexts(length: int, longer: _Counts, vocab: int, min_count: int) -> np.ndarray:
    """The sorted codes of the contexts of a length, from the n-grams that are longer by one."""
    contexts, first = np.unique(longer.codes // vocab, return_index=True)
    if length < 2:
        return np.union1d(contexts, [0])  # the context without labels, and the start
    return contexts[np.add.reduceat(longer.occurrences, first) >= min_count] if len(contexts) else contexts


def _smoothed(contexts: np.ndarray, grams: _Counts, backoff: np.ndarray, vocab: int) -> np.ndarray:
    """Probabilities `(contexts, vocab)` from counts and those of the contexts without their first label."""
    discount = _discount(grams.counts)
    row, is_known = _find(contexts, grams.codes // vocab)
    row, label, counts = row[is_known], grams.codes[is_known] % vocab, grams.counts[is_known]
    totals, kinds = np.bincount(row, counts, len(contexts))[:, None], np.bincount(row, minlength=len(contexts))[:, None]
    probabilities = np.where(totals > 0, backoff * discount * kinds / np.maximum(totals, 1), backoff)
    probabilities[row, label] += (counts - discount) / totals[row, 0]
    return probabilities


def _find(codes: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each wanted code among the sorted codes, and whether it is there."""
    index = np.searchsorted(codes, wanted)
    return index, np.append(codes, -1)[index] == wanted


def _discount(counts: np.ndarray) -> float:
    """The discount of each count, from the numbers of n-grams with counts 1 and 2; between 0 and 1."""
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return (once + 1) / (once + 2 * twice + 2)
