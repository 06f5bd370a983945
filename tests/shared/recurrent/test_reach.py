"""Gradients of the losses of all steps against finite differences, and where they are known."""

from typing import Any

import keras
import numpy as np
import pytest

from shared.recurrent import GRU, LSTM, SimpleRNN
from shared.recurrent.gates import Trace, trace
from shared.recurrent.reach import reach

pytestmark = pytest.mark.any_backend

TIME, FEATURES, UNITS = 3, 2, 4
LAYERS = [
    lambda: SimpleRNN(UNITS, return_sequences=True),
    lambda: SimpleRNN(UNITS, activation="relu", return_sequences=True),
    lambda: LSTM(UNITS, return_sequences=True),
    lambda: GRU(UNITS, return_sequences=True),
    lambda: GRU(UNITS, reset_after=False, return_sequences=True),
]


def numpy_trace(layer: Any, inputs: np.ndarray) -> Trace:
    """Of one sequence `(time, features)`."""
    return keras.tree.map_structure(lambda x: np.asarray(x)[0], trace(layer, inputs[None]))


def difference_quotients(function, x: np.ndarray, step: float = 1e-2) -> np.ndarray:
    """The gradient of `function` `(rows, n) -> (rows,)` at x `(n,)`, by central differences."""
    shifts = step * np.eye(len(x), dtype=np.float32)
    return (function(x + shifts) - function(x - shifts)) / (2 * step)


@pytest.mark.parametrize("make", LAYERS)
def test_norms_are_those_of_difference_quotients(make):
    layer = make()
    layer.build((None, None, FEATURES))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.2, 0.9, w.shape) * rng.choice([-1, 1], w.shape) for w in layer.get_weights()])
    inputs, d_outputs = rng.random((TIME, FEATURES), np.float32), rng.random((TIME, UNITS), np.float32)
    values = numpy_trace(layer, inputs)
    norms = reach(layer, values, d_outputs)
    assert np.isneginf(norms.states[np.triu_indices(TIME, 1)]).all()
    assert np.isneginf(norms.inputs[np.triu_indices(TIME, 1)]).all()
    names = list(values.states)

    def loss_of_input(k, t):
        def loss(x):
            sequences = np.repeat(inputs[None], len(x), axis=0)
            sequences[:, k] = x
            return np.asarray(layer(sequences))[:, t] @ d_outputs[t]

        return loss

    def loss_of_states(k, t):
        def loss(x):
            states = np.split(x, len(names), axis=1)
            if k == t:
                return states[0] @ d_outputs[t]
            sequences = np.repeat(inputs[None, k + 1 : t + 1], len(x), axis=0)
            return np.asarray(layer(sequences, initial_state=states))[:, -1] @ d_outputs[t]

        return loss

    for t in range(TIME):
        for k in range(t + 1):
            states = np.concatenate([values.states[name][k] for name in names])
            by_states = np.linalg.norm(difference_quotients(loss_of_states(k, t), states))
            by_inputs = np.linalg.norm(difference_quotients(loss_of_input(k, t), inputs[k]))
            np.testing.assert_allclose(10 ** norms.states[t, k], by_states, rtol=5e-3, atol=2e-5)
            np.testing.assert_allclose(10 ** norms.inputs[t, k], by_inputs, rtol=5e-3, atol=2e-5)


@pytest.mark.parametrize("rate", [0.001, 1.0, 100.0])
def test_a_linear_recurrence_scales_the_gradient_at_each_step_beyond_float32(rate):
    layer, time = SimpleRNN(2, activation="relu"), 30
    layer.build((None, None, 1))
    layer.set_weights([np.array([[3.0, 4.0]]), rate * np.eye(2), np.zeros(2)])  # relu is linear here
    ones = np.ones((1, time, 2), np.float32)
    values = Trace({"h": ones[0]}, {"h": ones[0]}, {}, {}, {})
    norms = reach(layer, values, np.array([[0.6, 0.8]] * time, np.float32))
    back = np.subtract.outer(np.arange(time), np.arange(time))
    expected = np.where(back >= 0, back * np.log10(rate), -np.inf)
    np.testing.assert_allclose(norms.states, expected, atol=1e-4)
    np.testing.assert_allclose(norms.inputs, expected + np.log10(5), atol=1e-4)


def test_a_loss_without_gradient_reaches_nothing():
    layer = GRU(UNITS)
    layer.build((None, None, FEATURES))
    values = numpy_trace(layer, np.ones((TIME, FEATURES), np.float32))
    d_outputs = np.zeros((TIME, UNITS), np.float32)
    d_outputs[1] = 1
    states, inputs = reach(layer, values, d_outputs)
    assert np.isneginf(np.delete(states, 1, axis=0)).all()
    assert np.isneginf(np.delete(inputs, 1, axis=0)).all()
    assert np.isfinite(states[1, :2]).all()
