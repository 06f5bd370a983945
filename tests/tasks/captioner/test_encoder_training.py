"""Training of the photo encoder, with a network of two layers instead of MobileNetV2."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import datasets
from shared.media import prepare
from shared.runs import Run
from tasks.captioner.config import PRESETS
from tasks.captioner.data import build_vocabulary, load_split, with_grids
from tasks.captioner.encoder import grid_shape
from tasks.captioner.encoder_training import learned_encoder
from tasks.captioner.model import build_model
from tests.tasks.captioner.conftest import encoded, picture

pytestmark = pytest.mark.any_backend

CONFIG = replace(PRESETS["flickr8k"], image_size=64, encoder_words=3, min_count=1, units=8)
WORDS = ["a dog", "a cat", "a dog and a cat", "one", "a bird"]


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    """Ten photos for every split; returns the folder of runs."""
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


def test_grids_are_word_scores_also_after_resuming(corpus):
    run = Run.create("captioner", "tiny", CONFIG, {"flickr8k": "0"}, corpus)
    train = load_split(CONFIG, "train")
    vocabulary = build_vocabulary(CONFIG, train)
    encoder = learned_encoder(run, CONFIG, train, vocabulary)
    assert encoder.output_shape == (None, *grid_shape(CONFIG))
    assert encoder.trainable_weights == []
    train = with_grids(train, encoder)
    assert train.inputs.shape == (10, 2, 2, 2, 3)
    assert train.inputs.mean(axis=(2, 3), dtype=np.float32).std() == pytest.approx(1, rel=0.01)
    inputs = {"grid": train.inputs[:1, 0].astype(np.float32), "token_ids": np.ones((1, 1, 4), int)}
    assert build_model(CONFIG, vocabulary)(inputs).shape == (1, 1, 4, len(vocabulary))

    resumed = learned_encoder(run, CONFIG, train, vocabulary)
    dev = with_grids(load_split(CONFIG, "dev"), resumed)
    assert dev.inputs.shape == (10, 1, 2, 2, 3)
    images = np.concatenate([prepare(picture(20, 30, i)[None], 64) for i in range(10)])
    for whole in (encoder, resumed):
        np.testing.assert_allclose(whole.predict_on_batch(images), dev.inputs[:, 0], atol=5e-2, rtol=5e-3)
