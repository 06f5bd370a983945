"""TensorFlow's operations in ONNX's operators: a function for each, by the name of the operation.

A function takes the graph, the operation and the names of its inputs, and returns the name of its output, or a
list. Axes and sizes that TensorFlow has as inputs are constants in our models, unless a function says otherwise.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.onnx.graph import ConversionError, Graph, Name

LAST = 2**31 - 1  # the end of an axis, whatever its size

Values = list[Any]
Handler = Callable[[Graph, Any, Values], Any]
OPERATIONS: dict[str, Handler] = {}


def operation(*kinds: str) -> Callable[[Handler], Handler]:
    """Registers the function of these operations."""

    def register(function: Handler) -> Handler:
        OPERATIONS.update(dict.fromkeys(kinds, function))
        return function

    return register


def rank(tensor: Any) -> int:
    """The number of axes."""
    if tensor.shape.rank is None:
        raise ConversionError(f"the number of axes of {tensor.op.type} {tensor.name} was expected to be known")
    return tensor.shape.rank


def axes_of(c: Graph, name: Name, whole: int) -> list[int]:
    """The axes, from 0 to below `whole`, that an input names."""
    return [int(axis) % max(whole, 1) for axis in c.value(name).reshape(-1)]


# --- one operator for one operation -----------------------------------------------------------------------------------

SAME = {
    "Abs": "Abs", "AddV2": "Add", "Add": "Add", "AddN": "Sum", "Ceil": "Ceil", "Cos": "Cos", "Equal": "Equal",
    "Erf": "Erf", "Exp": "Exp", "Floor": "Floor", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual",
    "IsNan": "IsNaN", "Less": "Less", "LessEqual": "LessOrEqual", "Log": "Log", "LogicalAnd": "And",
    "LogicalNot": "Not", "LogicalOr": "Or", "Maximum": "Max", "Minimum": "Min", "Mul": "Mul", "Neg": "Neg",
    "Pow": "Pow", "Reciprocal": "Reciprocal", "Relu": "Relu", "RealDiv": "Div", "SelectV2": "Where",
    "Sigmoid": "Sigmoid", "Sin": "Sin", "Softplus": "Softplus", "Sqrt": "Sqrt", "Sub": "Sub", "Tanh": "Tanh",
}  # fmt: skip


@operation(*SAME)
def same(c: Graph, op: Any, x: Values) -> Name:
    return c.add(SAME[op.type], *x)


@operation("Identity", "StopGradient", "PreventGradient", "IdentityN")
def unchanged(c: Graph, op: Any, x: Values) -> Any:
    return x


@operation("NotEqual")
def not_equal(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Not", c.add("Equal", *x))


@operation("Square")
def square(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Mul", x[0], x[0])


@operation("SquaredDifference")
def squared_difference(c: Graph, op: Any, x: Values) -> Name:
    difference = c.add("Sub", *x)
    return c.add("Mul", difference, difference)


@operation("Rsqrt")
def reciprocal_root(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Reciprocal", c.add("Sqrt", x[0]))


@operation("Log1p")
def log_of_one_more(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Log", c.add("Add", x[0], c.constant(1, op.inputs[0].dtype)))


@operation("Relu6")
def relu_to_six(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Clip", x[0], *(c.constant(value, op.inputs[0].dtype) for value in (0, 6)))


@operation("IsFinite")
def is_finite(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Not", c.add("Or", c.add("IsNaN", x[0]), c.add("IsInf", x[0])))


@operation("FloorMod")
def remainder(c: Graph, op: Any, x: Values) -> Name:
    if op.inputs[0].dtype.is_integer:
        return c.add("Mod", *x)  # with the sign of the divisor, as TensorFlow's
    return c.add("Sub", x[0], c.add("Mul", c.add("Floor", c.add("Div", *x)), x[1]))


@operation("FloorDiv")
def quotient(c: Graph, op: Any, x: Values) -> Name:
    if op.inputs[0].dtype.is_integer:  # ONNX rounds a quotient of integers towards 0
        return c.add("Div", c.add("Sub", x[0], c.add("Mod", *x)), x[1])
    return c.add("Floor", c.add("Div", *x))


@operation("Cast")
def cast(c: Graph, op: Any, x: Values) -> Name:
    return c.cast(x[0], op.outputs[0].dtype)


class Bits(NamedTuple):
    """The bits of floating-point numbers as integers, of which the sign alone can be read."""

    of: Name
    dtype: Any


@operation("Bitcast")
def bitcast(c: Graph, op: Any, x: Values) -> Bits:
    return Bits(x[0], op.inputs[0].dtype)


@operation("BitwiseAnd")
def sign_bit(c: Graph, op: Any, x: Values) -> Name:
    """What Keras' `signbit` is made of."""
    dtype = op.inputs[1].dtype.as_numpy_dtype
    mask = c.value(x[1])
    if not isinstance(x[0], Bits) or mask != np.iinfo(dtype).min:
        raise ConversionError(f"BitwiseAnd {op.name} is more than a test of the sign")
    zero = c.constant(0, x[0].dtype)
    is_negative = c.add("Less", x[0].of, zero)
    is_negative_zero = c.add("Less", c.add("Reciprocal", x[0].of), zero)
    return c.add("Where", c.add("Or", is_negative, is_negative_zero), x[1], c.constant(0, dtype))


