"""Our layers against Keras' own: outputs, states and every gradient, for every kind of mask."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.native import products
from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN, fused

BATCH, TIME, FEATURES, UNITS = 6, 5, 3, 4

# Ours and the options that choose another kernel.
CELLS: dict[str, Any] = {
    "rnn": (SimpleRNN, {}),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
    "gru_before": (GRU, {"reset_after": False}),
}
cells = pytest.mark.parametrize("cell", CELLS)

# Nothing, rows of every length from none up, holes.
MASKS: dict[str, Any] = {
    "none": None,
    "right": np.arange(TIME) < np.array([0, 1, 2, 3, 4, 5])[:, None],
    "holes": np.array(
        [[0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool
    ),
}


# Keras 3.15 turns variables into arrays in a way that NumPy 2 frowns upon.
saves_weights = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def stock(layer: type) -> type:
    """Keras' own layer."""
    return getattr(keras.layers, layer.__name__)


def twins(cell="lstm", **options):
    """A Keras layer and ours with the same weights, none of them zero."""
    layer, chosen = CELLS[cell]
    theirs_too = {name: value for name, value in options.items() if name != "return_cells"}
    return same_weights(stock(layer)(UNITS, **chosen, **theirs_too), layer(UNITS, **chosen, **options))


def same_weights(theirs, ours, shape=(BATCH, TIME, FEATURES)):
    for layer in (theirs, ours):
        layer.build(shape)
    theirs.set_weights([normal(*w.shape, seed=1) / 2 for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def inputs_and_states(states=2, dtype="float32", sizes=(BATCH, TIME, FEATURES, UNITS)) -> list[Any]:
    batch, time, features, units = sizes
    shapes = [(batch, time, features), *[(batch, units)] * states]
    return [tf.constant(normal(*shape, seed=i), dtype) for i, shape in enumerate(shapes)]


def results_and_gradients(layer, mask, call=None, sources=None, **options) -> list[np.ndarray]:
    """Outputs, states, then gradients of a loss that weighs every output element differently."""
    sources = inputs_and_states(len(layer.state_size)) if sources is None else sources

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = (call or layer)(sources[0], initial_state=sources[1:], mask=mask, **options)
            weighed = [
                x * tf.constant(normal(*x.shape, seed=i), x.dtype) for i, x in enumerate(tf.nest.flatten(outputs))
            ]
            loss = tf.add_n([tf.reduce_sum(tf.cast(x, "float32")) for x in weighed])
        return outputs, tape.gradient(loss, sources + [w.value for w in layer.trainable_variables])

    return [np.asarray(x) for x in tf.nest.flatten(run())]


def assert_all_close(ours, theirs, tolerance=1e-5) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def drawn(cell, seed):
    """Sizes, a mask and options, any of them; the first seeds draw the smallest sizes."""
    rng = np.random.default_rng((seed, list(CELLS).index(cell)))
    batch, time, features, units = (int(rng.integers(1, most + 1)) for most in (7, 8, 4, 6))
    batch, time = (1 if seed in (0, 2) else batch), (1 if seed in (1, 2) else time)
    lengths = rng.integers(0, time + 1, (batch, 1))  # a row may be masked in whole, or all but a step of it
    masks = [None, np.arange(time) < lengths, np.arange(time) >= lengths, rng.random((batch, time)) < 0.5]
    options = {
        name: bool(rng.integers(2))
        for name in ("return_sequences", "go_backwards", "zero_output_for_mask", "use_bias", "unit_forget_bias")
        if name != "unit_forget_bias" or cell == "lstm"
    }
    return (batch, time, features, units), masks[rng.integers(4)], options, bool(rng.integers(2))


@pytest.mark.parametrize("seed", range(14))
@cells
def test_equals_keras(cell, seed):
    sizes, mask, options, training = drawn(cell, seed)
    layer, chosen = CELLS[cell]
    options = {"return_state": True, **options, **chosen}
    theirs, ours = same_weights(stock(layer)(sizes[3], **options), layer(sizes[3], **options), sizes[:3])
    assert ours.is_fused
    sources = inputs_and_states(len(ours.state_size), sizes=sizes)
    found, expected = (results_and_gradients(x, mask, sources=sources, training=training) for x in (ours, theirs))
    assert_all_close(found, expected)


@cells
def test_garbage_under_the_mask_changes_nothing(cell):
    _, layer = twins(cell, return_sequences=True)
    inputs, *_ = inputs_and_states()
    mask = MASKS["holes"]
    garbage = tf.where(mask[:, :, None], inputs, 1e30)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
        return y, *tape.gradient(y, [x, *(w.value for w in layer.trainable_variables)])

    assert_all_close(run(garbage), run(inputs), 0)


@cells
def test_a_row_that_is_not_a_number_spoils_no_other(cell):
    theirs, ours = twins(cell, return_sequences=True)
    inputs = normal(BATCH, TIME, FEATURES).astype("float32")
    inputs[2, 1] = np.nan
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)
    assert np.isnan(ours(inputs)).any(axis=(1, 2)).tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize("training", [False, True])
@cells
def test_what_does_not_fit_is_told(cell, training):
    _, layer = twins(cell)
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        layer(np.zeros((BATCH, FEATURES), "float32"), training=training)
    with pytest.raises(Exception, match=f"{FEATURES + 2}"):
        layer(np.zeros((BATCH, TIME, FEATURES + 2), "float32"), training=training)
    wide = [np.zeros((BATCH, UNITS + 1), "float32")] * 2
    with pytest.raises(Exception, match=f"{UNITS + 1}"):
        layer(np.zeros((BATCH, TIME, FEATURES), "float32"), initial_state=wide, training=training)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
@cells
def test_other_float_types(cell, dtype):
    options = {"return_sequences": True, "return_state": True}
    reference = results_and_gradients(twins(cell, **options)[0], MASKS["holes"])
    results = results_and_gradients(twins(cell, **options, dtype=dtype)[1], MASKS["holes"])
    tolerance = {"mixed_bfloat16": 0.1, "mixed_float16": 0.01, "float64": 1e-5}[dtype]
    assert_all_close([r.astype("float64") for r in results], reference, tolerance)


@cells
def test_dropout_takes_one_mask_for_all_steps(cell):
    theirs, ours = twins(cell, return_sequences=True, dropout=0.5, seed=7)
    inputs, *_ = inputs_and_states()
    dropped = ours(inputs, training=True)
    np.testing.assert_allclose(dropped, theirs(inputs, training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - ours(inputs, training=True)).max() > 1e-3
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


@cells
def test_stateful(cell):
    theirs, ours = twins(cell, return_sequences=True, stateful=True)
    inputs, *_ = inputs_and_states()
    for layer in (theirs, ours):
        layer(inputs)
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)
    for layer in (theirs, ours):
        layer.reset_state()
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-6)


