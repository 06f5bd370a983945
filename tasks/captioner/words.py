"""What the encoder of photos learns: which words their captions will hold, told of every cell of the grid.

What 6,000 photos have to say of 2,240 features is little, and ridge regression (Hoerl and Kennard 1970) gets more of it
than a decoder that learns to write meanwhile. So the decoder is shown scores of words, not features:

    x_i    (views, channels)  the mean of the features over the grid, each channel standardised
    y_i    (words,)           the share of the photo's captions that hold a word, each word standardised
    W      the minimum of the sum over photos and views of |x_i W - y_i|^2, plus penalty |W|^2
    s = a W                   the scores of a cell with features a; W is linear, so their mean over the grid is x W

Scores of the photos that W was fitted to would still be better than those of any other photo, and the decoder would
trust them too much. Those of a training photo come from the regression over all photos but that one, for which there is
a closed form (`WordRegression.held_out`; Allen 1974, the "prediction sum of squares").
"""

from collections.abc import Sequence

import numpy as np

PENALTIES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # tried, for each row of x


def word_shares(captions: Sequence[Sequence[Sequence[int]]], first_id: int, words: int) -> np.ndarray:
    """For each image, the share of its captions that hold each of the ids from `first_id`: (images, words)."""
    shares = np.zeros((len(captions), words), np.float32)
    for share, image in zip(shares, captions, strict=True):
        for caption in image:
            for token_id in set(caption):
                if first_id <= token_id < first_id + words:
                    share[token_id - first_id] += 1 / len(image)
    return shares


class WordRegression:
    """Ridge regression from features to words, with the penalty that predicts photos best which it was not fitted to.

    Args:
        features: (images, views, channels), the mean over the grid.
        shares: (images, words), as `word_shares` gives them.

    Attributes:
        kernel: (channels, words) float32.
        bias: (words,) float32: the scores of features a are a kernel + bias, with a standard deviation of 1 over all
            words and photos.
        penalty: the one of PENALTIES that was best.
        explained: the share of the variance of all words that it explains in photos that it was not fitted to.
    """

    def __init__(self, features: np.ndarray, shares: np.ndarray):
        images, views, channels = features.shape
        x = features.reshape(-1, channels).astype(np.float64)
        self._mean, self._deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
        x = (x - self._mean) / self._deviation
        deviation = shares.std(axis=0) + 1e-6
        y = np.repeat(((shares - shares.mean(axis=0)) / deviation).astype(np.float64), views, axis=0)

        # With X'X = Q diag(l) Q', every penalty has (X'X + penalty)^-1 = Q diag(1 / (l + penalty)) Q'.
        values, axes = np.linalg.eigh(x.T @ x)
        turned, target = x @ axes, axes.T @ (x.T @ y)
        best = np.inf
        for penalty in PENALTIES:
            shrunk = 1 / (values + penalty * len(x))
            errors = (y - turned @ (shrunk[:, None] * target)).reshape(images, views, -1)
            ours = turned.reshape(images, views, channels)
            influence = (ours * shrunk) @ ours.transpose(0, 2, 1)  # of the views of an image on its own predictions
            errors = np.linalg.solve(np.eye(views) - influence, errors)
            # Of the words as they are, not standardised: the frequent ones decide.
            if (loss := np.mean((errors * deviation) ** 2)) < best:
                best, self.penalty, self._errors = loss, penalty, errors
        shrunk = 1 / (values + self.penalty * len(x))
        kernel = axes @ (shrunk[:, None] * target)
        self._scale = 1 / (y - self._errors.reshape(y.shape)).std()
        self._pull = ((turned * shrunk) @ axes.T).reshape(images, views, channels)  # (X'X + penalty)^-1 x_i
        self.explained = 1 - best / np.mean((y * deviation) ** 2)
        kernel = kernel * self._scale / self._deviation[:, None]
        self.kernel: np.ndarray = kernel.astype(np.float32)
        self.bias: np.ndarray = (-self._mean @ kernel).astype(np.float32)

    def held_out(self, image: int, grid: np.ndarray) -> np.ndarray:
        """Scores (..., words) of features (..., channels) of image number `image`, by the regression over all others.

        Leaving out x_i, W becomes W - (X'X + penalty)^-1 x_i' e_i, where e_i are the errors in x_i that it then makes.
        """
        standard = (grid - np.float32(self._mean)) / np.float32(self._deviation)
        seen = standard @ np.float32(self._pull[image]).T
        return grid @ self.kernel + self.bias - seen @ np.float32(self._scale * self._errors[image])
