"""The network, its regularisation and its losses."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from shared.losses import mean_nats, output_nats
from shared.vocabulary import SPECIALS, WordVocabulary
from tasks.language_model.classifier import build_classifier
from tasks.language_model.config import PRESETS, PYTHON_MANUAL, Config
from tasks.language_model.data import StreamBatches, WordSampler
from tasks.language_model.model import FillModel, LanguageModel, StreamReader, build_model, read_stream

pytestmark = pytest.mark.any_backend

VOCABULARY = WordVocabulary([*SPECIALS, *"abcdefg"])
SIZE = len(VOCABULARY)
PLAIN = replace(
    PYTHON_MANUAL,
    units=6,
    num_layers=2,
    embedding_units=4,
    embedding_dropout=0.0,
    input_dropout=0.0,
    layer_dropout=0.0,
    output_dropout=0.0,
)


def token_ids(batch: int = 3, time: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(SIZE, size=(batch, time)).astype("int32")


def logits_of(model, ids, states=None, training=False):
    return model(ids, model.initial_state(len(ids)) if states is None else states, training=training)


@pytest.fixture
def model():
    return build_model(PLAIN, VOCABULARY)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru", "mogrifier_lstm"])
@pytest.mark.parametrize("tied", [True, False])
def test_two_parts_with_carried_state_equal_one_pass(cell, tied):
    model = build_model(replace(PLAIN, cell=cell, tied=tied), VOCABULARY)
    ids = token_ids(time=9)
    whole, last = logits_of(model, ids)
    first, states = logits_of(model, ids[:, :4])
    second, states = logits_of(model, ids[:, 4:], states)
    assert whole.shape == (3, 9, SIZE)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-5)
    for one, other in zip(states, last, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_tied_weights_are_one_variable(model):
    assert sum(tuple(weight.shape) == (SIZE, 4) for weight in model.weights) == 1
    outputs, _, _ = model.outputs(token_ids(), model.initial_state(3))
    np.testing.assert_allclose(
        model.logits(outputs),
        np.asarray(outputs) @ model.embedding.embeddings.numpy().T + model.bias.numpy(),
        atol=1e-6,
    )


def test_the_simple_network_by_hand():
    """s_t = tanh(U x_t + W s_{t-1} + b), o_t = softmax(V s_t + c)."""
    config = replace(PLAIN, cell="simple_rnn", num_layers=1, tied=False)
    model = build_model(config, VOCABULARY)
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(weight.shape) / 2 for weight in model.weights])
    named = {weight.path.split("/", 1)[1]: weight.numpy() for weight in model.weights}
    (u,) = (w for name, w in named.items() if name.endswith("cell/kernel"))
    (w,) = (w for name, w in named.items() if name.endswith("recurrent_kernel"))
    (b,) = (w for name, w in named.items() if name.endswith("cell/bias"))
    (v,) = (w for name, w in named.items() if name.endswith("projection/kernel"))
    state, ids = np.zeros((3, 6)), token_ids()
    embedding: Any = model.embedding.embeddings.numpy()
    expected = []
    for t in range(5):
        state = np.tanh(embedding[ids[:, t]] @ u + state @ w + b)
        expected.append(state @ v + model.bias.numpy())
    np.testing.assert_allclose(logits_of(model, ids)[0], np.stack(expected, axis=1), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["embedding_dropout", "input_dropout", "layer_dropout", "output_dropout", "weight_drop"]
)
def test_each_dropout_has_an_effect_in_training_only(name):
    keras.utils.set_random_seed(3)
    model = build_model(replace(PLAIN, **{name: 0.5}), VOCABULARY)
    ids = token_ids()
    plain = logits_of(model, ids)[0]
    np.testing.assert_array_equal(logits_of(model, ids)[0], plain)
    dropped, again = (logits_of(model, ids, training=True)[0] for _ in range(2))
    assert np.abs(dropped - plain).max() > 1e-4
    assert np.abs(dropped - again).max() > 1e-4


def test_word_dropout_drops_all_occurrences_of_a_word():
    model = build_model(replace(PLAIN, embedding_dropout=0.5), VOCABULARY)
    ids = np.repeat(np.arange(SIZE, dtype="int32")[None], 4, axis=0)
    dropped = np.asarray(model.word_dropout(keras.ops.ones((4, SIZE, 2)), ids, training=True))
    assert set(np.unique(dropped)) == {0, 2}
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:1, :, :1], dropped.shape))


def stream(tokens: int = 43) -> np.ndarray:
    return token_ids(1, tokens)[0]


def test_the_reader_carries_its_state_and_resets_it_each_epoch(model):
    batches, reader = StreamBatches(stream(), 3, 4, 2), StreamReader(model, 3)
    logits = logits_of(model, batches.inputs)[0]
    expected = keras.ops.sparse_categorical_crossentropy(batches.targets, logits, from_logits=True)
    for _ in range(2):
        np.testing.assert_allclose(read_stream(reader, batches), expected, atol=1e-5)


def compiled(config):
    reader = StreamReader(build_model(config, VOCABULARY), 3)
    reader.compile(keras.optimizers.Adam(0.03), mean_nats, metrics=[output_nats])
    return reader


def test_a_training_step_learns_and_penalties_are_in_the_loss_only():
    batches = StreamBatches(stream(), 3, 4, 2)
    nats = {}
    for name in ("none", "activation_penalty", "temporal_penalty"):
        keras.utils.set_random_seed(0)
        reader = compiled(PLAIN if name == "none" else replace(PLAIN, **{name: 300.0}))
        logs = reader.train_on_batch(*batches[0], return_dict=True)
        nats[name] = float(logs["output_nats"])
        penalty = float(logs["loss"]) - nats[name]
        assert (penalty > 1e-5) == (name != "none")
        assert np.abs(reader.carried[0].numpy()).max() > 0
    assert len({round(value, 6) for value in nats.values()}) == 1
    reader = compiled(PLAIN)
    learned = [float(reader.train_on_batch(*batches[0], return_dict=True)["loss"]) for _ in range(60)]
    assert learned[-1] < 0.7 * learned[0]


def test_penalties_by_hand():
    config = replace(PLAIN, activation_penalty=2.0, temporal_penalty=3.0)
    reader = StreamReader(build_model(config, VOCABULARY), 3)
    (inputs, _), *_ = StreamBatches(stream(), 3, 4, 2)
    reader(inputs, training=True)
    _, plain, _ = reader.model.outputs(inputs["token_ids"], reader.model.initial_state(3))
    expected = 2 * np.mean(np.asarray(plain) ** 2), 3 * np.mean(np.asarray(plain[:, 1:] - plain[:, :-1]) ** 2)
    np.testing.assert_allclose(sorted(float(loss) for loss in reader.losses), sorted(expected), rtol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_built(name):
    config = PRESETS[name]
    small = replace(config, units=6, embedding_units=4)
    if config.reads == "forwards":
        logits, _ = logits_of(build_model(small, VOCABULARY), token_ids())
        assert logits.shape == (3, 5, SIZE)
    elif config.reads == "for a label":
        inputs = {"token_ids": token_ids(), "lengths": np.array([5, 1, 3], np.int32)}
        assert build_classifier(small, VOCABULARY, ["a", "b"])(inputs).shape == (3, 2)
    else:
        blank_indices = np.array([[1, 3]] * 3, np.int32)
        logits = build_model(small, VOCABULARY)({"token_ids": token_ids(), "blank_indices": blank_indices})
        assert logits.shape == (3, 2, SIZE)


def test_a_bidirectional_model_uses_both_sides():
    model = build_model(replace(PRESETS["fill"], units=5, embedding_units=4), VOCABULARY)
    ids = np.random.default_rng(0).integers(4, SIZE, size=(1, 7)).astype("int32")

    def logits(index: int, token: int) -> np.ndarray:
        """Logits of the blank at index 3, with another token at `index`."""
        changed = ids.copy()
        changed[0, 3], changed[0, index] = VOCABULARY.start_id, token
        return np.asarray(model({"token_ids": changed, "blank_indices": np.array([[3]], np.int32)}))[0, 0]

    assert logits(0, 4).shape == (SIZE,)
    for index in (0, 6):
        assert np.abs(logits(index, 4) - logits(index, 5)).max() > 1e-6


def test_the_configuration_of_the_other_model_is_refused():
    with pytest.raises(ValueError, match="Received: 'both ways'"):
        LanguageModel(PRESETS["fill"], SIZE)
    with pytest.raises(ValueError, match="Received: 'forwards'"):
        FillModel(PLAIN, SIZE)


def test_models_of_older_versions_are_loaded():
    """`model.keras` holds the fields of the configuration under their former names."""
    former = {new: old for old, new in Config.RENAMED.items()}
    config = {former.get(name, name): value for name, value in vars(PLAIN).items()}
    assert LanguageModel.from_config({"config": config, "vocabulary_size": SIZE}).config == PLAIN


def test_numbers_of_parameters_equal_those_of_the_papers():
    sizes = {"zaremba_small": 4.65, "zaremba_medium": 19.8, "awd": 24.2}  # million
    for name, expected in sizes.items():
        config, count = PRESETS[name], 0
        inputs = config.embedding_units
        for width in config.widths:
            count += 4 * width * (inputs + width + 1)
            inputs = width
        count += 10_000 * (config.embedding_units + (0 if config.tied else config.widths[-1]) + 1)
        assert count / 1e6 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("tied", [True, False])
def test_the_sampled_softmax_over_all_words_equals_the_softmax(tied):
    model = build_model(replace(PLAIN, tied=tied), VOCABULARY)
    model.bias.assign(np.random.default_rng(1).standard_normal(SIZE))
    targets = token_ids(seed=1)
    outputs, _, _ = model.outputs(token_ids(), model.initial_state(3))
    sampler = WordSampler(np.arange(SIZE), SIZE)
    sampled = sampler.draw(np.random.default_rng(0))
    nats = model.sampled_nats(outputs, targets, sampled, sampler.probabilities[sampled])
    expected = keras.ops.sparse_categorical_crossentropy(targets, model.logits(outputs), from_logits=True)
    np.testing.assert_allclose(nats, expected, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients of JAX are dense")
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_the_sampled_softmax_are_dense(tied):
    """An optimizer would take the squares of rows of one word apart."""
    import tensorflow as tf

    model = build_model(replace(PLAIN, tied=tied), VOCABULARY)
    outputs, _, _ = model.outputs(token_ids(), model.initial_state(3))
    sampled = np.arange(0, SIZE, 2, dtype=np.int32)
    with tf.GradientTape() as tape:
        nats = model.sampled_nats(outputs, token_ids(seed=1), sampled, np.full(len(sampled), 0.5, np.float32))
    kernel = model.embedding.embeddings if tied else model.projection.kernel
    gradients = tape.gradient(nats, [model.bias.value, kernel.value])
    assert all(gradient is not None for gradient in gradients)
    assert not any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)


def test_the_sampled_normaliser_is_unbiased(model):
    targets = token_ids(seed=1)
    outputs, _, _ = model.outputs(token_ids(), model.initial_state(3))
    outputs *= 40  # far from uniform
    sampler = WordSampler(1000 / np.arange(1, SIZE + 1), 5)
    logits = np.asarray(model.logits(outputs))
    target_logits = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    # The sample is a step function of one uniform number: its expectation is a sum over the steps.
    steps = np.unique(np.concatenate([[0, 1], np.cumsum(sampler.probabilities.astype(float)) % 1]))
    mean = 0.0
    for low, high in pairwise(steps):
        sampled = sampler.draw(SimpleNamespace(random=lambda x=(low + high) / 2: x))
        nats = model.sampled_nats(outputs, targets, sampled, sampler.probabilities[sampled])
        mean += (high - low) * np.exp(target_logits + np.asarray(nats))
    np.testing.assert_allclose(mean, np.exp(logits).sum(axis=-1), rtol=1e-4)


def test_the_softmax_is_sampled_in_training_only(model):
    reader = StreamReader(model, 3)
    sampler = WordSampler(np.ones(SIZE), 4)
    stream = token_ids(1, 48)[0]
    plain, sampled = (StreamBatches(stream, 3, 8, 2, sampler=given) for given in (None, sampler))
    np.testing.assert_allclose(read_stream(reader, sampled), read_stream(reader, plain), rtol=1e-6)
    reader.compile(keras.optimizers.SGD(0.0), mean_nats)
    losses = [reader.train_on_batch(*batches[0]) for batches in (plain, sampled)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)
