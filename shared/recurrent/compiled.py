"""The kernels of `shared.recurrent.kernels` in machine code (`shared.native`): faster, for training on a CPU.

They compute in float32; with bfloat16 inputs, factors of products are bfloat16 where the processor multiplies such
numbers. Functions, arguments, shapes and results are the same. A graph calls them in this Python process, so they
cannot be part of a saved model. They have one more option, `num_concurrent_layers`: the number of layers that are
computed at the same time, each on its part of the cores. `keep` has no effect; what the gradient needs is always kept.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf

NAME = "machine code"


@cache
def available() -> bool:
    """Whether numba is installed; it does not support every platform of TensorFlow."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def fits(dtype: Any) -> bool:
    """Whether these kernels compute in `dtype` where they are called: not within XLA."""
    graph: Any = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        if context is not None and context.IsXLAContext():
            return False
        graph = getattr(graph, "outer_graph", None)
    return tf.as_dtype(dtype) in (tf.float32, tf.bfloat16) and available()


def _zero_second_gradient(like, *gradients):
    """Zeros. A persistent tape around a function also asks for its second derivatives, with gradients of zero."""
    if any(gradient.any() for gradient in gradients):
        raise NotImplementedError(
            "the compiled recurrent kernels have first derivatives only; layers that are called with training=False"
            " have second derivatives"
        )
    return np.zeros_like(like)


def _call(function: Callable, inputs: Sequence[Any], shapes: Sequence[Sequence[int | None]]) -> list[Any]:
    """The float32 results of a function of NumPy arrays, with these shapes."""

    def call(*inputs):
        def second_gradient(*gradients):
            return [tf.numpy_function(_zero_second_gradient, [x, *gradients], x.dtype, stateful=False) for x in inputs]

        outputs = tf.nest.flatten(tf.numpy_function(function, inputs, [tf.float32] * len(shapes), stateful=False))
        outputs = [tf.ensure_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]
        return outputs, second_gradient

    return tf.custom_gradient(call)(*inputs)


def _multiplies_bfloat16(inputs: Any) -> bool:
    """Whether products are of bfloat16 numbers: as those of `inputs`, where the processor has instructions for that."""
    from shared.native import bfloat16

    return inputs.dtype == tf.bfloat16 and bfloat16.is_available()


def _float32(*tensors: Any) -> list[Any]:
    """The tensors, or values of variables; bfloat16 ones are converted."""
    values = [tf.convert_to_tensor(x) for x in tensors]
    return [tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x for x in values]


def _weights(kernel: Any, bias: Any) -> list[Any]:
    return _float32(kernel, tf.zeros(kernel.shape[-1:], kernel.dtype) if bias is None else bias)


def _mask(mask: Any) -> Any:
    return tf.zeros([0, 0], tf.bool) if mask is None else mask


def _concurrent(num_layers: int) -> int:
    """1 in eager execution, which calls one layer after the other."""
    return 1 if tf.executing_eagerly() else num_layers


