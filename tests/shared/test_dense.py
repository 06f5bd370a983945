"""Products of all rows against Keras' own."""

from typing import Any

import keras
import numpy as np
import pytest

from shared.dense import Dense, product

pytestmark = pytest.mark.any_backend
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("leading", [(2,), (2, 3), (2, 3, 5), (0, 3)])
def test_dense_is_that_of_keras(leading):
    layer, reference = (kind(7, activation="tanh", bias_initializer="ones") for kind in (Dense, keras.layers.Dense))
    for each in (layer, reference):
        each.build((None, None, 4))
    reference.set_weights(layer.get_weights())
    x = RNG.standard_normal((*leading, 4)).astype("float32")
    assert layer(x).shape == (*leading, 7)
    np.testing.assert_allclose(layer(x), reference(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(None, 3), (None, None)])
def test_axes_of_unknown_size_keep_their_order(sizes):
    inputs: Any = keras.Input((*sizes[1:], 4))
    layer = Dense(2, use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (*sizes, 2)
    x = RNG.standard_normal((5, 3, 4)).astype("float32")
    np.testing.assert_allclose(model(x), x @ layer.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_product():
    x, matrix = (RNG.standard_normal(shape).astype("float32") for shape in ((2, 3, 5, 4), (4, 6)))
    np.testing.assert_allclose(product(x, matrix), x @ matrix, rtol=1e-5, atol=1e-6)
