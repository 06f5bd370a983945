"""Repeats that a beam search refuses, against a search of all sentences."""

from typing import Any

import numpy as np
import pytest
from keras import ops

from shared.decoding import beam_search
from shared.repeats import MAX_TOKENS, Recent, Repeats
from tests.backend import compiled, on_tensorflow
from tests.shared.test_decoding import END, LENGTH, VOCAB, all_sentences, search, step_of, tokens_of, trigrams

pytestmark = pytest.mark.any_backend


def has_repeat(tokens: tuple[int, ...], joints: tuple[int, ...], shortest: int) -> bool:
    """Whether a phrase follows itself, directly or after a joint, as it is read in the definition."""
    for start in range(len(tokens)):
        for length in range(shortest, len(tokens)):
            phrase, rest = tokens[start : start + length], tokens[start + length :]
            if len(rest) >= length and rest[:length] == phrase:
                return True
            if len(rest) > length and rest[0] in joints and rest[1 : 1 + length] == phrase:
                return True
    return False


@pytest.mark.parametrize(("joints", "shortest"), [((), 1), ((5,), 1), ((4, 6), 2)])
@pytest.mark.slow
def test_a_wide_beam_is_the_exhaustive_search_without_repeats(monkeypatch, joints, shortest):
    """Of the 121 sentences of up to 4 of 3 words, those without a repeat; the beam drops no candidate of 81 x 4."""
    monkeypatch.setattr("tests.shared.test_decoding.LENGTH", 5)
    tables = trigrams(2, seed=3)
    found = search(beam_search, tables, beam=324, max_length=5, repeats=Repeats(joints, shortest))
    for row, table in enumerate(tables):
        scores = {s: score for score, s in all_sentences(table, 0) if not has_repeat(s, joints, shortest)}
        assert 20 < len(scores) < 121
        best = [tokens_of(found, row, place) for place in range(len(scores))]
        assert set(best) == scores.keys()
        np.testing.assert_allclose(found.scores[row, : len(scores)], [scores[tokens] for tokens in best], rtol=1e-5)


@pytest.mark.slow
def test_without_repeats_in_the_tables_nothing_changes():
    """Phrases of three tokens or more cannot repeat themselves in four."""
    tables = trigrams(9, seed=5)
    plain, refusing = (search(beam_search, tables, beam=3, **options) for options in ({}, {"repeats": Repeats((), 3)}))
    for a, b in zip(plain[:5], refusing[:5], strict=True):
        np.testing.assert_array_equal(a, b)
    assert LENGTH == 4


@on_tensorflow
@pytest.mark.slow
def test_examples_that_leave_the_batch_take_their_tokens_with_them():
    tables = trigrams(7, seed=13)
    tables[..., END] += 1.5 * np.arange(-3, 4)[:, None, None]  # some end late, others early
    options: dict[str, Any] = {"beam": 3, "max_length": 8, "repeats": Repeats((5,))}
    whole = search(beam_search, tables, **options)
    few = search(beam_search, tables, step_for_subset=lambda i: step_of(ops.take(tables, i, axis=0)), **options)
    np.testing.assert_array_equal(few.token_ids, whole.token_ids)
    found = [tokens_of(whole, row, place) for row in range(7) for place in range(3)]
    assert max(map(len, found)) > 5
    assert not any(has_repeat(tokens, (5,), 1) for tokens in found)


@pytest.mark.parametrize(
    ("tokens", "refused"),
    [
        ([], set()),
        ([4], {4}),
        ([4, 5], {5}),
        ([4, 5, 4], {4, 5}),
        ([4, 6], {4, 6}),  # 6 joins: 4 6 4
        ([3, 4, 6, 3], {3, 4}),  # 3 4 6 3 4
        ([3, 4, 6, 4], {4, 6}),  # 4 6 4 is no repeat that is left; 4 6 4 6 would be one
        ([5] * 3, {5}),
    ],
)
def test_the_tokens_that_complete_a_repeat(tokens, refused):
    def penalties():
        recent = Recent.of_start((2, 3))
        for token in tokens:
            recent = recent.after(np.full((2, 3), token))
        return recent.penalties(Repeats((6,)), VOCAB)

    values = np.asarray(compiled(penalties)())
    assert values.shape == (2, 3, VOCAB)
    assert (values == values[0, 0]).all()
    assert {token for token in range(VOCAB) if values[0, 0, token] == -np.inf} == refused
    assert set(values[0, 0].tolist()) <= {0, -np.inf}


@pytest.mark.parametrize(("length", "is_refused"), [(MAX_TOKENS, True), (MAX_TOKENS + 1, False)])
def test_phrases_of_bounded_length_are_recognized(length, is_refused):
    recent = Recent.of_start((1, 1))
    for token in [*range(length), *range(length - 1)]:
        recent = recent.after(np.full((1, 1), token))
    values = np.asarray(recent.penalties(Repeats(), length))[0, 0]
    assert (values[length - 1] == -np.inf) == is_refused
