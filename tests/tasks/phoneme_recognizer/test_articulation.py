"""The phone feature error rate, against PanPhon 0.22.2."""

import pytest

from shared.phones import IPA, PHONES_39, SILENCE
from tasks.phoneme_recognizer.articulation import FEATURES, feature_distance, feature_error_rate, vectors


def distance(reference: str, hypothesis: str) -> float:
    return feature_distance(vectors(reference.split()), vectors(hypothesis.split()))


def test_one_feature_is_a_twenty_fourth_of_an_error():
    assert distance("p aa", "b aa") == 1 / 24  # voicing
    assert distance("p", "p") == 0
    assert distance("", "p") == distance("p", "") == (20 + 4 / 2) / 24  # four of its features are 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("k ae t s", "k aa t", 48 / 48),
        ("dh ah k ae t", "d ah k aa t s", 52 / 48),
        ("w er l d", "v ow l t", 55 / 48),
        ("s ih ng", "th iy ng", 6 / 48),
        ("sh iy p", "", 133 / 48),
        ("jh ah jh", "ch er ch", 15 / 48),
        ("", "b oy", 132 / 48),
    ],
)
def test_distances_are_those_of_panphon(reference, hypothesis, expected):
    assert distance(reference, hypothesis) == pytest.approx(expected, abs=1e-12)


def test_rate_is_a_fraction_of_the_segments_of_all_references():
    """[kɑt] for [kæts] and [θiŋ] for [sɪŋ]: 7 segments."""
    rate = feature_error_rate([["k", "ae", "t", "s"], ["s", "ih", "ng"]], [["k", "aa", "t"], ["th", "iy", "ng"]])
    assert rate == pytest.approx((48 + 6) / 48 / 7, abs=1e-12)
    assert feature_error_rate([["ch", "ay"]], [[]]) == pytest.approx(distance("ch ay", "") / 4)
    assert feature_error_rate([], []) == 0


def test_all_scored_classes_have_features():
    for phone in PHONES_39:
        assert len(vectors([phone])) == {"er": 1, SILENCE: 0}.get(phone, len(IPA[phone]))
    assert {len(row) for row in FEATURES.values()} == {24}
