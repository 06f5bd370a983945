"""States and gates of a step that is computed by hand, and of sequences of steps."""

from functools import partial
from math import exp, tanh

import keras
import numpy as np
import pytest

from shared.recurrent import GRU, LSTM, SimpleRNN
from shared.recurrent.gates import trace

pytestmark = pytest.mark.any_backend

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4

# Layers compute in float32.
approx = partial(pytest.approx, rel=1e-5)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def built(layer, weights=None):
    layer.build((None, None, 1 if weights else FEATURES))
    if weights:
        layer.set_weights([np.array(weight, "float32") for weight in weights])
    return layer


def of_one(values: dict) -> dict[str, float]:
    """The last numbers of layers with one unit."""
    return {name: float(np.asarray(value)[0, -1, 0]) for name, value in values.items()}


def two_steps(layer):
    """The trace of a layer with one unit for the inputs 1 and -2, as numbers of the second step."""
    values = trace(layer, np.array([[[1.0], [-2.0]]], "float32"))
    return [of_one(part) for part in values]


def test_a_simple_rnn_by_hand():
    states, before, gates, from_inputs, from_states = two_steps(built(SimpleRNN(1), [[[0.5]], [[2.0]], [0.1]]))
    first = tanh(0.5 + 0.1)
    assert before == approx({"h": first})
    assert gates == {}
    assert from_inputs == approx({"h": -1.0 + 0.1})
    assert from_states == approx({"h": 2 * first})
    assert states == approx({"h": tanh(-0.9 + 2 * first)})


def test_an_lstm_by_hand():
    layer = built(LSTM(1), [[[0.5, -0.2, 0.3, 1.0]], [[0.4, 0.6, -0.7, 0.8]], [0.0, 1.0, 0.1, -0.1]])
    c = sigmoid(0.5) * tanh(0.4)
    h = sigmoid(0.9) * tanh(c)
    i, f, o = sigmoid(-1 + 0.4 * h), sigmoid(1.4 + 0.6 * h), sigmoid(-2.1 + 0.8 * h)
    g = tanh(-0.5 - 0.7 * h)
    states, before, gates, from_inputs, from_states = two_steps(layer)
    assert before == approx({"h": h, "c": c})
    assert gates == approx({"i": i, "f": f, "g": g, "o": o})
    assert from_inputs == approx({"i": -1, "f": 1.4, "g": -0.5, "o": -2.1})
    assert from_states == approx({"i": 0.4 * h, "f": 0.6 * h, "g": -0.7 * h, "o": 0.8 * h})
    assert states == approx({"h": o * tanh(f * c + i * g), "c": f * c + i * g})


def test_a_gru_by_hand():
    biases = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    layer = built(GRU(1), [[[0.5, -0.2, 0.3]], [[0.4, 0.6, -0.7]], biases])
    u, r = sigmoid(0.5 + 0.5), sigmoid(-0.2 + 0.7)
    h = (1 - u) * tanh(0.3 + 0.3 + r * 0.6)
    u, r = sigmoid(-1 + 0.5 + 0.4 * h), sigmoid(0.4 + 0.7 + 0.6 * h)
    g = tanh(-0.6 + 0.3 + r * (-0.7 * h + 0.6))
    states, before, gates, from_inputs, from_states = two_steps(layer)
    assert before == approx({"h": h})
    assert gates == approx({"u": u, "r": r, "g": g})
    assert from_inputs == approx({"u": -0.5, "r": 1.1, "g": -0.3})
    assert from_states == approx({"u": 0.4 * h, "r": 0.6 * h, "g": -0.7 * h + 0.6})
    assert states == approx({"h": u * h + (1 - u) * g})


def test_a_gru_that_resets_before_the_product_by_hand():
    layer = built(GRU(1, reset_after=False), [[[0.5, -0.2, 0.3]], [[0.4, 0.6, -0.7]], [0.1, 0.2, 0.3]])
    h = (1 - sigmoid(0.6)) * tanh(0.6)
    u, r = sigmoid(-0.9 + 0.4 * h), sigmoid(0.6 + 0.6 * h)
    states, _, gates, _, from_states = two_steps(layer)
    g = tanh(-0.3 - 0.7 * r * h)
    assert gates == approx({"u": u, "r": r, "g": g})
    assert from_states["g"] == approx(-0.7 * r * h)
    assert states == approx({"h": u * h + (1 - u) * g})


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
def test_the_states_are_those_of_the_layer(layer):
    layer = built(layer(UNITS, return_sequences=True, return_state=True, use_bias=False))
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((BATCH, TIME, FEATURES), np.float32)
    initial = [rng.standard_normal((BATCH, UNITS), np.float32) for _ in range(1 + isinstance(layer, LSTM))]
    sequence, *last = (keras.ops.convert_to_numpy(x) for x in layer(inputs, initial_state=initial))
    values = keras.tree.map_structure(keras.ops.convert_to_numpy, trace(layer, inputs, initial))
    np.testing.assert_allclose(values.states["h"], sequence, atol=1e-6)
    for state, expected, first, (name, before) in zip(
        values.states.values(), last, initial, values.before.items(), strict=True
    ):
        np.testing.assert_allclose(state[:, -1], expected, atol=1e-6)
        np.testing.assert_array_equal(before[:, 0], first)
        np.testing.assert_array_equal(before[:, 1:], values.states[name][:, :-1])


def test_layers_without_such_values_are_refused():
    inputs = np.zeros((BATCH, TIME, FEATURES), np.float32)
    with pytest.raises(ValueError, match="Received: go_backwards=True"):
        trace(built(GRU(UNITS, go_backwards=True)), inputs)
    with pytest.raises(ValueError, match="Received: its activations"):
        trace(built(SimpleRNN(UNITS, activation="elu")), inputs)
