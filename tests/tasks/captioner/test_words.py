"""The regression to words: held against one that is fitted again without the photo."""

import numpy as np
import pytest

from tasks.captioner.words import PENALTIES, WordRegression, word_shares

IMAGES, VIEWS, CHANNELS, WORDS = 30, 2, 5, 3


def test_shares_count_captions_not_words():
    captions = [[[4, 5, 5], [6, 4, 9]], [[3, 2]], [[5], [5], [7]]]
    expected = [[1, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 2 / 3, 0, 1 / 3]]
    np.testing.assert_allclose(word_shares(captions, first_id=4, words=4), expected, atol=1e-6)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(IMAGES, VIEWS, CHANNELS)) * [1, 2, 3, 4, 5] + [5, 4, 3, 2, 1]
    shares = features.mean(axis=1) @ rng.normal(size=(CHANNELS, WORDS)) + 3 * rng.normal(size=(IMAGES, WORDS))
    return features.astype(np.float32), shares.astype(np.float32)


def refitted(features, shares, penalty, left_out=None):
    """Kernel and bias for standardised words, solved anew; a photo left out keeps its part in means and deviations."""
    x = features.reshape(-1, CHANNELS)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    y = np.repeat((shares - shares.mean(axis=0)) / shares.std(axis=0), VIEWS, axis=0)
    kept = np.repeat(np.arange(IMAGES), VIEWS) != left_out
    x, y = ((x - mean) / deviation)[kept], y[kept]
    kernel = np.linalg.solve(x.T @ x + penalty * IMAGES * VIEWS * np.eye(CHANNELS), x.T @ y) / deviation[:, None]
    return kernel, -mean @ kernel


def test_the_kernel_solves_ridge_regression_up_to_a_scale(data):
    regression = WordRegression(*data)
    kernel, bias = refitted(*data, regression.penalty)
    scale = regression.kernel[0, 0] / kernel[0, 0]
    np.testing.assert_allclose(regression.kernel, scale * kernel, rtol=1e-4)
    np.testing.assert_allclose(regression.bias, scale * bias, rtol=1e-4)


def test_held_out_scores_are_those_of_a_regression_without_the_photo(data):
    features, shares = data
    regression = WordRegression(features, shares)
    scale = regression.kernel[0, 0] / refitted(features, shares, regression.penalty)[0][0, 0]
    pooled, errors = [], []
    for i in range(IMAGES):
        kernel, bias = refitted(features, shares, regression.penalty, left_out=i)
        grid = np.random.default_rng(i).normal(size=(VIEWS, 4, 6, CHANNELS)).astype(np.float32)
        held_out = regression.held_out(i, grid)
        assert held_out.shape == (VIEWS, 4, 6, WORDS)
        np.testing.assert_allclose(held_out, scale * (grid @ kernel + bias), atol=1e-4)
        pooled.append(regression.held_out(i, features[i]))
        errors.append(shares[i] - shares.mean(axis=0) - shares.std(axis=0) * pooled[-1] / scale)
    assert np.std(pooled) == pytest.approx(1, rel=1e-4)
    assert regression.explained == pytest.approx(1 - np.mean(np.square(errors)) / shares.var(axis=0).mean(), rel=1e-4)


def test_the_penalty_suits_what_can_be_explained(data):
    features, shares = data
    noise = np.random.default_rng(1).normal(size=shares.shape).astype(np.float32)
    clear = (features[:, 0] @ np.ones((CHANNELS, WORDS))).astype(np.float32)
    assert WordRegression(features, noise).penalty == PENALTIES[-1]
    assert WordRegression(np.repeat(features[:, :1], VIEWS, axis=1), clear).penalty == PENALTIES[0]
