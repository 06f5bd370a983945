"""Products of all rows against Keras' own."""

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


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX knows all sizes")
@pytest.mark.parametrize("sizes", [(None, 3), (None, None), (2, None), (None, 3, None)])
def test_sizes_that_a_graph_does_not_know(sizes):
    import tensorflow as tf

    layer = Dense(2, use_bias=False)
    layer.build((None, 4))
    matrix = layer.get_weights()[0]
    for function in (layer, lambda x: product(x, matrix)):
        compiled = tf.function(function, [tf.TensorSpec([*sizes, 4])], autograph=False)
        for unknown in (5, 0):
            x = RNG.standard_normal([*(size or unknown for size in sizes), 4]).astype("float32")
            np.testing.assert_allclose(compiled(x), x @ matrix, rtol=1e-5, atol=1e-6)


def test_product():
    x, matrix = (RNG.standard_normal(shape).astype("float32") for shape in ((2, 3, 5, 4), (4, 6)))
    np.testing.assert_allclose(product(x, matrix), x @ matrix, rtol=1e-5, atol=1e-6)
