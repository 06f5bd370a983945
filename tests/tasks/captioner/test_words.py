"""The regression to words, compared with the condition of its minimum."""

import numpy as np
import pytest

from tasks.captioner.words import learn_words, word_fractions

pytestmark = pytest.mark.any_backend

IMAGES, VIEWS, CHANNELS, WORDS = 30, 2, 5, 3


def test_fractions_are_of_captions_not_words():
    captions = [[[4, 5, 5], [6, 4, 9]], [[3, 2]], [[5], [5], [7]]]
    expected = [[1, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 2 / 3, 0, 1 / 3]]
    np.testing.assert_allclose(word_fractions(captions, first_id=4, words=4), expected, atol=1e-6)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(IMAGES, VIEWS, CHANNELS)) * [1, 2, 3, 4, 5] + [5, 4, 3, 2, 1]
    fractions = features.mean(axis=1) @ rng.normal(size=(CHANNELS, WORDS)) + 3 * rng.normal(size=(IMAGES, WORDS))
    return features.astype(np.float32), fractions.astype(np.float32)


def test_the_kernel_is_the_minimum_up_to_a_scale(data):
    features, fractions = data
    kernel, _ = learn_words(features, fractions, penalty=0.5)
    assert kernel.shape == (CHANNELS, WORDS)
    x = features.reshape(-1, CHANNELS)
    deviation = x.std(axis=0)
    x = (x - x.mean(axis=0)) / deviation
    y = np.repeat((fractions - fractions.mean(axis=0)) / fractions.std(axis=0), VIEWS, axis=0)
    # Where the gradient of mean |x W - y|^2 + penalty |W|^2 is zero, (X'X / n + penalty) W = X'y / n.
    standard = kernel * deviation[:, None]
    left, right = x.T @ x @ standard / len(x) + 0.5 * standard, x.T @ y / len(x)
    np.testing.assert_allclose(left / left[0, 0], right / right[0, 0], rtol=1e-3, atol=1e-5)
    assert left[0, 0] * right[0, 0] > 0


def test_scores_are_standardised_over_all_words(data):
    features, fractions = data
    kernel, bias = learn_words(features, fractions, penalty=0.5)
    scores = features @ kernel + bias
    np.testing.assert_allclose(scores.mean(axis=(0, 1)), 0, atol=1e-5)
    assert scores.std() == pytest.approx(1, rel=1e-4)
    noise = np.random.default_rng(1).normal(size=(IMAGES, 1)).astype(np.float32)
    kernel, bias = learn_words(features, np.concatenate([fractions, noise], axis=1), penalty=0.5)
    assert (features @ kernel + bias).std(axis=(0, 1)).argmin() == WORDS  # the word that features do not predict
