"""The order of the captions that a search has found: by probability, by the photo, by what they have in common."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.decoding import Hypotheses, beam_search
from shared.vocabulary import SPECIALS, Vocabulary, WordVocabulary
from tasks.captioner.config import SCENES
from tasks.captioner.finder import Finder, ImageFunction, TextFunction
from tasks.captioner.model import Captioner, CaptionSearch
from tasks.captioner.ranking import KEPT, Ranking, agreement, best, fit

pytestmark = pytest.mark.any_backend

VOCAB, CHANNELS, ROWS, COLUMNS = 11, 5, 2, 4
PAD, END = Vocabulary.pad_id, Vocabulary.end_id
A, B, C, D = 5, 6, 7, 8


def found(token_ids: list, scores: list) -> Hypotheses:
    """Hypotheses whose other fields name the entry that they belong to."""
    ids = np.array(token_ids, np.int32)
    entries = np.broadcast_to(np.arange(ids.shape[1], dtype=np.float32), ids.shape[:2])
    lengths = (ids != PAD).sum(axis=-1).astype(np.int32)
    by_token = np.broadcast_to(entries[..., None], ids.shape)
    attention = np.broadcast_to(by_token[..., None], (*ids.shape, 3))
    parts = ids, lengths, entries, np.array(scores, np.float32), by_token, attention
    return Hypotheses(*map(keras.ops.convert_to_tensor, parts))


def arrays(hypotheses: Hypotheses) -> Hypotheses:
    return Hypotheses(*map(np.asarray, hypotheses))


@pytest.fixture(scope="module")
def finder() -> Finder:
    keras.utils.set_random_seed(5)
    finder = Finder(VOCAB, CHANNELS)
    finder.build()
    return finder


def grids(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, ROWS, COLUMNS, CHANNELS)).astype(np.float32)


def test_agreement_is_the_f_measure_of_words():
    ids = np.array([[[A, B, B, C], [B, D, PAD, PAD], [PAD] * 4], [[A, PAD, PAD, PAD], [A, A, A, PAD], [B, C, D, A]]])
    measured = np.asarray(agreement(keras.ops.convert_to_tensor(ids.astype(np.int32)), VOCAB))
    # Of (a b b c) two words are in (b d), and one of the other way round: 3 of 6.
    expected = [[[1, 3 / 6, 0], [3 / 6, 1, 0], [0, 0, 0]], [[1, 4 / 4, 2 / 5], [4 / 4, 1, 4 / 7], [2 / 5, 4 / 7, 1]]]
    np.testing.assert_allclose(measured, expected, atol=1e-6)


def test_fit_is_the_score_of_the_finder(finder):
    ids = np.array([[[A, B, PAD], [C, PAD, PAD]], [[D, D, A], [PAD, PAD, PAD]]], np.int32)
    measured = np.asarray(fit(finder, grids(), ids))
    photos = ImageFunction(finder, None).predict_on_batch(grids())["photo"]
    for i in range(2):
        sentences = TextFunction(finder).predict_on_batch({"token_ids": ids[i]})["sentence"]
        np.testing.assert_allclose(measured[i], sentences @ photos[i], atol=1e-5)
    assert measured[1, 1] == 0


def test_complete_captions_come_first_and_unused_entries_last():
    ids = [
        [[A, END, PAD], [A, B, C], [B, END, PAD], [PAD] * 3],
        [[A, B, END], [C, END, PAD], [D, D, END], [A, END, PAD]],
    ]
    result = arrays(best(found(ids, [[-3.0, -1.0, -2.0, -np.inf], [-4.0, -3.0, -3.0, -1.0]]), 4))
    assert result.scores.tolist() == [[-2.0, -3.0, -1.0, -np.inf], [-1.0, -3.0, -3.0, -4.0]]
    assert result.log_probs.tolist() == [[2, 0, 1, 3], [3, 1, 2, 0]]
    assert result.lengths.tolist() == [[2, 2, 3, 0], [2, 2, 3, 3]]
    np.testing.assert_array_equal(
        result.token_ids, [[ids[0][i] for i in (2, 0, 1, 3)], [ids[1][i] for i in (3, 1, 2, 0)]]
    )
    np.testing.assert_array_equal(result.extras[..., 2], np.broadcast_to(result.log_probs[..., None], (2, 4, 3)))
    np.testing.assert_array_equal(result.token_log_probs, result.extras[..., 0])


def test_captions_in_common_come_before_a_more_probable_one():
    hypotheses = found([[[D, C, END, PAD], [A, B, END, PAD], [A, B, B, END]]], [[-1.0, -1.1, -1.2]])
    probabilities = np.exp([-1.0, -1.1, -1.2]) / np.exp([-1.0, -1.1, -1.2]).sum()
    result = arrays(Ranking(replace(SCENES, beam=3, consensus_weight=2.0), VOCAB, None)(grids(1), hypotheses))
    expected = [-1.1 + 2 * probabilities[1:].sum(), -1.2 + 2 * probabilities[1:].sum(), -1.0 + 2 * probabilities[0]]
    np.testing.assert_allclose(result.scores, [expected], atol=1e-6)
    assert result.log_probs.tolist() == [[1, 2, 0]]


def test_the_finder_decides_which_photo_a_caption_fits(finder):
    ids = [[A, END], [B, END], [C, END]]
    hypotheses = found([ids, ids], [[0.0] * 3] * 2)
    fits = np.asarray(fit(finder, grids(), np.array([[[A], [B], [C]]] * 2, np.int32)))
    result = arrays(Ranking(replace(SCENES, beam=3, finder_weight=3.0), VOCAB, finder)(grids(), hypotheses))
    np.testing.assert_array_equal(result.log_probs, np.argsort(-fits, axis=-1))
    np.testing.assert_allclose(result.scores, -np.sort(-3 * fits, axis=-1), atol=1e-5)


def test_without_weights_or_a_finder_nothing_changes(finder):
    hypotheses = found([[[A, END], [B, END]]], [[-1.0, -2.0]])
    assert Ranking(SCENES, VOCAB, finder)(grids(1), hypotheses) is hypotheses
    assert Ranking(replace(SCENES, finder_weight=1.0), VOCAB, None)(grids(1), hypotheses) is hypotheses


def test_a_search_returns_the_best_of_more_captions(finder):
    keras.utils.set_random_seed(3)
    model = Captioner(VOCAB, 6)
    model.build({"grid": (None, None, None, CHANNELS), "token_ids": (None, None, None)})
    vocabulary = WordVocabulary([*SPECIALS, *"bcdefghijklmnopqrstuvwxyz"][:VOCAB])
    config = replace(SCENES, beam=2, max_length=5, length_penalty=1.0, finder_weight=20.0, consensus_weight=2.0)
    search = CaptionSearch(model, None, config, vocabulary, finder)
    space, options = search.space(grids(3))
    more = arrays(beam_search(space, **options))
    assert more.scores.shape == (3, 2 * KEPT)
    is_complete = (more.token_ids == END).any(axis=-1)
    ids = np.where(more.token_ids == END, PAD, more.token_ids)
    scores = more.scores + 20 * np.asarray(fit(finder, grids(3), ids))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    scores += 2 * np.einsum("bij,bj->bi", np.asarray(agreement(ids, VOCAB)), probabilities)
    result = search.predict_on_batch(grids(3))
    for row in range(3):
        order = sorted(range(2 * KEPT), key=lambda i: (is_complete[row, i], scores[row, i]), reverse=True)[:2]
        np.testing.assert_array_equal(result["token_ids"][row], more.token_ids[row, order])
        np.testing.assert_allclose(result["scores"][row], scores[row, order], rtol=1e-4)
        np.testing.assert_allclose(result["log_probs"][row], more.log_probs[row, order], rtol=1e-4)
        np.testing.assert_allclose(result["extras"][row], more.extras[row, order], atol=1e-5)
