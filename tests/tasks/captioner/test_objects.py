"""The encoder of scenes: what a cell is told, what it is taught, and that it learns it."""

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
from tasks.captioner.objects import (
    CHANNELS,
    EITHER,
    NOTHING,
    VALUES,
    Arrangement,
    CellCrossEntropy,
    cell_labels,
    learn_objects,
    small_cnn,
)

ROWS, COLUMNS = 6, 7
SQUARE, STAR, RED, WHITE, SMALL, LARGE = SHAPES.index("square"), SHAPES.index("star"), 6, 12, 14, 15
RECORD = {
    "shapes": ["square", "star"],
    "colours": ["red", "white"],
    "sizes": ["small", "large"],
    "boxes": [[0.0, 0.0, 0.2, 0.2], [0.5, 0.6, 0.8, 0.9]],  # centres (0.1, 0.1) and (0.65, 0.75)
}


def logits_of(objects: dict[tuple[int, int], tuple[int, int, int]]) -> np.ndarray:
    """Certain logits (1, ROWS, COLUMNS, VALUES + 3) for objects given as {(row, column): (shape, colour, size)}."""
    logits = np.full((1, ROWS, COLUMNS, VALUES + 3), -30, np.float32)
    logits[..., [0, 7, 16]] = 0  # nothing
    for (row, column), (shape, colour, size) in objects.items():
        logits[0, row, column, [1 + shape, 8 + colour - 6, 17 + size - 14]] = 30
    return logits


def arranged(logits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one image: the values (rows, columns, VALUES), those beside (rows, columns, 4, VALUES), the place."""
    grid = np.asarray(Arrangement()(logits))[0]
    return grid[..., :VALUES], grid[..., VALUES : 5 * VALUES].reshape(ROWS, COLUMNS, 4, VALUES), grid[..., -2:]


def test_a_cell_is_told_its_object_and_those_to_the_left_right_above_and_below():
    values, beside, place = arranged(logits_of({(1, 1): (SQUARE, RED, SMALL), (4, 5): (STAR, WHITE, LARGE)}))
    square, star = np.zeros(VALUES), np.zeros(VALUES)
    square[[SQUARE, RED, SMALL]] = star[[STAR, WHITE, LARGE]] = 1
    np.testing.assert_allclose(values[1, 1], square, atol=1e-6)
    np.testing.assert_allclose(beside[1, 1], [0 * star, star, 0 * star, star], atol=1e-6)
    np.testing.assert_allclose(values[4, 5], star, atol=1e-6)
    np.testing.assert_allclose(beside[4, 5], [square, 0 * square, square, 0 * square], atol=1e-6)
    np.testing.assert_allclose(place[4, 5], [2 * 4 / (ROWS - 1) - 1, 2 * 5 / (COLUMNS - 1) - 1], atol=1e-6)


def test_the_next_row_or_column_is_beside_nothing():
    _, beside, _ = arranged(logits_of({(2, 2): (SQUARE, RED, SMALL), (3, 4): (STAR, WHITE, LARGE)}))
    assert beside[2, 2].max(axis=-1).round().tolist() == [0, 1, 0, 0]
    assert beside[3, 4].max(axis=-1).round().tolist() == [1, 0, 0, 0]


def test_an_empty_cell_tells_nothing():
    values, beside, place = arranged(logits_of({(2, 2): (SQUARE, RED, SMALL)}))
    for part in (values, beside, place):
        told = np.abs(part.reshape(ROWS, COLUMNS, -1)).max(axis=-1)
        told[2, 2] = 0
        np.testing.assert_allclose(told, 0, atol=1e-6)


def test_an_object_seen_from_two_cells_is_told_of_at_its_centre_alone():
    logits = logits_of({(2, 2): (SQUARE, RED, SMALL), (2, 3): (SQUARE, RED, SMALL)})
    logits[0, 2, 3, 1 + SQUARE] = 1  # less sure than its neighbour
    values, beside, place = arranged(logits)
    assert values[2, 2, SQUARE] == pytest.approx(1)
    np.testing.assert_allclose(beside[2, 1:4], 0, atol=1e-6)
    for part in (values, beside, place):
        assert not part[2, 3].any()  # not the centre


def test_labels_name_the_cell_of_the_centre_and_leave_its_neighbours_open():
    labels = cell_labels(RECORD, 8)
    assert labels.shape == (8, 8, 3)
    assert labels[0, 0].tolist() == [1 + SQUARE, 1 + COLOURS.index("red"), 1]
    assert labels[5, 6].tolist() == [1 + STAR, 1 + COLOURS.index("white"), 2]
    around = [(0, 1), (1, 0), (1, 1), *((r, c) for r in (4, 5, 6) for c in (5, 6, 7) if (r, c) != (5, 6))]
    assert {tuple(cell) for cell in np.argwhere(labels[..., 0] == EITHER)} == set(around)
    assert (labels == NOTHING).all(axis=-1).sum() == 64 - 2 - len(around)


def test_the_loss_weighs_objects_and_empty_cells_alike():
    labels = np.zeros((1, 2, 2, 3), np.int32)
    labels[0, 0, 0], labels[0, 0, 1] = (2, 3, 1), (EITHER, EITHER, EITHER)
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, VALUES + 3)).astype(np.float32)
    log_probs = [np.asarray(ops.log_softmax(part)) for part in np.split(logits, [7, 16], axis=-1)]
    held = [log_probs[i][0, 0, 0, value] for i, value in enumerate((2, 3, 1))]
    empty = [log_probs[i][0, 1, :, 0] for i in range(3)]
    loss = float(CellCrossEntropy()(labels, logits))
    assert loss == pytest.approx(-np.mean(held) - np.mean(empty), rel=1e-5)


def test_the_network_learns_objects_and_leaves_them_to_the_decoder_fixed():
    examples = [make_record("train", index) for index in range(4)]
    images = np.stack([read_image(example["image"]) for example in examples]).astype(np.uint8)
    records = [json.loads(example["annotations"]) for example in examples]
    config = replace(SCENES, encoder_batch_size=2, encoder_epochs=30)
    keras.utils.set_random_seed(1)
    network = small_cnn(config.image_size)
    first = learn_objects(network, images, records, replace(config, encoder_epochs=1))
    assert learn_objects(network, images, records, config) < 0.2 * first
    assert network.trainable_weights == []
    with pytest.raises(TrainingError, match="the encoder's loss is"):
        learn_objects(network, images, records, replace(config, encoder_learning_rate=float("inf")))


def test_the_network_covers_the_picture():
    network = small_cnn(96)
    assert network.output_shape == (None, 12, 12, CHANNELS)
    logits = keras.Model(network.input, network.get_layer("attributes").output)
    image = np.full((1, 96, 96, 3), 127, np.float32)
    before = np.asarray(logits(image))
    for y, x in ((0, 0), (0, 95), (95, 0), (95, 95), (40, 70)):
        dotted = image.copy()
        dotted[:, y, x] = 255
        changed = np.abs(np.asarray(logits(dotted)) - before).max(axis=(0, 3))
        assert changed.max() > 0
        for row, column in np.argwhere(changed):
            assert max(abs(row - y // 8), abs(column - x // 8)) <= 3
