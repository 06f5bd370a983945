"""The conditional GRU: the fused loop and its gradient against single steps."""

import keras
import numpy as np
import pytest

from shared.recurrent import ConditionalGRU
from shared.recurrent.conditional import gru_step
from tests.shared.recurrent.derivatives import assert_all_close, normal, outputs_and_gradients

any_backend = pytest.mark.any_backend
ops = keras.ops

BATCH, TARGET, SOURCE, FEATURES, UNITS, ATTENTION, WIDTH = 3, 5, 4, 6, 7, 8, 9
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def layer_of(dtype: str) -> ConditionalGRU:
    layer = ConditionalGRU(UNITS, ATTENTION, dtype=dtype)
    layer.build((BATCH, TARGET, FEATURES), (BATCH, SOURCE, WIDTH))
    for seed, weight in enumerate(layer.weights, start=10):
        weight.assign(0.5 * normal(*weight.shape, seed=seed))
    return layer


@pytest.fixture(scope="module")
def layer() -> ConditionalGRU:
    return layer_of("float32")


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    """Inputs, memory and initial state."""
    return [normal(*shape) for shape in ((BATCH, TARGET, FEATURES), (BATCH, SOURCE, WIDTH), (BATCH, UNITS))]


def single_steps(layer, inputs, memory, state):
    keys, steps = layer.keys(memory), []
    for t in range(inputs.shape[1]):
        outputs = layer.step(inputs[:, t : t + 1], state[:, None], memory, keys, MASK)
        state = outputs.states[:, 0]
        steps.append([x[:, 0] for x in outputs])
    return [ops.stack(x, axis=1) for x in zip(*steps, strict=True)]


def all_steps(training):
    def call(layer, inputs, memory, state):
        return layer(inputs, memory, layer.keys(memory), MASK, state, training=training)

    return call


def scanned(layer, inputs, memory, state):
    projected = inputs @ layer.kernel + layer.bias_1
    return layer._scan(projected, memory, layer.keys(memory), MASK, state)


def results(function, layer, sources, in_graph=False) -> list[np.ndarray]:
    return outputs_and_gradients(lambda *sources: function(layer, *sources), sources, layer.trainable_weights, in_graph)


@pytest.fixture(scope="module")
def expected(layer, sources) -> list[np.ndarray]:
    return results(single_steps, layer, sources)


@any_backend
@pytest.mark.parametrize("function", [all_steps(training=True), all_steps(training=False), scanned])
def test_outputs_and_gradients_are_those_of_single_steps(function, layer, sources, expected):
    tested = results(function, layer, sources, in_graph=True)
    assert_all_close(tested, expected)
    assert len(tested) == 3 + 3 + 12
    assert all(np.abs(gradient).max() > 1e-3 for gradient in tested[3:])


@any_backend
def test_16_bit_types(sources, expected):
    tested = results(all_steps(training=True), layer_of("mixed_bfloat16"), [ops.cast(x, "bfloat16") for x in sources])
    for result, reference in zip(tested, expected, strict=True):
        error = np.linalg.norm(result.astype("float32") - reference) / np.linalg.norm(reference)
        assert error < 0.03


def test_a_graph_with_dynamic_sizes(layer, sources):
    import tensorflow as tf

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


@any_backend
def test_padding_gets_no_attention_and_has_no_effect(layer, sources):
    inputs, memory, state = sources
    expected = all_steps(training=False)(layer, inputs, memory, state)
    assert np.all(np.asarray(expected.weights)[~np.broadcast_to(MASK[:, None], expected.weights.shape)] == 0)
    np.testing.assert_allclose(ops.sum(expected.weights, axis=-1), 1, rtol=1e-6)
    noise = ops.where(MASK[:, :, None], memory, 100.0)
    result = all_steps(training=False)(layer, inputs, noise, state)
    np.testing.assert_allclose(result.states, expected.states, rtol=1e-5, atol=1e-6)


@any_backend
def test_hypotheses_of_a_row_use_the_same_memory(layer, sources):
    inputs, memory, state = sources
    keys, mask = layer.keys(memory), MASK
    beam = layer.step(inputs[:, :2], ops.stack([state, -state], axis=1), memory, keys, mask, layer.project(memory))
    for i, own_state in enumerate((state, -state)):
        alone = layer.step(inputs[:, i : i + 1], own_state[:, None], memory, keys, mask)
        for result, reference in zip(beam, alone, strict=True):
            np.testing.assert_allclose(result[:, i], reference[:, 0], rtol=1e-5, atol=1e-6)


@any_backend
def test_gru_step_is_that_of_keras():
    cell = keras.layers.GRUCell(UNITS, reset_after=True)
    inputs, state = normal(BATCH, FEATURES), normal(BATCH, UNITS)
    cell.build((BATCH, FEATURES))
    cell.bias.assign(normal(2, 3 * UNITS))
    bias, recurrent_bias = np.array(cell.bias)
    bias[: 2 * UNITS] += recurrent_bias[: 2 * UNITS]
    result = gru_step(inputs @ cell.kernel + bias, state, cell.recurrent_kernel, recurrent_bias[2 * UNITS :])
    np.testing.assert_allclose(result, cell(inputs, [state])[0], rtol=1e-5, atol=1e-6)


@any_backend
def test_config_round_trip(layer):
    copy = ConditionalGRU.from_config(layer.get_config())
    copy.build((None, None, FEATURES), (None, None, WIDTH))
    assert [weight.shape for weight in copy.weights] == [weight.shape for weight in layer.weights]
