"""The command `score`: pairs from arguments and files, errors in one line."""

import io
import json
import sys

import pytest

from tasks.translator.inference import PairScorer
from tasks.translator.score import main

pytestmark = pytest.mark.any_backend


@pytest.fixture(autouse=True)
def shared_scorer(monkeypatch, scorer):
    """Makes the command use one scorer in all tests, since loading takes most of the time."""
    monkeypatch.setattr(PairScorer, "load", lambda *_: scorer)


def test_texts_and_files(tmp_path, capsys):
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


def test_wrong_usage_is_one_line(tmp_path, capsys):
    (tmp_path / "a").write_text("one two\nthree\n")
    (tmp_path / "b").write_text("zwei eins\n")
    for arguments, message in (
        (["--source-file", str(tmp_path / "a"), "--target-file", str(tmp_path / "b")], "has 2 lines, "),
        (["one", "two", "three"], "3 texts: a sentence, its translation and so on were expected"),
        ([], "name either sentences and their translations, or --source-file and --target-file"),
        (["--source-file", str(tmp_path / "a")], "--source-file and --target-file were expected together"),
        (["one", "eins", "--pairs-file", "-"], "name either"),
        (["one", "eins", "--model", "none"], "none: neither a folder nor a run"),
        (["one", "eins", "--from", "de"], "no model translates from German"),
        (["one", "eins", "--output", str(tmp_path / "nowhere" / "a")], "there is no folder"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_pairs_of_one_file_and_of_standard_input(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.jsonl").write_text('{"en": "one two", "de": "zwei eins"}\n')
    assert main(["--pairs-file", str(tmp_path / "a.jsonl"), "--json"]) == 0
    (expected,) = map(json.loads, capsys.readouterr().out.splitlines())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one two\tzwei eins\nthree\tdrei\tx\n")))
    assert main(["--pairs-file", "-", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == expected
    assert (second["source"], second["target"]) == ("three", "drei")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"alone\n")))
    assert main(["--pairs-file", "-"]) == 2
    assert "'alone': a sentence, a tab and its translation were expected" in capsys.readouterr().err
