"""Subwords that are drawn anew, and their alignment."""

import numpy as np

from shared.vocabulary import SubwordVocabulary
from tasks.translator.resegmentation import most_tokens, realigned, resegmented

VOCABULARY = SubwordVocabulary([*SubwordVocabulary.reserved, " ", "a", "b", "c", " a", " ab", "bc", " abc"])


def test_other_segmentations_of_the_same_text():
    rng = np.random.default_rng(1)
    ids = VOCABULARY.encode("abc ab")
    drawn = {tuple(VOCABULARY.encode("abc ab", 0.5, rng)) for _ in range(200)}
    assert tuple(ids) in drawn
    assert len(drawn) > 5
    assert {VOCABULARY.decode(other) for other in drawn} == {"abc ab"}
    assert VOCABULARY.encode("abc ab", 0.0, rng) == ids
    everything = VOCABULARY.encode("abc", 1 - 1e-9, rng)
    assert VOCABULARY.tokens(everything) == [" ", "a", "b", "c"]


def test_a_side_with_too_many_tokens_stays():
    texts, ids = ("abc abc abc abc", "ab"), (VOCABULARY.encode("abc abc abc abc"), VOCABULARY.encode("ab"))
    rng = np.random.default_rng(1)
    source, target, alignment = resegmented(texts, (*ids, None), (VOCABULARY, VOCABULARY), 1 - 1e-9, rng)
    assert (source, VOCABULARY.tokens(target), alignment) == (ids[0], [" ", "a", "b"], None)  # 16 > 4 + 1 + 2
    assert (len(source), most_tokens(4), most_tokens(1)) == (4, 7, 3)


def test_the_alignment_of_another_segmentation_by_hand():
    before, after = VOCABULARY.encode("abc ab"), VOCABULARY.encode("abc ab", 1 - 1e-9, np.random.default_rng(1))
    assert (VOCABULARY.tokens(before), len(after)) == ([" abc", " ab"], 7)
    other = [VOCABULARY.table.index(token) for token in (" ab", "c", " a")]  # of the target "abc a"
    plain = [VOCABULARY.table.index(token) for token in (" a", "bc", " a")]
    alignment = np.array([[0.8, 0.2, 0], [0, 0.6, 0.4], [0, 0, 1]])  # of `plain`
    both = VOCABULARY, VOCABULARY
    found = realigned(alignment, (before, after), (plain, other), both)
    assert found.shape == (3, 8)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    # " ab" has two of its three bytes from " a", one from "bc"; " abc" is divided into 4 tokens, " ab" into 3.
    np.testing.assert_allclose(found[0], [*[0.8 * 2 / 3 / 4] * 4, *[(0.2 * 2 / 3 + 0.6 / 3) / 3] * 3, 0.4 / 3])
    np.testing.assert_allclose(found[1], [0, 0, 0, 0, 0.2, 0.2, 0.2, 0.4])
    np.testing.assert_allclose(found[2], [0] * 7 + [1])
    same = realigned(alignment, (before, before), (plain, plain), both)
    np.testing.assert_allclose(same, alignment)
