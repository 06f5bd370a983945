"""The layers against those of Keras: outputs, states and every gradient, for every kind of mask."""

from typing import Any

import keras
import numpy as np
import pytest

from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN, fused
from tests.shared.recurrent.derivatives import assert_all_close, normal, outputs_and_gradients

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
any_backend = pytest.mark.any_backend
BATCH, TIME, FEATURES, UNITS = 6, 5, 3, 4

# Layer and the options that select a kernel.
CELLS: dict[str, Any] = {
    "rnn": (SimpleRNN, {}),
    "rnn_relu": (SimpleRNN, {"activation": "relu"}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
    "gru_before": (GRU, {"reset_after": False}),
}
cells = pytest.mark.parametrize("cell", CELLS)

# No mask; rows of every length from 0; masked steps within a row.
MASKS: dict[str, Any] = {
    "none": None,
    "right": np.arange(TIME) < np.array([0, 1, 2, 3, 4, 5])[:, None],
    "holes": np.array(
        [[0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool
    ),
}


# Keras 3.15 converts variables to arrays in a way that NumPy 2 deprecates.
saves_weights = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def stock(layer: type) -> type:
    """The Keras layer of the same name."""
    return getattr(keras.layers, layer.__name__)


def twins(cell="lstm", **options):
    """A Keras layer and the layer to test, with the same weights, none of them zero."""
    layer, chosen = CELLS[cell]
    keras_options = {name: value for name, value in options.items() if name != "return_cells"}
    return same_weights(stock(layer)(UNITS, **chosen, **keras_options), layer(UNITS, **chosen, **options))


def same_weights(reference, tested, shape=(BATCH, TIME, FEATURES)):
    for layer in (reference, tested):
        layer.build(shape)
    reference.set_weights([normal(*w.shape, seed=1) / 2 for w in reference.weights])
    tested.set_weights(reference.get_weights())
    return reference, tested


def inputs_and_states(states=2, dtype="float32", sizes=(BATCH, TIME, FEATURES, UNITS)) -> list[Any]:
    batch, time, features, units = sizes
    shapes = [(batch, time, features), *[(batch, units)] * states]
    return [keras.ops.convert_to_tensor(normal(*shape, seed=i).astype(dtype)) for i, shape in enumerate(shapes)]


def results_and_gradients(layer, mask, call=None, sources=None, in_graph=False, **options) -> list[np.ndarray]:
    """Outputs and states, then gradients of a loss in which every output element has another weight."""
    sources = inputs_and_states(len(layer.state_size)) if sources is None else sources

    def function(inputs, *states):
        return (call or layer)(inputs, initial_state=list(states), mask=mask, **options)

    return outputs_and_gradients(function, sources, layer.trainable_variables, in_graph)


def random_case(cell, seed):
    """Random sizes, mask and options; the first seeds include sizes of 1."""
    rng = np.random.default_rng((seed, list(CELLS).index(cell)))
    batch, time, features, units = (int(rng.integers(1, maximum + 1)) for maximum in (7, 8, 4, 6))
    batch, time = (1 if seed in (0, 2) else batch), (1 if seed in (1, 2) else time)
    lengths = rng.integers(0, time + 1, (batch, 1))  # 0: the whole row is masked
    masks = [None, np.arange(time) < lengths, np.arange(time) >= lengths, rng.random((batch, time)) < 0.5]
    options = {
        name: bool(rng.integers(2))
        for name in ("return_sequences", "go_backwards", "zero_output_for_mask", "use_bias", "unit_forget_bias")
        if name != "unit_forget_bias" or cell == "lstm"
    }
    # Before the first real step of a row Keras puts out zeros on TensorFlow, the initial state on JAX. Our layers put
    # out zeros on both, so that a model that is trained on one and exported on the other does not change.
    options["zero_output_for_mask"] |= not ON_TENSORFLOW
    return (batch, time, features, units), masks[rng.integers(4)], options, bool(rng.integers(2))


@any_backend
@pytest.mark.parametrize("seed", range(8) if ON_TENSORFLOW else (1, 3))  # a case takes longer to compile on JAX
@cells
def test_equals_keras(cell, seed):
    sizes, mask, options, training = random_case(cell, seed)
    layer, chosen = CELLS[cell]
    options = {"return_state": True, **options, **chosen}
    reference, tested = same_weights(stock(layer)(sizes[3], **options), layer(sizes[3], **options), sizes[:3])
    assert tested.is_fused
    sources = inputs_and_states(len(tested.state_size), sizes=sizes)
    results, expected = (
        results_and_gradients(x, mask, sources=sources, in_graph=x is tested and seed == 3, training=training)
        for x in (tested, reference)
    )
    assert_all_close(results, expected)


@any_backend
@cells
def test_masked_inputs_have_no_effect(cell):
    _, layer = twins(cell, return_sequences=True)
    inputs, *_ = inputs_and_states()
    mask = MASKS["holes"]
    changed = keras.ops.where(mask[:, :, None], inputs, 1e30)

    def run(x):
        return outputs_and_gradients(lambda x: layer(x, mask=mask), [x], layer.trainable_variables)

    assert_all_close(run(changed), run(inputs), 0)


@any_backend
@cells
def test_nan_stays_in_its_row(cell):
    reference, tested = twins(cell, return_sequences=True)
    inputs = normal(BATCH, TIME, FEATURES)
    inputs[2, 1] = np.nan
    np.testing.assert_allclose(tested(inputs), reference(inputs), rtol=1e-5, atol=1e-6)
    assert np.isnan(np.asarray(tested(inputs))).any(axis=(1, 2)).tolist() == [False, False, True, False, False, False]


@any_backend
@pytest.mark.parametrize("training", [False, True])
@cells
def test_wrong_shapes_are_refused(cell, training):
    _, layer = twins(cell)
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        layer(np.zeros((BATCH, FEATURES), "float32"), training=training)
    with pytest.raises(Exception, match=f"{FEATURES + 2}"):
        layer(np.zeros((BATCH, TIME, FEATURES + 2), "float32"), training=training)
    wide = [np.zeros((BATCH, UNITS + 1), "float32")] * 2
    with pytest.raises(Exception, match=f"{UNITS + 1}"):
        layer(np.zeros((BATCH, TIME, FEATURES), "float32"), initial_state=wide, training=training)


@any_backend
@pytest.mark.parametrize(("dtype", "tolerance"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.01)])
@cells
def test_16_bit_types(cell, dtype, tolerance):
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True}
    expected = results_and_gradients(twins(cell, **options)[0], MASKS["holes"])
    results = results_and_gradients(twins(cell, **options, dtype=dtype)[1], MASKS["holes"], in_graph=cell == "gru")
    assert_all_close(results, expected, tolerance)


@cells
def test_float64(cell):
    """The compiled kernels are for float32 and bfloat16; in float64 the kernels in the graph train too."""
    reference, tested = twins(cell, return_sequences=True, return_state=True, dtype="float64")
    assert [tested.implementation(training) for training in (False, True)] == ["TensorFlow operations"] * 2
    sources = inputs_and_states(len(tested.state_size), "float64")
    results, expected = (
        results_and_gradients(x, MASKS["holes"], sources=sources, training=True) for x in (tested, reference)
    )
    assert {x.dtype.name for x in results} == {"float64"}
    assert_all_close(results, expected, 1e-12)


@any_backend
@cells
def test_dropout_has_one_mask_for_all_steps(cell):
    reference, tested = twins(cell, return_sequences=True, dropout=0.5, seed=7)
    inputs, *_ = inputs_and_states()
    dropped = tested(inputs, training=True)
    np.testing.assert_allclose(dropped, reference(inputs, training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - tested(inputs, training=True)).max() > 1e-3
    np.testing.assert_allclose(tested(inputs), reference(inputs), rtol=1e-5, atol=1e-6)


@any_backend
@cells
def test_stateful(cell):
    reference, tested = twins(cell, return_sequences=True, stateful=True)
    inputs, *_ = inputs_and_states()
    for layer in (reference, tested):
        layer(inputs)
    np.testing.assert_allclose(tested(inputs), reference(inputs), rtol=1e-5, atol=1e-6)
    for layer in (reference, tested):
        layer.reset_state()
    np.testing.assert_allclose(tested(inputs), reference(inputs), rtol=1e-5, atol=1e-6)


@any_backend
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


@any_backend
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
def test_other_options_use_the_loop_of_keras(cell, options):
    if cell == "rnn" and "recurrent_activation" in options:
        pytest.skip("a simple RNN has no gates")
    reference, tested = twins(cell, return_sequences=True, return_state=True, **options)
    assert not tested.is_fused
    assert_all_close(results_and_gradients(tested, MASKS["right"]), results_and_gradients(reference, MASKS["right"]))


@any_backend
def test_implementation(monkeypatch):
    graph = "TensorFlow operations" if ON_TENSORFLOW else "a scan on JAX"
    trained = "machine code" if ON_TENSORFLOW else graph
    assert [GRU(UNITS).implementation(training) for training in (True, False)] == [trained, graph]
    assert LSTM(UNITS, unroll=True).implementation(training=True) == "Keras: unroll"
    assert GRU(UNITS, recurrent_dropout=0.1).implementation(training=False) == "Keras: recurrent_dropout"
    together = "at the same time" if ON_TENSORFLOW else "one after the other"
    assert Bidirectional(GRU(UNITS)).implementation(training=True) == f"{trained}, {together}"
    monkeypatch.setattr("shared.recurrent.layers._on_gpu", lambda: True)
    cells = LSTM(UNITS, return_sequences=True, return_cells=True).implementation(training=True)
    if ON_TENSORFLOW:
        assert LSTM(UNITS).implementation(training=True) == "Keras: cuDNN on a GPU, where it has one"
        assert cells == "machine code"
    else:
        assert LSTM(UNITS).implementation(training=True) == "a scan on JAX: no NVIDIA GPU"
        assert cells == "a scan on JAX: cuDNN does not return its cells"


def stepwise(layer):
    """A `layer` with `return_cells`, by calls of its Keras cell."""

    ops = keras.ops

    def call(inputs, initial_state, mask):
        mask = np.ones((BATCH, TIME), bool) if mask is None else mask
        states, hiddens, cells = initial_state, [], []
        order = reversed(range(TIME)) if layer.go_backwards else range(TIME)
        visible = np.zeros((BATCH, 1), bool)
        for t in order:
            real = mask[:, t, None]
            _, new = layer.cell(inputs[:, t], states)
            states = [ops.where(real, n, s) for n, s in zip(new, states, strict=True)]
            visible = visible | real
            hiddens.append(ops.where(visible, states[0], 0))
            cells.append(ops.where(visible, states[1], 0))
        return ops.stack(hiddens, 1), ops.stack(cells, 1), *states

    return call


@any_backend
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize(
    ("path", "mask"), [*(("fused", mask) for mask in MASKS if ON_TENSORFLOW or mask == "holes"), ("scan", "holes")]
)
def test_return_cells(path, mask, backwards, monkeypatch):
    _, layer = twins(return_sequences=True, return_state=True, return_cells=True, go_backwards=backwards)
    if path == "scan":
        monkeypatch.setattr(LSTM, "is_fused", False)
    expected = results_and_gradients(layer, MASKS[mask], stepwise(layer))
    assert_all_close(results_and_gradients(layer, MASKS[mask], in_graph=mask == "holes"), expected)


@any_backend
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
    batch = normal(BATCH, TIME, FEATURES)
    batch[2, 3:] = 0
    expected: Any = model(batch)
    assert_all_close(loaded(batch), expected, 0)
    np.testing.assert_array_equal(expected[1][2, 4], expected[3][2])
    assert layer.compute_mask(None, "mask") == ["mask", "mask", None, None]


@any_backend
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "unroll": True}])
def test_return_cells_refuses(options):
    with pytest.raises(ValueError, match="return_cells=True needs"):
        LSTM(UNITS, return_cells=True, **options)


