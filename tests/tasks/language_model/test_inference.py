"""Scoring, generating and filling in Python."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from shared.errors import UserError
from shared.loaded import Loaded
from shared.runs import read_tensors, write_tensors
from tasks.language_model import inference
from tasks.language_model.adapt import stream_nats
from tasks.language_model.continuations import text_before
from tasks.language_model.inference import BlankFiller, Sampling, TextGenerator, TextScorer
from tasks.language_model.model import build_model, load_model
from tests.tasks.language_model.conftest import NOUNS, VERBS
from tests.tasks.language_model.test_model import PLAIN, VOCABULARY

pytestmark = pytest.mark.any_backend

LINES = ["the cat sees the dog .", "the hen likes the zebra .", "", "dog dog"]


@pytest.fixture(scope="module")
def loaded(trained):
    return load_model(trained.run)


def line_nats(loaded, text: str) -> np.ndarray:
    """-log p of each token of a line on its own."""
    _, vocabulary, model = loaded
    return stream_nats(model, np.array([*vocabulary.encode(text), vocabulary.end_id], np.int32), vocabulary.end_id)


# --- TextScorer ----------------------------------------------------------------------------------------------------


def test_lines_are_scored_independently(loaded):
    scores = TextScorer(loaded)(LINES * 6)  # more than one batch
    assert [score.text for score in scores] == LINES * 6
    for score in scores:
        nats = line_nats(loaded, score.text)
        np.testing.assert_allclose(-score.log_probs, nats, rtol=1e-4, atol=1e-5)
        assert score.perplexity == pytest.approx(math.exp(nats.mean()), rel=1e-4)
        assert score.bits_per_character == pytest.approx(nats.sum() / math.log(2) / (len(score.text) + 1), rel=1e-4)
    assert scores[0].without_end == pytest.approx(math.exp(line_nats(loaded, LINES[0])[:-1].mean()), rel=1e-4)
    assert scores[2].without_end is None
    assert scores[2].word_perplexity == pytest.approx(scores[2].perplexity)  # a blank line is its end alone
    assert scores[0].word_perplexity == pytest.approx(math.exp(-scores[0].log_prob / 6), rel=1e-4)  # "dog ." is one
    assert scores[1].tokens == ["the", "hen", "likes", "the", "zebra", ".", "</s>"]
    assert scores[1].unknown == [False, False, False, False, True, False, False]


def test_carried_lines_are_scored_as_one_text(loaded):
    _, vocabulary, model = loaded
    scorer = TextScorer(loaded, carry=True)
    scores = [score for chunk in (LINES[:1], LINES[1:]) for score in scorer(chunk)]
    ids = [token for line in LINES for token in (*vocabulary.encode(line), vocabulary.end_id)]
    whole = stream_nats(model, np.array(ids, np.int32), vocabulary.end_id)
    np.testing.assert_allclose(np.concatenate([-score.log_probs for score in scores]), whole, rtol=1e-4, atol=1e-5)


def test_a_line_longer_than_one_call(loaded):
    text = " ".join(["the cat sees"] * 60)
    (score,) = TextScorer(loaded)([text])
    np.testing.assert_allclose(-score.log_probs, line_nats(loaded, text), rtol=1e-4, atol=1e-5)


def test_lines_of_any_length_are_read_in_parts_of_bounded_size(loaded, monkeypatch):
    lines = [LINES[0], " ".join([LINES[1]] * 5), LINES[1]]
    expected = TextScorer(loaded)(lines)
    monkeypatch.setattr("tasks.language_model.inference.TOKENS", 16)
    scorer, shapes = TextScorer(loaded), []
    predict = scorer.reader.predict_on_batch
    monkeypatch.setattr(
        scorer.reader, "predict_on_batch", lambda inputs: shapes.append(inputs["token_ids"].shape) or predict(inputs)
    )
    for score, other in zip(scorer(lines), expected, strict=True):
        np.testing.assert_allclose(score.log_probs, other.log_probs, atol=1e-4)
    assert len(shapes) >= 3
    assert all(rows * steps <= 16 for rows, steps in shapes)


ENDLESS = """
import resource, sys
from tasks.language_model.inference import TextGenerator, TextScorer

def lines(count):
    return ("the cat sees the dog ." for _ in range(count))

scorer, generator = TextScorer.load(sys.argv[1], carry=True), TextGenerator.load(sys.argv[1])
peaks = []
for count in (200, 2000):
    for _ in scorer.stream(lines(count)):
        pass
    for _ in generator.draw(count):
        pass
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""


