"""The conditional GRU: the fused loop and its gradient against single steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.recurrent import ConditionalGRU
from shared.recurrent.conditional import gru_step

BATCH, TARGET, SOURCE, FEATURES, UNITS, ATTENTION, WIDTH = 3, 5, 4, 6, 7, 8, 9
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def normal(seed: int, *shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.fixture
def layer() -> ConditionalGRU:
    layer = ConditionalGRU(UNITS, ATTENTION)
    layer.build((BATCH, TARGET, FEATURES), (BATCH, SOURCE, WIDTH))
    for seed, weight in enumerate(layer.weights, start=10):
        weight.assign(0.5 * normal(seed, *weight.shape))
    return layer


@pytest.fixture
def sources() -> list[tf.Tensor]:
    """Inputs, memory and initial state."""
    return [normal(1, BATCH, TARGET, FEATURES), normal(2, BATCH, SOURCE, WIDTH), normal(3, BATCH, UNITS)]


def single_steps(layer, inputs, memory, state):
    keys, steps = layer.keys(memory), []
    for t in range(inputs.shape[1]):
        outputs = layer.step(inputs[:, t : t + 1], state[:, None], memory, keys, tf.constant(MASK))
        state = outputs.states[:, 0]
        steps.append([x[:, 0] for x in outputs])
    return [tf.stack(x, axis=1) for x in zip(*steps, strict=True)]


def all_steps(training):
    def call(layer, inputs, memory, state):
        return layer(inputs, memory, layer.keys(memory), tf.constant(MASK), state, training=training)

    return call


def scanned(layer, inputs, memory, state):
    projected = inputs @ layer.kernel + layer.bias_1
    return layer._scan(projected, memory, layer.keys(memory), tf.constant(MASK), state)


def outputs_and_gradients(function, layer, sources):
    """Outputs, and the gradients of a sum in which each of their numbers has a weight of its own."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = function(layer, *sources)
        total = sum(tf.reduce_sum(x * normal(seed, *x.shape)) for seed, x in enumerate(outputs, start=30))
    return list(outputs), tape.gradient(total, [*sources, *layer.trainable_weights])


@pytest.mark.parametrize("function", [all_steps(training=True), all_steps(training=False), scanned])
def test_outputs_and_gradients_are_those_of_single_steps(function, layer, sources):
    expected, results = (outputs_and_gradients(f, layer, sources) for f in (single_steps, function))
    for result, reference in zip(results[0] + results[1], expected[0] + expected[1], strict=True):
        assert result.shape == reference.shape
        np.testing.assert_allclose(result, reference, rtol=1e-4, atol=1e-5)
    assert len(results[1]) == 3 + 12
    assert all(np.abs(gradient).max() > 1e-3 for gradient in results[1])


def test_a_graph_with_dynamic_sizes(layer, sources):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, FEATURES]), tf.TensorSpec([None, None, WIDTH]), tf.TensorSpec([None, UNITS]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )  # fmt: skip
    def graph(inputs, memory, state, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, memory, layer.keys(memory), mask, state, training=True)
            total = tf.reduce_sum(outputs.states) + tf.reduce_sum(outputs.contexts)
        return (*outputs, tape.gradient(total, inputs))

    expected = all_steps(training=False)(layer, *sources)
    *results, gradient = graph(*sources, tf.constant(MASK))
    for result, reference in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, reference, rtol=1e-5, atol=1e-6)
    assert gradient.shape == sources[0].shape


def test_padding_gets_no_attention_and_has_no_effect(layer, sources):
    inputs, memory, state = sources
    expected = all_steps(training=False)(layer, inputs, memory, state)
    assert np.all(expected.weights.numpy()[~np.broadcast_to(MASK[:, None], expected.weights.shape)] == 0)
    np.testing.assert_allclose(tf.reduce_sum(expected.weights, axis=-1), 1, rtol=1e-6)
    noise = tf.where(MASK[:, :, None], memory, 100.0)
    result = all_steps(training=False)(layer, inputs, noise, state)
    np.testing.assert_allclose(result.states, expected.states, rtol=1e-5, atol=1e-6)


def test_hypotheses_of_a_row_use_the_same_memory(layer, sources):
    inputs, memory, state = sources
    keys, mask = layer.keys(memory), tf.constant(MASK)
    beam = layer.step(inputs[:, :2], tf.stack([state, -state], axis=1), memory, keys, mask, layer.project(memory))
    for i, own_state in enumerate((state, -state)):
        alone = layer.step(inputs[:, i : i + 1], own_state[:, None], memory, keys, mask)
        for result, reference in zip(beam, alone, strict=True):
            np.testing.assert_allclose(result[:, i], reference[:, 0], rtol=1e-5, atol=1e-6)


def test_gru_step_is_that_of_keras():
    cell = keras.layers.GRUCell(UNITS, reset_after=True)
    inputs, state = normal(1, BATCH, FEATURES), normal(2, BATCH, UNITS)
    cell.build((BATCH, FEATURES))
    cell.bias.assign(normal(3, 2, 3 * UNITS))
    bias, recurrent_bias = cell.bias.numpy()
    bias[: 2 * UNITS] += recurrent_bias[: 2 * UNITS]
    result = gru_step(inputs @ cell.kernel + bias, state, cell.recurrent_kernel, recurrent_bias[2 * UNITS :])
    np.testing.assert_allclose(result, cell(inputs, [state])[0], rtol=1e-5, atol=1e-6)


def test_config_round_trip(layer):
    copy = ConditionalGRU.from_config(layer.get_config())
    copy.build((None, None, FEATURES), (None, None, WIDTH))
    assert [weight.shape for weight in copy.weights] == [weight.shape for weight in layer.weights]