@any_backend
@saves_weights
@cells
def test_keras_loads_weights_and_models_and_vice_versa(cell, tmp_path, monkeypatch):
    kind, chosen = CELLS[cell]

    def model(layer):
        return keras.Sequential([keras.Input((None, FEATURES)), layer(UNITS, **chosen)])

    reference, tested = model(stock(kind)), model(kind)
    batch = normal(BATCH, TIME, FEATURES)
    reference.save_weights(tmp_path / "reference.weights.h5")
    tested.load_weights(tmp_path / "reference.weights.h5")
    np.testing.assert_allclose(tested(batch), reference(batch), rtol=1e-5, atol=1e-6)
    tested.set_weights([w + 0.5 for w in tested.get_weights()])
    tested.save_weights(tmp_path / "tested.weights.h5")
    reference.load_weights(tmp_path / "tested.weights.h5")
    np.testing.assert_allclose(tested(batch), reference(batch), rtol=1e-5, atol=1e-6)

    tested.save(tmp_path / "tested.keras")
    name = f"quatrain>{kind.__name__}"
    monkeypatch.delitem(keras.saving.get_custom_objects(), name)  # as in a process without this package
    loaded: Any = keras.saving.load_model(tmp_path / "tested.keras", custom_objects={name: stock(kind)})
    assert type(loaded.layers[0]) is stock(kind)
    np.testing.assert_allclose(loaded(batch), tested(batch), rtol=1e-5, atol=1e-6)


