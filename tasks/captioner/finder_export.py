"""The endpoints of a captioner's SavedModel that embed images and texts in the space of its finder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from shared.export import Endpoint, ParityError
from shared.media_in_graph import read_images_in_graph
from shared.text_in_graph import text_table
from tasks.captioner.finding import MAX_WORDS, PhotoFinder

EXAMPLE_TEXT = "A dog's running, isn't it?"  # of the parity check, after a word of the vocabulary
TOLERANCE = 1e-3  # of vectors of length 1


class EmbeddingEndpoints:
    """`embed_image` and `embed_text` of a finder.

    Attributes:
        resources: the objects that they need besides the captioner's variables.
    """

    def __init__(self, finder: PhotoFinder):
        self.finder = finder
        self.table = text_table(finder.vocabulary)
        self.example = f"{finder.vocabulary.table[-1]} {EXAMPLE_TEXT}"
        variables = finder.image_function.finder.variables
        self.resources = [*self.table.resources, *(variable.value for variable in variables)]

    def embed_image(self, image: Any) -> dict[str, Any]:
        """The outputs of `ImageFunction` for image files `(batch,)`, and `error`."""
        images, error = read_images_in_graph(image, self.finder.image_size)
        found = self.finder.image_function(images)
        return {"embedding": found["photo"], "cells": found["cells"], "error": error}

    def embed_text(self, text: Any) -> dict[str, Any]:
        """The outputs of `TextFunction` for texts `(batch,)`, their words, and `error`."""
        tokens, ids = self.table.split(text)
        lengths, is_known = ids.row_lengths(), ids != self.finder.vocabulary.unknown_id
        knows_none = ~tf.reduce_any(is_known, axis=1)
        error = tf.where(knows_none, "has no word that the model knows; a sentence like a caption was expected", "")
        error = tf.where(lengths > MAX_WORDS, f"has more than {MAX_WORDS} words", error)
        token_ids, words = _padded(ids, 0), _padded(tokens, "")
        found = self.finder.text_function({"token_ids": token_ids})
        return {"embedding": found["sentence"], "words": found["words"], "tokens": words, "error": error}

    def endpoints(self, file: bytes) -> dict[str, Endpoint]:
        """Both, by name; `file` is the image of a warm-up request."""
        of_bytes, of_text = (tf.TensorSpec([None], tf.string, name=name) for name in ("image", "text"))
        return {
            "embed_image": Endpoint(
                function=self.embed_image, signature={"image": of_bytes}, example={"image": [file]}
            ),
            "embed_text": Endpoint(
                function=self.embed_text, signature={"text": of_text}, example={"text": [self.example]}
            ),
        }

    def check(self, loaded: Any, files: Sequence[bytes], images: Sequence[np.ndarray]) -> None:
        """Raise ParityError unless the SavedModel embeds the examples as the Python model does."""
        texts = [self.example, self.finder.vocabulary.table[-1]]
        pairs = (
            (loaded.embed_image(tf.constant(files))["embedding"].numpy(), self.finder.of_images(images)),
            (loaded.embed_text(tf.constant(texts))["embedding"].numpy(), self.finder.of_texts(texts)),
        )
        for found, expected in pairs:
            if np.abs(found - expected).max() > TOLERANCE:
                raise ParityError(
                    "nothing was exported: the SavedModel and the Python model embed an example differently"
                )


def _padded(ragged: Any, padding: Any) -> Any:
    """The first `MAX_WORDS` of each row, and at least one element of padding, so that no text has none."""
    column = tf.fill([ragged.nrows(), 1], tf.constant(padding, ragged.dtype))
    return tf.concat([ragged[:, :MAX_WORDS], column], axis=1).to_tensor(padding)
