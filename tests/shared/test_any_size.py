"""A model that is compiled once for batches of any size, or for a few sizes."""

import logging

import keras
import numpy as np
import pytest

from shared.any_size import AnySize
from tests.backend import on_tensorflow

pytestmark = pytest.mark.any_backend

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="a part of JAX alone")


class Sums(AnySize):
    """Counts how often it is traced, and for which shapes."""

    max_rows = 4
    shortest = {"x": 3, "y": 2}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.bias = self.add_weight(shape=(), initializer="ones", name="bias")
        self.shapes = []

    def call(self, inputs):
        self.shapes.append(inputs["x"].shape)
        scaled = keras.ops.sum(inputs["x"], axis=1) * inputs["scale"] + self.bias
        return {"sums": scaled, "states": [inputs["states"][0] + keras.ops.sum(inputs["y"], axis=1, keepdims=True)]}


def batch(size: int, time: int, other: int = 2) -> dict:
    """`x` `(size, time)` of ones, `y` `(size, other)` of twos, a state `(size, 1)`, and a number."""
    inputs = {"x": np.ones((size, time), np.float32), "y": np.full((size, other), 2, np.float32)}
    return inputs | {"states": [np.arange(size, dtype=np.float32)[:, None]], "scale": np.float32(10)}


def check(model: Sums, size: int, time: int, other: int = 2) -> None:
    outputs = model.predict_on_batch(batch(size, time, other))
    assert type(outputs["sums"]) is np.ndarray
    np.testing.assert_array_equal(outputs["sums"], np.full(size, 10 * time + 1.0))
    np.testing.assert_array_equal(outputs["states"][0], np.arange(size)[:, None] + 2 * other)


@on_tensorflow
def test_batches_of_other_sizes_are_not_traced_again():
    model = Sums()
    for size, time, other in ((2, 3, 2), (2, 5, 9), (1, 7, 1)):
        check(model, size, time, other)
    assert len(model.shapes) == 1


@on_jax
def test_batches_of_all_sizes_are_padded_to_a_few():
    model = Sums()
    for size, time, other in ((2, 3, 2), (3, 2, 1), (9, 1, 2), (1, 3, 2), (3, 4, 2), (5, 2, 3), (1, 2, 2), (2, 13, 1)):
        check(model, size, time, other)
    # 4 rows of 3, 1 row of 3, 2 rows of 6 (once because y needs it), 1 row of 24.
    assert model.shapes == [(4, 3), (1, 3), (2, 6), (1, 24)]


@on_jax
def test_sixty_lengths_need_at_most_six_compilations():
    model, lengths = Sums(), [1 + 7 * i % 60 for i in range(60)]
    seen = []
    for indices in model.batches(lengths, 0):
        seen += indices
        longest = max(lengths[i] for i in indices)
        check(model, len(indices), longest)
    assert sorted(seen) == list(range(60))
    assert len(model.shapes) <= 6


@on_tensorflow
def test_batches_have_a_maximum_size():
    model = Sums()
    assert list(model.batches([5, 40, 7, 30, 31], 60)) == [[0, 2], [3], [4], [1]]
    assert list(model.batches([], 60)) == []


def test_an_array_alone_keeps_its_further_axes():
    class Images(AnySize):
        def call(self, inputs):
            assert inputs.shape[1:] == (5, 3)
            return keras.ops.sum(inputs, axis=(1, 2))

    model = Images()
    for rows in (1, 2, 40):
        images = np.arange(rows * 15, dtype=np.float32).reshape(rows, 5, 3)
        np.testing.assert_array_equal(model.predict_on_batch(images), images.sum((1, 2)))


def test_new_weights_are_used():
    model = Sums()
    model.predict_on_batch(batch(1, 1))
    model.bias.assign(3.0)
    assert model.predict_on_batch(batch(1, 1))["sums"] == 13


def test_each_call_draws_other_numbers():
    class Noise(AnySize):
        max_rows = 2

        def __init__(self):
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5, seed=3)

        def call(self, inputs):
            return self.dropout(inputs, training=True)

    model, ones = Noise(), np.ones((4, 50), np.float32)
    first, second = model.predict_on_batch(ones), model.predict_on_batch(ones)
    assert set(first.ravel()) == {0.0, 2.0}
    assert (first != second).any()
    assert (first[:2] != first[2:]).any()  # on JAX these rows are two calls
    np.testing.assert_array_equal(Noise().predict_on_batch(ones), first)


@on_tensorflow
def test_many_models_in_one_process_log_nothing(caplog):
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)  # TensorFlow's logger does not propagate to the root logger
    try:
        for _ in range(6):
            model = Sums()
            for time in range(1, 4):
                model.predict_on_batch(batch(2, time))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.text == ""
