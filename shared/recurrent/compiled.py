"""The kernels of `shared.recurrent.kernels` over compiled loops: faster, for training in float32 and float64 on a CPU.

Same functions, arguments and results. A graph holds them as calls into this process, so they are not for what is to be
saved and served: there the kernels in the graph do the same. One argument is their own: `parts`, of how many that run
at the same time a call is one, so that it takes that share of the cores; and `keep` changes nothing, all is kept.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf


@cache
def available() -> bool:
    """Whether loops can be compiled here."""
    try:
        import numba  # noqa: F401  # not on every platform that TensorFlow is on
    except ImportError:
        return False
    return True


def fits(dtype: Any) -> bool:
    """Whether these kernels can compute in this type where the call stands: not within XLA."""
    graph: Any = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        if context is not None and context.IsXLAContext():
            return False
        graph = getattr(graph, "outer_graph", None)
    return tf.as_dtype(dtype) in (tf.float32, tf.float64) and available()


def _no_slopes(like, *slopes):
    """Zeros. A persistent tape around a function asks for derivatives of derivatives too, times zeros."""
    if any(slope.any() for slope in slopes):
        raise NotImplementedError(
            "the compiled recurrent kernels have first derivatives only; layers that are called with training=False"
            " have second ones too"
        )
    return np.zeros_like(like)


def _call(loop: Callable, inputs: Sequence[Any], shapes: Sequence[Sequence[int | None]]) -> list[Any]:
    """What the loop returns for the inputs, of the first one's type and of these shapes."""

    def call(*inputs):
        def second(*slopes):
            return [tf.numpy_function(_no_slopes, [x, *slopes], x.dtype, stateful=False) for x in inputs]

        outputs = tf.nest.flatten(tf.numpy_function(loop, inputs, [inputs[0].dtype] * len(shapes), stateful=False))
        return [tf.ensure_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)], second

    return tf.custom_gradient(call)(*inputs)


def _weights(kernel: Any, bias: Any) -> tuple[Any, Any]:
    kernel = tf.convert_to_tensor(kernel)
    return kernel, tf.zeros(kernel.shape[-1:], kernel.dtype) if bias is None else tf.convert_to_tensor(bias)


def _mask(mask: Any) -> Any:
    return tf.zeros([0, 0], tf.bool) if mask is None else mask


def _parts(parts: int) -> int:
    """One where calls are made one after another."""
    return 1 if tf.executing_eagerly() else parts


def simple_rnn(
    inputs: Any,
    kernel: Any,
    bias: Any,
    hidden: Any,
    mask: Any,
    recurrent_kernel: Any,
    *,
    relu: bool = False,
    backwards: bool = False,
    keep: bool = True,
    parts: int = 1,
) -> Any:
    """See `kernels.simple_rnn`."""
    from shared.native import loops

    mask, how = _mask(mask), [backwards, relu, _parts(parts)]

    def run(inputs, kernel, bias, hidden, recurrent):
        states = [*inputs.shape[:2], hidden.shape[-1]]
        (hiddens,) = _call(loops.simple_rnn, [inputs, kernel, bias, hidden, mask, recurrent, *how], [states])

        def gradient(d_hiddens):
            known = [d_hiddens, inputs, kernel, bias, hidden, mask, recurrent, *how, hiddens]
            shapes = [states, kernel.shape, recurrent.shape, bias.shape, hidden.shape]
            dz, d_kernel, d_recurrent, d_bias, d_hidden = _call(loops.simple_rnn_gradient, known, shapes)
            (d_inputs,) = _call(loops.inputs_gradient, [dz, kernel, how[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, d_hidden, d_recurrent

        return hiddens, gradient

    return tf.custom_gradient(run)(inputs, *_weights(kernel, bias), hidden, tf.convert_to_tensor(recurrent_kernel))


def lstm(
    inputs: Any,
    kernel: Any,
    bias: Any,
    hidden: Any,
    cell: Any,
    mask: Any,
    recurrent_kernel: Any,
    *,
    every_cell: bool = False,
    backwards: bool = False,
    keep: bool = True,
    parts: int = 1,
) -> tuple[Any, Any]:
    """See `kernels.lstm`."""
    from shared.native import loops

    mask, how = _mask(mask), [backwards, _parts(parts)]

    def run(inputs, kernel, bias, hidden, cell, recurrent):
        states, wide = [*inputs.shape[:2], hidden.shape[-1]], [*inputs.shape[:2], kernel.shape[-1]]
        known = [inputs, kernel, bias, hidden, cell, mask, recurrent, *how]
        hiddens, cells, *kept = _call(loops.lstm, known, [states, states, wide, [1]])

        def gradient(d_hiddens, d_cells):
            first = [hidden, cell, mask]
            known = [d_hiddens, d_cells, inputs, kernel, bias, *first, recurrent, *how, hiddens, cells, *kept]
            shapes = [wide, kernel.shape, recurrent.shape, bias.shape, hidden.shape, cell.shape]
            dz, d_kernel, d_recurrent, d_bias, *d_first = _call(loops.lstm_gradient, known, shapes)
            (d_inputs,) = _call(loops.inputs_gradient, [dz, kernel, how[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, *d_first, d_recurrent

        last = slice(0, 1) if backwards else slice(-1, None)
        return (hiddens, cells if every_cell else cells[:, last]), gradient

    weights = _weights(kernel, bias)
    return tf.custom_gradient(run)(inputs, *weights, hidden, cell, tf.convert_to_tensor(recurrent_kernel))


def gru(
    inputs: Any,
    kernel: Any,
    bias: Any,
    hidden: Any,
    mask: Any,
    recurrent_kernel: Any,
    candidate_bias: Any,
    *,
    reset_after: bool,
    backwards: bool = False,
    keep: bool = True,
    parts: int = 1,
) -> Any:
    """See `kernels.gru`."""
    from shared.native import loops

    mask, units, how = _mask(mask), hidden.shape[-1], [backwards, reset_after, _parts(parts)]
    of_candidate = tf.zeros([units], inputs.dtype) if candidate_bias is None else candidate_bias

    def run(inputs, kernel, bias, hidden, recurrent, of_candidate):
        states, wide = [*inputs.shape[:2], units], [*inputs.shape[:2], kernel.shape[-1]]
        known = [inputs, kernel, bias, hidden, mask, recurrent, of_candidate, *how]
        hiddens, *kept = _call(loops.gru, known, [states, wide, states, [1]])

        def gradient(d_hiddens):
            weights = [recurrent, of_candidate, *how]
            known = [d_hiddens, inputs, kernel, bias, hidden, mask, *weights, hiddens, *kept]
            sums = wide if reset_after else [0, *wide[1:]]
            shapes = [wide, sums, kernel.shape, recurrent.shape, bias.shape, hidden.shape]
            dz, d_sums, d_kernel, d_recurrent, d_bias, d_hidden = _call(loops.gru_gradient, known, shapes)
            d_candidate = tf.reduce_sum(d_sums[..., 2 * units :], axis=[0, 1])
            (d_inputs,) = _call(loops.inputs_gradient, [dz, kernel, how[-1]], [inputs.shape])
            return d_inputs, d_kernel, d_bias, d_hidden, d_recurrent, d_candidate

        return hiddens, gradient

    recurrent = tf.convert_to_tensor(recurrent_kernel)
    return tf.custom_gradient(run)(inputs, *_weights(kernel, bias), hidden, recurrent, of_candidate)
