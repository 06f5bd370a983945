"""Products with a matrix, as one of all rows: three operations of TensorFlow, where Keras' `tensordot` has twelve."""

from collections.abc import Callable
from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


def product(x: Any, matrix: Any) -> Any:
    """`x` `(..., size)` times a matrix `(size, width)` -> `(..., width)`."""
    return _of_rows(lambda rows: ops.matmul(rows, matrix), x, matrix.shape[0])


class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, computed as one product of all rows."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        kernel: Any = self.kernel
        return _of_rows(lambda rows: keras.layers.Dense.call(self, rows, training), inputs, kernel.shape[0])


def _of_rows(function: Callable[[Any], Any], x: Any, size: int) -> Any:
    """`function`, from rows of `size` elements to others, of `x` `(..., size)`."""
    leading = x.shape[:-1]
    if len(leading) < 2:
        return function(x)
    rows = function(ops.reshape(x, (-1, size)))
    shape = [-1 if length is None else length for length in leading]
    if shape.count(-1) > 1:
        shape = ops.shape(x)[:-1]
    return ops.reshape(rows, (*shape, rows.shape[-1]))
