"""Self-critical training: samples, advantages, and their effect on the probabilities of captions."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.losses import PolicyGradient, nats_per_token
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import SCENES
from tasks.captioner.data import Split
from tasks.captioner.model import Captioner
from tasks.captioner.self_critical import Sampler, self_critical_batches

IMAGES, ROWS, COLUMNS, CHANNELS, UNITS, SAMPLES, MAX_LENGTH = 5, 2, 3, 7, 8, 12, 6
CAPTIONS = [["a red star", "a star"], ["a blue heart", "one heart"], ["a star", "a red star"]]
CAPTIONS += [["one blue star", "a star"], ["a heart", "a blue heart"]]
CONFIG = replace(SCENES, batch_size=3 * SAMPLES, reward_samples=SAMPLES, max_length=MAX_LENGTH, units=UNITS, seed=3)


@pytest.fixture(scope="module")
def split():
    inputs = np.random.default_rng(1).random((IMAGES, 1, ROWS, COLUMNS, CHANNELS)).astype(np.float16)
    return Split(records=[{}] * IMAGES, captions=CAPTIONS, inputs=inputs)


@pytest.fixture(scope="module")
def vocabulary():
    return WordVocabulary.build([caption for captions in CAPTIONS for caption in captions])


@pytest.fixture
def model(vocabulary):
    keras.utils.set_random_seed(2)
    model = Captioner(len(vocabulary), UNITS, name="captioner")
    model.build({"grid": (None, None, None, CHANNELS), "token_ids": (None, None, None)})
    model.compile(keras.optimizers.SGD(5.0), PolicyGradient(), metrics=[nats_per_token])
    return model


def test_the_same_seed_draws_the_same_samples(model, split, vocabulary):
    sampler = Sampler(model, SAMPLES, MAX_LENGTH)
    first, again, other = (sampler.draw(split.inputs[:2, 0], seed) for seed in (4, 4, 5))
    assert first.shape == (2, SAMPLES, MAX_LENGTH + 1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert not np.isin(first[:, :, 0], (vocabulary.pad_id, vocabulary.start_id)).any()


@pytest.mark.parametrize("kind", ["samples", "beam"])
def test_the_baseline_of_a_caption_is_the_mean_of_the_others(model, split, vocabulary, kind):
    batches = self_critical_batches(replace(CONFIG, reward_captions=kind, beam=2), split, vocabulary, model)
    inputs, targets, weights = batches[0]
    if kind == "beam":
        assert all(len({tuple(caption) for caption in image}) == SAMPLES for image in targets)
    assert inputs["grid"].shape[1:] == (ROWS, COLUMNS, CHANNELS)
    assert targets.shape == inputs["token_ids"].shape == weights.shape
    assert (inputs["token_ids"][:, :, 0] == vocabulary.start_id).all()
    np.testing.assert_array_equal(inputs["token_ids"][:, :, 1:], targets[:, :, :-1])
    assert (weights[targets == vocabulary.pad_id] == 0).all()
    np.testing.assert_allclose(weights[:, :, 0].sum(axis=1), 0, atol=1e-6)  # advantages sum to 0
    assert np.ptp(weights) > 0


def test_a_step_raises_the_probability_of_better_captions(model, split, vocabulary):
    inputs, targets, weights = self_critical_batches(CONFIG, split, vocabulary, model)[1]

    def log_probs() -> np.ndarray:
        logits = keras.ops.log_softmax(model(inputs))
        chosen = keras.ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return np.asarray(chosen) * (targets != 0)

    before = (weights * log_probs()).sum()
    model.train_on_batch(inputs, targets, weights)
    assert (weights * log_probs()).sum() > before
