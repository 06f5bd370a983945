"""The aligner: alignments that follow from the pairs, as probabilities."""

from itertools import permutations

import numpy as np
import pytest

from tasks.translator import aligner
from tasks.translator.aligner import align

pytestmark = pytest.mark.any_backend

DOG, CAT, RED, RUNS = 4, 5, 6, 7
HUND, KATZE, ROT, LAEUFT, ACH = 14, 15, 16, 17, 18  # ACH occurs with every source word


def test_words_that_always_occur_together_are_aligned():
    translations = {4: 14, 5: 15, 6: 16, 7: 17, 8: 18, 9: 19}
    sources = [list(order) for order in permutations(translations, 4)]
    targets = [[translations[i] for i in (b, a, c, d)] for a, b, c, d in sources]  # the first two are swapped
    for weights in align(sources, targets):
        assert weights.shape == (4, 5)
        assert weights.dtype == np.float32
        assert weights.argmax(axis=1).tolist() == [1, 0, 2, 3]
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_a_word_that_occurs_with_every_word_is_aligned_with_none():
    sources = [[DOG], [CAT], [RED], [RUNS]] * 5
    targets = [[ACH, HUND], [ACH, KATZE], [ACH, ROT], [ACH, LAEUFT]] * 5
    for weights in align(sources, targets):
        assert weights[0].argmax() == 1
        assert weights[1].argmax() == 0


def test_a_repeated_word_is_aligned_with_the_nearest():
    (weights, *_) = align([[DOG, RED, DOG]] * 3, [[HUND, ROT, HUND]] * 3)
    assert weights.argmax(axis=1).tolist() == [0, 1, 2]


def test_large_vocabularies_give_the_same_alignments(monkeypatch):
    sources, targets = [[DOG, RED], [CAT], [RED, CAT]], [[ROT, HUND], [KATZE], [ROT, KATZE, ACH]]
    by_table = align(sources, targets)
    monkeypatch.setattr(aligner, "LARGEST_TABLE", 10)
    for weights, expected in zip(align(sources, targets), by_table, strict=True):
        np.testing.assert_array_equal(weights, expected)
