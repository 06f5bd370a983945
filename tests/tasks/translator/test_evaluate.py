"""Metrics by hand, and the command."""

import json

import pytest

from tasks.translator.evaluate import alignment_error_rate, main, translation_scores


def test_scores_by_hand():
    outputs = ["A dog runs .", "a big red cat is here now ok"]
    scores = translation_scores(outputs, ["x " * 4, "x " * 9], ["A dog runs .", "A big red cat is here now ok"])
    assert scores["exact"] == 0.5
    assert scores["BLEU lower case"] == 100
    assert 80 < scores["BLEU"] < 100
    assert scores["chrF"] < 100
    assert scores["BLEU by length"].keys() == {"1-7", "8-11"}
    assert scores["BLEU by length"]["1-7"] == 100
    assert "tok:13a" in scores["protocol"]


def test_interval_contains_the_score_and_is_0_without_a_match():
    outputs = [f"a b c d e {number}" for number in range(20)]
    scores = translation_scores(outputs, outputs, [f"{text} x" if len(text) % 2 else text for text in outputs])
    low, high = map(float, scores["BLEU interval"].split(" to "))
    assert low < scores["BLEU"] < high
    assert translation_scores(["a"], ["a"], ["b"])["BLEU interval"] == "0.0 to 0.0"


def test_alignment_error_rate_by_hand():
    references = [{(0, 0), (1, 1)}, {(0, 1)}]
    assert alignment_error_rate(references, references) == 0
    assert alignment_error_rate([{(0, 0)}, set()], references) == pytest.approx(0.5)  # 1 - 2 / (1 + 3)
    assert alignment_error_rate([{(0, 0), (2, 2)}, {(0, 1)}], references) == pytest.approx(1 / 3)


def test_command_measures_and_writes_the_card(trained, capsys):
    assert main(["--split", "test", "--json", "--worst", "1"]) == 0
    output = capsys.readouterr()
    record = json.loads(output.out)
    assert (record["run"], record["split"]) == ("a-en-de", "test")
    assert record["exact"] > 0.5
    assert output.err.count("\n") == 3
    metrics = trained.run.load_metrics()
    assert metrics["test"] == {name: value for name, value in record.items() if name not in ("run", "split")}
    card = (trained.run.path / "README.md").read_text()
    assert "# Translator from en to de, trained on files" in card
    assert str(record["BLEU"]) in card


def test_metrics_of_an_ensemble_are_not_saved(trained, capsys):
    before = trained.run.load_metrics()
    assert main(["--model", "a-en-de", "--model", "a-en-de", "--beam", "2"]) == 0
    assert "a-en-de + a-en-de" in capsys.readouterr().out
    assert trained.run.load_metrics() == before


def test_wrong_usage_is_refused(trained, capsys):
    assert main(["--beam", "0"]) == 2
    assert main(["--language-model-weight", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
