"""The Mogrifier: its cell against the equations, its kernel against Keras' loop over the cell."""

from typing import Any

import keras
import numpy as np
import pytest

from shared.recurrent import RNN, MogrifierLSTMCell
from tests.shared.recurrent.derivatives import assert_all_close, normal, outputs_and_gradients

pytestmark = pytest.mark.any_backend

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
HOLES = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
OPTIONS = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}


def layer_of(kind: type, cell_options: dict[str, Any], **options) -> Any:
    layer = kind(MogrifierLSTMCell(UNITS, **cell_options), **OPTIONS | options)
    layer.build((BATCH, TIME, FEATURES))
    for i, weight in enumerate(layer.weights):
        weight.assign(normal(*weight.shape, seed=i))
    return layer


def results(layer, mask, dtype="float32", in_graph=False, **options) -> list[np.ndarray]:
    def function(inputs, *states):
        return layer(inputs, initial_state=list(states), mask=mask, **options)

    sources = normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS, seed=1), normal(BATCH, UNITS, seed=2)
    return outputs_and_gradients(function, [x.astype(dtype) for x in sources], layer.trainable_variables, in_graph)


@pytest.mark.parametrize(
    ("cell_options", "mask", "backwards", "training"),
    [
        ({"rounds": 4}, HOLES, False, True),
        ({"rounds": 3, "rank": 3}, HOLES, True, True),
        ({"rounds": 1, "use_bias": False}, None, True, False),
        ({"rounds": 0}, HOLES, False, True),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_the_kernel_equals_the_loop_of_keras(cell_options, mask, backwards, training):
    tested, reference = (layer_of(kind, cell_options, go_backwards=backwards) for kind in (RNN, keras.layers.RNN))
    assert tested.is_fused
    expected = results(reference, mask, training=training)
    assert_all_close(results(tested, mask, training=training, in_graph=backwards), expected)
    assert all(np.abs(x).max() > 1e-3 for x in expected)


@pytest.mark.slow
def test_16_bit_types():
    expected = results(layer_of(RNN, {"rounds": 3, "rank": 3}), HOLES)
    tested = results(layer_of(RNN, {"rounds": 3, "rank": 3, "dtype": "mixed_bfloat16"}, dtype="mixed_bfloat16"), HOLES)
    for result, reference in zip(tested, expected, strict=True):
        assert np.linalg.norm(result.astype("float32") - reference) < 0.05 * np.linalg.norm(reference)


@pytest.mark.parametrize(
    ("cell_options", "reason"),
    [
        ({"activation": "relu"}, "its activations"),
        ({"recurrent_dropout": 0.1}, "recurrent_dropout"),
        ({"dropout": 0.1}, "dropout"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_options_use_the_loop_of_keras(cell_options, reason):
    tested, reference = (layer_of(kind, cell_options) for kind in (RNN, keras.layers.RNN))
    assert tested.implementation(training=True) == f"Keras: {reason}"
    inputs = normal(BATCH, TIME, FEATURES)
    assert_all_close(tested(inputs), reference(inputs))


def test_files_of_keras_layers_are_loaded(tmp_path):
    models = []
    for kind in (keras.layers.RNN, RNN):
        layer = kind(MogrifierLSTMCell(UNITS, name="cell"), name="layer_0")
        models.append(keras.Sequential([keras.Input((TIME, FEATURES)), layer]))
    old, new = models
    old.save_weights(tmp_path / "old.weights.h5")
    new.load_weights(tmp_path / "old.weights.h5")
    inputs = normal(BATCH, TIME, FEATURES)
    assert_all_close([new(inputs)], [old(inputs)])
    assert [weight.path.partition("/")[2] for weight in new.weights] == [
        weight.path.partition("/")[2] for weight in old.weights
    ]
    old.save(tmp_path / "old.keras")
    new.save(tmp_path / "new.keras")
    for file, kind in ("old.keras", keras.layers.RNN), ("new.keras", RNN):
        loaded: Any = keras.saving.load_model(tmp_path / file)
        assert type(loaded.layers[0]) is kind
        assert_all_close([loaded(inputs)], [old(inputs)])


def test_a_cell_without_rounds_is_an_lstm():
    mogrifier, lstm = RNN(MogrifierLSTMCell(UNITS, rounds=0)), keras.layers.LSTM(UNITS)
    for layer in (mogrifier, lstm):
        layer.build((BATCH, TIME, FEATURES))
    lstm.set_weights(mogrifier.get_weights())
    inputs = normal(BATCH, TIME, FEATURES)
    np.testing.assert_allclose(mogrifier(inputs), lstm(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [None, 2])
def test_the_cell_equals_its_equations(rank):
    cell, lstm = MogrifierLSTMCell(UNITS, rounds=3, rank=rank), keras.layers.LSTMCell(UNITS)
    for each in (cell, lstm):
        each.build((BATCH, FEATURES))
    lstm.set_weights(cell.get_weights()[:3])
    x, h, c = (normal(BATCH, width, seed=i) for i, width in enumerate((FEATURES, UNITS, UNITS)))

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    q_1, r_2, q_3 = (np.linalg.multi_dot([np.eye(f[0].shape[0]), *map(np.asarray, f)]) for f in cell.factors)
    gated_x = 2 * sigmoid(h @ q_1) * x
    gated_h = 2 * sigmoid(gated_x @ r_2) * h
    gated_x = 2 * sigmoid(gated_h @ q_3) * gated_x
    expected, _ = lstm(gated_x.astype("float32"), [gated_h.astype("float32"), c])
    np.testing.assert_allclose(cell(x, [h, c])[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"rounds": -1}, {"rank": 0}])
def test_wrong_arguments_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least"):
        MogrifierLSTMCell(UNITS, **options)
    with pytest.raises(ValueError, match="must be a MogrifierLSTMCell"):
        RNN(keras.layers.LSTMCell(UNITS))
