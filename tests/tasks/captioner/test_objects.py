"""Training of the scene encoder: labels, loss and learning."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from datasets.scenes.scenes_dataset_builder import make_record
from datasets.scenes.world import COLOURS, SHAPES
from shared.media import read_image
from shared.training import TrainingError
from tasks.captioner.config import SCENES
from tasks.captioner.encoder import ATTRIBUTES, LOGITS, small_cnn
from tasks.captioner.objects import EMPTY, IGNORED, VALUES_OF, CellCrossEntropy, cell_labels, learn_objects

pytestmark = pytest.mark.any_backend

SQUARE, STAR = SHAPES.index("square"), SHAPES.index("star")
RECORD = {
    "shapes": ["square", "star"],
    "colours": ["red", "white"],
    "sizes": ["small", "large"],
    "boxes": [[0.0, 0.0, 0.2, 0.2], [0.5, 0.6, 0.8, 0.9]],  # centres (0.1, 0.1) and (0.65, 0.75)
}


def test_the_encoder_has_the_numbers_of_values_of_the_scenes():
    assert {field: len(values) for field, values in VALUES_OF.items()} == ATTRIBUTES


def test_the_cell_of_a_centre_is_labelled_and_its_neighbours_are_ignored():
    labels = cell_labels(RECORD, 8)
    assert labels.shape == (8, 8, 3)
    assert labels[0, 0].tolist() == [1 + SQUARE, 1 + COLOURS.index("red"), 1]
    assert labels[5, 6].tolist() == [1 + STAR, 1 + COLOURS.index("white"), 2]
    around = [(0, 1), (1, 0), (1, 1), *((r, c) for r in (4, 5, 6) for c in (5, 6, 7) if (r, c) != (5, 6))]
    assert {tuple(cell) for cell in np.argwhere(labels[..., 0] == IGNORED)} == set(around)
    assert (labels == EMPTY).all(axis=-1).sum() == 64 - 2 - len(around)


def test_the_loss_weights_objects_and_empty_cells_equally():
    labels = np.zeros((1, 2, 2, 3), np.int32)
    labels[0, 0, 0], labels[0, 0, 1] = (2, 3, 1), (IGNORED, IGNORED, IGNORED)
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, LOGITS)).astype(np.float32)
    log_probs = [np.asarray(ops.log_softmax(part)) for part in np.split(logits, [7, 16], axis=-1)]
    objects = [log_probs[i][0, 0, 0, value] for i, value in enumerate((2, 3, 1))]
    empty = [log_probs[i][0, 1, :, 0] for i in range(3)]
    loss = float(CellCrossEntropy()(labels, logits))
    assert loss == pytest.approx(-np.mean(objects) - np.mean(empty), rel=1e-5)


@pytest.mark.slow
def test_the_network_learns_objects_and_is_frozen_afterwards():
    examples = [make_record("train", index) for index in range(4)]
    images = np.stack([read_image(example["image"]) for example in examples]).astype(np.uint8)
    records = [json.loads(example["annotations"]) for example in examples]
    config = replace(SCENES, encoder_batch_size=2, encoder_epochs=30)
    keras.utils.set_random_seed(1)
    network = small_cnn(config.image_size)
    first = learn_objects(network, images, records, replace(config, encoder_epochs=1))
    assert learn_objects(network, images, records, config) < 0.2 * first
    assert network.trainable_weights == []
    network.weights[0].assign(network.weights[0] * np.nan)
    with pytest.raises(TrainingError, match="the encoder's loss is"):
        learn_objects(network, images, records, config)
