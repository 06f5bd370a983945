"""The command `generate`."""

import json

import pytest

from tasks.language_model.generate import main

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("prompt", ["", "the cat", "zebra \u732b \U0001f408 \x07", "  the\n\tcat "])
def test_any_prompt(prompt, trained, capsys):
    assert main(["--model", "tiny", "--prompt", prompt, "--max-tokens", "5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record.keys() == {"prompt", "text", "tokens", "log_prob"}
    assert record["prompt"] == prompt
    assert len(record["tokens"]) == 5
    assert not {"<pad>", "<s>", "<unk>"} & set(record["tokens"])


def test_streamed_and_returned_text_are_equal(trained, capsys):
    arguments = ["--model", "tiny", "--prompt", "the", "--max-tokens", "20", "--seed", "3"]
    assert main(arguments) == 0
    streamed = capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert streamed == f"the{json.loads(capsys.readouterr().out)['text']}\n"


def test_a_saved_state_is_continued(trained, tmp_path, capsys):
    state = str(tmp_path / "state")
    assert main(["--model", "tiny", "--prompt", "the cat", "--max-tokens", "0", "--save-state", state]) == 0
    assert capsys.readouterr().out == ""
    options = ["--model", "tiny", "--max-tokens", "9", "--json"]
    assert main(["--load-state", state, "--prompt", "sees", *options]) == 0
    assert main(["--prompt", "the cat sees", *options]) == 0
    continued, whole = map(json.loads, capsys.readouterr().out.splitlines())
    assert continued["text"] == whole["text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "0"], "--temperature 0.0: a number from 0.001 to 1,000 was expected"),
        (["--temperature", "nan"], "--temperature nan: a number from 0.001 to 1,000 was expected"),
        (["--top-p", "1.5"], "--top-p 1.5: a number above 0 and at most 1 was expected"),
        (["--samples", "0"], "--samples 0: a number from 1 to 1,000 was expected"),
        (["--load-state", "nowhere"], "--load-state nowhere: no such file"),
        (["--load-state", __file__], "not a safetensors file"),
        (["--save-state", "nowhere/state"], "no folder nowhere"),
        (["--stop", ""], "--stop '': a text was expected"),
    ],
)
def test_invalid_options_are_refused_in_one_line(arguments, message, trained, capsys):
    assert main(["--model", "tiny", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
