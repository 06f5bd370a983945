"""Numbers by hand, and the command."""

import json

import pytest

from tasks.translator.evaluate import alignment_error_rate, main, translation_scores


def test_scores_by_hand():
    found = ["A dog runs .", "a big red cat is here now ok"]
    scores = translation_scores(found, ["x " * 4, "x " * 9], ["A dog runs .", "A big red cat is here now ok"])
    assert scores["exact"] == 0.5
    assert scores["BLEU lower case"] == 100
    assert 80 < scores["BLEU"] < 100
    assert scores["chrF"] < 100
    assert scores["BLEU by length"].keys() == {"1-7", "8-11"}
    assert scores["BLEU by length"]["1-7"] == 100
    assert "tok:13a" in scores["protocol"]


def test_the_alignment_error_rate_by_hand():
    true = [{(0, 0), (1, 1)}, {(0, 1)}]
    assert alignment_error_rate(true, true) == 0
    assert alignment_error_rate([{(0, 0)}, set()], true) == pytest.approx(0.5)  # 1 - 2 / (1 + 3)
    assert alignment_error_rate([{(0, 0), (2, 2)}, {(0, 1)}], true) == pytest.approx(1 / 3)


def test_the_command_measures_and_writes_the_card(trained, capsys):
    assert main(["--split", "test", "--json", "--worst", "1"]) == 0
    output = capsys.readouterr()
    record = json.loads(output.out)
    assert (record["run"], record["split"]) == ("a-en-de", "test")
    assert record["exact"] > 0.5
    assert output.err.count("\n") == 3
    assert trained.run.load_metrics()["test"]["BLEU"] == record["BLEU"]
    card = (trained.run.path / "README.md").read_text()
    assert "# Translator from en to de, trained on files" in card
    assert str(record["BLEU"]) in card
    assert main(["--model", "a-en-de", "a-en-de"]) == 0  # together: told, not kept
    assert "dev" not in trained.run.load_metrics()
    assert main(["--beam", "0"]) == 2
