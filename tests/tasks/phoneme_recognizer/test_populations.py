"""Intervals over speakers, and rates of groups, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.phoneme_recognizer.data import read_split
from tasks.phoneme_recognizer.groups import groups_of
from tasks.phoneme_recognizer.populations import by_population, interval
from tests.tasks.phoneme_recognizer.conftest import CONFIG

RECORDS = [
    ({"sex": "F", "native": "en-US (Pittsburgh)", "source": "an4"}, ["an4", "female speakers", "native speakers"]),
    ({"sex": "m", "native": "zh", "age": 17}, ["children", "male speakers", "other speakers"]),
    ({"native": "other", "age": 18}, ["adults", "other speakers"]),
    ({"accuracy": 8.0, "phone_score": 1.5}, ["utterances scored 8 or more", "utterances with phones scored below 1.6"]),
    ({"accuracy": 7.9, "phone_score": 1.6}, ["utterances scored below 8", "utterances with phones scored 1.6 or more"]),
    ({"accuracy": -1, "phone_score": -1, "age": 0, "sex": "", "native": ""}, []),
]


@pytest.mark.parametrize(("record", "groups"), RECORDS)
def test_groups_are_what_a_record_says(record, groups):
    assert sorted(groups_of(record)) == groups


def test_an_interval_over_speakers():
    """Of two speakers with rates of 0 and 1 the draws are 0, 1/2 and 1, the extremes a quarter of them each."""
    errors, phones = np.array([0, 0, 6, 4]), np.array([5, 5, 6, 4])
    assert interval(errors, phones, np.array(["a", "a", "b", "b"])) == {"from": 0, "to": 1, "speakers": 2}
    assert interval(errors, phones, np.array(["a"] * 4)) == {}
    assert interval(errors[:0], phones[:0], np.array([])) == {}


def test_an_interval_is_as_wide_as_its_standard_error_says():
    """Of 400 equal speakers, each wrong about 2 of 10 phones with a deviation of 1.

    The standard error is 0.1 / sqrt(400) = 0.005.
    """
    rng = np.random.default_rng(4)
    errors, phones = 2 + rng.choice([-1, 1], 400), np.full(400, 10)
    found = interval(errors, phones, np.array([f"s{index:03}" for index in range(400)]))
    mean = errors.mean() / 10
    assert found["from"] == pytest.approx(mean - 1.96 * 0.005, abs=0.001)
    assert found["to"] == pytest.approx(mean + 1.96 * 0.005, abs=0.001)
    utterances = interval(errors, phones, np.array(["a", *[""] * 399]))  # unknown speakers
    assert utterances == {name: found[name] for name in ("from", "to")}


def test_rates_of_groups():
    words = ["s ih t", "s ih t", "aa m"]
    records = [
        {"audio": np.zeros(1), "phones": phones, "speaker": speaker, **more}
        for phones, speaker, more in zip(
            words, ("a", "b", "b"), ({"sex": "f"}, {"sex": "m"}, {"sex": "m", "source": "x"}), strict=True
        )
    ]
    utterances = read_split(CONFIG, records).utterances
    references = [utterance.scored() for utterance in utterances]
    hypotheses = [["s", "ih", "d"], ["s", "ih", "t"], []]
    metrics = by_population(references, hypotheses, utterances)
    assert metrics.pop("PER interval").keys() == {"from", "to", "speakers"}
    assert metrics == {
        "PFER": round((1 + (19 + 5 / 2) + (20 + 4 / 2)) / 24 / 8, 4),  # d for t, no aa, no m
        "PER of female speakers": {"PER": 0.3333, "utterances": 1},
        "PER of male speakers": {"PER": 0.4, "utterances": 2},
        "PER of x": {"PER": 1.0, "utterances": 1},
    }
    alone = [replace(utterance, groups=("same",)) for utterance in utterances]
    assert by_population(references, hypotheses, alone).keys() == {"PFER", "PER interval"}
    assert by_population(references, hypotheses)["PER interval"].keys() == {"from", "to"}