@pytest.mark.slow
def test_an_endless_stream_needs_constant_memory(trained):
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(trained.run.path)], capture_output=True, text=True, check=True
    )
    after_few, after_many = map(int, done.stdout.split())
    assert after_many - after_few < 4_000  # kilobytes


# --- TextGenerator -------------------------------------------------------------------------------------------------


@pytest.fixture
def generator(loaded):
    return TextGenerator(loaded)


def drawn(generator, count=12, **options) -> list[list[int]]:
    """The tokens of each sample."""
    return np.array([token_ids for token_ids, _ in generator.draw(count, **options)]).T.tolist()


def test_a_seed_does_not_depend_on_the_number_of_samples(generator):
    generator.read("the cat")
    three, one = drawn(generator, samples=3, seed=5), drawn(generator, samples=1, seed=5)
    assert three[0] == one[0]
    assert len({tuple(sample) for sample in three}) == 3
    assert drawn(generator, samples=3, seed=5) == three
    assert drawn(generator, samples=1, seed=6) != one


def test_a_low_temperature_is_greedy(generator):
    generator.read("the cat")
    cold = drawn(generator, sampling=Sampling(temperature=1e-3))
    assert cold == drawn(generator, sampling=Sampling(top_k=1))
    vocabulary, states, token = generator.vocabulary, generator.states, generator.token
    for expected in cold[0]:
        logits, states = generator.model(np.array([[token]], np.int32), states)
        logits = np.array(logits[0, 0])
        logits[[vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id]] = -np.inf
        token = int(np.argmax(logits))
        assert token == expected


def test_log_probs_equal_those_of_the_model(generator):
    generator.read("the cat")
    states, token = generator.states, generator.token
    for token_ids, log_probs in generator.draw(8, sampling=Sampling(temperature=3.0)):
        logits, states = generator.model(np.array([[token]], np.int32), states)
        p = np.exp(np.asarray(logits[0, 0], np.float64))
        token = int(token_ids[0])
        assert log_probs[0] == pytest.approx(np.log(p[token] / p.sum()), abs=1e-4)


@pytest.mark.parametrize("cell", ["simple_rnn", "gru", "mogrifier_lstm"])
def test_every_cell_generates_at_any_size(cell):
    """The compiled steps know no size in advance."""
    config = replace(PLAIN, cell=cell)
    generator = TextGenerator(Loaded(config, VOCABULARY, build_model(config, VOCABULARY)))
    for prompt, samples in (("a b c", 2), ("a", 3)):
        continuations = generator(prompt, max_tokens=4, samples=samples)
        assert [len(continuation.tokens) for continuation in continuations] == [4] * samples


def test_a_call_leaves_the_state_unchanged(loaded, generator):
    (whole,) = generator("the cat sees the dog", max_tokens=9, seed=2)
    assert len(whole.tokens) == 9
    generator.read("the cat sees")
    for _ in range(2):
        (continuation,) = generator("the dog", max_tokens=9, seed=2)
        assert continuation.tokens == whole.tokens
        assert continuation.log_prob == pytest.approx(whole.log_prob, abs=1e-4)
    (score,) = TextScorer(loaded)([f"the cat sees the dog{whole.text}"])
    if "\n" not in whole.text:  # scores of a line: prompt, continuation, end
        assert score.log_probs[-10:-1].sum() == pytest.approx(whole.log_prob, abs=1e-3)


def test_continuations_end_before_a_stop_text(generator):
    (whole,) = generator("the", max_tokens=30, seed=3)
    word = whole.text.split()[4]
    (stopped,) = generator("the", max_tokens=30, seed=3, stop=[word, "nowhere"])
    assert stopped.text == whole.text[: whole.text.index(word)]
    assert stopped.tokens == whole.tokens[: len(stopped.tokens)]


def test_a_restored_state_equals_one_long_prompt(loaded, generator, tmp_path):
    generator.read("the cat sees the dog .")
    generator.save(tmp_path / "state")
    restored, whole = TextGenerator(loaded), TextGenerator(loaded)
    restored.restore(tmp_path / "state")
    for one in (generator, restored):
        one.read("the hen")
    whole.read("the cat sees the dog . the hen")
    assert drawn(restored) == drawn(generator) == drawn(whole)
    for one, expected in zip(restored.states, whole.states, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)


