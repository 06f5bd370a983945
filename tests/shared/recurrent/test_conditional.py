"""The conditional GRU: its loop and its gradient against the steps one by one, and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.recurrent import ConditionalGRU
from shared.recurrent.conditional import gru_step

BATCH, TARGET, SOURCE, FEATURES, UNITS, ATTENTION, WIDTH = 3, 5, 4, 6, 7, 8, 9
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def drawn(seed: int, *shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.fixture
def layer() -> ConditionalGRU:
    layer = ConditionalGRU(UNITS, ATTENTION)
    layer.build((BATCH, TARGET, FEATURES), (BATCH, SOURCE, WIDTH))
    for seed, weight in enumerate(layer.weights, start=10):
        weight.assign(0.5 * drawn(seed, *weight.shape))
    return layer


@pytest.fixture
def known() -> list[tf.Tensor]:
    """Inputs, memory and first state."""
    return [drawn(1, BATCH, TARGET, FEATURES), drawn(2, BATCH, SOURCE, WIDTH), drawn(3, BATCH, UNITS)]


def one_by_one(layer, inputs, memory, state):
    keys, found = layer.keys(memory), []
    for t in range(inputs.shape[1]):
        attended = layer.step(inputs[:, t : t + 1], state[:, None], memory, keys, tf.constant(MASK))
        state = attended.states[:, 0]
        found.append([part[:, 0] for part in attended])
    return [tf.stack(part, axis=1) for part in zip(*found, strict=True)]


def all_at_once(training):
    def call(layer, inputs, memory, state):
        return layer(inputs, memory, layer.keys(memory), tf.constant(MASK), state, training=training)

    return call


def scanned(layer, inputs, memory, state):
    projected = inputs @ layer.kernel + layer.bias_1
    return layer._scan(projected, memory, layer.keys(memory), tf.constant(MASK), state)


def slopes(function, layer, known):
    """Outputs, and the gradients of a sum in which every one of their numbers has another weight."""
    with tf.GradientTape() as tape:
        tape.watch(known)
        outputs = function(layer, *known)
        total = sum(tf.reduce_sum(part * drawn(seed, *part.shape)) for seed, part in enumerate(outputs, start=30))
    return list(outputs), tape.gradient(total, [*known, *layer.trainable_weights])


@pytest.mark.parametrize("function", [all_at_once(training=True), all_at_once(training=False), scanned])
def test_all_steps_are_the_steps_one_by_one_and_so_are_the_gradients(function, layer, known):
    expected, given = slopes(one_by_one, layer, known), slopes(function, layer, known)
    for ours, theirs in zip(given[0] + given[1], expected[0] + expected[1], strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert len(given[1]) == 3 + 12
    assert all(np.abs(slope).max() > 1e-3 for slope in given[1])


def test_a_graph_of_sizes_that_are_not_known_yet(layer, known):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, FEATURES]), tf.TensorSpec([None, None, WIDTH]), tf.TensorSpec([None, UNITS]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )  # fmt: skip
    def graph(inputs, memory, state, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            attended = layer(inputs, memory, layer.keys(memory), mask, state, training=True)
            total = tf.reduce_sum(attended.states) + tf.reduce_sum(attended.contexts)
        return (*attended, tape.gradient(total, inputs))

    expected = all_at_once(training=False)(layer, *known)
    *given, slope = graph(*known, tf.constant(MASK))
    for ours, theirs in zip(given, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert slope.shape == known[0].shape


def test_padding_is_not_attended_to_and_changes_nothing(layer, known):
    inputs, memory, state = known
    expected = all_at_once(training=False)(layer, inputs, memory, state)
    assert np.all(expected.weights.numpy()[~np.broadcast_to(MASK[:, None], expected.weights.shape)] == 0)
    np.testing.assert_allclose(tf.reduce_sum(expected.weights, axis=-1), 1, rtol=1e-6)
    noise = tf.where(MASK[:, :, None], memory, 100.0)
    given = all_at_once(training=False)(layer, inputs, noise, state)
    np.testing.assert_allclose(given.states, expected.states, rtol=1e-5, atol=1e-6)


def test_hypotheses_of_a_row_share_its_memory(layer, known):
    inputs, memory, state = known
    keys, mask = layer.keys(memory), tf.constant(MASK)
    beam = layer.step(inputs[:, :2], tf.stack([state, -state], axis=1), memory, keys, mask, layer.answers(memory))
    for place, own in enumerate((state, -state)):
        alone = layer.step(inputs[:, place : place + 1], own[:, None], memory, keys, mask)
        for ours, theirs in zip(beam, alone, strict=True):
            np.testing.assert_allclose(ours[:, place], theirs[:, 0], rtol=1e-5, atol=1e-6)


def test_the_half_is_keras_gru():
    cell = keras.layers.GRUCell(UNITS, reset_after=True)
    inputs, state = drawn(1, BATCH, FEATURES), drawn(2, BATCH, UNITS)
    cell.build((BATCH, FEATURES))
    cell.bias.assign(drawn(3, 2, 3 * UNITS))
    bias, recurrent_bias = cell.bias.numpy()
    bias[: 2 * UNITS] += recurrent_bias[: 2 * UNITS]
    given = gru_step(inputs @ cell.kernel + bias, state, cell.recurrent_kernel, recurrent_bias[2 * UNITS :])
    np.testing.assert_allclose(given, cell(inputs, [state])[0], rtol=1e-5, atol=1e-6)


def test_its_configuration_makes_it_again(layer):
    again = ConditionalGRU.from_config(layer.get_config())
    again.build((None, None, FEATURES), (None, None, WIDTH))
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in layer.weights]