# --- products and convolutions ----------------------------------------------------------------------------------------


def _swapped(c: Graph, name: Name, axes: int) -> Name:
    """With the last two axes exchanged."""
    return c.add("Transpose", name, perm=[*range(axes - 2), axes - 1, axes - 2])


@operation("MatMul", "BatchMatMulV2")
def product(c: Graph, op: Any, x: Values) -> Name:
    names = ("transpose_a", "transpose_b") if op.type == "MatMul" else ("adj_x", "adj_y")
    flags = [op.get_attr(name) for name in names]
    return c.add("MatMul", *(_swapped(c, v, rank(t)) if f else v for v, t, f in zip(x, op.inputs, flags, strict=True)))


@operation("Einsum")
def sum_of_products(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Einsum", *x, equation=op.get_attr("equation").decode())


@operation("BiasAdd")
def add_bias(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Add", *x)


def _channels_first(c: Graph, name: Name) -> Name:
    return c.add("Transpose", name, perm=[0, 3, 1, 2])


def _channels_last(c: Graph, name: Name) -> Name:
    return c.add("Transpose", name, perm=[0, 2, 3, 1])


def _padding(op: Any, window: Sequence[int], strides: Sequence[int]) -> dict[str, Any]:
    """The attributes that pad as TensorFlow does."""
    padding = op.get_attr("padding").decode()
    return {"auto_pad": "SAME_UPPER" if padding == "SAME" else "VALID", "strides": list(strides)}


@operation("Conv2D", "DepthwiseConv2dNative")
def convolution(c: Graph, op: Any, x: Values) -> Name:
    height, width, channels, filters = op.inputs[1].shape
    kernel, groups = c.add("Transpose", x[1], perm=[3, 2, 0, 1]), 1
    if op.type == "DepthwiseConv2dNative":
        by_channel = c.add("Transpose", x[1], perm=[2, 3, 0, 1])
        kernel = c.add("Reshape", by_channel, c.constant([channels * filters, 1, height, width], np.int64))
        groups = channels
    options = _padding(op, (height, width), op.get_attr("strides")[1:3])
    options["dilations"] = list(op.get_attr("dilations")[1:3])
    return _channels_last(c, c.add("Conv", _channels_first(c, x[0]), kernel, group=groups, **options))


@operation("MaxPool")
def max_pool(c: Graph, op: Any, x: Values) -> Name:
    window = op.get_attr("ksize")[1:3]
    options = _padding(op, window, op.get_attr("strides")[1:3])
    return _channels_last(c, c.add("MaxPool", _channels_first(c, x[0]), kernel_shape=list(window), **options))


class Complex(NamedTuple):
    """Complex numbers; ONNX has none."""

    real: Name
    imaginary: Name


@operation("RFFT")
def spectrum(c: Graph, op: Any, x: Values) -> Complex:
    """A transform of real numbers as two products: those of sound are short."""
    (length,) = c.value(x[1]).tolist()
    angles = 2 * np.pi * np.outer(np.arange(length), np.arange(length // 2 + 1)) / length
    return Complex(*(c.add("MatMul", x[0], c.constant(wave, np.float32)) for wave in (np.cos(angles), -np.sin(angles))))


@operation("Real")
def real(c: Graph, op: Any, x: Values) -> Name:
    return x[0].real


@operation("Imag")
def imaginary(c: Graph, op: Any, x: Values) -> Name:
    return x[0].imaginary


# --- along an axis ----------------------------------------------------------------------------------------------------


@operation("Softmax", "LogSoftmax")
def softmax(c: Graph, op: Any, x: Values) -> Name:
    return c.add(op.type, x[0], axis=-1)


@operation("SparseSoftmaxCrossEntropyWithLogits")
def cross_entropy(c: Graph, op: Any, x: Values) -> list[Name]:
    last = c.constant([-1], np.int64)
    log_probs = c.add("LogSoftmax", x[0], axis=-1)
    found = c.add("GatherElements", log_probs, c.add("Unsqueeze", x[1], last), axis=-1)
    return [c.add("Neg", c.add("Squeeze", found, last)), ""]  # the second one is for gradients


REDUCTIONS = {
    "Sum": "ReduceSum", "Mean": "ReduceMean", "Max": "ReduceMax", "Min": "ReduceMin", "Prod": "ReduceProd",
    "Any": "ReduceMax", "All": "ReduceMin",
}  # fmt: skip


@operation(*REDUCTIONS)
def reduction(c: Graph, op: Any, x: Values) -> Name:
    axes = c.constant(axes_of(c, x[1], rank(op.inputs[0])), np.int64)
    options = {"keepdims": int(op.get_attr("keep_dims")), "noop_with_empty_axes": 1}
    if op.type not in ("Any", "All"):
        return c.add(REDUCTIONS[op.type], x[0], axes, **options)
    return c.cast(c.add(REDUCTIONS[op.type], c.cast(x[0], np.int32), axes, **options), np.bool_)


@operation("Cumsum")
def running_sum(c: Graph, op: Any, x: Values) -> Name:
    options = {name: int(op.get_attr(name)) for name in ("exclusive", "reverse")}
    return c.add("CumSum", x[0], c.constant(int(c.value(x[1])), np.int64), **options)


@operation("ArgMax", "ArgMin")
def index_of_best(c: Graph, op: Any, x: Values) -> Name:
    (axis,) = axes_of(c, x[1], rank(op.inputs[0]))
    values = c.cast(x[0], np.int32) if op.inputs[0].dtype == tf.bool else x[0]
    return c.cast(c.add(op.type, values, axis=axis, keepdims=0), op.outputs[0].dtype)


@operation("TopKV2")
def best(c: Graph, op: Any, x: Values) -> list[Name]:
    count = c.add("Reshape", c.wide(x[1]), c.constant([1], np.int64))
    values, indices = c.add_many("TopK", [x[0], count], 2, axis=-1, largest=1, sorted=1)
    return [values, c.cast(indices, op.outputs[1].dtype)]


@operation("ReverseV2")
def reverse(c: Graph, op: Any, x: Values) -> Name:
    axes = axes_of(c, x[1], rank(op.inputs[0]))
    bounds = ([-1] * len(axes), [-LAST - 1] * len(axes), axes, [-1] * len(axes))
    return c.add("Slice", x[0], *(c.constant(values, np.int64) for values in bounds))


@operation("GatherV2")
def gather(c: Graph, op: Any, x: Values) -> Name:
    axes, count = rank(op.inputs[0]), op.get_attr("batch_dims")
    axis = int(c.value(x[2])) % axes
    if not count:
        return c.add("Gather", x[0], x[1], axis=axis)
    if count != axis:
        raise ConversionError(f"GatherV2 {op.name} has batch_dims={count} for axis {axis}; equal numbers were expected")
    if axis == axes - 1 == rank(op.inputs[1]) - 1:
        return c.add("GatherElements", x[0], x[1], axis=axis)
    return c.add("GatherND", x[0], c.add("Unsqueeze", c.wide(x[1]), c.constant([-1], np.int64)), batch_dims=count)


@operation("GatherNd")
def gather_at(c: Graph, op: Any, x: Values) -> Name:
    return c.add("GatherND", x[0], c.wide(x[1]))


@operation("TensorScatterUpdate")
def scatter_update(c: Graph, op: Any, x: Values) -> Name:
    return c.add("ScatterND", x[0], c.wide(x[1]), x[2])


@operation("ScatterNd")
def scatter(c: Graph, op: Any, x: Values) -> Name:
    zeros = c.add("Expand", c.constant(0, op.inputs[1].dtype), c.wide(x[2]))
    return c.add("ScatterND", zeros, c.wide(x[0]), x[1], reduction="add")


# --- shapes -----------------------------------------------------------------------------------------------------------


@operation("Shape")
def shape(c: Graph, op: Any, x: Values) -> Name:
    return c.cast(c.add("Shape", x[0]), op.outputs[0].dtype)


@operation("Size")
def size(c: Graph, op: Any, x: Values) -> Name:
    return c.cast(c.add("Size", x[0]), op.outputs[0].dtype)


@operation("Reshape")
def reshape(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Reshape", x[0], c.wide(x[1]))


@operation("ExpandDims")
def expand_dims(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Unsqueeze", x[0], c.constant(axes_of(c, x[1], rank(op.outputs[0])), np.int64))


@operation("Squeeze")
def squeeze(c: Graph, op: Any, x: Values) -> Name:
    axes = list(op.get_attr("squeeze_dims"))
    return c.add("Squeeze", x[0], *([c.constant(axes, np.int64)] if axes else []))


@operation("Transpose")
def transpose(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Transpose", x[0], perm=c.value(x[1]).tolist())


@operation("ConcatV2")
def concatenate(c: Graph, op: Any, x: Values) -> Name:
    axis = int(c.value(x[-1])) % rank(op.outputs[0])
    return c.add("Concat", *x[:-1], axis=axis)


@operation("Pack")
def pack(c: Graph, op: Any, x: Values) -> Name:
    axis = op.get_attr("axis") % rank(op.outputs[0])
    return c.add("Concat", *(c.add("Unsqueeze", name, c.constant([axis], np.int64)) for name in x), axis=axis)


@operation("Unpack")
def unpack(c: Graph, op: Any, x: Values) -> list[Name]:
    axis = op.get_attr("axis") % rank(op.inputs[0])
    return [c.add("Gather", x[0], c.constant(i, np.int64), axis=axis) for i in range(len(op.outputs))]


@operation("Split")
def split(c: Graph, op: Any, x: Values) -> list[Name]:
    (axis,) = axes_of(c, x[0], rank(op.inputs[1]))
    return c.add_many("Split", [x[1]], len(op.outputs), axis=axis, num_outputs=len(op.outputs))


@operation("SplitV")
def split_unevenly(c: Graph, op: Any, x: Values) -> list[Name]:
    (axis,) = axes_of(c, x[2], rank(op.inputs[0]))
    return c.add_many("Split", [x[0], c.wide(x[1])], len(op.outputs), axis=axis)


@operation("Fill")
def fill(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Expand", x[1], c.wide(x[0]))


@operation("BroadcastTo")
def broadcast(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Expand", x[0], c.wide(x[1]))


@operation("ZerosLike", "OnesLike")
def constant_like(c: Graph, op: Any, x: Values) -> Name:
    value = c.constant(op.type == "OnesLike", op.outputs[0].dtype)
    return c.add("Expand", value, c.add("Shape", x[0]))


@operation("Tile")
def tile(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Tile", x[0], c.wide(x[1]))


@operation("Range")
def count_up(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Range", *x)


@operation("Pad", "PadV2")
def pad(c: Graph, op: Any, x: Values) -> Name:
    """The widths need not be constants."""
    befores_and_afters = c.add("Transpose", c.wide(x[1]), perm=[1, 0])
    widths = c.add("Reshape", befores_and_afters, c.constant([-1], np.int64))
    return c.add("Pad", x[0], widths, *x[2:])


@operation("Where")
def indices_of_true(c: Graph, op: Any, x: Values) -> Name:
    return c.add("Transpose", c.add("NonZero", x[0]), perm=[1, 0])


@operation("Select")
def select(c: Graph, op: Any, x: Values) -> Name:
    """A vector as the condition chooses rows."""
    missing = rank(op.inputs[1]) - rank(op.inputs[0])
    axes = range(rank(op.inputs[0]), rank(op.inputs[0]) + missing) if rank(op.inputs[0]) else ()
    condition = c.add("Unsqueeze", x[0], c.constant([*axes], np.int64)) if axes else x[0]
    return c.add("Where", condition, *x[1:])


@operation("Slice")
def slice_of_size(c: Graph, op: Any, x: Values) -> Name:
    """From `begin`, `size` indices of each axis, or all that follow where it is -1."""
    begin, size = c.wide(x[1]), c.wide(x[2])
    end = c.add("Where", c.add("Less", size, c.constant(0, np.int64)), c.constant(LAST, np.int64),
                c.add("Add", begin, size))  # fmt: skip
    return c.add("Slice", x[0], begin, end, c.constant(range(rank(op.inputs[0])), np.int64))


@operation("StridedSlice")
def strided_slice(c: Graph, op: Any, x: Values) -> Name:
    """A part of a tensor, as `x[a:b, ..., None, i]` in Python; bounds need not be constants."""
    masks = {name: op.get_attr(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    count, axes = op.inputs[1].shape[0], rank(op.inputs[0])
    strides = c.value(x[3]).tolist()
    known = [tf.get_static_value(tensor, partial=True) for tensor in op.inputs[1:3]]

    def bound(which: int, index: int) -> Name:
        """An element of the first or last indices, `(1,)` int64."""
        values = known[which]
        if values is not None and values[index] is not None:
            return c.constant([int(values[index])], np.int64)
        return c.wide(c.add("Gather", x[1 + which], c.constant([index], np.int64), axis=0))

    def has(mask: str, index: int) -> bool:
        return bool(masks[mask] >> index & 1)

    slices: list[tuple[int, Name, Name, int]] = []  # axis, first, end, stride
    chosen: list[tuple[int, Name]] = []  # axis and index
    new_axes, axis, result_axis = [], 0, 0
    num_new = sum(has("new_axis", index) and not has("ellipsis", index) for index in range(count))
    for index in range(count):
        if has("ellipsis", index):
            skipped = axes - (count - num_new - 1)
            axis, result_axis = axis + skipped, result_axis + skipped
        elif has("new_axis", index):
            new_axes.append(result_axis)
            result_axis += 1
        elif has("shrink_axis", index):
            chosen.append((axis, c.add("Squeeze", bound(0, index), c.constant([0], np.int64))))
            axis += 1
        else:
            stride = strides[index]
            ends = (0, LAST) if stride > 0 else (LAST, -LAST - 1)
            first = c.constant([ends[0]], np.int64) if has("begin", index) else bound(0, index)
            end = c.constant([ends[1]], np.int64) if has("end", index) else bound(1, index)
            if not (has("begin", index) and has("end", index) and stride == 1):
                slices.append((axis, first, end, stride))
            axis, result_axis = axis + 1, result_axis + 1

    result = x[0]
    if slices:
        numbers, firsts, ends, steps = zip(*slices, strict=True)
        joined = [names[0] if len(names) == 1 else c.add("Concat", *names, axis=0) for names in (firsts, ends)]
        result = c.add("Slice", result, *joined, c.constant(numbers, np.int64), c.constant(steps, np.int64))
    for number, index in reversed(chosen):
        result = c.add("Gather", result, index, axis=number)
    return c.add("Unsqueeze", result, c.constant(new_axes, np.int64)) if new_axes else result
