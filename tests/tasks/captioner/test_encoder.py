"""The encoders; the photo encoder with a network of two layers instead of MobileNetV2."""

import keras
import numpy as np
import pytest

from datasets.scenes.world import SHAPES
from shared.errors import UserError
from tasks.captioner.config import PRESETS, SCENES
from tasks.captioner.encoder import CHANNELS, LOGITS, VALUES, Arrangement, build_encoder, grid_shape, small_cnn

pytestmark = pytest.mark.any_backend

ROWS, COLUMNS = 6, 7
SQUARE, STAR, RED, WHITE, SMALL, LARGE = SHAPES.index("square"), SHAPES.index("star"), 6, 12, 14, 15


def test_grid_shapes_of_the_presets():
    assert grid_shape(SCENES) == (12, 12, 82)
    assert grid_shape(PRESETS["flickr8k"]) == (7, 7, 1024)


def logits_of(objects: dict[tuple[int, int], tuple[int, int, int]]) -> np.ndarray:
    """Logits `(1, ROWS, COLUMNS, LOGITS)` of probability 1 for {(row, column): (shape, colour, size)}."""
    logits = np.full((1, ROWS, COLUMNS, LOGITS), -30, np.float32)
    logits[..., [0, 7, 16]] = 0  # nothing
    for (row, column), (shape, colour, size) in objects.items():
        logits[0, row, column, [1 + shape, 8 + colour - 6, 17 + size - 14]] = 30
    return logits


def arranged(logits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For one image: values `(rows, columns, VALUES)`, neighbours `(rows, columns, 4, VALUES)`, position."""
    grid = np.asarray(Arrangement()(logits))[0]
    return grid[..., :VALUES], grid[..., VALUES : 5 * VALUES].reshape(ROWS, COLUMNS, 4, VALUES), grid[..., -2:]


def test_a_cell_describes_its_object_and_those_to_the_left_right_above_and_below():
    values, neighbours, position = arranged(logits_of({(1, 1): (SQUARE, RED, SMALL), (4, 5): (STAR, WHITE, LARGE)}))
    square, star = np.zeros(VALUES), np.zeros(VALUES)
    square[[SQUARE, RED, SMALL]] = star[[STAR, WHITE, LARGE]] = 1
    np.testing.assert_allclose(values[1, 1], square, atol=1e-6)
    np.testing.assert_allclose(neighbours[1, 1], [0 * star, star, 0 * star, star], atol=1e-6)
    np.testing.assert_allclose(values[4, 5], star, atol=1e-6)
    np.testing.assert_allclose(neighbours[4, 5], [square, 0 * square, square, 0 * square], atol=1e-6)
    np.testing.assert_allclose(position[4, 5], [2 * 4 / (ROWS - 1) - 1, 2 * 5 / (COLUMNS - 1) - 1], atol=1e-6)


def test_the_adjacent_row_or_column_is_no_neighbour():
    _, neighbours, _ = arranged(logits_of({(2, 2): (SQUARE, RED, SMALL), (3, 4): (STAR, WHITE, LARGE)}))
    assert neighbours[2, 2].max(axis=-1).round().tolist() == [0, 1, 0, 0]
    assert neighbours[3, 4].max(axis=-1).round().tolist() == [1, 0, 0, 0]


def test_an_empty_cell_is_zero():
    values, neighbours, position = arranged(logits_of({(2, 2): (SQUARE, RED, SMALL)}))
    for part in (values, neighbours, position):
        magnitudes = np.abs(part.reshape(ROWS, COLUMNS, -1)).max(axis=-1)
        magnitudes[2, 2] = 0
        np.testing.assert_allclose(magnitudes, 0, atol=1e-6)


def test_an_object_detected_in_two_cells_is_described_at_its_centre_only():
    logits = logits_of({(2, 2): (SQUARE, RED, SMALL), (2, 3): (SQUARE, RED, SMALL)})
    logits[0, 2, 3, 1 + SQUARE] = 1  # less probable than in the cell beside it
    values, neighbours, position = arranged(logits)
    assert values[2, 2, SQUARE] == pytest.approx(1)
    np.testing.assert_allclose(neighbours[2, 1:4], 0, atol=1e-6)
    for part in (values, neighbours, position):
        assert not part[2, 3].any()  # not the centre


def test_the_cells_cover_the_image():
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


def test_missing_imagenet_weights_are_reported(monkeypatch):
    def fail(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(UserError, match=r"no ImageNet weights .* no route to host"):
        build_encoder(PRESETS["flickr8k"])
