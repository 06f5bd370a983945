"""The command `fill`, and the commands that need the other kind of model."""

import io
import json
import os

import pytest

from tasks.language_model.config import find_run
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.fill import main
from tasks.language_model.score import main as score

pytestmark = pytest.mark.any_backend


@pytest.mark.slow
def test_the_command(bidirectional, capsys, monkeypatch):
    lines = b"the ___ .\nno blank\n\xff ___ \xe7\x8c\xab\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["--file", "-", "--model", "fill", "--top", "2", "--json"]) == 1  # one line has no blank
    output = capsys.readouterr()
    first, second = map(json.loads, output.out.splitlines())
    assert first["text"] == "the ___ ."
    assert [len(words) for words in first["blanks"]] == [2]
    assert second["text"] == "\ufffd ___ \u732b"
    assert "'no blank': no blank in it" in output.err
    assert main(["the ___ sees the ___", "--model", "fill"]) == 0
    output = capsys.readouterr().out
    assert "%  " in output
    assert "  blank 2\n" in output
    assert main(["the ___ sees the ___.", "--model", "fill"]) == 0  # read as `___ .`


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "texts, such as"),
        (["no blank"], "'no blank': no blank in it"),
        (["a ___", "--top", "0"], "--top 0: a number from 1 to 1,000,000 was expected"),
        (["--file", "nowhere"], "nowhere: no such file"),
        (["a ___", "--model", "tiny"], "a causal model, for score and generate"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(arguments, message, trained, bidirectional, capsys):
    assert main([*arguments, *([] if "--model" in arguments else ["--model", "fill"])]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_evaluate_a_bidirectional_model(bidirectional, capsys):
    assert evaluate(["--model", "fill", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert 1 < metrics["perplexity"] < 10
    assert 0 < metrics["right"] <= metrics["right_in_five"] <= 1
    assert evaluate(["--model", "fill", "--cache"]) == 2
    assert "adaptive evaluation needs a causal model" in capsys.readouterr().err


def test_each_command_finds_the_newest_run_of_its_kind(trained, bidirectional):
    for older, newer in ((trained.run, bidirectional), (bidirectional, trained.run)):
        os.utime(older.path / "weights.safetensors", (2e9, 2e9))
        os.utime(newer.path / "weights.safetensors", (2.1e9, 2.1e9))
        assert find_run(None, "both ways").path == bidirectional.path
        assert find_run().path == trained.run.path
        assert find_run(reads=None).path == newer.path


def test_the_model_of_english_is_the_default_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    for name in ("newest", "wikitext2", "english"):
        folder = tmp_path / "language_model" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"task": "language_model", "config": {}}))
        (folder / "weights.safetensors").touch()
        assert find_run().name == name


def test_without_a_model_the_command_that_trains_one_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    assert main(["a ___"]) == 2
    assert "tasks.language_model.train fill" in capsys.readouterr().err


def test_other_commands_need_a_causal_model(bidirectional, capsys):
    assert score(["the cat", "--model", "fill"]) == 2
    assert "a bidirectional model, for fill" in capsys.readouterr().err
