"""Forward and backward passes of whole sequences over NumPy arrays: the compiled loops on threads.

Arrays are C-contiguous float32, or bool for masks. Arguments are those of the functions of the same names in
`shared.recurrent.kernels`, except: biases are always given; an empty mask means none; `num_concurrent` is the number of
calls that run at the same time, each on its part of the cores. With `bfloat16` factors of products are rounded to it,
which needs a processor that multiplies such numbers. Gradients also take what the forward pass returned.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from shared.native import bfloat16 as bfloat16_products
from shared.native import loops
from shared.native.buffers import BufferPool
from shared.native.products import run_on_threads, scratch_shape, thread_count

Array = np.ndarray
_pool = BufferPool()


def _run(loop: Callable, hidden: Array, columns: int, bfloat16: bool, num_concurrent: int, *arguments: Any) -> None:
    """Runs a recurrent loop, whose recurrent kernel is `(units, columns)`."""
    _check_products(bfloat16)
    batch, units = hidden.shape
    num_threads = thread_count(units, num_concurrent)
    scratch = _pool.empty(*scratch_shape(num_threads, batch, units, columns, bool(bfloat16)))
    run_on_threads(loop, num_threads, scratch, *arguments)


def _check_products(bfloat16: bool) -> None:
    if bfloat16 and not bfloat16_products.is_available():
        raise ValueError("this process has no instructions for products of bfloat16 numbers")


def _check(inputs: Array, kernel: Array, bias: Array, mask: Array, recurrent_kernel: Array, gates: int, *states: Array):
    """Raises ValueError if types or shapes do not fit, since machine code does not check bounds."""
    (batch, time, features), units = inputs.shape, len(recurrent_kernel)
    for x in (inputs, kernel, bias, recurrent_kernel, *states):
        if x.dtype != np.float32:
            raise ValueError(f"the compiled loops compute in float32. Received: {x.dtype}")
    if not kernel.shape[1:] == recurrent_kernel.shape[1:] == bias.shape == (gates * units,):
        raise ValueError(
            f"kernel, recurrent kernel and bias must be {gates * units} wide for {units} units."
            f" Received: {kernel.shape}, {recurrent_kernel.shape}, {bias.shape}"
        )
    for state in states:
        if state.shape != (batch, units):
            raise ValueError(f"states must be {(batch, units)}, (batch, units). Received: {state.shape}")
    if len(kernel) != features:
        raise ValueError(f"inputs must have {len(kernel)} features. Received: {features}")
    if mask.size and mask.shape != (batch, time):
        raise ValueError(f"the mask must be {(batch, time)}, (batch, time). Received: {mask.shape}")


def _like(*arrays: Array) -> list[Array]:
    return [_pool.empty(*x.shape) for x in arrays]


def _sequences(inputs: Array, *widths: int) -> list[Array]:
    """An array `(batch, time, width)` for each width."""
    return [_pool.empty(*inputs.shape[:2], width) for width in widths]


def simple_rnn(
    inputs: Array, kernel: Array, bias: Array, hidden: Array, mask: Array, recurrent_kernel: Array, backwards: bool,
    bfloat16: bool, relu: bool, num_concurrent: int,
) -> Array:  # fmt: skip
    """h after each step, `(batch, time, units)`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 1, hidden)
    (hiddens,) = _sequences(inputs, len(recurrent_kernel))
    options = map(bool, (backwards, bfloat16, relu))
    arguments = inputs, kernel, bias, hidden, mask, recurrent_kernel, *options, hiddens
    _run(loops.simple_rnn_forward, hidden, bias.size, bfloat16, num_concurrent, *arguments)
    return hiddens


def simple_rnn_gradient(
    d_hiddens: Array, inputs: Array, kernel: Array, bias: Array, hidden: Array, mask: Array, recurrent_kernel: Array,
    backwards: bool, bfloat16: bool, relu: bool, num_concurrent: int, hiddens: Array,
) -> list[Array]:  # fmt: skip
    """The gradients of z `(batch, time, units)`, W, U, b and the initial h, from dL/dh after every step."""
    results = _like(hiddens, kernel, recurrent_kernel, bias, hidden)
    options = map(bool, (backwards, bfloat16, relu))
    arguments = d_hiddens, inputs, hidden, mask, recurrent_kernel, *options, hiddens
    _run(loops.simple_rnn_backward, hidden, bias.size, bfloat16, num_concurrent, *arguments, *results)
    return results


