"""The image encoders: images `(batch, image_size, image_size, 3)` in 0..255 -> grid `(batch, rows, columns, channels)`.

Each has a fixed part, whose output is the same for every run and is cached, and a last layer that a run learns before
the decoder and that is frozen afterwards:

    mobilenet_v2    fixed: MobileNetV2 with ImageNet weights; learned: a linear layer that predicts words (`words.py`)
    cnn             fixed: nothing; learned: a small CNN that detects the objects of a scene (`objects.py`)
"""

import contextlib
import sys
import warnings
from typing import Any

import keras
import numpy as np

from shared.errors import UserError
from shared.runs import Run, RunError
from shared.training import assign_weights, check_types
from tasks.captioner.config import Config

ops: Any = keras.ops  # Keras declares no result types for its operations

ATTRIBUTES = {"shapes": 6, "colours": 8, "sizes": 2}  # number of values of each attribute of an object in a scene
VALUES = sum(ATTRIBUTES.values())
LOGITS = VALUES + len(ATTRIBUTES)  # each attribute has one more class: no object
CHANNELS = 5 * VALUES + 2
FINE = 2  # in pairs of photos, the region of 86 % of the words is then right, with the encoder's own size of 80 %


def grid_shape(config: Config) -> tuple[int, int, int]:
    """Rows, columns and channels of the grid."""
    return *config.grid, CHANNELS if config.encoder == "cnn" else config.encoder_words


def split_logits(logits: Any) -> list[Any]:
    """Split logits `(..., LOGITS)` into one tensor `(..., 1 + values)` per attribute; class 0 is "no object"."""
    ends = np.cumsum([1 + values for values in ATTRIBUTES.values()])
    return ops.split(logits, ends[:-1].tolist(), axis=-1)


