"""What the encoder of photos learns: which words their captions will hold, told of every cell of the grid.

What 6,000 photos have to say of 2,240 features is little, and ridge regression (Hoerl and Kennard 1970) gets more of it
than a decoder that learns to write meanwhile. So the decoder is shown scores of words, not features:

    x    (channels,)  the mean of a photo's features over the grid, each channel standardised
    y    (words,)     the share of its captions that hold a word, each word standardised
    W    the minimum of the mean over all photos and views of |x W - y|^2, plus penalty |W|^2
    a W  the scores of a cell with features a; W is linear, so their mean over the grid is x W
"""

from collections.abc import Sequence

import numpy as np


def word_shares(captions: Sequence[Sequence[Sequence[int]]], first_id: int, words: int) -> np.ndarray:
    """For each image, the share of its captions that hold each of the ids from `first_id`: (images, words)."""
    shares = np.zeros((len(captions), words), np.float32)
    for share, image in zip(shares, captions, strict=True):
        for caption in image:
            for token_id in set(caption):
                if first_id <= token_id < first_id + words:
                    share[token_id - first_id] += 1 / len(image)
    return shares


def learn_words(features: np.ndarray, shares: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression from features to words.

    Args:
        features: (images, views, channels), the mean over the grid.
        shares: (images, words), as `word_shares` gives them.
        penalty: of the squared weights, for standardised features and words.

    Returns:
        The kernel (channels, words) and the bias (words,), float32: the scores of features a are a kernel + bias. Over
        all photos and words they have a standard deviation of 1, and the less there is to know of a word the lower its.
    """
    _, views, channels = features.shape
    x = features.reshape(-1, channels).astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = (x - mean) / deviation
    y = np.repeat((shares - shares.mean(axis=0)) / (shares.std(axis=0) + 1e-6), views, axis=0)
    kernel = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(channels), x.T @ y)
    kernel /= (x @ kernel).std() * deviation[:, None]
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)
