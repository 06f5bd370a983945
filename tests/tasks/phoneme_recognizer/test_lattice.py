"""The best path through the pronunciations of words."""

from itertools import product

import numpy as np
import pytest

from shared.labels import BLANK
from tasks.phoneme_recognizer.lattice import Lattice, Said

WORDS = [[(1, 2), (3,)], [(2, 2)], [(1,), (2, 1), (3, 3)]]


def log_probs(steps, seed=0, labels=4):
    logits = np.random.default_rng(seed).normal(size=(steps, labels)) * 2
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def spelled(path):
    """What a path of labels spells."""
    merged = [label for index, label in enumerate(path) if index == 0 or label != path[index - 1]]
    return [label for label in merged if label != BLANK]


@pytest.mark.parametrize("seed", range(4))
def test_the_best_path_is_that_of_all_paths(seed):
    """Exhaustive search over all paths of 6 steps that spell one of the ways to say the words."""
    rows = log_probs(6, seed)
    ways = {tuple(label for said in way for label in said): way for way in product(*WORDS)}
    scores = {
        path: sum(rows[step, label] for step, label in enumerate(path))
        for path in product(range(4), repeat=6)
        if tuple(spelled(path)) in ways
    }
    best = max(scores, key=scores.__getitem__)
    of_words = Lattice(WORDS)
    path = of_words.best_path(rows)
    assert tuple(of_words.emitting[path]) == best
    said = of_words.said(path)
    assert tuple(WORDS[i][found.pronunciation] for i, found in enumerate(said)) == ways[tuple(spelled(best))]


def test_words_have_the_steps_of_their_labels():
    rows = np.full((9, 4), -5.0)
    rows[range(9), [0, 3, 0, 2, 0, 2, 0, 2, 1]] = -0.1
    of_words = Lattice(WORDS)
    assert of_words.said(of_words.best_path(rows)) == [Said(1, 1, 2), Said(0, 3, 6), Said(1, 7, 9)]


def test_words_that_need_more_steps_have_no_path():
    assert Lattice(WORDS).best_path(log_probs(5)) is not None  # 3, 2 _ 2, 1
    assert Lattice(WORDS).best_path(log_probs(4)) is None
    assert Lattice(WORDS).best_path(np.zeros((0, 4))) is None


def test_the_path_of_many_words_is_found_in_blocks():
    words = [[(1, 6, 6), (2, 6), (3,), (4, 7, 6), (5,)]] * 60
    label_ids = [words[i][i % 5] for i in range(60)]
    path = np.repeat([label for said in label_ids for own in said for label in (own, BLANK)], 2)
    rows = np.full((len(path) + 50, 8), -6.0)
    rows[range(len(rows)), [*path, *[BLANK] * 50]] = -0.1
    of_words = Lattice(words)
    found = of_words.best_path(rows)
    np.testing.assert_array_equal(of_words.emitting[found], [*path, *[BLANK] * 50])
    assert [said.pronunciation for said in of_words.said(found)] == [i % 5 for i in range(60)]