@keras.saving.register_keras_serializable("quatrain")
class Arrangement(keras.layers.Layer):
    """Turn attribute logits into a description of each object and its neighbours.

    Input: `(batch, rows, columns, LOGITS)`. Output: `(batch, rows, columns, CHANNELS)`, for each cell the probabilities
    of the attribute values, their maxima over the cells to the left, to the right, above and below, and the row and
    column scaled to -1..1 (Liu et al. 2018, CoordConv, section 3). All are multiplied by the probability that an object
    is centred in the cell, which is set to 0 where a neighbouring cell has a higher one. So the decoder has to attend
    to an object to get information about it.

    The adjacent row or column does not count as left, right, above or below: at that distance the relation depends on
    single pixels.
    """

    def call(self, logits):
        probabilities = [ops.softmax(attribute, axis=-1)[..., 1:] for attribute in split_logits(logits)]
        present = ops.sum(probabilities[0], axis=-1, keepdims=True)
        values = ops.concatenate(probabilities, axis=-1)
        # The cells around a centre detect the object too, less reliably. A decoder that can attend to them prefers them
        # where they show a known pair of shape and colour over a centre that shows an unknown one.
        centres = present * ops.cast(present >= ops.max_pool(present, 3, strides=1, padding="same"), values.dtype)
        rows = ops.max(centres * values, axis=2, keepdims=True)  # (batch, rows, 1, VALUES)
        columns = ops.max(centres * values, axis=1, keepdims=True)  # (batch, 1, columns, VALUES)
        beside = [_before(columns, 2), ops.flip(_before(ops.flip(columns, 2), 2), 2)]
        beside += [_before(rows, 1), ops.flip(_before(ops.flip(rows, 1), 1), 1)]
        position = ops.meshgrid(*(ops.linspace(-1.0, 1.0, side) for side in logits.shape[1:3]), indexing="ij")
        parts = [values, *beside, ops.cast(ops.stack(position, axis=-1)[None], values.dtype)]
        shape = ops.shape(values)[:3]
        return centres * ops.concatenate([ops.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)


def _before(line: Any, axis: int) -> Any:
    """For each index along an axis of `(batch, rows, columns, channels)`, the maximum over indices at least 2 lower."""
    length = line.shape[axis]
    padding, window = [(0, 0)] * 4, [1, 1]
    padding[axis], window[axis - 1] = (length + 1, 0), length
    return ops.take(ops.max_pool(ops.pad(line, padding), tuple(window), strides=1), range(length), axis=axis)


def small_cnn(image_size: int) -> keras.Model:
    """A CNN for scenes: images in 0..255 -> grid `(batch, image_size / 8, image_size / 8, CHANNELS)`.

    The receptive field of a cell is 38 pixels wide: the largest object fits, the whole scene does not.
    """

    def convolution(x, filters, name, pool=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution_{name}")(x)
        # With maximum pooling, shapes of 14 pixels are learned in half the epochs that strided convolutions need.
        x = keras.layers.MaxPooling2D(pool)(x) if pool > 1 else x
        x = keras.layers.BatchNormalization(momentum=0.95, name=f"normalization_{name}")(x)
        return keras.layers.ReLU()(x)

    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for i, filters in enumerate((16, 32, 64)):
        x = convolution(x, filters, i, pool=2)
    x = convolution(x, 128, 3)
    logits = keras.layers.Conv2D(LOGITS, 1, name="attributes")(x)
    return keras.Model(inputs, Arrangement(name="arrangement")(logits), name="objects")


def _mobilenet_v2(image_size: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with ImageNet weights: images -> features `(batch, rows, columns, 2240)`.

    The features are those of the last layer and of the widest layer before it. Keras downloads the weights if needed.
    """
    shape = image_size, image_size, 3
    inputs = keras.Input(shape, name="image")
    try:
        # Keras reports downloads on standard output, which is for results, and warns of sizes that have no weights of
        # their own.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings(action="ignore"):
            network = keras.applications.MobileNetV2(input_shape=shape, include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises no narrower one when a download fails
        raise UserError(
            f"no ImageNet weights of MobileNetV2, neither in Keras' cache (KERAS_HOME) nor online: {error}"
        ) from None
    layers = [network.output, network.get_layer("block_16_expand_relu").output]
    network = keras.Model(network.input, layers, name="mobilenet_v2")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)  # as in its own training
    return keras.Model(inputs, keras.layers.Concatenate()(network(x, training=False)), name="features")


def _word_scores(channels: int, words: int) -> keras.Model:
    """Features `(batch, rows, columns, channels)` -> scores `(batch, rows, columns, words)`."""
    inputs = keras.Input((None, None, channels), name="features")
    return keras.Model(inputs, keras.layers.Dense(words, name="scores")(inputs), name="words")


def build_fixed_part(config: Config, image_size: int | None = None) -> keras.Model | None:
    """The part of the encoder that no run changes, images -> features, if there is one."""
    return _mobilenet_v2(image_size or config.image_size) if config.encoder == "mobilenet_v2" else None


def build_encoder(config: Config, image_size: int | None = None) -> keras.Sequential:
    """An untrained encoder, images -> grid."""
    size = image_size or config.image_size
    fixed = build_fixed_part(config, size)
    layers = [small_cnn(size)] if fixed is None else [fixed, _word_scores(fixed.output_shape[-1], config.encoder_words)]
    encoder = keras.Sequential([keras.Input((size, size, 3)), *layers], name="encoder")
    encoder.trainable = False  # in the decoder's training
    return encoder


def example_images(size: int) -> np.ndarray:
    """Images of coloured squares, float32 `(3, size, size, 3)`, for which an export must have the model's outputs."""
    images = np.random.default_rng(0).integers(0, 256, (3, size // 8, size // 8, 3)).astype(np.float32)
    return np.kron(images, np.ones((1, 8, 8, 1), np.float32))


def load_encoder(run: Run, config: Config, image_size: int | None = None) -> keras.Sequential:
    """The encoder of a run; raises RunError if its weights are missing or do not fit."""
    specs, tensors = run.weight_specs("encoder"), run.load_weights("encoder")
    encoder = build_encoder(config, image_size)
    try:
        check_types(specs)
        assign_weights(encoder.layers[-1], tensors)
    except RunError as error:
        raise RunError(f"{run.path / 'encoder.safetensors'}: {error}") from None
    return encoder


def load_fine_encoder(run: Run, config: Config, encoder: keras.Sequential) -> keras.Sequential:
    """The encoder of a run that finds the regions of words, given its `load_encoder`; raises RunError as that.

    In photos of `FINE` times the size there are more cells, each of which sees less around it. The encoder of scenes
    knows objects by their size, and stays.
    """
    return load_encoder(run, config, FINE * config.image_size) if config.encoder == "mobilenet_v2" else encoder
