"""Errors, boundaries and probabilities, against values computed by hand."""

from collections import Counter

import numpy as np
import pytest

from tasks.phoneme_recognizer.data import load_split
from tasks.phoneme_recognizer.inference import Phone, Recognition
from tasks.phoneme_recognizer.scoring import (
    align_words,
    boundary_f1,
    calibration_error,
    confusions,
    error_rates,
    phone_error_rate,
    reliability,
    score,
)
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY

pytestmark = pytest.mark.any_backend

RATES = ("PER", "substitutions", "deletions", "insertions")


def test_errors_are_counted_over_all_utterances():
    references = [["s", "ih", "t"], ["aa"], ["m"]]
    hypotheses = [["s", "iy", "t"], [], ["m", "t"]]
    counts = confusions(references, hypotheses)
    assert counts == Counter(
        {("s", "s"): 1, ("ih", "iy"): 1, ("t", "t"): 1, ("", "t"): 1, ("aa", ""): 1, ("m", "m"): 1}
    )
    assert error_rates(counts) == {"PER": 3 / 5, "substitutions": 1 / 5, "deletions": 1 / 5, "insertions": 1 / 5}
    assert phone_error_rate(references, hypotheses) == 3 / 5
    assert phone_error_rate([["aa"]], [["b", "b", "b"]]) == 3


@pytest.mark.parametrize(
    ("reference", "hypothesis", "pairs"),
    [
        (["a", "b"], [], [(0, None), (1, None)]),
        ([], ["a"], [(None, 0)]),
        (["a", "b", "c"], ["a", "c"], [(0, 0), (1, None), (2, 1)]),
        (["a", "c"], ["a", "b", "c"], [(0, 0), (None, 1), (1, 2)]),
        ([], [], []),
    ],
)
def test_alignment_has_the_fewest_edits(reference, hypothesis, pairs):
    assert list(align_words(reference, hypothesis)) == pairs


def test_a_boundary_is_matched_once_within_20_ms():
    reference = [np.array([0.100, 0.200, 0.300]), np.array([0.5])]
    hypothesis = [np.array([0.115, 0.121, 0.290]), np.array([])]
    # 0.115 matches 0.100, and 0.290 matches 0.300: 2 of 3 hypotheses, 2 of 4 references.
    assert boundary_f1(reference, hypothesis) == pytest.approx(2 * 2 / (3 + 4))
    assert boundary_f1([np.array([0.1])], [np.array([0.09, 0.11])]) == pytest.approx(2 / 3)
    assert boundary_f1([], []) == 0


def test_calibration():
    probabilities = np.array([0.9, 0.9, 0.9, 0.9, 0.2])
    is_right = np.array([True, True, True, False, False])
    assert reliability(probabilities, is_right) == [
        (pytest.approx(0.2), 0.0, 1),
        (pytest.approx(0.9), 0.75, 4),
    ]
    assert calibration_error(probabilities, is_right) == pytest.approx((4 * 0.15 + 1 * 0.2) / 5)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.array([]), np.array([])) == 0


def test_a_perfect_recognition_has_no_errors(tones):
    split = load_split(CONFIG, "dev")
    perfect = [
        Recognition(
            phones=[
                Phone(VOCABULARY.table[label], start / 16_000, end / 16_000, 1.0)
                for label, start, end in utterance.spans
                if label
            ],
            log_prob=0.0,
            seconds=utterance.length / 16_000,
        )
        for utterance in split.utterances
    ]
    metrics, counts, probabilities, is_right, _ = score(split.utterances, perfect, VOCABULARY)
    rates = {f"{name}{silence}": 0 for silence in ("", " with silence") for name in RATES}
    assert metrics == rates | {"ECE": 0, "boundary median ms": 0, "boundary F1": 1}
    assert np.all(probabilities == 1)
    assert np.all(is_right)
    assert all(reference == hypothesis for reference, hypothesis in counts)
