"""A model that is compiled once."""

import keras
import numpy as np

from shared.any_size import AnySize


class Sums(AnySize):
    """Counts how often it is traced."""

    def __init__(self):
        super().__init__()
        self.bias = self.add_weight(shape=(), initializer="ones", name="bias")
        self.traced = 0

    def call(self, inputs):
        self.traced += 1
        return {"sums": keras.ops.sum(inputs["x"], axis=1) + self.bias, "lengths": inputs["lengths"] + 1}


def test_batches_of_other_sizes_compile_nothing_anew():
    model = Sums()
    for batch, time in ((2, 3), (2, 5), (1, 7)):
        found = model.predict_on_batch({"x": np.ones((batch, time), np.float32), "lengths": np.full(batch, time)})
        assert type(found["sums"]) is np.ndarray
        np.testing.assert_array_equal(found["sums"], np.full(batch, time + 1.0))
        np.testing.assert_array_equal(found["lengths"], np.full(batch, time + 1))
    assert model.traced == 1
    model.bias.assign(3.0)
    assert model.predict_on_batch({"x": np.zeros((1, 1), np.float32), "lengths": np.ones(1, int)})["sums"] == 3
