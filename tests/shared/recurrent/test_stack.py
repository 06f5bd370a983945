"""Stacks against calls of their layers; dropout and weight drop."""

from typing import Any

import keras
import numpy as np
import pytest

from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN, Stack
from tests.shared.recurrent.derivatives import outputs_and_gradients

any_backend = pytest.mark.any_backend

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
ALL_CELLS = ("simple_rnn", "lstm", "gru", "mogrifier_lstm")


def inputs(width: int = FEATURES) -> np.ndarray:
    return np.random.default_rng(width).standard_normal((BATCH, TIME, width)).astype("float32")


@any_backend
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ALL_CELLS)
def test_a_stack_calls_its_layers_in_order(cell, bidirectional):
    stack = Stack(cell, [UNITS, UNITS, 7], bidirectional=bidirectional, residual=True)
    outputs, states = stack(inputs())
    first, second, third = stack.layers
    one, *states_1 = first(inputs())
    two, *states_2 = second(one)
    three, *states_3 = third(one + two)
    np.testing.assert_allclose(outputs, three, rtol=1e-5, atol=1e-6)
    for state, expected in zip(states, [*states_1, *states_2, *states_3], strict=True):
        np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-6)
    assert outputs.shape == (BATCH, TIME, 14 if bidirectional else 7)
    assert stack.compute_output_shape((BATCH, TIME, FEATURES)) == (outputs.shape, [state.shape for state in states])


@any_backend
@pytest.mark.parametrize("cell", ALL_CELLS)
def test_carried_state_continues_a_sequence(cell):
    stack = Stack(cell, UNITS, 2)
    whole, last = stack(inputs())
    first, state = stack(inputs()[:, :2])
    second, state = stack(inputs()[:, 2:], initial_state=state)
    np.testing.assert_allclose(keras.ops.concatenate([first, second], axis=1), whole, rtol=1e-5, atol=1e-6)
    for one, other in zip(state, last, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@any_backend
def test_outputs_are_normalised_over_the_units():
    stack = Stack("gru", UNITS, layer_norm=True)
    outputs = stack(inputs())[0]
    raw = np.asarray(stack.layers[0](inputs())[0])
    expected = (raw - raw.mean(axis=-1, keepdims=True)) / np.sqrt(raw.var(axis=-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@any_backend
def test_dropout_is_the_same_at_every_step_and_absent_in_evaluation():
    stack = Stack("lstm", UNITS, dropout=0.5)
    dropped = np.asarray(stack.drop[0](np.ones((BATCH, TIME, 64), "float32"), training=True))
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1], dropped.shape))
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert not np.array_equal(dropped[0], dropped[1])
    np.testing.assert_array_equal(stack(inputs())[0], stack(inputs())[0])
    assert not np.allclose(stack(inputs(), training=True)[0], stack(inputs())[0])


@pytest.mark.parametrize("options", [{}, {"unroll": True}], ids=["fused", "keras"])
@pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
def test_weight_drop_masks_the_gradient_in_training_only(kind, options):
    layer = kind(UNITS, weight_drop=0.5, seed=1, **options)
    plain = kind(UNITS, **options)
    for each in (layer, plain):
        each.build((BATCH, TIME, FEATURES))
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(inputs()), plain(inputs()))

    def gradient(training: bool) -> np.ndarray:
        def call(x):
            return layer(x, training=training)

        return outputs_and_gradients(call, [inputs()], [layer.cell.recurrent_kernel])[-1]

    assert (gradient(training=False) != 0).all()
    one, other = gradient(training=True) == 0, gradient(training=True) == 0
    assert 0.2 < one.mean() < 0.8
    assert (one != other).any()  # a new mask for each batch
    assert isinstance(layer.cell.recurrent_kernel, keras.Variable)
    assert len(layer.trainable_weights) == len(plain.trainable_weights)


