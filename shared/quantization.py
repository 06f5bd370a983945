"""Weights of eight bits: a released file is half as large as with float16. They are loaded as float32.

A matrix becomes int8 values and the scale of each row or of each column, whichever has the smaller squared error. The
file has `NAME` and `NAME.scale`; their product, with broadcasting, is the matrix.
"""

from collections.abc import Mapping

import numpy as np

SCALE = ".scale"  # ends the name of the scales of a tensor
MIN_SIZE = 4_096  # values of a matrix below which scales and error are not worth it
LEVELS = 127  # from -127 to 127, so that 0 stays 0


def quantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values and scales of the large float32 matrices among the tensors."""
    quantized: dict[str, np.ndarray] = {}
    for name, x in tensors.items():
        if x.ndim == 2 and x.dtype == np.float32 and x.size >= MIN_SIZE:
            by_row, by_column = (_with_scale(x, axis) for axis in (1, 0))
            values, scale = min((by_row, by_column), key=lambda pair: float(np.square(pair[0] * pair[1] - x).sum()))
            quantized |= {name: values, name + SCALE: scale}
    return quantized


def _with_scale(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 values, and one scale for all values along an axis; their product is close to `x`."""
    scale = np.abs(x).max(axis=axis, keepdims=True) / np.float32(LEVELS)
    return np.rint(x / np.where(scale > 0, scale, 1)).astype(np.int8), scale


def dequantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with int8 values and scales multiplied, in float32.

    Raises:
        ValueError: scales have no int8 tensor of their name, or not one value for each of its rows or columns.
    """
    scales = {name: x for name, x in tensors.items() if name.endswith(SCALE)}
    result = {name: x for name, x in tensors.items() if name not in scales}
    for name, scale in scales.items():
        values = result.get(name.removesuffix(SCALE))
        if values is None or values.dtype != np.int8 or scale.shape not in shapes_of_scales(values.shape):
            raise ValueError(f"{name}: scales of the rows or columns of an int8 matrix were expected")
        with np.errstate(over="ignore"):  # infinite values are found by whoever reads the file
            result[name.removesuffix(SCALE)] = values * scale.astype(np.float32)
    return result


def shapes_of_scales(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that the scales of a matrix of a shape can have."""
    return [(shape[0], 1), (1, shape[1])] if len(shape) == 2 else []
