"""The aligner: it finds what the pairs alone tell, and what it says is a probability."""

from itertools import permutations

import numpy as np

from tasks.translator import aligner
from tasks.translator.aligner import align

DOG, CAT, RED, RUNS = 4, 5, 6, 7
HUND, KATZE, ROT, LAEUFT, ACH = 14, 15, 16, 17, 18  # ACH is said with everything


def test_words_that_always_meet_translate_each_other():
    said = {4: 14, 5: 15, 6: 16, 7: 17, 8: 18, 9: 19}
    sources = [list(order) for order in permutations(said, 4)]
    targets = [[said[b], said[a], said[c], said[d]] for a, b, c, d in sources]  # the first two change places
    for weights in align(sources, targets):
        assert weights.shape == (4, 5)
        assert weights.dtype == np.float32
        assert weights.argmax(axis=1).tolist() == [1, 0, 2, 3]
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_what_meets_everything_comes_from_nothing():
    sources = [[DOG], [CAT], [RED], [RUNS]] * 5
    targets = [[ACH, HUND], [ACH, KATZE], [ACH, ROT], [ACH, LAEUFT]] * 5
    for weights in align(sources, targets):
        assert weights[0].argmax() == 1
        assert weights[1].argmax() == 0


def test_of_several_like_words_the_nearest_is_meant():
    (weights, *_) = align([[DOG, RED, DOG]] * 3, [[HUND, ROT, HUND]] * 3)
    assert weights.argmax(axis=1).tolist() == [0, 1, 2]


def test_large_vocabularies_are_aligned_like_small_ones(monkeypatch):
    sources, targets = [[DOG, RED], [CAT], [RED, CAT]], [[ROT, HUND], [KATZE], [ROT, KATZE, ACH]]
    by_table = align(sources, targets)
    monkeypatch.setattr(aligner, "LARGEST_TABLE", 10)
    for one, other in zip(by_table, align(sources, targets), strict=True):
        np.testing.assert_array_equal(one, other)
