"""A model that is compiled once for batches of any size."""

import logging

import keras
import numpy as np

from shared.any_size import AnySize


class Sums(AnySize):
    """Counts how often it is traced."""

    def __init__(self):
        super().__init__()
        self.bias = self.add_weight(shape=(), initializer="ones", name="bias")
        self.traces = 0

    def call(self, inputs):
        self.traces += 1
        return {"sums": keras.ops.sum(inputs["x"], axis=1) + self.bias, "lengths": inputs["lengths"] + 1}


def batch(size: int, time: int) -> dict[str, np.ndarray]:
    return {"x": np.ones((size, time), np.float32), "lengths": np.full(size, time)}


def test_batches_of_other_sizes_are_not_traced_again():
    model = Sums()
    for size, time in ((2, 3), (2, 5), (1, 7)):
        outputs = model.predict_on_batch(batch(size, time))
        assert type(outputs["sums"]) is np.ndarray
        np.testing.assert_array_equal(outputs["sums"], np.full(size, time + 1.0))
        np.testing.assert_array_equal(outputs["lengths"], np.full(size, time + 1))
    assert model.traces == 1


def test_new_weights_are_used():
    model = Sums()
    model.predict_on_batch(batch(1, 1))
    model.bias.assign(3.0)
    assert model.predict_on_batch(batch(1, 1))["sums"] == 4


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
