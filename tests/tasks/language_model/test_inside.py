"""What is seen inside a model agrees with its scores and its weights."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.training import Loaded
from shared.vocabulary import SubwordVocabulary
from tasks.language_model.config import PRESETS, Config
from tasks.language_model.inference import TextScorer
from tasks.language_model.inside import GUESSES, Inside
from tasks.language_model.model import build_model, load_model

pytestmark = pytest.mark.any_backend

TEXTS = ["abc", "cab bac"]


def letters(cell: str) -> Loaded:
    """An untrained model of letters."""
    config = replace(PRESETS[f"letters_{cell}"], units=6, embedding_units=5)
    vocabulary = SubwordVocabulary.characters(TEXTS)
    return Loaded(config, vocabulary, build_model(config, vocabulary))


@pytest.mark.parametrize("cell", ["simple_rnn", "gru", "lstm"])
def test_steps_losses_and_guesses_of_letters(cell):
    loaded = letters(cell)
    short, long = Inside(loaded)(TEXTS)
    assert short.read == ["</s>", " ", "a", "b", "c"]
    assert short.predicted == [" ", "a", "b", "c", "</s>"]
    assert len(long.read) == 9
    assert long.values.states["h"].shape == (9, 6)
    for score, seen in zip(TextScorer(loaded)(TEXTS), (short, long), strict=True):
        np.testing.assert_allclose(seen.nats, -score.log_probs, rtol=1e-5)
        for guesses, nats, token in zip(seen.guesses, seen.nats, seen.predicted, strict=True):
            assert len(guesses) == GUESSES
            assert [p for _, p in guesses] == sorted((p for _, p in guesses), reverse=True)
            assert dict(guesses).get(token, np.exp(-nats)) == pytest.approx(np.exp(-nats), rel=1e-4)


def test_the_gradient_of_a_step_is_that_of_its_loss(trained):
    """dL_t/dh_t = V (p - y); the softmax weights of this model are its embedding."""
    loaded = load_model(trained.run)
    assert loaded.config.has_one_layer
    seen = Inside(loaded)(["the cat sees the dog ."])[0]
    embeddings, bias = np.asarray(loaded.model.embedding.embeddings), np.asarray(loaded.model.bias)
    probabilities = np.asarray(keras.ops.softmax(seen.values.states["h"] @ embeddings.T + bias)).copy()
    ids = [*loaded.vocabulary.encode("the cat sees the dog ."), loaded.vocabulary.end_id]
    probabilities[np.arange(len(ids)), ids] -= 1
    norms = np.log10(np.linalg.norm(probabilities @ embeddings, axis=1))
    np.testing.assert_allclose(np.diagonal(seen.reach.states), norms, atol=1e-4)


def test_before_training_the_weights_are_those_of_the_seed(trained):
    seen, again = (Inside.load_untrained(trained.run)(["the cat"])[0] for _ in range(2))
    np.testing.assert_array_equal(seen.nats, again.nats)
    assert (Inside.load(trained.run)(["the cat"])[0].nats != seen.nats).all()
    np.testing.assert_allclose(seen.values.from_inputs["f"].mean(), 1, atol=0.1)  # the bias of the forget gate


def test_models_whose_equations_are_not_known_have_not_one_layer():
    config = PRESETS["letters_gru"]
    assert config.has_one_layer
    for changes in ({"num_layers": 2}, {"cell": "mogrifier_lstm"}, {"reads": "both ways", "vocabulary": "words"}):
        assert not replace(config, **changes).has_one_layer
    assert not Config(reads="for a label").has_one_layer


def test_no_text_is_no_error():
    assert Inside(letters("gru"))([]) == []