@any_backend
@saves_weights
@cells
def test_fused_replaces_the_layers_of_a_keras_model(cell, tmp_path):
    kind, chosen = CELLS[cell]
    inputs = keras.Input((None, FEATURES))
    sequence = keras.layers.Bidirectional(stock(kind)(UNITS, return_sequences=True, **chosen))(inputs)
    keras.Model(inputs, keras.layers.Dense(2)(stock(kind)(3, **chosen)(sequence))).save(tmp_path / "reference.keras")
    reference: Any = keras.saving.load_model(tmp_path / "reference.keras")
    faster = keras.models.clone_model(reference, clone_function=fused)
    faster.set_weights(reference.get_weights())
    assert [type(layer) for layer in faster.layers[1:]] == [Bidirectional, kind, keras.layers.Dense]
    assert type(faster.layers[1].backward_layer) is kind
    batch = normal(BATCH, TIME, FEATURES)
    np.testing.assert_allclose(faster(batch), reference(batch), rtol=1e-5, atol=1e-6)


@any_backend
@cells
def test_bidirectional(cell):
    layer, chosen = CELLS[cell]
    options = {"return_sequences": True, "return_state": True, **chosen}
    reference, tested = same_weights(
        keras.layers.Bidirectional(stock(layer)(UNITS, **options)), Bidirectional(layer(UNITS, **options))
    )
    assert tested.forward_layer.is_fused
    assert tested.backward_layer.is_fused
    sources = inputs_and_states(2 * len(reference.forward_layer.state_size))
    results = results_and_gradients(tested, MASKS["holes"], sources=sources, in_graph=True)
    assert_all_close(results, results_and_gradients(reference, MASKS["holes"], sources=sources))


