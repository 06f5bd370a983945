"""The kernels without layers: in the graph against numeric gradients, compiled against those in the graph.

The compiled kernels are float32 at most, in which numeric gradients are too coarse. So the kernels in the graph are
checked in float64, and the compiled ones against them.
"""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.native import bfloat16
from shared.recurrent import compiled, kernels

BATCH, TIME, FEATURES, UNITS = 3, 4, 1, 2
HOLES = tf.constant([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
ORDERS = {"forwards": (None, False), "forwards-masked": (HOLES, False), "backwards-masked": (HOLES, True)}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


# Number of gates and states, whether there is a second bias, and the call with inputs, weights and states.
KERNELS: dict[str, Any] = {
    "rnn": (1, 1, False, lambda k, x, w, b, h, u, **options: k.simple_rnn(x, w, b, h, recurrent_kernel=u, **options)),
    "rnn_relu": (
        *(1, 1, False),
        lambda k, x, w, b, h, u, **options: k.simple_rnn(x, w, b, h, recurrent_kernel=u, relu=True, **options),
    ),
    "lstm": (4, 2, False, lambda k, x, w, b, h, c, u, **options: k.lstm(x, w, b, h, c, recurrent_kernel=u, **options)),
    "lstm_cells": (
        *(4, 2, False),
        lambda k, x, w, b, h, c, u, **options: k.lstm(x, w, b, h, c, recurrent_kernel=u, every_cell=True, **options),
    ),
    "gru": (
        *(3, 1, True),
        lambda k, x, w, b, h, u, b2, mask, **options: k.gru(x, w, b, h, mask, u, b2, reset_after=True, **options),
    ),
    "gru_before": (
        *(3, 1, False),
        lambda k, x, w, b, h, u, mask, **options: k.gru(x, w, b, h, mask, u, None, reset_after=False, **options),
    ),
}


def sources_of(
    kernel: str, batch: int = BATCH, time: int = TIME, units: int = UNITS, dtype: str = "float32"
) -> list[Any]:
    gates, states, second_bias, _ = KERNELS[kernel]
    wide = gates * units
    shapes = [(batch, time, FEATURES), (FEATURES, wide), (wide,), *[(batch, units)] * states, (units, wide)]
    shapes += [(units,)] * second_bias
    return [tf.constant(normal(*shape, seed=i) / 2, dtype) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "recomputed"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.slow
def test_gradient_in_the_graph_is_the_numeric_one(kernel, order, keep):
    mask, backwards = ORDERS[order]

    @tf.function
    def loss(*sources):
        """The sum of all results, each number with a weight of its own."""
        results = tf.nest.flatten(KERNELS[kernel][3](kernels, *sources, mask=mask, keep=keep, backwards=backwards))
        return tf.add_n([tf.reduce_sum(x * normal(*x.shape, seed=i)) for i, x in enumerate(results)])

    @tf.function
    def gradients(*sources):
        return tf.gradients(loss(*sources), sources)

    sources = sources_of(kernel, dtype="float64")
    for i, gradient in enumerate(gradients(*sources)):
        numeric = np.zeros(gradient.shape)
        for entry in np.ndindex(*gradient.shape):
            step = np.zeros(gradient.shape)
            step[entry] = 1e-5
            above, below = (loss(*sources[:i], sources[i] + by, *sources[i + 1 :]) for by in (step, -step))
            numeric[entry] = (above - below) / 2e-5
        np.testing.assert_allclose(gradient, numeric, atol=1e-9)


def results_and_gradients(kernel, module, sources, mask, backwards):
    with tf.GradientTape() as tape:
        tape.watch(sources)
        results = tf.nest.flatten(KERNELS[kernel][3](module, *sources, mask=mask, backwards=backwards))
        weighted = [x * tf.constant(normal(*x.shape, seed=i), x.dtype) for i, x in enumerate(results)]
        loss = tf.add_n([tf.cast(tf.reduce_sum(x), "float64") for x in weighted])
    return [*results, *tape.gradient(loss, sources)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_equals_the_graph_in_float64(kernel, order):
    mask, backwards = ORDERS[order]
    results = results_and_gradients(kernel, compiled, sources_of(kernel), mask, backwards)
    expected = results_and_gradients(kernel, kernels, sources_of(kernel, dtype="float64"), mask, backwards)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("batch", "time", "units"), [(1, 4, 70), (23, 2, 37), (5, 1, 130)])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_equals_the_graph_for_several_panels(kernel, batch, time, units, backwards):
    """Sizes of several panels and tiles, the last ones partly empty, on several threads."""
    sources, mask = sources_of(kernel, batch, time, units), tf.constant(normal(batch, time) > -1)
    results = results_and_gradients(kernel, compiled, sources, mask, backwards)
    expected = results_and_gradients(kernel, kernels, sources, mask, backwards)
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("batch", "time", "units"), [(1, 4, 70), (23, 3, 37), (40, 2, 130), (3, 1, 5)])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_in_bfloat16(kernel, batch, time, units, backwards):
    """Sources have bfloat16 values; states and derivatives are rounded to it once, as factors of a product."""
    sources = [tf.cast(x, "bfloat16") for x in sources_of(kernel, batch, time, units)]
    mask = tf.constant(normal(batch, time) > -1)
    results = results_and_gradients(kernel, compiled, sources, mask, backwards)
    types = ["bfloat16", *["float32"] * (len(results) - len(sources) - 1), *["bfloat16"] * len(sources)]
    assert [result.dtype for result in results] == types  # h, c of an LSTM, gradients
    sources = [tf.cast(x, "float64") for x in sources]
    expected = results_and_gradients(kernel, kernels, sources, mask, backwards)
    bound = 0.25 if kernel == "rnn_relu" else 0.03  # a derivative of relu jumps where the sum is rounded to 0
    for one, other in zip(results, expected, strict=True):
        error = np.linalg.norm(tf.cast(one, "float64") - other) / np.linalg.norm(other)
        assert error < bound


def test_bfloat16_without_instructions_is_computed_in_float32(monkeypatch):
    monkeypatch.setattr(bfloat16, "is_available", lambda: False)
    sources = [tf.cast(x, "bfloat16") for x in sources_of("lstm")]
    results = results_and_gradients("lstm", compiled, sources, None, False)
    sources = [tf.cast(x, "float32") for x in sources]
    expected = results_and_gradients("lstm", compiled, sources, None, False)
    np.testing.assert_array_equal(results[0], tf.cast(expected[0], "bfloat16"))
    np.testing.assert_array_equal(results[1], expected[1])
    for one, other in zip(results[2:], expected[2:], strict=True):
        np.testing.assert_allclose(tf.cast(one, "float32"), other, rtol=0.05, atol=0.01)  # of h in bfloat16


def test_weight_gradients_of_an_empty_batch_are_zero():
    """Their memory is not initialised."""
    _, *weights = sources_of("rnn")
    inputs, hidden = tf.zeros((0, TIME, FEATURES)), tf.zeros((0, UNITS))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        hiddens = compiled.simple_rnn(inputs, weights[0], weights[1], hidden, None, weights[3])
    for gradient in tape.gradient(hiddens, [weights[0], weights[1], weights[3]]):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_results_keep_their_memory(graph):
    """Memory is reused, but not that of a tensor which still exists."""

    def call(*sources):
        return KERNELS["lstm"][3](compiled, *sources, mask=None)[0]

    call = tf.function(call) if graph else call
    sources = sources_of("lstm")
    first = call(*sources)
    before = first.numpy().copy()
    for _ in range(5):
        call(2 * sources[0], *sources[1:])
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_persistent_tape_computes_two_gradients(kernel, graph):
    """The first gradient overwrites the gates with their derivatives; the second recomputes them."""

    def twice(*sources):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            results = tf.nest.flatten(KERNELS[kernel][3](compiled, *sources, mask=None))
            loss = tf.reduce_sum(results[0] ** 2)
        first = tape.gradient(loss, sources)
        with tf.control_dependencies(first):
            return first, tape.gradient(loss, sources, 3 * tf.ones_like(loss))

    first, second = (tf.function(twice) if graph else twice)(*sources_of(kernel))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(np.multiply(3, one), other, rtol=1e-5, atol=1e-6)


def test_only_kernels_in_the_graph_have_second_derivatives():
    sources = sources_of("rnn")

    def second_gradient(module):
        with tf.GradientTape() as outer:
            outer.watch(sources[0])
            with tf.GradientTape() as inner:
                inner.watch(sources[0])
                loss = tf.reduce_sum(KERNELS["rnn"][3](module, *sources, mask=None) ** 2)
            gradient = tf.reduce_sum(inner.gradient(loss, sources[0]) ** 2)
        return outer.gradient(gradient, sources[0])

    with pytest.raises((NotImplementedError, tf.errors.UnimplementedError), match="training=False"):
        second_gradient(compiled)
    assert np.isfinite(second_gradient(kernels)).all()


@pytest.mark.parametrize(("dtype", "fits"), [("float32", True), ("float64", False), ("bfloat16", True)])
def test_types_of_the_compiled_kernels(dtype, fits):
    assert compiled.fits(dtype) == fits


def test_compiled_kernels_refuse_float64():
    with pytest.raises(ValueError, match="compute in float32"):
        KERNELS["lstm"][3](compiled, *sources_of("lstm", dtype="float64"), mask=None)


def test_compiled_kernels_are_not_used_within_xla():
    results = []

    @tf.function(jit_compile=True)
    def run(x):
        results.append(compiled.fits("float32"))
        return x

    run(tf.zeros(1))
    assert results == [False]


@pytest.mark.slow
def test_bfloat16_cell_is_summed_in_float32():
    """320 steps that each add 1/256 to the cell: a bfloat16 sum stays at 1, since 1 + 1/256 rounds to 1."""
    steps = 320
    opened = np.broadcast_to([100, 100, np.arctanh(1 / 256), 100], (1, steps, 4))
    z, state, kernel = (tf.cast(x, "bfloat16") for x in (opened, np.zeros((1, 1)), np.zeros((1, 4))))
    _, cells = kernels.lstm(z, tf.eye(4, dtype=z.dtype), None, state, state, None, kernel)
    assert cells.dtype == tf.float32
    np.testing.assert_allclose(cells[:, -1], steps / 256, rtol=0.01)


def test_bfloat16_gru_keeps_its_state_in_float32():
    """A state that decreases by 1/512 at each step: rounded to bfloat16 after each step it would stay 1."""
    steps = 64
    opened = np.broadcast_to([np.log(511), 0, 0], (1, steps, 3))  # u = 511 / 512, candidate 0
    z = tf.cast(opened, "bfloat16")
    weights = tf.eye(3, dtype=z.dtype), None
    kernel = tf.zeros((1, 3), z.dtype)
    hiddens = kernels.gru(z, *weights, tf.ones((1, 1), z.dtype), None, kernel, None, reset_after=False)
    u = 1 / (1 + np.exp(-float(z[0, 0, 0])))
    np.testing.assert_allclose(float(hiddens[0, -1, 0]), u**steps, rtol=0.01)
