"""The encoder of photos, with a network of two layers in the place of MobileNetV2."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import datasets
from shared.errors import UserError
from shared.runs import Run
from tasks.captioner.config import PRESETS, SCENES
from tasks.captioner.data import prepare
from tasks.captioner.encoder import build_encoder, grid_shape, learned_encoder, load_grids
from tasks.captioner.model import build_model
from tests.tasks.captioner.conftest import encoded, picture

CONFIG = replace(PRESETS["flickr8k"], image_size=64, words=3, min_count=1, units=8)
WORDS = ["a dog", "a cat", "a dog and a cat", "one", "a bird"]


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    """Ten photos for every split; returns the run folder."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((64, 64, 3))
    wide = keras.layers.Conv2D(6, 32, strides=32, activation="relu", name="block_16_expand_relu")(inputs)
    network = keras.Model(inputs, keras.layers.Conv2D(5, 1, activation="relu")(wide))
    monkeypatch.setattr(keras.applications, "MobileNetV2", lambda **_: network)
    records = [{"image": encoded(picture(20, 30, i), "PNG"), "captions": [WORDS[i % 5]]} for i in range(10)]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    monkeypatch.setattr(datasets, "fingerprint", lambda *_: "0")
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    return tmp_path / "saved_models"


def test_the_grid_has_the_shape_that_the_decoder_is_built_for():
    assert grid_shape(SCENES) == (12, 12, 82)
    assert grid_shape(PRESETS["flickr8k"]) == (7, 7, 1024)


def test_photos_are_seen_as_words_by_one_encoder(corpus):
    run = Run.create("captioner", "tiny", CONFIG, {"flickr8k": "0"}, corpus)
    encoder = learned_encoder(run, CONFIG)
    assert encoder.output_shape == (None, *grid_shape(CONFIG))
    assert encoder.trainable_weights == []
    train = load_grids(CONFIG, "train", encoder)
    assert train.inputs.shape == (10, 2, 2, 2, 3)
    assert train.inputs.mean(axis=(2, 3), dtype=np.float32).std() == pytest.approx(1, rel=0.01)
    build_model(CONFIG, 9)({"grid": train.inputs[:1, 0].astype(np.float32), "token_ids": np.ones((1, 1, 4), int)})

    resumed = learned_encoder(run, CONFIG)
    dev = load_grids(CONFIG, "dev", resumed)
    assert dev.inputs.shape == (10, 1, 2, 2, 3)
    images = np.concatenate([prepare(picture(20, 30, i)[None], 64) for i in range(10)])
    for whole in (encoder, resumed):
        np.testing.assert_allclose(whole.predict_on_batch(images), dev.inputs[:, 0], atol=5e-2, rtol=5e-3)


def test_no_weights_of_imagenet_is_told(monkeypatch):
    def fail(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(UserError, match=r"no ImageNet weights .* no route to host"):
        build_encoder(CONFIG)
