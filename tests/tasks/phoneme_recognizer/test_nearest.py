"""The reference of a hypothesis, against all combinations of pronunciations."""

from itertools import product

import numpy as np
import pytest

from shared.phones import SpokenWord
from tasks.phoneme_recognizer.nearest import nearest

AND = SpokenWord("and", (("ah", "n", "d"), ("ae", "n", "d"), ("ah", "n")))
TO = SpokenWord("to", (("t", "uw"), ("t", "ah")))


@pytest.mark.parametrize(
    ("hypothesis", "reference"),
    [
        ("ae n t ah", "ae n d t ah"),
        ("ah n t uw", "ah n t uw"),
        ("", "ah n t uw"),  # the fewest phones to be deleted
        ("ae d t", "ae n d t uw"),  # of two that are equally near, the first
        ("s ah s n d uw s", "ah n d t uw"),  # as near as "ah n t uw", which is rarer
    ],
)
def test_the_reference_by_hand(hypothesis, reference):
    assert nearest([AND, TO], hypothesis.split()) == reference.split()


def edits(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for phone in reference:
        row, before = [row[0] + 1], row
        for j, other in enumerate(hypothesis):
            row.append(min(before[j] + (phone != other), before[j + 1] + 1, row[j] + 1))
    return row[-1]


def test_no_combination_is_nearer():
    rng = np.random.default_rng(3)

    def phones(low, high):
        return tuple(rng.choice(["aa", "b", "s"], rng.integers(low, high)).tolist())

    for _ in range(150):
        words = [SpokenWord("", tuple(phones(1, 4) for _ in range(rng.integers(1, 4)))) for _ in range(4)]
        hypothesis = phones(0, 10)
        options = [list(dict.fromkeys(word.pronunciations)) for word in words]
        costs: dict[tuple, list] = {}
        for choice in product(*(range(len(said)) for said in options)):
            phones_said = sum((said[index] for said, index in zip(options, choice, strict=True)), ())
            costs.setdefault((edits(phones_said, hypothesis), sum(choice)), []).append(list(phones_said))
        assert nearest(words, hypothesis) in costs[min(costs)]


def test_allophones_that_are_one_scored_class_are_one():
    word = SpokenWord("dawn", (("d", "ao", "n"), ("d", "aa", "n")))
    assert nearest([word], ["d", "aa", "m"]) == ["d", "aa", "n"]
