"""Gathering against NumPy's indexing."""

import keras
import numpy as np
import pytest

from shared.gathering import take, take_each

pytestmark = pytest.mark.any_backend
X = np.arange(2 * 3 * 5, dtype="float32").reshape(2, 3, 5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take(axis):
    indices = np.array([[1, 0, 1, 1]], "int32")
    np.testing.assert_array_equal(take(X, indices, axis), np.take(X, indices, axis))


def test_take_each_of_the_last_axis():
    indices = np.array([[4, 0, 2], [1, 1, 3]], "int32")
    expected = np.take_along_axis(X, indices[..., None], axis=-1)
    np.testing.assert_array_equal(take_each(X, indices), expected[..., 0])
    np.testing.assert_array_equal(take_each(X, indices[..., None]), expected)


def test_take_each_of_a_middle_axis():
    indices = np.array([[2, 0, 2, 1], [1, 1, 0, 2]], "int32")
    expected = np.stack([X[0, indices[0]], X[1, indices[1]]])
    np.testing.assert_array_equal(take_each(X, indices, axis=1), expected)
    np.testing.assert_array_equal(take_each(X, indices[:, 3], axis=1), expected[:, 3])


def test_gradients_reach_the_elements_that_are_taken():
    from tests.shared.recurrent.derivatives import outputs_and_gradients

    indices = np.array([[2, 0, 2], [1, 1, 1]], "int32")
    *_, gradient = outputs_and_gradients(lambda x: keras.ops.sum(take_each(x, indices, axis=1), axis=(1, 2)), [X], [])
    weights = np.array([[1, 0, 2], [0, 3, 0]])  # how often each row is taken
    _, *_, of_sums = outputs_and_gradients(lambda x: keras.ops.sum(x * weights[..., None], axis=(1, 2)), [X], [])
    np.testing.assert_allclose(gradient, of_sums, rtol=1e-6)
