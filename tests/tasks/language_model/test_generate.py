"""What `generate` draws, and the states that it saves."""

import json

import numpy as np
import pytest

from tasks.language_model.generate import Sampling, TextGenerator, cut, main
from tasks.language_model.model import load_model


@pytest.fixture
def generator(trained):
    _, vocabulary, model = load_model(trained.run)
    return TextGenerator(model, vocabulary)


def drawn(generator, count=12, **options) -> list[list[int]]:
    """The tokens of each sample."""
    return np.array([tokens for tokens, _ in generator.draw(count, **options)]).T.tolist()


def test_a_seed_draws_the_same_however_many_samples(generator):
    generator.read("the cat")
    three, one = drawn(generator, samples=3, seed=5), drawn(generator, samples=1, seed=5)
    assert three[0] == one[0]
    assert len({tuple(sample) for sample in three}) == 3
    assert drawn(generator, samples=3, seed=5) == three
    assert drawn(generator, samples=1, seed=6) != one


def test_cold_is_greedy(generator):
    generator.read("the cat")
    cold, only = drawn(generator, sampling=Sampling(temperature=1e-3)), drawn(generator, sampling=Sampling(top_k=1))
    assert cold == only
    _, vocabulary, model = None, generator.vocabulary, generator.model
    states, token = generator.states, generator.token
    for expected in cold[0]:
        logits, states = model(np.array([[token]], np.int32), states)
        logits = logits[0, 0].numpy()
        logits[[vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id]] = -np.inf
        token = int(np.argmax(logits))
        assert token == expected


def test_log_probs_are_the_models(generator):
    generator.read("the cat")
    states, token = generator.states, generator.token
    for tokens, log_probs in generator.draw(8, sampling=Sampling(temperature=3.0)):
        logits, states = generator.model(np.array([[token]], np.int32), states)
        p = np.exp(logits[0, 0].numpy().astype("float64"))
        token = int(tokens[0])
        assert log_probs[0] == pytest.approx(np.log(p[token] / p.sum()), abs=1e-4)


def test_a_state_in_and_out_is_one_long_pass(trained, generator, tmp_path):
    generator.read("the cat sees the dog .")
    generator.save(tmp_path / "state")
    _, vocabulary, model = load_model(trained.run)
    other = TextGenerator(model, vocabulary)
    other.restore(tmp_path / "state")
    for one in (generator, other):
        one.read("the hen")
    whole = TextGenerator(model, vocabulary)
    whole.read("the cat sees the dog . the hen")
    assert drawn(other) == drawn(generator) == drawn(whole)
    for one, expected in zip(other.states, whole.states, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)


def test_the_state_of_another_model_is_refused(generator, tmp_path, capsys):
    generator.save(tmp_path / "state")
    generator.vocabulary = type(generator.vocabulary)([*generator.vocabulary.table, "more"])
    with pytest.raises(Exception, match="the state of another model"):
        generator.restore(tmp_path / "state")
    (tmp_path / "broken").write_bytes(b"no state")
    assert main(["--model", "tiny", "--load-state", str(tmp_path / "broken")]) == 2
    assert "not a safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("prompt", ["", "the cat", "zebra \u732b \U0001f408 \x07", "  the\n\tcat "])
def test_any_prompt(prompt, trained, capsys):
    assert main(["--model", "tiny", "--prompt", prompt, "--max-tokens", "5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["prompt"] == prompt
    assert len(record["tokens"]) == 5
    assert not {"<pad>", "<s>", "<unk>"} & set(record["tokens"])


def test_what_streams_is_what_is_returned(trained, capsys):
    arguments = ["--model", "tiny", "--prompt", "the", "--max-tokens", "20", "--seed", "3"]
    assert main(arguments) == 0
    streamed = capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert streamed == f"the{json.loads(capsys.readouterr().out)['text']}\n"


def test_stops(trained, capsys):
    arguments = ["--model", "tiny", "--prompt", "the", "--max-tokens", "30", "--seed", "3", "--json"]
    assert main(arguments) == 0
    text = json.loads(capsys.readouterr().out)["text"]
    word = text.split()[4]
    assert main([*arguments, "--stop", word, "nowhere"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text[: text.index(word)]
    assert cut("a b c", ["c", "b"]) == "a "
    assert cut("a b c", ["d"]) is None
    assert cut("a b a b", ["a b"], 4) == "a b "  # one that ended before has been seen
    assert cut("a b a b", ["a b"], 2) == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "0"], "above 0 was expected"),
        (["--top-p", "1.5"], "--top-p 1.5"),
        (["--samples", "0"], "--samples 0: at least 1"),
        (["--load-state", "nowhere"], "--load-state nowhere: no such file"),
        (["--save-state", "nowhere/state"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_told(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
