"""Errors, boundaries and probabilities, by hand."""

from collections import Counter

import numpy as np
import pytest

from tasks.phoneme_recognizer.scoring import (
    aligned,
    boundary_f1,
    calibration_error,
    confusions,
    error_rates,
    phone_error_rate,
    reliability,
)


def test_errors_are_of_all_utterances_together():
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
def test_what_belongs_together(reference, hypothesis, pairs):
    assert list(aligned(reference, hypothesis)) == pairs


def test_a_boundary_is_found_once_within_20_ms():
    reference = [np.array([0.100, 0.200, 0.300]), np.array([0.5])]
    hypothesis = [np.array([0.115, 0.121, 0.290]), np.array([])]
    # 0.115 is 0.100's, 0.290 is 0.300's; 0.121 is too far from all: 2 of 3 told, 2 of 4 wanted.
    assert boundary_f1(reference, hypothesis) == pytest.approx(2 * 2 / (3 + 4))
    assert boundary_f1([np.array([0.1])], [np.array([0.09, 0.11])]) == pytest.approx(2 / 3)
    assert boundary_f1([], []) == 0


def test_calibration():
    told = np.array([0.9, 0.9, 0.9, 0.9, 0.2])
    right = np.array([True, True, True, False, False])
    assert reliability(told, right) == [
        (pytest.approx(0.2), 0.0, 1),
        (pytest.approx(0.9), 0.75, 4),
    ]
    assert calibration_error(told, right) == pytest.approx((4 * 0.15 + 1 * 0.2) / 5)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.array([]), np.array([])) == 0
