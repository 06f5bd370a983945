"""Experts' scores from both forms of the corpus' files, and what is wrong with damaged ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasets import CorpusError
from datasets.speechocean762.expert_scores import ExpertScores, read_expert_scores

WORDS = [
    {"text": "WE", "phones": "W IY0", "phones-accuracy": [2.0, 1.5], "accuracy": 9, "stress": 10, "total": 9},
    {"text": "A", "phones": ["AH0"], "phones-accuracy": [0.4], "accuracy": 3, "stress": 10, "total": 3},
]
RECORD = {"text": "WE A", "accuracy": 7, "completeness": 10.0, "fluency": 9, "prosodic": 9, "total": 8, "words": WORDS}
TABLE = "utterance\tphones\tscores\n0101\tW IY AH\t2.0 1.5 0.4\n0102\tAH\t2\n"
TEXT = "0101.0\tW_B IY0_E\n0101.1\tAH0_S\n0102.0\tAH0_S\n"


@pytest.fixture
def resource(tmp_path) -> Path:
    """The folder of a copy that holds no scores yet."""
    (tmp_path / "resource").mkdir()
    return tmp_path / "resource"


def check(found: ExpertScores, of_words: list[float], of_utterance: float, are_derived: bool) -> None:
    assert found.phones == ("W", "IY", "AH")
    np.testing.assert_allclose(found.of_phones, [2.0, 1.5, 0.4])
    assert found.word_lengths == (2, 1)
    np.testing.assert_allclose(found.of_words, of_words, rtol=1e-6)
    assert found.of_utterance == pytest.approx(of_utterance)
    assert found.are_derived is are_derived


def test_scores_of_the_corpus(resource):
    (resource / "scores.json").write_text(json.dumps({"0101": RECORD}))
    (resource / "phone_scores.tsv").write_text("not read")
    check(read_expert_scores(resource.parent)["0101"], [1.8, 0.6], 1.4, are_derived=False)


def test_phone_scores_alone_have_means_for_words_and_utterances(resource):
    (resource / "phone_scores.tsv").write_text(TABLE)
    (resource / "text-phone").write_text(TEXT)
    found = read_expert_scores(resource.parent)
    check(found["0101"], [1.75, 0.4], 1.3, are_derived=True)
    assert list(found) == ["0101", "0102"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (TABLE.replace("2.0 1.5 0.4", "2.0 1.5"), "line 2: 3 phones in words of 3 have 2 scores"),
        (TABLE.replace("0.4", "2.5"), "line 2: a score is not between 0 and 2"),
        (TABLE.replace("0.4", "good"), "line 2: could not convert"),
        (TABLE.replace("0102", "0103"), "line 3: 0103 is not in text-phone"),
        (TABLE.replace("\t2\n", "\n"), "line 3: not enough values"),
    ],
)
def test_damaged_phone_scores_are_named(resource, table, problem):
    (resource / "phone_scores.tsv").write_text(table)
    (resource / "text-phone").write_text(TEXT)
    with pytest.raises(CorpusError, match=f"phone_scores.tsv: {problem}"):
        read_expert_scores(resource.parent)


@pytest.mark.parametrize("text", ["{", "[]", '{"0101": {"words": []}}', json.dumps({"1": {**RECORD, "accuracy": 11}})])
def test_damaged_scores_are_named(resource, text):
    (resource / "scores.json").write_text(text)
    with pytest.raises(CorpusError, match=r"scores\.json: .* was expected"):
        read_expert_scores(resource.parent)


def test_a_copy_may_have_no_scores(resource):
    (resource / "text-phone").write_text(TEXT)
    assert read_expert_scores(resource.parent) == {}
