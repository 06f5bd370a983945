"""What labels are like after others: n-grams as an automaton, which a search in a graph can follow."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BEGIN = 0  # stands before the first label, and is none itself


class NGrams(NamedTuple):
    """A state for each sequence of labels after which others have been seen; state 0 is the beginning.

    Attributes:
        log_probs: of each label in each state, natural logarithms, float32 `(states, classes)`; 0 for class 0.
        following: the state after it, unsigned integers `(states, classes)`.
    """

    log_probs: np.ndarray
    following: np.ndarray


def count_ngrams(sequences: Sequence[Sequence[int]], classes: int, order: int) -> NGrams:
    """The n-grams of sequences of ids from 1 to below `classes`, up to `order` labels long.

    Interpolated Kneser-Ney (Chen and Goodman 1999, section 3) with a discount for each length, about n1 / (n1 + 2 n2)
    (Ney et al. 1994): fewer labels before fill in for more, counted by how many different labels stood before them.

    Raises:
        ValueError: `order` is below 1.
    """
    if order < 1:
        raise ValueError(f"order must be at least 1. Received: {order}")
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    met = set()
    for sequence in sequences:
        labels = (BEGIN, *map(int, sequence))
        for end in range(1, len(labels)):
            for begin in range(max(end - order + 1, 0), end + 1):
                *context, label = ngram = labels[begin : end + 1]
                if begin == 0 or len(ngram) == order:
                    counts[tuple(context)][label] += 1
                elif (longer := labels[begin - 1 : end + 1]) not in met:
                    met.add(longer)
                    counts[tuple(context)][label] += 1
    beginning = (BEGIN,)[: order - 1]
    for context in ((), beginning):
        counts.setdefault(context, Counter())

    contexts = sorted(counts, key=lambda context: (context != beginning, len(context), context))
    states = {context: state for state, context in enumerate(contexts)}
    discounts = [_discount([counts[c] for c in contexts if len(c) == length]) for length in range(order)]
    probabilities, following = np.zeros((len(states), classes)), np.zeros((len(states), classes), np.int32)
    for context in sorted(contexts, key=len):
        state, seen, discount = states[context], counts[context], discounts[len(context)]
        fewer = states[context[1:]]
        row = probabilities[fewer] if context else np.full(classes, 1 / (classes - 1))
        if total := seen.total():
            row = row * (discount * len(seen) / total)
            for label, count in seen.items():
                row[label] += (count - discount) / total
        probabilities[state] = row
        for label in range(classes):
            longer = *context, label
            following[state, label] = states[longer] if longer in states else following[fewer, label]
    probabilities[:, BEGIN] = 1  # it never follows
    smallest = np.min_scalar_type(len(states) - 1)  # files of them are large
    return NGrams(np.log(probabilities).astype(np.float32), following.astype(smallest))


def _discount(counters: Sequence[Counter[int]]) -> float:
    """What is taken from each count, by how many were seen once and twice; above 0, and below 1."""
    once, twice = (sum(count == times for seen in counters for count in seen.values()) for times in (1, 2))
    return (once + 1) / (once + 2 * twice + 2)
