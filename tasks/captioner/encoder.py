"""The image encoders: from pixels to a grid, (batch, rows, columns, channels), in one step that is the same for every
run, and cached, and one that a run learns before its first caption, and then leaves alone:

    mobilenet_v2    MobileNetV2 with ImageNet's weights, which Keras brings; then which words belong there (`words.py`)
    cnn             no such step; a small CNN, from scratch, which tells what stands where in a scene (`objects.py`)
"""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from shared.errors import UserError
from shared.runs import Run
from shared.training import assign_weights, model_weights
from tasks.captioner.config import Config
from tasks.captioner.data import ENCODE_BATCH, Split, build_vocabulary, load_split
from tasks.captioner.objects import CHANNELS, learn_objects, small_cnn
from tasks.captioner.words import learn_words, word_shares


def grid_shape(config: Config) -> tuple[int, int, int]:
    """Rows, columns and channels of the grid."""
    stride, channels = {"cnn": (8, CHANNELS), "mobilenet_v2": (32, config.words)}[config.encoder]
    side = config.image_size // stride
    return side, side, channels


def _mobilenet_v2(image_size: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with ImageNet weights: images in 0..255 -> (batch, size / 32, size / 32, 2240).

    The last layer and the widest before it, which the last throws a part of away. Keras fetches the weights on first
    use into its own cache (`KERAS_HOME`).
    """
    inputs = keras.Input((image_size, image_size, 3), name="image")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras tells of a download; results go to standard output
            network = keras.applications.MobileNetV2(
                input_shape=(image_size, image_size, 3), include_top=False, weights="imagenet"
            )
    except Exception as error:  # Keras raises no narrower one when a download fails
        raise UserError(
            f"no ImageNet weights of MobileNetV2, neither in Keras' cache (KERAS_HOME) nor online: {error}"
        ) from None
    layers = [network.output, network.get_layer("block_16_expand_relu").output]
    network = keras.Model(network.input, layers, name="mobilenet_v2")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)  # as in its own training
    return keras.Model(inputs, keras.layers.Concatenate()(network(x, training=False)), name="features")


def _word_scores(channels: int, words: int) -> keras.Model:
    """Features (batch, rows, columns, channels) -> scores (batch, rows, columns, words)."""
    inputs = keras.Input((None, None, channels), name="features")
    return keras.Model(inputs, keras.layers.Dense(words, name="scores")(inputs), name="words")


def build_encoder(config: Config) -> keras.Sequential:
    """From images (batch, image_size, image_size, 3) in 0..255 to a grid; its last layer is what a run learns."""
    if config.encoder == "cnn":
        layers = [small_cnn(config.image_size)]
    else:
        features = _mobilenet_v2(config.image_size)
        layers = [features, _word_scores(features.output_shape[-1], config.words)]
    encoder = keras.Sequential([keras.Input((config.image_size, config.image_size, 3)), *layers], name="encoder")
    encoder.trainable = False  # by the decoder's training
    return encoder


def load_encoder(run: Run, config: Config) -> keras.Sequential:
    """The encoder of a run; RunError when what it learned is missing or does not fit."""
    encoder = build_encoder(config)
    assign_weights(encoder.layers[-1], run.load_weights("encoder"))
    return encoder


def learned_encoder(run: Run, config: Config, data_dir: Path | None = None) -> keras.Sequential:
    """The encoder of a run that begins, which learns its last layer now, or of one resumed."""
    if (run.path / "encoder.safetensors").exists():
        return load_encoder(run, config)
    encoder = build_encoder(config)
    learned, train = encoder.layers[-1], _open(config, "train", encoder, data_dir)
    if config.encoder == "cnn":
        loss = learn_objects(learned, train.inputs[:, 0], train.records, config)
        print(f"the encoder has learned the objects: {loss:.3g} nats a cell")
    else:
        vocabulary = build_vocabulary(config, train)
        token_ids = [[vocabulary.encode(caption) for caption in captions] for captions in train.captions]
        features = np.stack([grids.mean(axis=(1, 2), dtype=np.float32) for grids in train.inputs])
        shares = word_shares(token_ids, len(vocabulary.reserved), config.words)
        kernel, bias = learn_words(features, shares, config.word_penalty)
        assign_weights(learned, {"scores/kernel": kernel, "scores/bias": bias})
        print(f"the encoder has learned {config.words} words")
    run.save_weights({name: np.asarray(weight) for name, weight in model_weights(learned).items()}, "encoder")
    return encoder


def load_grids(config: Config, split: str, encoder: keras.Sequential, data_dir: Path | None = None) -> Split:
    """Opens a split with grids for inputs."""
    return _seen_by(encoder.layers[-1], _open(config, split, encoder, data_dir))


def _open(config: Config, split: str, encoder: keras.Sequential, data_dir: Path | None) -> Split:
    """A split with what the last layer of the encoder takes for inputs: cached features, or images."""
    *fixed, _ = encoder.layers
    return load_split(config, split, fixed[0].predict_on_batch if fixed else None, data_dir)


def _seen_by(learned: keras.Model, split: Split) -> Split:
    """The split with the inputs that `learned` makes of its inputs, in memory."""
    images, views = split.inputs.shape[:2]
    flat = split.inputs.reshape(-1, *split.inputs.shape[2:])  # (images * views, height, width, channels)
    grids = np.empty((len(flat), *learned.compute_output_shape((None, *flat.shape[1:]))[1:]), np.float16)
    for start in range(0, len(flat), ENCODE_BATCH):
        grids[start : start + ENCODE_BATCH] = learned.predict_on_batch(flat[start : start + ENCODE_BATCH])
    return replace(split, inputs=grids.reshape(images, views, *grids.shape[1:]))
