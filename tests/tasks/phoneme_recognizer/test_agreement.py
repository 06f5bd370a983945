"""Agreement with experts against values computed by hand."""

import numpy as np
import pytest

from datasets.speechocean762.expert_scores import ExpertScores
from tasks.phoneme_recognizer.agreement import agreement, at_level, by_experts, compare
from tasks.phoneme_recognizer.data import Utterance
from tasks.phoneme_recognizer.expert_scores import JudgedSplit
from tasks.phoneme_recognizer.pronunciation import BatchScores
from tasks.phoneme_recognizer.scorer import build_scorer


def judged(*of_phones: float, word_lengths: tuple[int, ...], of_words: list[float], utterance: float) -> ExpertScores:
    return ExpertScores(
        phones=("AH",) * len(of_phones),
        of_phones=np.array(of_phones, np.float32),
        word_lengths=word_lengths,
        of_words=np.array(of_words, np.float32),
        of_utterance=utterance,
        are_derived=False,
    )


SCORES = [
    judged(2, 1, 0, word_lengths=(1, 2), of_words=[1.8, 0.2], utterance=1.0),
    judged(2, 2, word_lengths=(2,), of_words=[2.0], utterance=1.6),
]


def test_correlation_and_error_are_those_of_all_items_together():
    x, y = [np.array([1.0, 2.0, 4.0]), np.array([3.0])], [np.array([1.0, 3.0, 3.0]), np.array([5.0])]
    found = compare(x, y, ["a", "b"])
    assert found["PCC"] == pytest.approx(np.corrcoef([1, 2, 4, 3], [1, 3, 3, 5])[0, 1], abs=1e-4)
    assert found["MSE"] == pytest.approx((0 + 1 + 1 + 4) / 4)


def test_the_interval_is_over_speakers():
    rng = np.random.default_rng(1)
    x = [rng.normal(size=20) for _ in range(40)]
    y = [own + rng.normal(size=20) for own in x]
    own, one = compare(x, y, [str(i) for i in range(40)]), compare(x, y, ["a"] * 40)
    interval = own["PCC interval"]
    assert interval["from"] < own["PCC"] < interval["to"] < interval["from"] + 0.15
    assert interval["speakers"] == 40
    assert "PCC interval" not in one  # one speaker says nothing about others


def test_scores_that_are_constant_do_not_correlate():
    assert compare([np.ones(3)], [np.arange(3.0)], ["a"])["PCC"] == 0


def test_scores_of_words_and_utterances_are_means_of_phones():
    of_phones = np.array([2.0, 1.0, 0.5])
    np.testing.assert_allclose(at_level("phone", of_phones, SCORES[0]), of_phones)
    np.testing.assert_allclose(at_level("word", of_phones, SCORES[0]), [2.0, 0.75])
    np.testing.assert_allclose(at_level("utterance", of_phones, SCORES[0]), [3.5 / 3])
    np.testing.assert_allclose(by_experts("word", SCORES[0]), [1.8, 0.2])
    np.testing.assert_allclose(by_experts("utterance", SCORES[1]), [1.6])


def test_metrics_of_a_split():
    scorer = build_scorer(5)
    scorer.line.assign([0.5, 1.5])

    def scores(values: list[float], goodness: list[float]) -> BatchScores:
        rest = [np.zeros(len(values))] * 4
        return BatchScores(np.array(values), np.array(goodness), *rest)

    found = [scores([2.0, 1.0, 0.0], [0.0, -1.0, -3.0]), scores([0.8, 2.0], [-20.0, 0.0])]
    others = {"index": 0, "length": 0, "phones": (), "spans": None, "reference": ()}
    utterances = [Utterance(**others, speaker=speaker) for speaker in ("a", "b")]
    metrics = agreement(JudgedSplit([], utterances, SCORES, []), found, scorer)
    assert metrics["phone MSE"] == pytest.approx(1.2**2 / 5)
    assert metrics["phone PCC"] == pytest.approx(np.corrcoef([2, 1, 0, 0.8, 2], [2, 1, 0, 2, 2])[0, 1], abs=1e-4)
    # 0.5 x goodness + 1.5, between 0 and 2: 1.5, 1, 0, 0, 1.5
    assert metrics["phone MSE, goodness alone"] == pytest.approx((0.25 + 0 + 0 + 4 + 0.25) / 5)
    assert metrics["word MSE"] == pytest.approx(((2 - 1.8) ** 2 + (0.5 - 0.2) ** 2 + (1.4 - 2) ** 2) / 3, abs=1e-4)
    assert metrics["utterance MSE"] == pytest.approx(((1 - 1) ** 2 + (1.4 - 1.6) ** 2) / 2, abs=1e-4)
    assert metrics["right phones below 50"] == pytest.approx(1 / 3, abs=1e-4)
    assert metrics["words and utterances"] == "scored by the experts"