def simple_rnn(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, mask: Any, recurrent_kernel: Any, *, relu: bool = False,
    backwards: bool = False, keep: bool = True, num_concurrent_layers: int = 1,
) -> Any:  # fmt: skip
    """As `kernels.simple_rnn`."""
    from shared.native import passes

    mask, dtype = _mask(mask), inputs.dtype
    options = [backwards, _multiplies_bfloat16(inputs), relu, _concurrent(num_concurrent_layers)]

    def run(inputs, kernel, bias, hidden, recurrent):
        sequence = [*inputs.shape[:2], hidden.shape[-1]]
        (hiddens,) = _call(passes.simple_rnn, [inputs, kernel, bias, hidden, mask, recurrent, *options], [sequence])

        def gradient(d_hiddens):
            arguments = [d_hiddens, inputs, kernel, bias, hidden, mask, recurrent, *options, hiddens]
            shapes = [sequence, kernel.shape, recurrent.shape, bias.shape, hidden.shape]
            dz, d_kernel, d_recurrent, d_bias, d_hidden = _call(passes.simple_rnn_gradient, arguments, shapes)
            (d_inputs,) = _call(passes.inputs_gradient, [dz, kernel, options[1], options[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, d_hidden, d_recurrent

        return hiddens, gradient

    sources = _float32(inputs), _weights(kernel, bias), _float32(hidden, recurrent_kernel)
    return tf.cast(tf.custom_gradient(run)(*chain(*sources)), dtype)


def lstm(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any, *,
    every_cell: bool = False, backwards: bool = False, keep: bool = True, num_concurrent_layers: int = 1,
) -> tuple[Any, Any]:  # fmt: skip
    """As `kernels.lstm`."""
    from shared.native import passes

    mask, dtype = _mask(mask), inputs.dtype
    options = [backwards, _multiplies_bfloat16(inputs), _concurrent(num_concurrent_layers)]

    def run(inputs, kernel, bias, hidden, cell, recurrent):
        sequence, gates = [*inputs.shape[:2], hidden.shape[-1]], [*inputs.shape[:2], kernel.shape[-1]]
        arguments = [inputs, kernel, bias, hidden, cell, mask, recurrent, *options]
        hiddens, cells, *kept = _call(passes.lstm, arguments, [sequence, sequence, gates, [1]])

        def gradient(d_hiddens, d_cells):
            states = [hidden, cell, mask]
            arguments = [d_hiddens, d_cells, inputs, kernel, bias, *states, recurrent, *options, hiddens, cells, *kept]
            shapes = [gates, kernel.shape, recurrent.shape, bias.shape, hidden.shape, cell.shape]
            dz, d_kernel, d_recurrent, d_bias, *d_states = _call(passes.lstm_gradient, arguments, shapes)
            (d_inputs,) = _call(passes.inputs_gradient, [dz, kernel, options[1], options[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, *d_states, d_recurrent

        last = slice(0, 1) if backwards else slice(-1, None)
        return (hiddens, cells if every_cell else cells[:, last]), gradient

    sources = _float32(inputs), _weights(kernel, bias), _float32(hidden, cell, recurrent_kernel)
    hiddens, cells = tf.custom_gradient(run)(*chain(*sources))
    return tf.cast(hiddens, dtype), cells


def gru(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, mask: Any, recurrent_kernel: Any, candidate_bias: Any, *,
    reset_after: bool, backwards: bool = False, keep: bool = True, num_concurrent_layers: int = 1,
) -> Any:  # fmt: skip
    """As `kernels.gru`."""
    from shared.native import passes

    mask, units, dtype = _mask(mask), hidden.shape[-1], inputs.dtype
    options = [backwards, _multiplies_bfloat16(inputs), reset_after, _concurrent(num_concurrent_layers)]
    candidate_bias = tf.zeros([units], dtype) if candidate_bias is None else candidate_bias

    def run(inputs, kernel, bias, hidden, recurrent, candidate_bias):
        sequence, gates = [*inputs.shape[:2], units], [*inputs.shape[:2], kernel.shape[-1]]
        arguments = [inputs, kernel, bias, hidden, mask, recurrent, candidate_bias, *options]
        hiddens, *kept = _call(passes.gru, arguments, [sequence, gates, sequence, [1]])

        def gradient(d_hiddens):
            weights = [recurrent, candidate_bias, *options]
            arguments = [d_hiddens, inputs, kernel, bias, hidden, mask, *weights, hiddens, *kept]
            sums = gates if reset_after else [0, *gates[1:]]
            shapes = [gates, sums, kernel.shape, recurrent.shape, bias.shape, hidden.shape]
            dz, d_sums, d_kernel, d_recurrent, d_bias, d_hidden = _call(passes.gru_gradient, arguments, shapes)
            d_candidate_bias = tf.reduce_sum(d_sums[..., 2 * units :], axis=[0, 1])
            (d_inputs,) = _call(passes.inputs_gradient, [dz, kernel, options[1], options[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, d_hidden, d_recurrent, d_candidate_bias

        return hiddens, gradient

    sources = _float32(inputs), _weights(kernel, bias), _float32(hidden, recurrent_kernel, candidate_bias)
    return tf.cast(tf.custom_gradient(run)(*chain(*sources)), dtype)
