"""The kernels by themselves, in the graph and compiled: their gradients against numeric ones, and what they refuse."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.recurrent import compiled, kernels

BATCH, TIME, FEATURES, UNITS = 3, 4, 1, 2
HOLES = tf.constant([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
ORDERS = {"forwards": (None, False), "forwards-masked": (HOLES, False), "backwards-masked": (HOLES, True)}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


# Gates, states, whether there is a second bias, and the call with the inputs, weights and states of a kernel.
KERNELS: dict[str, Any] = {
    "rnn": (1, 1, False, lambda k, x, w, b, h, u, **how: k.simple_rnn(x, w, b, h, recurrent_kernel=u, **how)),
    "rnn_relu": (
        *(1, 1, False),
        lambda k, x, w, b, h, u, **how: k.simple_rnn(x, w, b, h, recurrent_kernel=u, relu=True, **how),
    ),
    "lstm": (4, 2, False, lambda k, x, w, b, h, c, u, **how: k.lstm(x, w, b, h, c, recurrent_kernel=u, **how)),
    "lstm_cells": (
        *(4, 2, False),
        lambda k, x, w, b, h, c, u, **how: k.lstm(x, w, b, h, c, recurrent_kernel=u, every_cell=True, **how),
    ),
    "gru": (
        *(3, 1, True),
        lambda k, x, w, b, h, u, b2, mask, **how: k.gru(x, w, b, h, mask, u, b2, reset_after=True, **how),
    ),
    "gru_before": (
        *(3, 1, False),
        lambda k, x, w, b, h, u, mask, **how: k.gru(x, w, b, h, mask, u, None, reset_after=False, **how),
    ),
}
WAYS = {"kept": (kernels, True), "again": (kernels, False), "compiled": (compiled, True)}


def sources_of(kernel: str, batch: int = BATCH, time: int = TIME, units: int = UNITS) -> list[Any]:
    gates, states, second_bias, _ = KERNELS[kernel]
    wide = gates * units
    shapes = [(batch, time, FEATURES), (FEATURES, wide), (wide,), *[(batch, units)] * states, (units, wide)]
    return [tf.constant(normal(*shape, seed=i) / 2) for i, shape in enumerate([*shapes, *[(units,)] * second_bias])]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_is_the_slope(kernel, order, way):
    (mask, backwards), (module, keep) = ORDERS[order], WAYS[way]

    @tf.function
    def total(*sources):
        """All that comes out, each number with a weight of its own, so that none can make up for another."""
        results = tf.nest.flatten(KERNELS[kernel][3](module, *sources, mask=mask, keep=keep, backwards=backwards))
        return tf.add_n([tf.reduce_sum(x * normal(*x.shape, seed=i)) for i, x in enumerate(results)])

    @tf.function
    def slopes(*sources):
        return tf.gradients(total(*sources), sources)

    sources = sources_of(kernel)
    for place, slope in enumerate(slopes(*sources)):
        numeric = np.zeros(slope.shape)
        for entry in np.ndindex(*slope.shape):
            step = np.zeros(slope.shape)
            step[entry] = 1e-5
            above, below = (total(*sources[:place], sources[place] + by, *sources[place + 1 :]) for by in (step, -step))
            numeric[entry] = (above - below) / 2e-5
        np.testing.assert_allclose(slope, numeric, atol=1e-9)


@pytest.mark.parametrize(("batch", "time", "units"), [(1, 4, 70), (23, 2, 37), (5, 1, 130)])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_equals_the_graph(kernel, batch, time, units, backwards):
    """Sizes that fill several panels and tiles, and leave some of them part empty, for several threads."""
    sources = [tf.cast(x, tf.float32) for x in sources_of(kernel, batch, time, units)]
    mask = tf.constant(normal(batch, time) > -1)

    def results_and_gradients(module):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            results = tf.nest.flatten(KERNELS[kernel][3](module, *sources, mask=mask, backwards=backwards))
            loss = tf.add_n([tf.reduce_sum(x * tf.constant(normal(*x.shape), x.dtype)) for x in results])
        return [*results, *tape.gradient(loss, sources)]

    for one, other in zip(results_and_gradients(compiled), results_and_gradients(kernels), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_an_empty_batch_has_no_slope():
    """Not what the memory held before."""
    _, *weights = sources_of("rnn")
    inputs, hidden = tf.zeros((0, TIME, FEATURES), tf.float64), tf.zeros((0, UNITS), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        hiddens = compiled.simple_rnn(inputs, weights[0], weights[1], hidden, None, weights[3])
    for slope in tape.gradient(hiddens, [weights[0], weights[1], weights[3]]):
        np.testing.assert_array_equal(slope, 0)


def test_results_are_nobody_elses():
    """Memory is used again, but not while somebody holds what it holds."""
    call = KERNELS["lstm"][3]
    sources = sources_of("lstm")
    first = call(compiled, *sources, mask=None)[0]
    before = first.numpy().copy()
    for _ in range(5):
        call(compiled, 2 * sources[0], *sources[1:], mask=None)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_tape_may_ask_twice(kernel, graph):
    """Gates give way to their derivatives; the second to ask must not take the ones for the others."""

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
        np.testing.assert_allclose(np.multiply(3, one), other, atol=1e-12)


def test_second_derivatives_are_refused_by_the_compiled_kernels_and_had_in_the_graph():
    sources = sources_of("rnn")

    def slope_of_slope(module):
        with tf.GradientTape() as outer:
            outer.watch(sources[0])
            with tf.GradientTape() as inner:
                inner.watch(sources[0])
                loss = tf.reduce_sum(KERNELS["rnn"][3](module, *sources, mask=None) ** 2)
            slope = tf.reduce_sum(inner.gradient(loss, sources[0]) ** 2)
        return outer.gradient(slope, sources[0])

    with pytest.raises((NotImplementedError, tf.errors.UnimplementedError), match="training=False"):
        slope_of_slope(compiled)
    assert np.isfinite(slope_of_slope(kernels)).all()


def test_within_xla_the_graph_is_taken():
    sources = sources_of("lstm")
    assert compiled.fits("float32")
    assert not compiled.fits("bfloat16")
    found = []

    @tf.function(jit_compile=True)
    def run(x):
        found.append(compiled.fits("float32"))
        return x

    run(sources[0])
    assert found == [False]


def test_half_precision_cell_is_summed_in_float32():
    """320 steps that each add 1/256 to the cell: bfloat16 sums stall at 1, where 1 + 1/256 rounds to 1 again."""
    steps = 320
    opened = np.broadcast_to([100, 100, np.arctanh(1 / 256), 100], (1, steps, 4))
    z, state, kernel = (tf.cast(x, "bfloat16") for x in (opened, np.zeros((1, 1)), np.zeros((1, 4))))
    _, cells = kernels.lstm(z, tf.eye(4, dtype=z.dtype), None, state, state, None, kernel)
    assert cells.dtype == tf.float32
    np.testing.assert_allclose(cells[:, -1], steps / 256, rtol=0.01)


def test_half_precision_gru_keeps_its_state_in_float32():
    """A state that falls by a 512th at each step: rounded to bfloat16 in between it would never leave 1."""
    steps = 64
    opened = np.broadcast_to([np.log(511), 0, 0], (1, steps, 3))  # u = 511 / 512, candidate 0
    z = tf.cast(opened, "bfloat16")
    weights = tf.eye(3, dtype=z.dtype), None
    kernel = tf.zeros((1, 3), z.dtype)
    hiddens = kernels.gru(z, *weights, tf.ones((1, 1), z.dtype), None, kernel, None, reset_after=False)
    u = 1 / (1 + np.exp(-float(z[0, 0, 0])))
    np.testing.assert_allclose(float(hiddens[0, -1, 0]), u**steps, rtol=0.01)
