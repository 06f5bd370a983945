"""Training of the photo encoder: ridge regression from image features to the words of the captions.

From 6,000 photos with 2,240 features, ridge regression (Hoerl and Kennard 1970) learns more than a decoder that learns
to write at the same time. So the decoder receives word scores instead of features:

    x    (channels,)  the mean of a photo's features over the grid, each channel standardised
    y    (words,)     the fraction of the photo's captions that contain each word, each word standardised
    W    the minimiser of the mean over all photos and views of |x W - y|^2, plus penalty |W|^2
    a W  the scores of a cell with features a; since W is linear, their mean over the grid is x W
"""

from collections.abc import Sequence

import numpy as np


def word_fractions(captions: Sequence[Sequence[Sequence[int]]], first_id: int, words: int) -> np.ndarray:
    """For each image, the fraction of its captions that contain each of the `words` ids from `first_id` on.

    `captions` has the token ids of each caption of each image. Returns float32 `(images, words)`.
    """
    fractions = np.zeros((len(captions), words), np.float32)
    for row, image in zip(fractions, captions, strict=True):
        for caption in image:
            for token_id in set(caption):
                if first_id <= token_id < first_id + words:
                    row[token_id - first_id] += 1 / len(image)
    return fractions


def learn_words(features: np.ndarray, fractions: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression from features to words.

    Args:
        features: `(images, views, channels)`, means over the grid.
        fractions: `(images, words)`, the result of `word_fractions`.
        penalty: weight of the squared kernel, for standardised features and words.

    Returns:
        The kernel `(channels, words)` and the bias `(words,)`, float32; the scores of features a are a kernel + bias.
        The standard deviation of all scores is 1; words that the features predict badly have a lower one.
    """
    _, views, channels = features.shape
    x = features.reshape(-1, channels).astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = (x - mean) / deviation
    y = np.repeat((fractions - fractions.mean(axis=0)) / (fractions.std(axis=0) + 1e-6), views, axis=0)
    kernel = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(channels), x.T @ y)
    kernel /= (x @ kernel).std() * deviation[:, None]
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)