def test_bidirectional_training_on_several_threads():
    """With enough units for several threads in each direction, which a graph runs at the same time."""
    sizes = (3, 4, 5, 130)
    reference, tested = same_weights(
        keras.layers.Bidirectional(keras.layers.LSTM(sizes[3])), Bidirectional(LSTM(sizes[3])), sizes[:3]
    )
    sources = inputs_and_states(4, sizes=sizes)
    results = results_and_gradients(tested, None, sources=sources, in_graph=True, training=True)
    assert_all_close(results, results_and_gradients(reference, None, sources=sources, training=True), 1e-4)


def test_each_direction_uses_half_of_the_cores():
    from shared.native import products

    layer = Bidirectional(GRU(UNITS))
    copy: Any = Bidirectional.from_config(layer.get_config())
    directions = layer.forward_layer, copy.forward_layer, copy.backward_layer
    assert [direction.num_concurrent_layers for direction in directions] == [2, 2, 2]
    assert GRU(UNITS).num_concurrent_layers == 1
    threads = products.thread_count(10**6)
    assert products.thread_count(10**6, num_concurrent=2) == max(1, threads // 2)


@any_backend
def test_each_direction_has_its_own_dropout():
    reference, tested = same_weights(
        keras.layers.Bidirectional(keras.layers.GRU(UNITS, dropout=0.5, seed=3)),
        Bidirectional(GRU(UNITS, dropout=0.5, seed=3)),
    )
    inputs, *_ = inputs_and_states()
    np.testing.assert_allclose(tested(inputs, training=True), reference(inputs, training=True), rtol=1e-5, atol=1e-6)
    assert np.abs(tested(inputs, training=True) - tested(inputs)).max() > 1e-3


@cells
@pytest.mark.slow
def test_dynamic_batch_and_time_in_a_saved_model(cell, tmp_path):
    import tensorflow as tf

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
        x = normal(batch, time, FEATURES)
        x[-1, time - 1 :] = 0
        (y,) = served(tf.constant(x)).values()
        np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)
