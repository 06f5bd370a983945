"""Scores of given translations: by hand, in company, from files; what is refused."""

import json

import numpy as np
import pytest

from tasks.translator.score import PairScorer, main


@pytest.fixture(scope="module")
def scorer(trained):
    return PairScorer.load("a-en-de")


def test_what_is_right_is_more_probable(scorer):
    right, wrong = scorer([("one two", "zwei eins"), ("one two", "eins zwei")])
    assert right.log_prob > wrong.log_prob + 2
    assert right.tokens == ["zwei", "eins", "</s>"]
    assert right.perplexity == pytest.approx(np.exp(-right.log_prob / 3))
    assert right.attention.shape == (3, 3)
    np.testing.assert_allclose(right.attention.sum(axis=1), 1, rtol=1e-5)


def test_company_changes_nothing(scorer):
    pairs = [("one two", "zwei eins"), ("", ""), ("three", "zyzzyva drei drei drei"), ("one  two\t", " zwei eins")]
    together = scorer(pairs)
    for pair, score in zip(pairs, together, strict=True):
        np.testing.assert_allclose(scorer([pair])[0].log_probs, score.log_probs, atol=1e-5)
    assert together[0].log_prob == pytest.approx(together[3].log_prob, abs=1e-5)
    assert together[1].tokens == ["</s>"]
    assert together[2].unknown == [True, False, False, False, False]


def test_the_command_line(trained, tmp_path, capsys):
    assert main(["one two", "zwei eins", "one two", "eins zwei"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["log_prob", "perplexity", "unknown", "translation"]
    assert float(first.split()[0]) > float(second.split()[0])
    (tmp_path / "a").write_text("one two\nthree\n")
    (tmp_path / "b").write_text("zwei eins\ndrei\n")
    assert main(["--source-file", str(tmp_path / "a"), "--target-file", str(tmp_path / "b"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["target"] for record in records] == ["zwei eins", "drei"]
    assert sum(records[0]["log_probs"]) == pytest.approx(records[0]["log_prob"], abs=1e-3)
    (tmp_path / "b").write_text("zwei eins\n")
    for arguments, message in (
        (["--source-file", str(tmp_path / "a"), "--target-file", str(tmp_path / "b")], "has 2 lines, "),
        (["one", "two", "three"], "3 texts: a sentence, its translation and so on were expected"),
        ([], "name either sentences and their translations, or --source-file and --target-file"),
        (["--source-file", str(tmp_path / "a")], "name either"),
        (["one", "eins", "--model", "none"], "none: neither a folder nor a run"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
