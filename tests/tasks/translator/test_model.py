"""The model: padding and other sentences change nothing, search agrees with teacher forcing, all weights train."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.decoding import SearchSpace, greedy
from shared.losses import SequenceCrossEntropy
from shared.vocabulary import SPECIALS, Vocabulary, WordVocabulary
from tasks.translator.config import SCENES
from tasks.translator.model import EncoderDecoder, build_model, translate
from tasks.translator.vocabularies import Vocabularies, source_batch

pytestmark = pytest.mark.any_backend

SOURCE, TARGET = 13, 17  # sizes of the vocabularies
VOCABULARY = Vocabularies(*(WordVocabulary([*SPECIALS, *map(str, range(size - 4))]) for size in (SOURCE, TARGET)))
INSIDE = replace(SCENES, embedding_units=5, units=6)
CONFIGS = [
    INSIDE,
    replace(INSIDE, decoder="between"),
    replace(INSIDE, decoder="fixed", alignment_weight=0.0, num_layers=2, tied=False),
]
SOURCES = np.array([[5, 6, 7, 2, 0, 0], [8, 2, 0, 0, 0, 0], [9, 10, 11, 12, 4, 2]], np.int32)
TARGETS = np.array([[1, 5, 6, 2, 0], [1, 7, 2, 0, 0], [1, 8, 9, 10, 2]], np.int32)


@pytest.fixture(params=CONFIGS, ids=lambda config: config.decoder)
def model(request):
    keras.utils.set_random_seed(1)
    model = build_model(request.param, VOCABULARY)
    for weight in model.trainable_variables:
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.3))
    return model


def logits(model, sources, targets):
    return np.asarray(model({"source_ids": sources, "target_ids": targets}))


def search(model, beam):
    return translate([model], SOURCES, replace(model.config, beam=beam, max_length=6, length_penalty=0.0))


def test_padding_and_other_sentences_change_nothing(model):
    in_batch = logits(model, SOURCES, TARGETS[:, :-1])
    assert in_batch.shape == (3, 4, TARGET)
    for row in range(3):
        source, target = (ids[row, : (ids[row] > 0).sum()] for ids in (SOURCES, TARGETS))
        alone = logits(model, source[None], target[None, :-1])
        np.testing.assert_allclose(alone[0], in_batch[row, : len(target) - 1], rtol=1e-4, atol=1e-5)


def test_outputs_depend_on_the_whole_source_and_on_previous_tokens_only(model):
    before = logits(model, SOURCES, TARGETS[:, :-1])
    other_source, other_target = SOURCES.copy(), TARGETS.copy()
    other_source[0, 2], other_target[0, 2] = 8, 9
    assert np.abs(logits(model, other_source, TARGETS[:, :-1]) - before)[0].max(axis=-1).min() > 1e-5
    after = logits(model, SOURCES, other_target[:, :-1])
    np.testing.assert_allclose(after[0, :2], before[0, :2], rtol=1e-5, atol=1e-6)
    assert np.abs(after - before)[0, 2].max() > 1e-4


@pytest.mark.slow
def test_beam_1_is_greedy_and_its_score_is_that_of_teacher_forcing(model):
    result = search(model, 1)
    memory, special_ids = model.encode(SOURCES), (Vocabulary.start_id, Vocabulary.end_id, Vocabulary.pad_id)
    forbidden_ids = Vocabulary.pad_id, Vocabulary.start_id
    space = SearchSpace(model.step(memory), model.initial_state(memory), 3, *special_ids, 6, forbidden_ids)
    expected = greedy(space)
    np.testing.assert_array_equal(result.token_ids[..., :6], expected.token_ids)  # the beam search adds an end token
    ids = np.asarray(result.token_ids[:, 0])
    previous = np.concatenate([np.full((3, 1), Vocabulary.start_id, np.int32), ids[:, :-1]], axis=1)
    log_probs = np.asarray(keras.ops.log_softmax(logits(model, SOURCES, previous)))
    of_tokens = np.take_along_axis(log_probs, ids[:, :, None], axis=-1)[..., 0] * (ids > 0)
    np.testing.assert_allclose(of_tokens.sum(axis=1), result.log_probs[:, 0], rtol=1e-4)


@pytest.mark.slow
def test_a_wider_beam_is_not_worse_and_never_attends_to_padding(model):
    result = search(model, 3)
    assert np.all(np.asarray(result.log_probs)[:, 0] >= np.asarray(search(model, 1).log_probs)[:, 0] - 1e-5)
    attention = np.asarray(result.extras)
    assert attention.shape[:2] == (3, 3)
    assert np.all(attention[np.broadcast_to((SOURCES == 0)[:, None, None], attention.shape)] == 0)
    if model.config.decoder != "fixed":
        real = np.arange(attention.shape[2]) < np.asarray(result.lengths)[:, :, None]
        np.testing.assert_allclose(attention.sum(axis=-1)[real], 1, rtol=1e-5)


def test_training_changes_every_weight(model):
    before = [np.array(weight) for weight in model.trainable_variables]
    model.compile(keras.optimizers.SGD(1.0), SequenceCrossEntropy(0.1))
    inputs = {"source_ids": SOURCES, "target_ids": TARGETS[:, :-1]}
    losses = [float(model.train_on_batch(inputs, TARGETS[:, 1:], return_dict=True)["loss"]) for _ in range(8)]
    assert losses[-1] < losses[0]
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(weight - old).max() > 0, weight.path


def test_dropout_is_applied_in_training_only():
    model = build_model(replace(INSIDE, embedding_dropout=0.5, memory_dropout=0.5, output_dropout=0.5), VOCABULARY)
    inputs = {"source_ids": SOURCES, "target_ids": TARGETS[:, :-1]}
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert np.abs(np.asarray(model(inputs, training=True)) - np.asarray(model(inputs, training=True))).max() > 1e-4


def test_a_joint_vocabulary_has_one_embedding():
    target = VOCABULARY.target
    model = build_model(replace(INSIDE, joint_vocabulary=True), Vocabularies(target, target))
    assert model.source_embedding is model.target_embedding
    assert sum("embedding/embeddings" in weight.path for weight in model.weights) == 1


def test_a_saved_model_with_former_config_names_loads(tmp_path):
    model = build_model(INSIDE, VOCABULARY)
    config = model.get_config()
    former = {"alignment_weight": "guidance", "attention_hops": "hops", "joint_vocabulary": "joint"}
    config["config"] = {former.get(name, name): value for name, value in config["config"].items()}
    assert EncoderDecoder.from_config(config).config == INSIDE
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(loaded, SOURCES, TARGETS[:, :-1]), logits(model, SOURCES, TARGETS[:, :-1]))


def test_source_batches_end_and_are_padded():
    np.testing.assert_array_equal(source_batch([[5], [6, 7]]), [[5, 2, 0], [6, 7, 2]])
