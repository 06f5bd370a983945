"""The command `generate`."""

import io
import json

import pytest

from tasks.language_model.generate import main
from tasks.language_model.inference import TextGenerator

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("prompt", ["", "the cat", "zebra \u732b \U0001f408 \x07", "  the\n\tcat "])
def test_any_prompt(prompt, trained, capsys):
    assert main(["--model", "tiny", "--prompt", prompt, "--max-tokens", "5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record.keys() == {"prompt", "text", "tokens", "log_prob", "unknown_words"}
    assert record["unknown_words"] == (["zebra", "\u732b", "\U0001f408", "\x07"] if "zebra" in prompt else [])
    assert record["prompt"] == prompt
    assert len(record["tokens"]) == 5
    assert not {"<pad>", "<s>", "<unk>"} & set(record["tokens"])


def test_streamed_and_returned_text_are_equal(trained, capsys):
    arguments = ["--model", "tiny", "--prompt", "the", "--max-tokens", "20", "--seed", "3"]
    assert main(arguments) == 0
    streamed = capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert streamed == f"the{json.loads(capsys.readouterr().out)['text']}\n"


def test_each_prompt_is_continued_on_its_own(trained, tmp_path, capsys, monkeypatch):
    options = ["--model", "tiny", "--max-tokens", "6", "--seed", "2", "--json"]
    prompts = ["the cat", "", "the dog sees"]
    generator = TextGenerator.load("tiny")
    alone = [(prompt, generator(prompt, max_tokens=6, seed=2)[0].text) for prompt in prompts]

    def answers() -> list[tuple[str, str]]:
        records = map(json.loads, capsys.readouterr().out.splitlines())
        return [(record["prompt"], record["text"]) for record in records]

    assert main([*(word for prompt in prompts for word in ("--prompt", prompt)), *options]) == 0
    assert answers() == alone
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(prompts).encode("utf-16"))))
    assert main(["--file", "-", *options]) == 0
    assert answers() == alone
    (tmp_path / "prompts").write_text("")
    assert main(["--file", str(tmp_path / "prompts"), *options]) == 2
    assert "no lines to continue" in capsys.readouterr().err


def test_continuations_read_as_text(trained, capsys):
    options = ["--model", "tiny", "--prompt", "the cat", "--max-tokens", "40", "--seed", "3", "--json"]
    (text,) = TextGenerator.load("tiny")("the cat", max_tokens=40, seed=3)
    assert main([*options, "--form", "tokens"]) == 0
    tokens = json.loads(capsys.readouterr().out)
    assert tokens["tokens"] == text.tokens
    assert " ." in tokens["text"]
    assert text.text == tokens["text"].replace(" .", ".")


@pytest.mark.parametrize("stop", [".", " .", ".\n"])
def test_a_stop_text_may_be_text_or_tokens(stop, trained, capsys):
    options = ["--model", "tiny", "--prompt", "the cat", "--max-tokens", "40", "--seed", "3", "--json"]
    whole = TextGenerator.load("tiny")("the cat", max_tokens=40, seed=3)[0].text
    assert main([*options, "--stop", "no such text", "--stop", stop]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == whole[: whole.index(".")]


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
        (["--prompt", "a", "--file", "-"], "one of the two was expected"),
        (["--prompt", "a", "--prompt", "b", "--save-state", "state"], "--save-state: one --prompt was expected"),
    ],
)
def test_invalid_options_are_refused_in_one_line(arguments, message, trained, capsys):
    assert main(["--model", "tiny", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
