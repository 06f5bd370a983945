"""Our LSTM against Keras' own: outputs, states and every gradient, for every kind of mask."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.recurrent import LSTM
from shared.recurrent.kernels import lstm_sequence

BATCH, TIME, FEATURES, UNITS = 6, 5, 3, 4

# A row fully masked, rows of every length from one step up, left padding, holes.
MASKS: dict[str, Any] = {
    "none": None,
    "right": np.arange(TIME) < np.array([0, 1, 2, 3, 4, 5])[:, None],
    "left": np.arange(TIME) >= np.array([0, 1, 2, 3, 4, 5])[:, None],
    "holes": np.array(
        [[0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool
    ),
}


# Keras 3.15 turns variables into arrays in a way that NumPy 2 frowns upon.
saves_weights = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def twins(return_cells=False, **options):
    """A Keras layer and ours with the same weights, none of them zero."""
    theirs = keras.layers.LSTM(UNITS, **options)
    ours = LSTM(UNITS, return_cells=return_cells, **options)
    for layer in (theirs, ours):
        layer.build((BATCH, TIME, FEATURES))
    theirs.set_weights([normal(*w.shape, seed=1) / 2 for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def inputs_and_states(dtype="float32") -> list[Any]:
    shapes = [(BATCH, TIME, FEATURES), (BATCH, UNITS), (BATCH, UNITS)]
    return [tf.constant(normal(*shape), dtype) for shape in shapes]


def results_and_gradients(layer, mask, call=None) -> list[np.ndarray]:
    """Outputs, states, then gradients of a loss that weighs every output element differently."""
    inputs, hidden, cell = inputs_and_states()
    sources = [inputs, hidden, cell]

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = (call or layer)(inputs, initial_state=[hidden, cell], mask=mask)
            weighed = [x * tf.constant(normal(*x.shape, seed=i), x.dtype) for i, x in enumerate(outputs)]
            loss = tf.add_n([tf.reduce_sum(x) for x in weighed])
        return outputs, tape.gradient(loss, sources + [w.value for w in layer.trainable_variables])

    return [np.asarray(x) for x in tf.nest.flatten(run())]


def assert_all_close(ours, theirs, tolerance=1e-5) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"return_sequences": False}, {"go_backwards": True}, {"zero_output_for_mask": True}, {"use_bias": False}],
    ids=["plain", "last", "backwards", "zeros", "no_bias"],
)
def test_equals_keras(options, mask):
    theirs, ours = twins(**{"return_sequences": True, "return_state": True, **options})
    assert ours.is_fused
    assert_all_close(results_and_gradients(ours, MASKS[mask]), results_and_gradients(theirs, MASKS[mask]))


def test_garbage_under_the_mask_changes_nothing():
    _, layer = twins(return_sequences=True)
    inputs, *_ = inputs_and_states()
    mask = MASKS["holes"]
    garbage = tf.where(mask[:, :, None], inputs, 1e30)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
        return y, *tape.gradient(y, [x, *(w.value for w in layer.trainable_variables)])

    assert_all_close(run(garbage), run(inputs), 0)


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (1, 4), (3, 1)])
def test_smallest_sizes(batch, time):
    theirs, ours = twins(return_state=True)
    inputs = normal(batch, time, FEATURES).astype("float32")
    assert_all_close(ours(inputs), theirs(inputs))


def test_gradient_is_the_slope():
    time, batch = 3, 2
    shapes = [(time, batch, FEATURES), (batch, UNITS), (batch, UNITS), (FEATURES, 4 * UNITS), (UNITS, 4 * UNITS)]
    sources = [tf.constant(normal(*shape, seed=2) / 2) for shape in [*shapes, (4 * UNITS,)]]
    mask = tf.constant([[True, False], [False, True], [True, True]])

    @tf.function
    def run(inputs, hidden, cell, kernel, recurrent_kernel, bias):
        outputs = lstm_sequence(inputs, hidden, cell, mask, kernel, recurrent_kernel, bias, return_cells=True)
        return tf.concat([tf.reshape(x, [-1]) for x in outputs], axis=0)

    analytic, numeric = tf.test.compute_gradient(run, sources, delta=1e-5)
    for one, other in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_float_types(dtype):
    options = {"return_sequences": True, "return_state": True}
    reference = results_and_gradients(twins(**options)[0], MASKS["holes"])
    results = results_and_gradients(twins(**options, dtype=dtype)[1], MASKS["holes"])
    tolerance = {"mixed_bfloat16": 0.1, "mixed_float16": 0.01, "float64": 1e-5}[dtype]
    assert_all_close([r.astype("float64") for r in results], reference, tolerance)


def test_half_precision_cell_is_summed_in_float32():
    """256 steps that each add 1/256 to the cell: bfloat16 sums stall at 1, where 1 + 1/256 rounds to 1 again."""
    steps = 320
    zeros, flat = np.zeros((1, 1)), np.zeros((1, 4))
    opened = np.array([100, 100, np.arctanh(1 / 256), 100])
    inputs, state, kernel, bias = (tf.cast(x, "bfloat16") for x in (np.zeros((steps, 1, 1)), zeros, flat, opened))
    *_, cell = lstm_sequence(inputs, state, state, None, kernel, kernel, bias)
    np.testing.assert_allclose(np.asarray(cell, "float32"), steps / 256, rtol=0.01)


def test_dropout_takes_one_mask_for_all_steps():
    theirs, ours = twins(return_sequences=True, dropout=0.5, seed=7)
    inputs, *_ = inputs_and_states()
    dropped = ours(inputs, training=True)
    np.testing.assert_allclose(dropped, theirs(inputs, training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - ours(inputs, training=True)).max() > 1e-3
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


def test_stateful():
    theirs, ours = twins(return_sequences=True, stateful=True)
    inputs, *_ = inputs_and_states()
    for layer in (theirs, ours):
        layer(inputs)
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)
    for layer in (theirs, ours):
        layer.reset_state()
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"recurrent_dropout": 0.2}, {"unroll": True}],
    ids=lambda options: next(iter(options)),
)
def test_steps_aside(options):
    theirs, ours = twins(return_sequences=True, return_state=True, **options)
    assert not ours.is_fused
    assert_all_close(results_and_gradients(ours, MASKS["right"]), results_and_gradients(theirs, MASKS["right"]))


def cells_by_hand(layer):
    """`layer` with its cells, one Keras cell call after another."""

    def call(inputs, initial_state, mask):
        mask = np.ones((BATCH, TIME), bool) if mask is None else mask
        states, hiddens, cells = initial_state, [], []
        order = reversed(range(TIME)) if layer.go_backwards else range(TIME)
        shown = np.zeros((BATCH, 1), bool)
        for t in order:
            real = mask[:, t, None]
            _, new = layer.cell(inputs[:, t], states)
            states = [tf.where(real, n, s) for n, s in zip(new, states, strict=True)]
            shown |= real
            hiddens.append(tf.where(shown, states[0], 0))
            cells.append(tf.where(shown, states[1], 0))
        return tf.stack(hiddens, 1), tf.stack(cells, 1), *states

    return call


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("path", ["fused", "scan"])
def test_return_cells(path, mask, backwards, monkeypatch):
    _, layer = twins(return_sequences=True, return_state=True, return_cells=True, go_backwards=backwards)
    if path == "scan":
        monkeypatch.setattr(LSTM, "is_fused", False)
    expected = results_and_gradients(layer, MASKS[mask], cells_by_hand(layer))
    assert_all_close(results_and_gradients(layer, MASKS[mask]), expected)


@saves_weights
def test_return_cells_in_a_saved_model(tmp_path):
    inputs = keras.Input((None, FEATURES))
    layer = LSTM(UNITS, return_sequences=True, return_state=True, return_cells=True)
    outputs = layer(keras.layers.Masking()(inputs))
    assert [tuple(x.shape) for x in outputs] == [(None, None, UNITS)] * 2 + [(None, UNITS)] * 2
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].return_cells
    batch = normal(BATCH, TIME, FEATURES).astype("float32")
    batch[2, 3:] = 0
    expected: Any = model(batch)
    assert_all_close(loaded(batch), expected, 0)
    np.testing.assert_array_equal(expected[1][2, 4], expected[3][2])
    assert layer.compute_mask(None, "mask") == ["mask", "mask", None, None]


@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "unroll": True}])
def test_return_cells_refuses(options):
    with pytest.raises(ValueError, match="return_cells=True needs"):
        LSTM(UNITS, return_cells=True, **options)


@saves_weights
def test_weights_pass_to_and_from_keras(tmp_path):
    def model(layer):
        return keras.Sequential([keras.Input((None, FEATURES)), layer])

    theirs, ours = model(keras.layers.LSTM(UNITS)), model(LSTM(UNITS))
    batch = normal(BATCH, TIME, FEATURES).astype("float32")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(ours(batch), theirs(batch), rtol=1e-5, atol=1e-6)
    ours.set_weights([w + 0.5 for w in ours.get_weights()])
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_allclose(ours(batch), theirs(batch), rtol=1e-5, atol=1e-6)


def test_bidirectional():
    """Keras' wrapper clones the layer through its config and flips the second direction."""
    theirs, ours = (keras.layers.Bidirectional(c(UNITS, return_sequences=True)) for c in (keras.layers.LSTM, LSTM))
    inputs, *_ = inputs_and_states()
    for layer in (theirs, ours):
        layer.build(inputs.shape)
    ours.set_weights(theirs.get_weights())
    mask = tf.constant(MASKS["right"])
    np.testing.assert_allclose(ours(inputs, mask=mask), theirs(inputs, mask=mask), rtol=1e-5, atol=1e-6)


def test_dynamic_batch_and_time_in_a_saved_model(tmp_path):
    inputs = keras.Input((None, FEATURES))
    outputs = LSTM(UNITS, return_sequences=True)(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, LSTM(2)(outputs))
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.__call__, [tf.TensorSpec((None, None, FEATURES))])
    archive.write_out(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").signatures["serve"]
    for batch, time in [(1, 1), (3, 7), (5, 2)]:
        x = normal(batch, time, FEATURES).astype("float32")
        x[-1, time - 1 :] = 0
        (y,) = served(tf.constant(x)).values()
        np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)
