"""The decoder: dependencies between inputs and outputs, and agreement of search with teacher forcing."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from shared.vocabulary import SPECIALS, Vocabulary, WordVocabulary
from tasks.captioner.config import SCENES
from tasks.captioner.model import Captioner, CaptionSearch
from tasks.captioner.spelling import readable

pytestmark = pytest.mark.any_backend

VOCAB, UNITS, CHANNELS, ROWS, COLUMNS = 11, 6, 5, 2, 4
BATCH, CAPTIONS, TARGET = 3, 2, 7


@pytest.fixture(scope="module", params=["language_lstm", "one_lstm"])
def model(request):
    """An untrained decoder whose weights are large, so that different captions have different logits."""
    keras.utils.set_random_seed(7)
    model = Captioner(VOCAB, UNITS, language_lstm=request.param == "language_lstm", dropout=0.3)
    model.build({"grid": (None, None, None, CHANNELS), "token_ids": (None, None, None)})
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(len(weight.path)).normal(0, 1.0, weight.shape))
    return model


def grids(batch: int = BATCH) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, ROWS, COLUMNS, CHANNELS)).astype(np.float32)


def token_ids() -> np.ndarray:
    ids = np.random.default_rng(2).integers(4, VOCAB, (BATCH, CAPTIONS, TARGET), dtype=np.int32)
    ids[:, :, 0] = Vocabulary.start_id
    return ids


def logits(model, grid: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.asarray(model({"grid": grid, "token_ids": ids}))


def search(model, grid: np.ndarray) -> dict[str, np.ndarray]:
    vocabulary = WordVocabulary([*SPECIALS, *"bcdefghijklmnopqrstuvwxyz"][:VOCAB])
    result = CaptionSearch(model, None, replace(SCENES, beam=3, max_length=5), vocabulary)(grid)
    return {name: np.asarray(value) for name, value in result.items()}


def test_readable_joins_split_tokens():
    assert readable("a man 's dog , asleep , does n't bark : why ?") == "a man's dog, asleep, doesn't bark: why?"
    assert readable("the 'set of n'ts") == "the 'set of n'ts"


def test_shapes(model):
    memory = model.encode(grids())
    assert memory.values.shape == (BATCH, ROWS * COLUMNS, UNITS)
    assert memory.summary.shape == (BATCH, UNITS)
    result, state, attention = model.decode(memory, token_ids())
    assert result.shape == (BATCH, CAPTIONS, TARGET, VOCAB)
    assert {part.shape for part in state} == {(BATCH, CAPTIONS, UNITS)}
    assert attention.shape == (BATCH, CAPTIONS, TARGET, ROWS * COLUMNS + 1)
    np.testing.assert_allclose(ops.sum(attention, axis=-1), 1, rtol=1e-5)


def test_step_by_step_gives_the_logits_of_teacher_forcing(model):
    memory, ids = model.encode(grids()), token_ids()
    expected, last, attention = model.decode(memory, ids)
    state = None
    for t in range(TARGET):
        result, state, weights = model.decode(memory, ids[:, :, t : t + 1], state)
        np.testing.assert_allclose(result[:, :, 0], expected[:, :, t], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(weights[:, :, 0], attention[:, :, t], rtol=1e-4, atol=1e-5)
    for part, last_part in zip(state, last, strict=True):
        np.testing.assert_allclose(part, last_part, rtol=1e-4, atol=1e-5)


def test_a_caption_depends_on_its_own_image_and_words_only(model):
    grid, ids = grids(), token_ids()
    everything = logits(model, grid, ids)
    alone = logits(model, grid[1:2], ids[1:2])
    np.testing.assert_allclose(alone[0], everything[1], rtol=1e-4, atol=1e-5)
    single = logits(model, grid, ids[:, 1:])
    np.testing.assert_allclose(single[:, 0], everything[:, 1], rtol=1e-4, atol=1e-5)
    longer = np.concatenate([ids, np.zeros((BATCH, CAPTIONS, 4), np.int32)], axis=2)
    np.testing.assert_allclose(logits(model, grid, longer)[:, :, :TARGET], everything, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changed", range(TARGET))
def test_no_logit_depends_on_a_later_word(model, changed):
    ids = token_ids()
    before = logits(model, grids(), ids)
    ids[:, 0, changed] = (ids[:, 0, changed] + 1) % VOCAB
    after = logits(model, grids(), ids)
    np.testing.assert_array_equal(after[:, 0, :changed], before[:, 0, :changed])
    np.testing.assert_array_equal(after[:, 1], before[:, 1])
    assert (np.abs(after[:, 0, changed] - before[:, 0, changed]).max(axis=-1) > 1e-4).all()


def test_the_caption_follows_the_image(model):
    """Swapping two images swaps their logits and their captions."""
    grid, ids = grids(), np.repeat(token_ids()[:1], BATCH, axis=0)
    swapped = grid[[1, 0, 2]]
    before, after = logits(model, grid, ids), logits(model, swapped, ids)
    np.testing.assert_allclose(after, before[[1, 0, 2]], rtol=1e-4, atol=1e-5)
    assert np.abs(before[0] - before[1]).max() > 0.1
    result = search(model, grid)
    np.testing.assert_array_equal(search(model, swapped)["token_ids"], result["token_ids"][[1, 0, 2]])
    assert (result["token_ids"][0] != result["token_ids"][1]).any()


def test_every_position_of_the_grid_has_an_effect(model):
    ids = token_ids()
    before = logits(model, grids(), ids)
    for row in range(ROWS):
        for column in range(COLUMNS):
            grid = grids()
            grid[:, row, column] += 1
            assert np.abs(logits(model, grid, ids) - before).max() > 1e-3


def test_search_scores_a_caption_as_teacher_forcing_does(model):
    grid = grids()
    result = search(model, grid)
    assert result["extras"].shape == (BATCH, 3, 6, ROWS * COLUMNS + 1)
    ids, lengths = result["token_ids"], result["lengths"]
    read = np.concatenate([np.full((BATCH, 3, 1), Vocabulary.start_id), ids[:, :, :-1]], axis=2).astype(np.int32)
    log_probs = np.asarray(ops.log_softmax(logits(model, grid, read), axis=-1))
    chosen = np.take_along_axis(log_probs, ids[..., None], axis=-1)[..., 0]
    real = np.arange(ids.shape[2]) < lengths[..., None]
    np.testing.assert_allclose(result["log_probs"], (chosen * real).sum(axis=-1), rtol=1e-4, atol=1e-4)
    _, _, attention = model.decode(model.encode(grid), read)
    np.testing.assert_allclose(result["extras"], np.asarray(attention) * real[..., None], rtol=1e-4, atol=1e-5)
    assert (np.diff(result["scores"], axis=1) <= 0).all()
    assert not np.isin(ids[real], [Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.unknown_id]).any()


@pytest.mark.slow
def test_search_of_one_image_does_not_depend_on_the_others(model):
    batch = search(model, grids())
    for i in range(BATCH):
        alone = search(model, grids()[i : i + 1])
        np.testing.assert_array_equal(alone["token_ids"][0], batch["token_ids"][i])
        np.testing.assert_allclose(alone["log_probs"][0], batch["log_probs"][i], rtol=1e-4)


def test_dropout_acts_in_training_only(model):
    inputs = {"grid": grids(), "token_ids": token_ids()}
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert np.abs(np.asarray(model(inputs, training=True)) - np.asarray(model(inputs))).max() > 1e-3


def test_training_without_dropout_computes_the_function_of_inference(model, monkeypatch):
    inputs = {"grid": grids(), "token_ids": token_ids()}
    monkeypatch.setattr(model, "disable_dropout", True)
    # Up to rounding: training runs compiled kernels, inference those in the graph.
    np.testing.assert_allclose(model(inputs, training=True), model(inputs), rtol=1e-4, atol=1e-5)


def test_saved_whole_and_loaded_safely(tmp_path, model):
    inputs = {"grid": grids(), "token_ids": token_ids()}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(inputs), model(inputs), rtol=1e-5, atol=1e-6)
    again = Captioner.from_config(model.get_config())
    assert (again.vocab_size, again.units, again.dropout) == (VOCAB, UNITS, model.dropout)
    assert (again.language_lstm is None) == (model.language_lstm is None)
    assert [w.shape for w in loaded.weights] == [w.shape for w in model.weights]


def test_a_config_with_former_names_of_arguments_loads():
    model = Captioner(VOCAB, UNITS, embedding_stddev=0.5, sum_pooling=True)
    config = model.get_config()
    former = {"embedding_stddev": "word_scale", "sum_pooling": "counts"}
    again = Captioner.from_config({former.get(name, name): value for name, value in config.items()})
    assert again.get_config() == config
