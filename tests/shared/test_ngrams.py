"""N-grams: by hand, as probabilities, and the states that lead from one to another."""

import numpy as np
import pytest

from shared.ngrams import count_ngrams

SEQUENCES = [[1, 2, 1], [1, 2], [3, 2, 1]]


def read(ngrams, labels) -> list[float]:
    """The probability of each label after those before it."""
    state, found = 0, []
    for label in labels:
        found.append(float(np.exp(ngrams.log_probs[state, label])))
        state = ngrams.following[state, label]
    return found


def test_bigrams_by_hand():
    """Counts after the beginning: 1 twice, 3 once. After 1: 2 twice; 2: 1 twice; 3: 2 once. Once 2, twice 3 times."""
    discount = (2 + 1) / (2 + 2 * 3 + 2)
    # By what they stood after: 1 after the beginning and 2; 2 after 1 and 3; 3 after the beginning. Once 1, twice 2.
    alone = (1 + 1) / (1 + 2 * 2 + 2)
    unigram = (np.array([2, 2, 1]) - alone) / 5 + alone * 3 / 5 / 3
    found = count_ngrams(SEQUENCES, 4, order=2)
    first, after_1, after_3 = (
        (np.array(seen) - discount * np.sign(seen)) / np.sum(seen) + discount * kinds / np.sum(seen) * unigram
        for seen, kinds in (([2, 0, 1], 2), ([0, 2, 0], 1), ([0, 1, 0], 1))
    )
    np.testing.assert_allclose(read(found, [1, 2]), [first[0], after_1[1]], rtol=1e-6)
    np.testing.assert_allclose(read(found, [3, 1]), [first[2], after_3[0]], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_what_may_follow_is_a_distribution_everywhere(order):
    rng = np.random.default_rng(order)
    sequences = [rng.integers(1, 5, rng.integers(9)).tolist() for _ in range(30)]
    found = count_ngrams(sequences, 6, order)
    assert found.log_probs.shape == found.following.shape == (len(found.log_probs), 6)
    np.testing.assert_allclose(np.exp(found.log_probs[:, 1:]).sum(1), 1, rtol=1e-5)
    assert np.isfinite(found.log_probs).all()  # 5 was never seen
    assert ((found.following >= 0) & (found.following < len(found.log_probs))).all()


def test_a_state_is_the_longest_context_that_was_seen():
    """With all contexts seen the state tells the two labels before; so what was learned by heart is known."""
    found = count_ngrams([[1, 2, 3, 1, 3, 2, 1]] * 40, 4, order=3)
    assert min(read(found, [1, 2, 3, 1, 3, 2, 1])) > 0.95
    assert read(found, [1, 3, 3, 1])[2] < 0.3  # 3 after 1, 3: not seen; after 3: not seen; one label of three
    assert len(count_ngrams([], 4, order=3).log_probs) == 2
    with pytest.raises(ValueError, match="at least 1"):
        count_ngrams([], 4, order=0)
