"""Norms of state gradients where they are known: in a linear recurrence and behind an open gate."""

import keras
import numpy as np
import pytest

from shared.recurrent import GRU, LSTM, SimpleRNN
from shared.recurrent.gradient_flow import adding_problem, gradient_norms, main

pytestmark = pytest.mark.any_backend

BATCH, TIME, FEATURES, UNITS = 2, 6, 3, 4


def inputs() -> np.ndarray:
    return np.random.default_rng(0).random((BATCH, TIME, FEATURES), np.float32)


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_a_linear_recurrence_scales_the_gradient_by_its_rate(rate):
    layer = SimpleRNN(UNITS, activation="relu")
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights([np.ones((FEATURES, UNITS)), rate * np.eye(UNITS), np.ones(UNITS)])  # relu is linear here
    norms = gradient_norms(layer, lambda: keras.ops.sum(layer(inputs())))
    expected = np.sqrt(BATCH * UNITS) * rate ** np.arange(TIME - 1, -1, -1)
    np.testing.assert_allclose(norms, [expected], rtol=1e-6)


def test_an_open_gate_keeps_the_gradient():
    layer = LSTM(UNITS, return_state=True)
    layer.build((BATCH, TIME, FEATURES))
    bias = np.repeat([-50.0, 50.0, 0.0, 0.0], UNITS)  # input gate 0, forget gate 1
    layer.set_weights([np.zeros((FEATURES, 4 * UNITS)), np.zeros((UNITS, 4 * UNITS)), bias])
    _, cells = gradient_norms(layer, lambda: keras.ops.sum(layer(inputs())[2]))
    np.testing.assert_allclose(cells, np.sqrt(BATCH * UNITS), rtol=1e-6)


def test_the_gradient_includes_later_outputs():
    """With an identity recurrence, h_t is part of T - t + 1 outputs of the sum."""
    layer = SimpleRNN(UNITS, activation="relu", return_sequences=True, go_backwards=True)
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights([np.ones((FEATURES, UNITS)), np.eye(UNITS), np.ones(UNITS)])
    norms = gradient_norms(layer, lambda: keras.ops.sum(layer(inputs())))
    np.testing.assert_allclose(norms[0], np.sqrt(BATCH * UNITS) * np.arange(TIME, 0, -1), rtol=1e-6)


def test_masked_steps_keep_the_gradient():
    layer = GRU(UNITS)
    mask = np.array([[True] * 3 + [False] * 3, [True] * 3 + [False] * 3])
    norms = gradient_norms(layer, lambda: keras.ops.sum(layer(inputs(), mask=mask)))[0]
    np.testing.assert_allclose(norms[2:], norms[2], rtol=1e-6)
    assert norms[1] != pytest.approx(norms[2])


def test_the_layer_is_not_changed():
    layer = GRU(UNITS)
    before = np.asarray(layer(inputs()))
    gradient_norms(layer, lambda: keras.ops.sum(layer(inputs())))
    np.testing.assert_array_equal(layer(inputs()), before)
    assert "inner_loop" not in vars(layer)
    with pytest.raises(ValueError, match="did not call the layer"):
        gradient_norms(layer, lambda: keras.ops.sum(keras.ops.ones(3)))


def test_the_adding_problem_marks_one_number_in_each_half():
    sequences, sums = adding_problem(50, 9, np.random.default_rng(0))
    assert sequences.shape == (50, 9, 2)
    marks = sequences[:, :, 1]
    np.testing.assert_array_equal(marks[:, :4].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 4:].sum(axis=1), 1)
    np.testing.assert_allclose(sums, sequences.prod(axis=2).sum(axis=1, keepdims=True))
    assert len({tuple(row) for row in marks}) > 10


@pytest.mark.slow
def test_the_command_prints_and_plots(tmp_path, capsys):
    plot = tmp_path / "flow.png"
    options = ["--cell", "lstm", "gru", "--length", "8", "--units", "3", "--steps", "2", "--plot", str(plot)]
    assert main(options) == 0
    output = capsys.readouterr().out
    assert output.count("LSTM") == output.count("GRU") == 2
    assert plot.stat().st_size > 1000


def test_the_command_refuses_wrong_arguments(capsys):
    assert main(["--length", "1"]) == 2
    assert capsys.readouterr().err == "error: --length 1: at least 2 was expected\n"