def lstm(
    inputs: Array, kernel: Array, bias: Array, hidden: Array, cell: Array, mask: Array, recurrent_kernel: Array,
    backwards: bool, bfloat16: bool, num_concurrent: int,
) -> list[Array]:  # fmt: skip
    """h and c after each step, `(batch, time, units)`; the gates, `(batch, time, 4 units)`; `(1,)`, see `_claim`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 4, hidden, cell)
    units = len(recurrent_kernel)
    results = _sequences(inputs, units, units, 4 * units)
    arguments = inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, bool(backwards), bool(bfloat16)
    _run(loops.lstm_forward, hidden, bias.size, bfloat16, num_concurrent, *arguments, *results)
    return [*results, np.zeros(1, np.float32)]


def lstm_gradient(
    d_hiddens: Array, d_cells: Array, inputs: Array, kernel: Array, bias: Array, hidden: Array, cell: Array,
    mask: Array, recurrent_kernel: Array, backwards: bool, bfloat16: bool, num_concurrent: int, hiddens: Array,
    cells: Array, gates: Array, claimed: Array,
) -> list[Array]:  # fmt: skip
    """The gradients of z `(batch, time, 4 units)`, W, U, b, the initial h and the initial c.

    `d_hiddens`: dL/dh after every step. `d_cells`: dL/dc after every step, or after the last one, `(batch, 1, units)`.
    """
    if not _claim(claimed):
        gates = lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, backwards, bfloat16, num_concurrent)[2]
    results = _like(kernel, recurrent_kernel, bias, hidden, cell)
    arguments = d_hiddens, d_cells, inputs, hidden, cell, mask, recurrent_kernel, bool(backwards), bool(bfloat16)
    kept = hiddens, cells, gates
    _run(loops.lstm_backward, hidden, bias.size, bfloat16, num_concurrent, *arguments, *kept, *results)
    return [gates, *results]


def gru(
    inputs: Array, kernel: Array, bias: Array, hidden: Array, mask: Array, recurrent_kernel: Array,
    candidate_bias: Array, backwards: bool, bfloat16: bool, reset_after: bool, num_concurrent: int,
) -> list[Array]:  # fmt: skip
    """h after each step; the gates, `(batch, time, 3 units)`; the factors of `gru_forward`; `(1,)`, see `_claim`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 3, hidden)
    units = len(recurrent_kernel)
    results = _sequences(inputs, units, 3 * units, units)
    options = map(bool, (backwards, bfloat16, reset_after))
    arguments = inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, *options
    _run(loops.gru_forward, hidden, bias.size, bfloat16, num_concurrent, *arguments, *results)
    return [*results, np.zeros(1, np.float32)]


def gru_gradient(
    d_hiddens: Array, inputs: Array, kernel: Array, bias: Array, hidden: Array, mask: Array, recurrent_kernel: Array,
    candidate_bias: Array, backwards: bool, bfloat16: bool, reset_after: bool, num_concurrent: int, hiddens: Array,
    gates: Array, factors: Array, claimed: Array,
) -> list[Array]:  # fmt: skip
    """The gradients of z and, with `reset_after`, of h U, both `(batch, time, 3 units)`; of W, U, b and the initial h.

    `d_hiddens`: dL/dh after every step.
    """
    if not _claim(claimed):
        arguments = inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias
        gates = gru(*arguments, backwards, bfloat16, reset_after, num_concurrent)[1]
    d_sums, *results = _like(gates if reset_after else gates[:0], kernel, recurrent_kernel, bias, hidden)
    options = map(bool, (backwards, bfloat16, reset_after))
    arguments = d_hiddens, inputs, hidden, mask, recurrent_kernel, *options, hiddens, factors
    _run(loops.gru_backward, hidden, bias.size, bfloat16, num_concurrent, *arguments, gates, d_sums, *results)
    return [gates, d_sums, *results]


def _claim(claimed: Array) -> bool:
    """Whether the caller may overwrite the gates of a forward pass with their derivatives.

    True for the first caller. Another one, by a persistent tape, has to repeat the forward pass.
    """
    with _claim_lock:
        first = claimed[0] == 0
        claimed[0] = 1
    return bool(first)


_claim_lock = threading.Lock()


def inputs_gradient(dz: Array, kernel: Array, bfloat16: bool, num_concurrent: int) -> Array:
    """dL/dx `(batch, time, features)` from dL/dz `(batch, time, width)`."""
    batch, time, _ = dz.shape
    _check_products(bfloat16)
    features, bfloat16 = len(kernel), bool(bfloat16)
    num_threads = thread_count(features, num_concurrent)
    scratch = _pool.empty(*scratch_shape(num_threads, 1, 0, features, bfloat16))
    d_inputs = _pool.empty(batch, time, features)
    run_on_threads(loops.inputs_gradient, num_threads, scratch, dz, kernel, bfloat16, d_inputs)
    return d_inputs


def compile_loops(cell: str) -> None:
    """Compiles what trains a cell, "simple_rnn", "lstm" or "gru", by calling it once; the cache keeps the result."""
    ones = partial(np.ones, dtype=np.float32)
    inputs, states, hidden, mask = ones((2, 3, 4)), ones((2, 3, 5)), ones((2, 5)), np.ones((2, 3), bool)
    gates = {"simple_rnn": 1, "lstm": 4, "gru": 3}[cell]
    kernel, recurrent_kernel, bias = ones((4, 5 * gates)), ones((5, 5 * gates)), ones(5 * gates)
    weights = inputs, kernel, bias, hidden
    if cell == "simple_rnn":
        arguments = *weights, mask, recurrent_kernel, False, False, False, 1
        dz, *_ = simple_rnn_gradient(states, *arguments, simple_rnn(*arguments))
    elif cell == "lstm":
        arguments = *weights, hidden, mask, recurrent_kernel, False, False, 1
        dz, *_ = lstm_gradient(states, states, *arguments, *lstm(*arguments))
    else:
        arguments = *weights, mask, recurrent_kernel, ones(5), False, False, True, 1
        dz, *_ = gru_gradient(states, *arguments, *gru(*arguments))
    inputs_gradient(dz, kernel, False, 1)
