"""Goodness of pronunciation against an enumeration of all paths, and where it does not depend on a segmentation."""

from itertools import groupby, product

import numpy as np
import pytest

from tests.backend import compiled

pytestmark = pytest.mark.any_backend

TIME, VOCAB = 6, 4
LENGTHS = np.array([6, 4, 5, 3], np.int32)
LABELS = np.array([[2, 2, 1], [3, 0, 0], [1, 3, 0], [2, 1, 2]], np.int32)
LABEL_LENGTHS = np.array([3, 1, 2, 3], np.int32)


def random_log_probs() -> np.ndarray:
    logits = np.random.default_rng(4).normal(size=(len(LENGTHS), TIME, VOCAB), scale=1.5)
    return (logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)).astype(np.float32)


def probabilities_of_all(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every label sequence, given `(time, vocab)`."""
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(VOCAB), repeat=len(log_probs)):
        labels = tuple(label for label, _ in groupby(path) if label)
        found[labels] = found.get(labels, 0) + float(np.exp(log_probs[np.arange(len(path)), path].sum()))
    return found


def found():
    from tasks.phoneme_recognizer.goodness import alternatives

    return compiled(alternatives)(random_log_probs(), LENGTHS, LABELS, LABEL_LENGTHS)


@pytest.mark.parametrize("row", range(len(LENGTHS)))
def test_alternatives_equal_the_sum_over_all_paths(row):
    result, labels = found(), LABELS[row, : LABEL_LENGTHS[row]].tolist()
    of_all = probabilities_of_all(random_log_probs()[row, : LENGTHS[row]])
    given = of_all[tuple(labels)]
    np.testing.assert_allclose(np.exp(result.log_probs[row]), given, rtol=1e-5)
    for i, new in product(range(len(labels)), range(VOCAB)):
        replacing, adding = ([new], [labels[i], new]) if new else ([], [labels[i]])
        for kind, change in (("replaced", replacing), ("extended", adding)):
            expected = of_all.get((*labels[:i], *change, *labels[i + 1 :]), 0.0) / given
            ratio = np.exp(np.asarray(getattr(result, kind))[row, i + (kind == "extended"), new])
            np.testing.assert_allclose(ratio, expected, rtol=1e-4, atol=1e-12, err_msg=f"{kind} {i} {new}")
    for new in range(1, VOCAB):
        ratio = np.exp(np.asarray(result.extended)[row, 0, new])
        np.testing.assert_allclose(ratio, of_all.get((new, *labels), 0.0) / given, rtol=1e-4, atol=1e-12)


def test_goodness_is_the_posterior_of_the_label_among_its_alternatives():
    goodness = np.asarray(found().goodness)
    of_all = probabilities_of_all(random_log_probs()[2, :5])
    alternatives = [of_all[(*change, 3)] for change in ((), (1,), (2,), (3,))]
    np.testing.assert_allclose(np.exp(goodness[2, 0]), of_all[1, 3] / sum(alternatives), rtol=1e-5)
    assert (goodness[2, :2] < 0).all()


def test_occupancies_are_expected_numbers_of_frames():
    log_probs, labels = random_log_probs()[0], [2, 2, 1]
    expected, total = np.zeros(3), 0.0
    for path in product(range(VOCAB), repeat=TIME):
        runs = [(label, len(list(same))) for label, same in groupby(path)]
        if [label for label, _ in runs if label] == labels:
            probability = np.exp(log_probs[np.arange(TIME), path].sum())
            expected += probability * np.array([count for label, count in runs if label])
            total += probability
    np.testing.assert_allclose(np.asarray(found().occupancies)[0], expected / total, rtol=1e-4)


def test_padding_changes_nothing():
    from tasks.phoneme_recognizer.goodness import alternatives

    log_probs = random_log_probs()[2:3, :5]
    alone = compiled(alternatives)(log_probs, LENGTHS[2:3], LABELS[2:3, :2], LABEL_LENGTHS[2:3])
    for name in ("replaced", "extended", "occupancies"):
        together = np.asarray(getattr(found(), name))[2:3, : 3 if name == "extended" else 2]
        np.testing.assert_allclose(together, np.asarray(getattr(alone, name)), rtol=1e-4, atol=1e-5)