@cells
def test_a_training_step_with_regularizers_and_constraints(cell):
    options = {
        "kernel_regularizer": "l2",
        "recurrent_regularizer": "l1",
        "recurrent_constraint": keras.constraints.MaxNorm(0.3),
        "bias_constraint": "non_neg",
        "activity_regularizer": "l2",
    }
    weights = []
    for layer in twins(cell, **options):
        model = keras.Sequential([keras.Input((TIME, FEATURES)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.train_on_batch(normal(BATCH, TIME, FEATURES), normal(BATCH, UNITS))
        weights.append(layer.get_weights())
    assert_all_close(*weights)
    assert np.linalg.norm(weights[0][1], axis=0).max() < 0.3 + 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "softsign"},
        {"recurrent_activation": "hard_sigmoid"},
        {"recurrent_dropout": 0.2},
        {"unroll": True},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_steps_aside(cell, options):
    if cell == "rnn" and "recurrent_activation" in options:
        pytest.skip("a simple RNN has no gates")
    theirs, ours = twins(cell, return_sequences=True, return_state=True, **options)
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
@cells
def test_weights_and_models_pass_to_and_from_keras(cell, tmp_path, monkeypatch):
    ours_type, chosen = CELLS[cell]

    def model(layer):
        return keras.Sequential([keras.Input((None, FEATURES)), layer(UNITS, **chosen)])

    theirs, ours = model(stock(ours_type)), model(ours_type)
    batch = normal(BATCH, TIME, FEATURES).astype("float32")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(ours(batch), theirs(batch), rtol=1e-5, atol=1e-6)
    ours.set_weights([w + 0.5 for w in ours.get_weights()])
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_allclose(ours(batch), theirs(batch), rtol=1e-5, atol=1e-6)

    ours.save(tmp_path / "ours.keras")
    name = f"quatrain>{ours_type.__name__}"
    monkeypatch.delitem(keras.saving.get_custom_objects(), name)  # as in a process that does not know ours
    loaded: Any = keras.saving.load_model(tmp_path / "ours.keras", custom_objects={name: stock(ours_type)})
    assert type(loaded.layers[0]) is stock(ours_type)
    np.testing.assert_allclose(loaded(batch), ours(batch), rtol=1e-5, atol=1e-6)


@saves_weights
@cells
def test_a_model_of_keras_becomes_ours(cell, tmp_path):
    ours, chosen = CELLS[cell]
    inputs = keras.Input((None, FEATURES))
    both = keras.layers.Bidirectional(stock(ours)(UNITS, return_sequences=True, **chosen))(inputs)
    keras.Model(inputs, keras.layers.Dense(2)(stock(ours)(3, **chosen)(both))).save(tmp_path / "theirs.keras")
    theirs: Any = keras.saving.load_model(tmp_path / "theirs.keras")
    faster = keras.models.clone_model(theirs, clone_function=fused)
    faster.set_weights(theirs.get_weights())
    assert [type(layer) for layer in faster.layers[1:]] == [Bidirectional, ours, keras.layers.Dense]
    assert type(faster.layers[1].backward_layer) is ours
    batch = normal(BATCH, TIME, FEATURES).astype("float32")
    np.testing.assert_allclose(faster(batch), theirs(batch), rtol=1e-5, atol=1e-6)


@cells
def test_both_directions(cell):
    layer, chosen = CELLS[cell]
    options = {"return_sequences": True, "return_state": True, **chosen}
    theirs, ours = same_weights(
        keras.layers.Bidirectional(stock(layer)(UNITS, **options)), Bidirectional(layer(UNITS, **options))
    )
    assert ours.forward_layer.is_fused
    assert ours.backward_layer.is_fused
    sources = inputs_and_states(2 * len(theirs.forward_layer.state_size))
    found, expected = (results_and_gradients(x, MASKS["holes"], sources=sources) for x in (ours, theirs))
    assert_all_close(found, expected)


def test_both_directions_at_once_train_as_keras_does():
    """In a graph, and wide enough for several threads each."""
    sizes = (3, 4, 5, 130)
    theirs, ours = same_weights(
        keras.layers.Bidirectional(keras.layers.LSTM(sizes[3])), Bidirectional(LSTM(sizes[3])), sizes[:3]
    )
    sources = inputs_and_states(4, sizes=sizes)
    found, expected = (results_and_gradients(x, None, sources=sources, training=True) for x in (ours, theirs))
    assert_all_close(found, expected, 1e-4)


def test_two_directions_share_the_cores():
    both = Bidirectional(GRU(UNITS))
    again: Any = Bidirectional.from_config(both.get_config())
    assert [layer.parts for layer in (both.forward_layer, again.forward_layer, again.backward_layer)] == [2, 2, 2]
    assert GRU(UNITS).parts == 1
    assert products.team(20, 10**6, 4, parts=2) == max(1, products.team(20, 10**6, 4) // 2)


def test_each_direction_has_its_own_dropout():
    theirs, ours = same_weights(
        keras.layers.Bidirectional(keras.layers.GRU(UNITS, dropout=0.5, seed=3)),
        Bidirectional(GRU(UNITS, dropout=0.5, seed=3)),
    )
    inputs, *_ = inputs_and_states()
    np.testing.assert_allclose(ours(inputs, training=True), theirs(inputs, training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(ours(inputs, training=True) - ours(inputs)).max() > 1e-3


@cells
def test_dynamic_batch_and_time_in_a_saved_model(cell, tmp_path):
    layer, chosen = CELLS[cell]
    inputs = keras.Input((None, FEATURES))
    outputs = Bidirectional(layer(UNITS, return_sequences=True, **chosen))(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, layer(2, **chosen)(outputs))
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
