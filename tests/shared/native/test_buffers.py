"""Memory is reused when no array and no tensor uses it any more, and not before."""

import numpy as np
import pytest
import tensorflow as tf

from shared.native.buffers import BufferPool


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.fixture
def pool() -> BufferPool:
    return BufferPool()


def test_arrays_are_aligned_float32(pool):
    for shape in [(3, 4), (1,), (2, 0, 5)]:
        array = pool.empty(*shape)
        assert (array.dtype, array.shape, array.flags.c_contiguous, array.flags.writeable) == ("float32", shape, 1, 1)
        assert address(array) % 64 == 0


def test_memory_of_a_deleted_array_is_reused(pool):
    array = pool.empty(100)
    first = address(array)
    del array
    assert address(pool.empty(10, 9)) == first


@pytest.mark.parametrize(
    "view",
    [lambda x: x[1:, ::2], lambda x: x.T.reshape(-1)[:1], lambda x: x.view("int32")[0], memoryview],
    ids=["slice", "copy", "element", "buffer"],
)
def test_memory_of_a_view_is_kept(pool, view):
    array = pool.empty(4, 6)
    array[:] = 1
    kept = view(array)
    before = np.array(kept)
    del array
    for _ in range(3):
        pool.empty(4, 6)[:] = 2
    np.testing.assert_array_equal(kept, before)


def test_memory_of_a_tensor_is_kept(pool):
    """A graph takes over the memory of an array without a copy."""
    addresses = []

    def fill(value):
        array = pool.empty(30, 40)
        array[:] = value
        addresses.append(address(array))
        return array

    @tf.function
    def call(value):
        return tf.numpy_function(fill, [value], tf.float32)

    tensors = [call(float(i)) for i in range(4)]
    assert len(set(addresses)) == 4
    assert [address(np.asarray(memoryview(tensor))) for tensor in tensors] == addresses
    assert [float(tensor[0, 0]) for tensor in tensors] == [0, 1, 2, 3]
    del tensors
    for i in range(6):
        call(float(i))
    assert len(set(addresses)) <= 5


def test_sizes_of_reused_buffers(pool):
    array = pool.empty(1000)
    del array
    assert len(pool.free) == 1
    small, large = pool.empty(100), pool.empty(2000)
    assert len(pool.free) == 1  # neither fits
    del small, large
    assert len(pool.free) == 3
