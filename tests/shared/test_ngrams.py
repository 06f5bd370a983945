"""N-grams: probabilities by hand and transitions between states."""

import numpy as np
import pytest

from shared.ngrams import count_ngrams

SEQUENCES = [[1, 2, 1], [1, 2], [3, 2, 1]]


def probabilities(ngrams, labels) -> list[float]:
    """The probability of each label given the previous ones."""
    state, result = 0, []
    for label in labels:
        result.append(float(np.exp(ngrams.log_probs[state, label])))
        state = ngrams.following[state, label]
    return result


def test_bigrams_by_hand():
    """Start: 1 twice, 3 once. After 1: 2 twice. After 2: 1 twice. After 3: 2 once. Two counts of 1, three of 2."""
    discount = (2 + 1) / (2 + 2 * 3 + 2)
    # Distinct predecessors: 1 has the start and 2; 2 has 1 and 3; 3 has the start. One count of 1, two of 2.
    unigram_discount = (1 + 1) / (1 + 2 * 2 + 2)
    unigram = (np.array([2, 2, 1]) - unigram_discount) / 5 + unigram_discount * 3 / 5 / 3
    ngrams = count_ngrams(SEQUENCES, 4, order=2)
    first, after_1, after_3 = (
        (np.array(counts) - discount * np.sign(counts)) / np.sum(counts) + discount * kinds / np.sum(counts) * unigram
        for counts, kinds in (([2, 0, 1], 2), ([0, 2, 0], 1), ([0, 1, 0], 1))
    )
    np.testing.assert_allclose(probabilities(ngrams, [1, 2]), [first[0], after_1[1]], rtol=1e-6)
    np.testing.assert_allclose(probabilities(ngrams, [3, 1]), [first[2], after_3[0]], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_every_state_has_a_distribution(order):
    rng = np.random.default_rng(order)
    sequences = [rng.integers(1, 5, rng.integers(9)).tolist() for _ in range(30)]
    ngrams = count_ngrams(sequences, 6, order)
    assert ngrams.log_probs.shape == ngrams.following.shape == (len(ngrams.log_probs), 6)
    np.testing.assert_allclose(np.exp(ngrams.log_probs[:, 1:]).sum(1), 1, rtol=1e-5)
    assert np.isfinite(ngrams.log_probs).all()  # although 5 does not occur
    assert ((ngrams.following >= 0) & (ngrams.following < len(ngrams.log_probs))).all()


def test_a_state_is_the_longest_known_context():
    """With an order of 3 the state has the two previous labels, so the training sequence is predicted."""
    ngrams = count_ngrams([[1, 2, 3, 1, 3, 2, 1]] * 40, 4, order=3)
    assert min(probabilities(ngrams, [1, 2, 3, 1, 3, 2, 1])) > 0.95
    assert probabilities(ngrams, [1, 3, 3, 1])[2] < 0.3  # 3 never follows (1, 3) or 3; the unigram is 1/3
    assert len(count_ngrams([], 4, order=3).log_probs) == 2
    with pytest.raises(ValueError, match="at least 1"):
        count_ngrams([], 4, order=0)


def test_a_rare_context_counts_as_its_last_labels():
    sequences = [[1, 2, 3], [1, 2, 3], [4, 2, 4], [3, 1]]
    every, common = (count_ngrams(sequences, 5, order=3, min_count=least) for least in (1, 2))
    # Contexts of two that occur twice: (1, 2) and (start, 1); once: (4, 2), (start, 4), (start, 3).
    assert len(every.log_probs) - len(common.log_probs) == 3
    assert probabilities(common, [1, 2, 3]) == probabilities(every, [1, 2, 3])
    after_2 = probabilities(count_ngrams(sequences, 5, order=3), [1, 2, 4])[2]
    assert probabilities(every, [4, 2, 4])[2] > probabilities(common, [4, 2, 4])[2] > after_2
    np.testing.assert_allclose(np.exp(common.log_probs[:, 1:]).sum(1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="at least 1"):
        count_ngrams(sequences, 5, order=3, min_count=0)


def test_a_label_that_is_no_context_leads_to_the_empty_one():
    ngrams = count_ngrams([[1, 2], [2, 1]], 4, order=3)
    start, empty = 0, 1
    assert ngrams.following[[start, empty], 3].tolist() == [empty, empty]


def test_n_grams_that_are_no_integer_of_64_bits_are_refused():
    assert len(count_ngrams([[1, 2]], 62, order=10).log_probs) == 4
    with pytest.raises(ValueError, match=r"below 2 \*\* 63"):
        count_ngrams([[1, 2]], 128, order=9)
