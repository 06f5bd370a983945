"""An n-gram model as an automaton, for a search inside a graph."""

from collections import Counter, defaultdict
from collections.abc import Sequence
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


def count_ngrams(sequences: Sequence[Sequence[int]], vocab: int, order: int, min_count: int = 1) -> NGrams:
    """Estimate an n-gram model of the given order from sequences of ids from 1 to below `vocab`.

    Interpolated Kneser-Ney smoothing (Chen and Goodman 1999, section 3), with a discount per order of about
    n1 / (n1 + 2 n2) (Ney et al. 1994). Lower orders count the distinct labels that precede an n-gram. A context of two
    labels or more that occurs less than `min_count` times is left out: the model is smaller, and backs off there.

    Raises:
        ValueError: `order` or `min_count` is below 1.
    """
    if order < 1 or min_count < 1:
        raise ValueError(f"order and min_count must be at least 1. Received: {order} and {min_count}")
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    occurrences: Counter[tuple[int, ...]] = Counter()
    seen_longer = set()
    for sequence in sequences:
        labels = (START, *map(int, sequence))
        for end in range(1, len(labels)):
            for begin in range(max(end - order + 1, 0), end + 1):
                *context, label = ngram = labels[begin : end + 1]
                occurrences[tuple(context)] += 1
                if begin == 0 or len(ngram) == order:
                    counts[tuple(context)][label] += 1
                elif (longer := labels[begin - 1 : end + 1]) not in seen_longer:
                    seen_longer.add(longer)
                    counts[tuple(context)][label] += 1
    start = (START,)[: order - 1]
    for context in ((), start):
        counts.setdefault(context, Counter())

    discounts = [_discount([counts[c] for c in counts if len(c) == length]) for length in range(order)]
    common = (context for context in counts if len(context) < 2 or occurrences[context] >= min_count)
    contexts = sorted(common, key=lambda context: (context != start, len(context), context))
    states: dict[tuple[int, ...], int] = {context: state for state, context in enumerate(contexts)}
    probabilities, following = np.zeros((len(states), vocab)), np.zeros((len(states), vocab), np.int32)
    for context in sorted(contexts, key=len):
        state, successors, discount = states[context], counts[context], discounts[len(context)]
        backoff = states[context[1:]]
        row = probabilities[backoff] if context else np.full(vocab, 1 / (vocab - 1))
        if total := successors.total():
            row = row * (discount * len(successors) / total)
            for label, count in successors.items():
                row[label] += (count - discount) / total
        probabilities[state] = row
        for label in range(vocab):
            longer = *context, label
            following[state, label] = states[longer] if longer in states else following[backoff, label]
    probabilities[:, START] = 1
    dtype = np.min_scalar_type(len(states) - 1)  # keeps the file small
    return NGrams(np.log(probabilities).astype(np.float32), following.astype(dtype))


def _discount(counters: Sequence[Counter[int]]) -> float:
    """The discount of each count, from the numbers of n-grams with counts 1 and 2; between 0 and 1."""
    once, twice = (sum(count == n for counter in counters for count in counter.values()) for n in (1, 2))
    return (once + 1) / (once + 2 * twice + 2)
