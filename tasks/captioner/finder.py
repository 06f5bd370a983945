"""Sentences and photos in one space: a sentence finds photos, and each of its words points at a region.

    token_ids `(batch, target)`
      -> embedding e_t, forward and backward GRU h_t       (after Karpathy and Fei-Fei 2015, section 3.1.2)
      -> word      u_t = W_h h_t + W_e e_t                 `(batch, target, width)`
      -> sentence  s = sum_t u_t / |sum_t u_t|             `(batch, width)`
    grid a `(batch, rows, columns, channels)`, from the image encoder
      -> cell      v_i = W_v a_i                           `(batch, positions, width)`
      -> photo     p = sum_i v_i / |sum_i v_i|             `(batch, width)`

The score of a pair is s p, so an index needs one vector of a photo. It is also the sum of u_t v_i over words and cells,
divided by the lengths of both sums: the share of a word and a cell in the score is exact.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from shared.any_size import AnySize
from shared.dense import Dense
from shared.recurrent import Stack
from shared.runs import Run, RunError
from shared.training import assign_weights, build_bounded, check_types
from shared.vocabulary import SPECIALS, WordVocabulary
from tasks.captioner.config import FINDER, Config, check_finder
from tasks.captioner.encoder import example_images, grid_shape

ops: Any = keras.ops  # Keras declares no result types for its operations

EMBEDDING_UNITS, UNITS = 300, 256  # of the words, of each direction of the GRU
WIDTH = 256  # of the space; 100,000 photos then take 100 MB, and one product answers within 100 ms
CELL_DROPOUT, WORD_DROPOUT = 0.3, 0.3
TEMPERATURE = 0.07  # of the softmax over the pairs of a batch, at the start of the training


class Finder(keras.Model):
    """The vectors of words and cells, of sentences and photos, in one space."""

    def __init__(self, vocab_size: int, channels: int):
        super().__init__(name="finder")
        self.channels = channels
        self.embedding = keras.layers.Embedding(vocab_size, EMBEDDING_UNITS, name="embedding")
        self.stack = Stack("gru", UNITS, 1, bidirectional=True, name="stack")
        self.of_states = Dense(WIDTH, use_bias=False, name="of_states")
        self.of_embeddings = Dense(WIDTH, use_bias=False, name="of_embeddings")
        self.of_cells = Dense(WIDTH, use_bias=False, name="of_cells")
        self.word_dropout = keras.layers.Dropout(WORD_DROPOUT, name="word_dropout")
        self.cell_dropout = keras.layers.Dropout(CELL_DROPOUT, name="cell_dropout")
        initial: Any = keras.initializers.Constant(-math.log(TEMPERATURE))
        self.log_scale = self.add_weight(shape=(), initializer=initial, name="log_scale")  # of scores, in the softmax

    def build(self, input_shape: Any = None):
        """Build every layer, which names its weights."""
        del input_shape
        self.embedding.build((None, None))
        self.stack.build((None, None, EMBEDDING_UNITS))
        self.of_states.build((None, None, 2 * UNITS))
        self.of_embeddings.build((None, None, EMBEDDING_UNITS))
        self.of_cells.build((None, None, self.channels))
        self.built = True

    def words(self, token_ids: Any, training: bool = False) -> Any:
        """The vector of each word in its sentence, `(batch, target, width)`; 0 for padding."""
        is_real = token_ids != WordVocabulary.pad_id
        embedded = self.word_dropout(self.embedding(token_ids), training=training)
        states, _ = self.stack(embedded, mask=is_real, training=training)
        words = self.of_states(self.word_dropout(states, training=training)) + self.of_embeddings(embedded)
        return ops.where(is_real[..., None], words, 0.0)

    def cells(self, grid: Any) -> Any:
        """The vector of each cell of grids, `(batch, rows * columns, width)`."""
        batch, rows, columns, channels = ops.shape(grid)
        return self.of_cells(ops.reshape(grid, (batch, rows * columns, channels)))

    def photos(self, grid: Any) -> Any:
        """The vector of each photo, `(batch, width)`: the sum of the `shares` of its cells, in fewer products."""
        return unit(self.of_cells(ops.sum(grid, axis=(1, 2))))

    def dropped(self, grid: Any, training: bool) -> Any:
        """Grids without some of their channels, in training."""
        kept = self.cell_dropout(ops.ones((ops.shape(grid)[0], self.channels), grid.dtype), training=training)
        return grid * kept[:, None, None]


def shares(parts: Any) -> Any:
    """Vectors of words or cells, `(batch, parts, width)`, divided by the length of their sum."""
    return parts * _inverse_length(ops.sum(parts, axis=1, keepdims=True))


def unit(vectors: Any) -> Any:
    """Vectors `(..., width)` with length 1; zeros stay zeros."""
    return vectors * _inverse_length(vectors)


def _inverse_length(vectors: Any) -> Any:
    # Not by `ops.normalize` or `ops.norm`, whose derivatives at 0 are NaN: cells of scenes without an object are 0.
    return ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


class ImageFunction(AnySize):
    """Images in 0..255, or grids if `encoder` is None, -> `photo` `(batch, width)` and `cells`.

    `cells` are `(batch, rows, columns, width)`, divided by the length of their sum.
    """

    def __init__(self, finder: Finder, encoder: keras.Model | None):
        super().__init__()
        self.finder = finder
        self.encoder: Any = encoder

    def examples(self):
        images = example_images(self.encoder.input_shape[1])
        return [images[:2], images[2:]]

    def call(self, inputs: Any) -> dict[str, Any]:
        grid = inputs if self.encoder is None else self.encoder(inputs)
        cells = shares(self.finder.cells(grid))
        return {"photo": ops.sum(cells, axis=1), "cells": ops.reshape(cells, (*ops.shape(grid)[:3], WIDTH))}


class TextFunction(AnySize):
    """`token_ids` `(batch, target)`, 0 for padding, -> `sentence` `(batch, width)` and `words`.

    `words` are `(batch, target, width)`, divided by the length of their sum.
    """

    shortest: ClassVar = {"token_ids": 8}

    def __init__(self, finder: Finder):
        super().__init__()
        self.finder = finder

    def examples(self):
        ids = np.random.default_rng(0).integers(len(SPECIALS), self.finder.embedding.input_dim, (2, 7), np.int32)
        ids[1, 5:] = WordVocabulary.pad_id
        return [{"token_ids": ids}, {"token_ids": ids[:1, :3]}]

    def call(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        words = shares(self.finder.words(inputs["token_ids"]))
        return {"sentence": ops.sum(words, axis=1), "words": words}


def build_finder(config: Config, vocabulary: WordVocabulary) -> Finder:
    """An untrained finder for the grids of the configured encoder."""

    def build() -> Finder:
        finder = Finder(len(vocabulary), grid_shape(config)[-1])
        finder.build()
        return finder

    return build_bounded(build)


def load_finder(run: Run, config: Config, vocabulary: WordVocabulary) -> Finder:
    """The finder of a run; raises RunError if it has none, or if the weights do not fit."""
    check_finder(run)
    try:
        check_types(run.weight_specs(FINDER))
        finder = build_finder(config, vocabulary)
        assign_weights(finder, run.load_weights(FINDER))
    except RunError as error:
        raise RunError(f"{run.path / FINDER}.safetensors: {error}") from None
    return finder
