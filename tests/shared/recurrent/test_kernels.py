"""The kernels by themselves: their gradients against numeric ones, and their sums in half precision."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.recurrent.kernels import gru, lstm, project, simple_rnn

BATCH, TIME, FEATURES, UNITS = 2, 3, 5, 4
MASKS = {"none": None, "holes": tf.constant([[True, False], [False, True], [True, True]])}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


KERNELS: dict[str, Any] = {
    "rnn": (1, 1, False, lambda z, h, u, **how: simple_rnn(z, h, recurrent_kernel=u, **how)),
    "rnn_relu": (1, 1, False, lambda z, h, u, **how: simple_rnn(z, h, recurrent_kernel=u, relu=True, **how)),
    "lstm": (4, 2, False, lambda z, h, c, u, **how: lstm(z, h, c, recurrent_kernel=u, **how)),
    "lstm_cells": (4, 2, False, lambda z, h, c, u, **how: lstm(z, h, c, recurrent_kernel=u, every_cell=True, **how)),
    "gru": (3, 1, True, lambda z, h, u, b, mask, **how: gru(z, h, mask, u, b, reset_after=True, **how)),
    "gru_before": (3, 1, False, lambda z, h, u, mask, **how: gru(z, h, mask, u, None, reset_after=False, **how)),
}


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "again"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_is_the_slope(kernel, mask, keep):
    gates, states, has_bias, call = KERNELS[kernel]
    shapes = [(TIME, BATCH, gates * UNITS), *[(BATCH, UNITS)] * states, (UNITS, gates * UNITS), *[(UNITS,)] * has_bias]
    sources = [tf.constant(normal(*shape, seed=i) / 2) for i, shape in enumerate(shapes)]

    @tf.function
    def run(*sources):
        results = call(*sources, mask=MASKS[mask], keep=keep)
        return tf.concat([tf.reshape(x, [-1]) for x in tf.nest.flatten(results)], axis=0)

    analytic, numeric = tf.test.compute_gradient(run, sources, delta=1e-5)
    for one, other in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_project():
    inputs, kernel, bias = (tf.constant(normal(*shape)) for shape in [(TIME, BATCH, FEATURES), (FEATURES, 7), (7,)])
    np.testing.assert_allclose(project(inputs, kernel, bias), np.asarray(inputs) @ kernel + bias)
    np.testing.assert_allclose(project(inputs, kernel, None), np.asarray(inputs) @ kernel)


def test_half_precision_cell_is_summed_in_float32():
    """320 steps that each add 1/256 to the cell: bfloat16 sums stall at 1, where 1 + 1/256 rounds to 1 again."""
    steps = 320
    opened = np.broadcast_to([100, 100, np.arctanh(1 / 256), 100], (steps, 1, 4))
    z, state, kernel = (tf.cast(x, "bfloat16") for x in (opened, np.zeros((1, 1)), np.zeros((1, 4))))
    _, cells = lstm(z, state, state, None, kernel)
    assert cells.dtype == tf.float32
    np.testing.assert_allclose(cells[-1], steps / 256, rtol=0.01)


def test_half_precision_gru_keeps_its_state_in_float32():
    """A state that falls by a 512th at each step: rounded to bfloat16 in between it would never leave 1."""
    steps = 64
    opened = np.broadcast_to([np.log(511), 0, 0], (steps, 1, 3))  # u = 511 / 512, candidate 0
    z = tf.cast(opened, "bfloat16")
    hiddens = gru(z, tf.ones((1, 1), "bfloat16"), None, tf.zeros((1, 3), "bfloat16"), None, reset_after=False)
    u = 1 / (1 + np.exp(-float(z[0, 0, 0])))
    np.testing.assert_allclose(float(hiddens[-1, 0, 0]), u**steps, rtol=0.01)
