"""The operations of the kernels that TensorFlow computes faster in a form of its own; `on_jax` has the same functions.

The forms are those of a graph on a CPU. TensorFlow computes a small product on one core, but several products in
parallel, so a step of a loop multiplies each gate's part of a recurrent kernel separately.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def tensor(x: Any) -> Any:
    """The value of a variable in the type of the layer that computes, or x itself."""
    return tf.convert_to_tensor(x)


def loop(
    step: Callable, state: Sequence[Any], sequences: Sequence[Any], templates: Sequence[Any], *, backwards: bool = False
) -> tuple[Any, Any]:
    """Repeats `state, outputs = step(state, *sequences at t)` over time.

    Args:
        step: the function of a step.
        state: the initial state, a list of tensors.
        sequences: tensors `(time, ...)` or outputs of another loop; the first is a tensor.
        templates: for each output of a step, a tensor of the same shape and type.
        backwards: from the last step to the first.

    Returns:
        The last state, and the outputs in order of time: for another loop, or for `stack`.
    """
    first: Any = sequences[0]
    if first.shape[0] == 1:  # a step of a search; a loop takes longer than what it repeats
        state, results = step(list(state), *(_step_of(x, 0) for x in sequences))
        return state, [result[None] for result in results]
    time = first.shape[0] or tf.shape(first)[0]
    outputs = [tf.TensorArray(x.dtype, size=time, element_shape=x.shape, clear_after_read=False) for x in templates]

    def body(t, state, outputs):
        state, results = step(state, *(_step_of(x, t) for x in sequences))
        return t + (-1 if backwards else 1), state, [y.write(t, x) for y, x in zip(outputs, results, strict=True)]

    _, state, outputs = tf.while_loop(
        lambda t, *_: t >= 0 if backwards else t < time,
        body,
        (time - 1 if backwards else 0, list(state), outputs),
        maximum_iterations=time,
        parallel_iterations=4,
    )
    return state, outputs


def _step_of(sequence: Any, t: Any) -> Any:
    # A slice of a tensor is a view; a tensor array of its steps would be a copy.
    return sequence.read(t) if isinstance(sequence, tf.TensorArray) else sequence[t]


def stack(output: Any) -> Any:
    """An output of `loop` as a tensor, `(time, ...)`."""
    return output.stack() if isinstance(output, tf.TensorArray) else output


def products_by(kernel: Any, gates: int, dtype: str, time: int | None = None) -> Callable[[Any], Sequence[Any]]:
    """The function x -> the products of x and each gate's part of `kernel`, `(units, gates * units)`, in `dtype`.

    `time` is the number of steps, if it is known: for one, as in a search, parts of a kernel cost more than they save.
    """
    if time == 1:
        return lambda x: tf.split(tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel), dtype), gates, axis=-1)
    kernels = tf.split(kernel, gates, axis=-1)
    return lambda x: [tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel), dtype) for kernel in kernels]


def product_by_transposed(kernel: Any, gates: int, dtype: str) -> Callable[[Sequence[Any]], Any]:
    """The function of a gradient for each gate -> the product of all of them and the transpose of `kernel`."""
    kernels = [tf.transpose(kernel) for kernel in tf.split(kernel, gates, axis=-1)]

    def product(gradients):
        factors = (tf.cast(x, kernel.dtype) for x in gradients)
        return tf.add_n([tf.cast(tf.matmul(x, kernel), dtype) for x, kernel in zip(factors, kernels, strict=True)])

    return product


def transposed_product(x: Any, y: Any) -> Any:
    """x' y of two matrices."""
    return tf.matmul(x, y, transpose_a=True)


def add_bias(x: Any, bias: Any) -> Any:
    """Fused with the product before it, unlike `+`."""
    return tf.nn.bias_add(x, bias)


def select(condition: Any, then: Any, otherwise: Any) -> Any:
    """Rows of `then` where `condition` `(batch,)` is True, else of `otherwise`.

    The Select op copies whole rows; `where` broadcasts the condition to every element.
    """
    return tf.raw_ops.Select(condition=condition, x=then, y=otherwise)


def sigmoid_gradient(y: Any, d_y: Any) -> Any:
    """d (y - y^2), in one op."""
    return tf.raw_ops.SigmoidGrad(y=y, dy=d_y)


def tanh_gradient(y: Any, d_y: Any) -> Any:
    """d (1 - y^2), in one op."""
    return tf.raw_ops.TanhGrad(y=y, dy=d_y)