@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.3}, {"dtype": "mixed_bfloat16"}], ids=["plain", "dropout", "16-bit"]
)
@pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
def test_weight_drop_is_the_same_in_the_loop_of_keras(kind, options):
    layers = [kind(UNITS, weight_drop=0.5, seed=1, unroll=unroll, **options) for unroll in (False, True)]
    for layer in layers:
        layer.build((BATCH, TIME, FEATURES))
        layer.cell.set_weights(layers[0].cell.get_weights())
    assert [layer.is_fused for layer in layers] == [True, False]
    tolerance = 0.05 if "dtype" in options else 1e-5
    for _ in range(3):
        fused, unrolled = (np.asarray(layer(inputs(), training=True), "float32") for layer in layers)
        np.testing.assert_allclose(fused, unrolled, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", [{"unroll": True}, {"return_cells": True, "return_sequences": True}])
def test_weight_drop_in_the_loop_of_keras_reads_an_outer_scope(options, monkeypatch):
    """JAX trains within a `keras.StatelessScope` that has the values of all variables."""
    monkeypatch.setattr(LSTM, "is_fused", False)
    layer = LSTM(UNITS, weight_drop=0.5, seed=1, **options)
    layer.build((BATCH, TIME, FEATURES))
    before = [np.asarray(variable) for variable in layer.variables]
    values = [(variable, 2 * variable.value) for variable in layer.trainable_variables]
    values += [(variable, variable.value) for variable in layer.non_trainable_variables]
    with keras.StatelessScope(values) as scope:
        scoped = layer(inputs(), training=True)
    seed = layer.weight_drop_seed.state
    assert not np.array_equal(scope.get_current_value(seed), seed)  # the outer scope gets its update
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    for variable, value in values:
        variable.assign(value)
    np.testing.assert_array_equal(keras.tree.flatten(scoped)[0], keras.tree.flatten(layer(inputs(), training=True))[0])


@any_backend
def test_weight_drop_in_both_directions():
    layer = Bidirectional(LSTM(UNITS, weight_drop=0.5, return_sequences=True))
    layer.build((BATCH, TIME, FEATURES))
    assert layer.forward_layer.is_fused
    evaluated, trained = np.asarray(layer(inputs())), np.asarray(layer(inputs(), training=True))
    for direction in (slice(UNITS), slice(UNITS, None)):
        assert not np.allclose(trained[..., direction], evaluated[..., direction])


@any_backend
@pytest.mark.slow
def test_a_stack_trains_and_is_saved(tmp_path):
    keras.utils.set_random_seed(1)
    options: dict[str, Any] = {"bidirectional": True, "dropout": 0.1, "weight_drop": 0.2, "layer_norm": True}
    source = keras.Input((None, FEATURES))
    outputs, _ = Stack("gru", UNITS, 2, cell_options={"reset_after": False}, **options)(source)
    model = keras.Model(source, keras.layers.Dense(1)(outputs))
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    targets = inputs().sum(axis=-1, keepdims=True)
    first = model.train_on_batch(inputs(), targets)
    for _ in range(60):
        last = model.train_on_batch(inputs(), targets)
    assert last < 0.7 * first
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(inputs()), model(inputs()), rtol=1e-5, atol=1e-6)
    assert loaded.layers[1].get_config() == model.layers[1].get_config()


@any_backend
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("qrnn", 4), {}, "cell must be one of"),
        (("lstm", []), {}, "one width for each layer"),
        (("lstm", [4, 5], 3), {}, "one width for each layer"),
        (("mogrifier_lstm", 4), {"weight_drop": 0.5}, "must be 0 for the cell mogrifier_lstm"),
        (("lstm", 4, 2), {"dropout": [0.5]}, "one rate for each layer"),
        (("lstm", 4), {"weight_drop": 1.0}, "weight_drop must be from 0 to below 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Stack(*arguments, **options)


@any_backend
@pytest.mark.parametrize("kind", [SimpleRNN, GRU, LSTM])
def test_a_seed_determines_the_weights_that_are_dropped_in_both_directions(kind):
    def dropped() -> list[np.ndarray]:
        layer = Bidirectional(kind(UNITS, weight_drop=0.5, seed=7, return_sequences=True))
        layer.build((2, 3, FEATURES))
        directions = layer.forward_layer, layer.backward_layer
        for direction in directions:
            direction.cell.recurrent_kernel.assign(keras.ops.ones(direction.cell.recurrent_kernel.shape))
        return [keras.ops.convert_to_numpy(direction._recurrent_kernel(True)) for direction in directions]

    forward, backward = dropped()
    for mask, again in zip((forward, backward), dropped(), strict=True):
        np.testing.assert_array_equal(mask, again)
    assert (forward != backward).any() == (kind is SimpleRNN)
