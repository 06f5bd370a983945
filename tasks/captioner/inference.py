"""Captions of images from Python: load a model once, caption many images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from shared.errors import check_list
from shared.media import prepare
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import find_run
from tasks.captioner.encoder import load_encoder
from tasks.captioner.model import CaptionSearch, LoadedCaptioner, load_model, readable


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One caption of an image."""

    text: str  # in ordinary spelling
    tokens: list[str]  # its words
    log_prob: float  # natural logarithm of its probability, end token included
    attention: np.ndarray  # `(target, rows, columns)`, the attention weights over the grid for each word
    sentinel: np.ndarray  # `(target,)`, the attention weight of the sentinel, which stands for the previous words


def read_captions(result: dict[str, Any], vocabulary: WordVocabulary, grid: tuple[int, int]) -> list[list[Caption]]:
    """The captions of each image, best first, from the output of `CaptionSearch` and the rows and columns of the grid.

    Hypotheses of length 0, which fill up the beam, are left out.
    """
    arrays = [np.asarray(result[name]) for name in ("token_ids", "lengths", "log_probs", "extras")]
    images = [list(zip(*image, strict=True)) for image in zip(*arrays, strict=True)]
    return [[_caption(best, vocabulary, grid) for best in image if best[1] > 0] for image in images]


def _caption(best: tuple[Any, ...], vocabulary: WordVocabulary, grid: tuple[int, int]) -> Caption:
    token_ids, length, log_prob, attention = best
    token_ids = [int(token_id) for token_id in token_ids[:length] if token_id != vocabulary.end_id]
    tokens, weights = vocabulary.tokens(token_ids), attention[: len(token_ids)]
    return Caption(
        text=readable(" ".join(tokens)),
        tokens=tokens,
        log_prob=float(log_prob),
        attention=weights[:, :-1].reshape(-1, *grid),
        sentinel=weights[:, -1],
    )


class ImageCaptioner:
    """A trained captioner for images of any size.

    >>> captioner = ImageCaptioner.load("flickr8k")
    >>> captioner([read_image(Path("photo.jpg"))])[0][0].text
    """

    def __init__(self, loaded: LoadedCaptioner, encoder: keras.Model, beam: int | None = None, n_best: int = 1):
        """Takes the results of `load_model` and `load_encoder`; `beam` and `n_best` as in `load`."""
        config = replace(loaded.config, beam=beam or max(loaded.config.beam, n_best))
        self.search, self.vocabulary = CaptionSearch(loaded.model, encoder, config), loaded.vocabulary

    @classmethod
    def load(cls, model: str | None = None, beam: int | None = None, n_best: int = 1) -> "ImageCaptioner":
        """Load a run by name or folder; default: the released run, else the newest.

        The default beam is the value in the run's config, at least `n_best`, the number of captions needed per image.

        Raises:
            UserError: there is no such run, or its files do not fit together.
        """
        run = find_run(model)
        loaded = load_model(run)
        return cls(loaded, load_encoder(run, loaded.config), beam, n_best)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Caption]]:
        """The captions, best first, of each image, uint8 `(height, width, 3)`; ListError for one image."""
        check_list(images, "images", axes=3)
        prepared = np.concatenate([prepare(image[None], self.search.config.image_size) for image in images])
        return read_captions(self.search.predict_on_batch(prepared), self.vocabulary, self.search.grid_shape)
