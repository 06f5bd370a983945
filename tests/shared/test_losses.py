"""Losses against values by hand and against Keras on the real tokens."""

import keras
import numpy as np
import pytest

from shared.losses import (
    PolicyGradient,
    SequenceCrossEntropy,
    mean_nats,
    nats_per_token,
    output_nats,
    real_tokens_mean,
    token_nats,
)
from tests.backend import gradient

pytestmark = pytest.mark.any_backend

BATCH, TARGET, VOCAB = 2, 3, 4
TOKENS = np.array([[2, 1, 0], [3, 0, 0]], np.int32)
LOGITS = np.log(
    np.array(
        [
            [[0.1, 0.2, 0.4, 0.3], [0.25, 0.25, 0.25, 0.25], [0.9, 0.02, 0.03, 0.05]],
            [[0.5, 0.125, 0.25, 0.125], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]],
        ],
        np.float32,
    )
)
REAL = -np.log([0.4, 0.25, 0.125])  # of the real tokens 2, 1 and 3


def value(tensor) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def test_padding_is_ignored():
    assert value(SequenceCrossEntropy()(TOKENS, LOGITS)) == pytest.approx(REAL.mean(), rel=1e-6)
    other = LOGITS.copy()
    other[TOKENS == 0] = np.random.default_rng(0).normal(size=(3, VOCAB))
    assert value(SequenceCrossEntropy(0.2)(TOKENS, other)) == value(SequenceCrossEntropy(0.2)(TOKENS, LOGITS))


def test_only_padding_gives_zero():
    assert value(SequenceCrossEntropy(0.1)(np.zeros_like(TOKENS), LOGITS)) == 0


def test_label_smoothing_by_hand():
    uniform = -LOGITS[TOKENS > 0].mean(axis=-1)
    expected = (0.7 * REAL + 0.3 * uniform).mean()
    assert value(SequenceCrossEntropy(0.3)(TOKENS, LOGITS)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_keras_on_the_real_tokens(smoothing):
    rng = np.random.default_rng(1)
    tokens, logits = rng.integers(0, 6, (3, 2, 5)), 3 * rng.normal(size=(3, 2, 5, 6)).astype(np.float32)
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    expected = keras_loss(np.eye(6, dtype=np.float32)[tokens[tokens > 0]], logits[tokens > 0])
    assert value(SequenceCrossEntropy(smoothing)(tokens, logits)) == pytest.approx(value(expected), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradient_equals_automatic_differentiation(smoothing):
    ops, rng = keras.ops, np.random.default_rng(2)
    tokens, logits = rng.integers(0, 6, (3, 5)), 3 * rng.normal(size=(3, 5, 6)).astype(np.float32)
    weights = rng.normal(size=(3, 5)).astype(np.float32)
    targets = np.float32((1 - smoothing) * np.eye(6)[tokens] + smoothing / 6)

    def loss(logits):
        return ops.sum(weights * token_nats(tokens, logits, smoothing))

    def expected(logits):
        return -ops.sum(weights * ops.sum(targets * ops.log_softmax(logits), axis=-1))

    assert value(loss(logits)) == pytest.approx(value(expected(logits)), rel=1e-5)
    np.testing.assert_allclose(gradient(loss, logits), gradient(expected, logits), atol=1e-6)


def test_large_logits_stay_finite():
    logits = np.array([[[0.0, 1e4, -1e4]]], np.float32)
    assert value(SequenceCrossEntropy()(np.array([[2]]), logits)) == 2e4


def test_nats_per_token_is_the_cross_entropy_without_smoothing():
    nats = keras.ops.convert_to_numpy(nats_per_token(TOKENS.astype(np.float32), LOGITS))
    np.testing.assert_allclose(nats, np.full((BATCH, TARGET), REAL.mean()), rtol=1e-6)


def test_real_tokens_mean():
    assert value(real_tokens_mean(keras.ops.array([[1.0, 9.0], [4.0, 9.0]]), np.array([[5, 0], [1, 0]]))) == 2.5


@pytest.mark.parametrize("mask_zero", [False, True])
def test_a_propagated_mask_changes_nothing(mask_zero):
    """The mask describes the inputs; the targets have their own padding."""
    inputs = keras.Input((None,), dtype="int32")
    table = keras.layers.Embedding(VOCAB, VOCAB, mask_zero=mask_zero, embeddings_initializer="zeros")
    model = keras.Model(inputs, keras.layers.Activation("linear")(table(inputs)))
    table.set_weights([LOGITS[0][[0, 1, 2, 0]]])
    model.compile(loss=SequenceCrossEntropy(), metrics=[nats_per_token], optimizer="sgd")
    logs = model.test_on_batch(np.array([[1, 2, 0], [3, 0, 0]]), TOKENS, return_dict=True)
    logits = LOGITS[0][[1, 2, 0]]
    expected = -(logits[0, 2] + logits[1, 1] + logits[2, 3]) / 3
    assert logs["loss"] == pytest.approx(expected, rel=1e-6)
    assert logs["nats_per_token"] == pytest.approx(expected, rel=1e-6)


def test_sample_weight_is_refused():
    with pytest.raises(ValueError, match="takes no sample_weight"):
        SequenceCrossEntropy()(TOKENS, LOGITS, sample_weight=np.ones(BATCH))


def test_policy_gradient_weights_each_sampled_token():
    advantages = np.array([[0.5, 0.5, 9.0], [-2.0, 9.0, 9.0]], np.float32)
    expected = 0.5 * REAL[0] + 0.5 * REAL[1] - 2 * REAL[2]
    assert value(PolicyGradient()(TOKENS, LOGITS, sample_weight=advantages)) == pytest.approx(expected, rel=1e-6)


def test_losses_of_models_that_output_nats():
    assert value(mean_nats(None, keras.ops.array([[1.0, 3.0], [2.0, 6.0]]))) == 3
    assert output_nats(None, LOGITS) is LOGITS


@pytest.mark.parametrize("loss", [SequenceCrossEntropy(0.2, name="other"), PolicyGradient()])
def test_config_round_trip(loss):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