def test_a_restored_state_knows_its_line(loaded, generator, tmp_path):
    generator.read('the cat "sees ')
    generator.save(tmp_path / "state")
    restored = TextGenerator(loaded)
    restored.restore(tmp_path / "state")
    assert restored.position[1:] == generator.position[1:]
    assert (restored.line[-1], restored.is_spaced) == (generator.line[-1], True)


def test_a_state_without_its_line_has_its_last_token(generator, tmp_path):
    """As versions before wrote it."""
    generator.read("the cat sees ")
    generator.save(tmp_path / "state")
    tensors = read_tensors(tmp_path / "state")
    write_tensors(tmp_path / "state", {name: x for name, x in tensors.items() if name != "line"})
    generator.restore(tmp_path / "state")
    assert (generator.line, generator.is_spaced) == (["sees"], False)


def test_the_state_of_another_model_is_refused(generator, tmp_path):
    generator.save(tmp_path / "state")
    generator.vocabulary = type(generator.vocabulary)([*generator.vocabulary.table, "more"])
    with pytest.raises(Exception, match="the state of another model"):
        generator.restore(tmp_path / "state")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": np.array(-1)}, "a token from 0 to"),
        ({"token": np.array(10**6)}, "a token from 0 to"),
        ({"token": np.array(1.5)}, "a token from 0 to"),
        ({"state_0": np.full((1, 24), np.nan, np.float32)}, "states of finite float32 values were expected"),
        ({"state_0": np.zeros((1, 24), np.int32)}, "states of finite float32 values were expected"),
        ({"state_0": np.zeros((2, 24), np.float32)}, "the state of another model"),
        ({"line": np.frombuffer(b"[[", np.uint8)}, "the tokens of a line were expected"),
        ({"line": np.frombuffer(b'["the", true]', np.uint8)}, "the tokens of a line were expected"),
        ({"line": np.frombuffer(b'[[""], true]', np.uint8)}, "the tokens of a line were expected"),
        ({"line": np.frombuffer(b"[[1], true]", np.uint8)}, "the tokens of a line were expected"),
    ],
)
def test_damaged_states_are_refused(generator, tmp_path, changes, message):
    path = tmp_path / "state"
    generator.save(path)
    units = read_tensors(path)["state_0"].shape[1]
    write_tensors(path, read_tensors(path) | {name: x[:, :units] if x.ndim > 1 else x for name, x in changes.items()})
    token = generator.token
    with pytest.raises(UserError, match=message):
        generator.restore(path)
    assert generator.token == token


def test_samples_and_blanks_are_bounded_by_the_vocabulary(generator, bidirectional, monkeypatch):
    monkeypatch.setattr(inference, "MAX_SCORES", 3 * len(generator.vocabulary))
    assert len(generator("a", max_tokens=1, samples=3)) == 3
    with pytest.raises(UserError, match="samples 4 x tokens known"):
        generator("a", max_tokens=1, samples=4)
    filler = BlankFiller.load("fill")
    with pytest.raises(UserError, match="blanks 9 x tokens known"):
        filler("the " + "___ " * 9)


def test_stop_texts():
    assert text_before("a b c", ["c", "b"]) == "a "
    assert text_before("a b c", ["d"]) is None
    assert text_before("a b a b", ["a b"], 4) == "a b "  # the first one ends before index 4
    assert text_before("a b a b", ["a b"], 2) == ""


# --- BlankFiller ---------------------------------------------------------------------------------------------------


def test_blanks_are_filled(bidirectional):
    filler = BlankFiller.load("fill", top=7)
    (words,) = filler("the cat ___ the dog .").blanks
    assert {word for word, _ in words[: len(VERBS)]} == set(VERBS)
    probabilities = [p for _, p in words]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities[: len(VERBS)]) > 0.5
    nouns, point = filler("the ______ sees the dog __").blanks
    assert {word for word, _ in nouns[:4]} <= set(NOUNS)
    assert point[0][0] == "."


def test_probabilities_equal_those_of_the_model(bidirectional):
    loaded = load_model(bidirectional)
    _, vocabulary, model = loaded
    token_ids = [vocabulary.end_id, *vocabulary.encode("the cat"), vocabulary.start_id, vocabulary.end_id]
    inputs = {"token_ids": np.array([token_ids], np.int32), "blank_indices": np.array([[3]], np.int32)}
    logits = np.asarray(model(inputs))[0, 0].astype("float64")
    expected = np.exp(logits) / np.exp(logits).sum()
    for word, p in BlankFiller(loaded)("the cat ___").blanks[0]:
        assert p == pytest.approx(expected[vocabulary.encode(word)[0]], rel=1e-4)
