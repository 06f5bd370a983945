"""The model: padding and company change nothing, a search's score is teacher forcing's, gradients reach everything."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.decoding import greedy
from shared.losses import SequenceCrossEntropy
from shared.vocabulary import Vocabulary
from tasks.translator.config import SCENES
from tasks.translator.model import build_model, translate

SOURCE, TARGET = 13, 17  # sizes of the vocabularies
INSIDE = replace(SCENES, embedding_units=5, units=6)
KINDS = [
    INSIDE,
    replace(INSIDE, decoder="between"),
    replace(INSIDE, decoder="fixed", guidance=0.0, num_layers=2, tied=False),
]
SOURCES = np.array([[5, 6, 7, 2, 0, 0], [8, 2, 0, 0, 0, 0], [9, 10, 11, 12, 4, 2]], np.int32)
TARGETS = np.array([[1, 5, 6, 2, 0], [1, 7, 2, 0, 0], [1, 8, 9, 10, 2]], np.int32)


@pytest.fixture(params=KINDS, ids=lambda config: config.decoder)
def model(request):
    keras.utils.set_random_seed(1)
    model = build_model(request.param, SOURCE, TARGET)
    for weight in model.trainable_variables:
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.3))
    return model


def logits(model, sources, targets):
    return np.asarray(model({"source_ids": sources, "target_ids": targets}))


def test_padding_and_company_change_nothing(model):
    together = logits(model, SOURCES, TARGETS[:, :-1])
    assert together.shape == (3, 4, TARGET)
    for row in range(3):
        source, target = (ids[row, : (ids[row] > 0).sum()] for ids in (SOURCES, TARGETS))
        alone = logits(model, source[None], target[None, :-1])
        np.testing.assert_allclose(alone[0], together[row, : len(target) - 1], rtol=1e-4, atol=1e-5)


def test_what_is_written_follows_from_all_of_the_source_and_none_of_what_follows(model):
    before = logits(model, SOURCES, TARGETS[:, :-1])
    other_source, other_target = SOURCES.copy(), TARGETS.copy()
    other_source[0, 2], other_target[0, 2] = 8, 9
    assert np.abs(logits(model, other_source, TARGETS[:, :-1]) - before)[0].max(axis=-1).min() > 1e-5
    after = logits(model, SOURCES, other_target[:, :-1])
    np.testing.assert_allclose(after[0, :2], before[0, :2], rtol=1e-5, atol=1e-6)
    assert np.abs(after - before)[0, 2].max() > 1e-4


def test_a_beam_of_one_is_greedy_and_its_score_that_of_teacher_forcing(model):
    found = translate([model], SOURCES, beam=1, max_length=6, length_penalty=0.0)
    again = greedy(**model.search_space(model.read(SOURCES), 6), forbidden_ids=(Vocabulary.pad_id, Vocabulary.start_id))
    np.testing.assert_array_equal(found.token_ids[..., :6], again.token_ids)  # where translations are made to end
    ids = np.asarray(found.token_ids[:, 0])
    read = np.concatenate([np.full((3, 1), Vocabulary.start_id, np.int32), ids[:, :-1]], axis=1)
    log_probs = np.asarray(keras.ops.log_softmax(logits(model, SOURCES, read)))
    told = np.take_along_axis(log_probs, ids[:, :, None], axis=-1)[..., 0] * (ids > 0)
    np.testing.assert_allclose(told.sum(axis=1), found.log_probs[:, 0], rtol=1e-4)


def test_a_beam_finds_no_less_and_looks_at_no_padding(model):
    found = translate([model], SOURCES, beam=3, max_length=6, length_penalty=0.0)
    one = translate([model], SOURCES, beam=1, max_length=6, length_penalty=0.0)
    assert np.all(np.asarray(found.log_probs)[:, 0] >= np.asarray(one.log_probs)[:, 0] - 1e-5)
    weights = np.asarray(found.extras)
    assert weights.shape[:2] == (3, 3)
    assert np.all(weights[np.broadcast_to((SOURCES == 0)[:, None, None], weights.shape)] == 0)
    if model.config.decoder != "fixed":
        real = np.arange(weights.shape[2]) < np.asarray(found.lengths)[:, :, None]
        np.testing.assert_allclose(weights.sum(axis=-1)[real], 1, rtol=1e-5)


def test_a_step_teaches_every_weight(model):
    before = [np.array(weight) for weight in model.trainable_variables]
    model.compile(keras.optimizers.SGD(1.0), SequenceCrossEntropy(0.1))
    inputs = {"source_ids": SOURCES, "target_ids": TARGETS[:, :-1]}
    losses = [float(model.train_on_batch(inputs, TARGETS[:, 1:], return_dict=True)["loss"]) for _ in range(8)]
    assert losses[-1] < losses[0]
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(weight - old).max() > 0, weight.path


def test_dropout_is_of_training_alone():
    model = build_model(replace(INSIDE, embedding_dropout=0.5, memory_dropout=0.5, output_dropout=0.5), SOURCE, TARGET)
    inputs = {"source_ids": SOURCES, "target_ids": TARGETS[:, :-1]}
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert np.abs(np.asarray(model(inputs, training=True)) - np.asarray(model(inputs, training=True))).max() > 1e-4


def test_one_embedding_for_both_languages():
    model = build_model(replace(INSIDE, joint=True), TARGET, TARGET)
    assert model.source_embedding is model.target_embedding
    assert sum("embedding/embeddings" in weight.path for weight in model.weights) == 1
