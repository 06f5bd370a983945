"""Whole recurrent sequences in one pass each way, for TensorFlow on a CPU.

Forward, one matrix product projects the whole input, so that the loop over time holds `h @ U` and the gates only. What
the derivatives need of each step is computed for all steps at once after the loop; so backward, the loop holds
`dz @ U.T` and a few products only, and the weight gradients are one matrix product each, afterwards.

All tensors here are time-major: `(time, batch, ...)`. The recurrences also take `(time, directions, batch, ...)`, with
weights `(directions, ...)`: independent sequences side by side in one loop. With 16-bit inputs the products are 16-bit;
gates, states and sums are float32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# A gate input this far from zero closes (or opens) a sigmoid exactly, in every float type.
_SHUT = 1e6


def _gate_dtype(dtype: tf.DType) -> tf.DType:
    return tf.float32 if dtype.size == 2 else dtype


def _loop(step: Callable, state: Sequence[Any], sequences: Sequence[Any], written: Sequence[Any], *, backwards=False):
    """Takes `state, outputs = step(state, *at_t)` over time, first to last or last to first, in one loop.

    Args:
        step: of the state before it and what the sequences hold at its time.
        state: tensors of the first state.
        sequences: tensors `(time, ...)`.
        written: for each output of a step a tensor of its shape and type.
        backwards: from the last step to the first.

    Returns:
        The last state, and the outputs as sequences in order of time.
    """
    time: Any = sequences[0].shape[0] or tf.shape(sequences[0])[0]
    reads = [tf.TensorArray(x.dtype, size=time, clear_after_read=False).unstack(x) for x in sequences]
    writes = [tf.TensorArray(x.dtype, size=time, element_shape=x.shape) for x in written]

    def body(t, state, writes):
        state, outputs = step(state, *(array.read(t) for array in reads))
        return t + (-1 if backwards else 1), state, [a.write(t, x) for a, x in zip(writes, outputs, strict=True)]

    _, state, writes = tf.while_loop(
        lambda t, *_: t >= 0 if backwards else t < time,
        body,
        (time - 1 if backwards else 0, list(state), writes),
        maximum_iterations=time,
        parallel_iterations=1,
    )
    return state, [array.stack() for array in writes]


def _before(first: Any, sequence: Any) -> Any:
    """The states before each step, from the first and those after each."""
    return tf.concat([first[None], sequence[:-1]], axis=0)


def _recurrent_gradient(hidden: Any, d_product: Any) -> Any:
    """The sum over time of h' @ d: `(time, [directions,] batch, ...)` twice -> `([directions,] units, width)`."""
    if hidden.shape.rank == 3:
        return tf.matmul(_rows(hidden), _rows(d_product), transpose_a=True)
    by_direction = (
        tf.reshape(tf.transpose(x, [1, 0, 2, 3]), [x.shape[1], -1, x.shape[-1]]) for x in (hidden, d_product)
    )
    return tf.matmul(*by_direction, transpose_a=True)


def _rows(x: Any) -> Any:
    return tf.reshape(x, [-1, x.shape[-1]])


def _choose(chosen: Any, then: Any, otherwise: Any) -> Any:
    """Rows of `then` where `chosen` `([directions,] batch)` is True, else of `otherwise`; both `(..., batch, units)`.

    The older Select op copies whole rows; `tf.where` would broadcast the condition to every element.
    """
    rows = tf.raw_ops.Select(condition=tf.reshape(chosen, [-1]), x=_rows(then), y=_rows(otherwise))
    return rows if then.shape.rank == 2 else tf.reshape(rows, tf.shape(then))


def project(inputs: Any, kernel: Any, bias: Any) -> Any:
    """x W + b for all steps: `(time, batch, features)` -> `(time, batch, width)`."""
    projected = tf.matmul(_rows(inputs), kernel)
    if bias is not None:
        projected += bias
    return tf.reshape(projected, [*_shape(inputs)[:-1], kernel.shape[-1]])


def _shape(x: Any) -> list[Any]:
    dynamic = tf.shape(x)
    return [dynamic[i] if size is None else size for i, size in enumerate(x.shape)]


def simple_rnn(projected: Any, hidden: Any, mask: Any, recurrent_kernel: Any, *, relu: bool = False) -> Any:
    """h_t = f(z_t + h_{t-1} U), f being tanh or relu; where the mask is False, h is carried over.

    Args:
        projected: z, `(time, batch, units)`.
        hidden: the first h, `(batch, units)`.
        mask: bool `(time, batch)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, units)`.
        relu: instead of tanh.

    Returns:
        h after each step, `(time, batch, units)`.
    """
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    masks = [] if mask is None else [mask]

    def run(projected, hidden, kernel):
        def forward(state, z, *real):
            (before,) = state
            after = tf.cast(z, gate) + tf.cast(tf.matmul(before, kernel), gate)
            after = tf.cast(tf.nn.relu(after) if relu else tf.tanh(after), dtype)
            for chosen in real:
                after = _choose(chosen, after, before)
            return [after], [after]

        _, (hiddens,) = _loop(forward, [hidden], [projected, *masks], [hidden])

        def gradient(d_hiddens):
            slope = tf.cast(hiddens > 0, gate) if relu else 1 - tf.square(tf.cast(hiddens, gate))
            if mask is not None:
                slope = tf.where(mask[..., None], slope, 0)
            transposed = tf.linalg.matrix_transpose(kernel)

            def backward(state, d_hidden, slope, *real):
                d_hidden = state[0] + tf.cast(d_hidden, gate)
                dz = tf.cast(d_hidden * slope, dtype)
                d_before = tf.cast(tf.matmul(dz, transposed), gate)
                for chosen in real:
                    d_before = _choose(chosen, d_before, d_hidden)
                return [d_before], [dz]

            (d_hidden,), (dz,) = _loop(
                backward, [tf.zeros_like(hidden, gate)], [d_hiddens, slope, *masks], [hidden], backwards=True
            )
            return dz, tf.cast(d_hidden, dtype), _recurrent_gradient(_before(hidden, hiddens), dz)

        return hiddens, gradient

    return tf.custom_gradient(run)(projected, hidden, tf.convert_to_tensor(recurrent_kernel))


def doubled_candidate(weight: Any) -> Any:
    """LSTM weights `(..., 4 units)` with the columns of g doubled: tanh(g) = 2 σ(2g) - 1, so one σ serves all gates."""
    return tf.reshape(
        tf.reshape(weight, [*weight.shape[:-1], 4, -1]) * tf.constant([1, 1, 2, 1], weight.dtype)[:, None],
        weight.shape,
    )


def lstm(projected: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any) -> tuple[Any, Any]:
    """The LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        z_t + h_{t-1} U      split into i, f, g, o as Keras does
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    Where the mask is False, h and c are carried over.

    Args:
        projected: z, `(time, batch, 4 units)`, from weights with `doubled_candidate`.
        hidden, cell: the first h and c, `(batch, units)`.
        mask: bool `(time, batch)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, 4 units)`, likewise doubled.

    Returns:
        h and c after each step, `(time, batch, units)`; c in float32 at least.
    """
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    masks = [] if mask is None else [mask]
    units = hidden.shape[-1]

    def run(projected, hidden, cell, kernel):
        opened = tf.cast(projected, gate)
        if mask is not None:
            # i and o shut, f open: the cell is carried over and the gates get no gradient. h is carried in the loop.
            carry = tf.repeat(tf.constant([-_SHUT, _SHUT, 0, -_SHUT], gate), units)
            opened = tf.where(mask[..., None], opened, carry)

        def forward(state, z, *real):
            before, cell = state
            gates = tf.sigmoid(z + tf.cast(tf.matmul(before, kernel), gate))
            i, f, g, o = tf.split(gates, 4, axis=-1)
            cell = f * cell + i * (2 * g - 1)
            after = tf.cast(o * tf.tanh(cell), dtype)
            for chosen in real:
                after = _choose(chosen, after, before)
            return [after, cell], [after, cell, gates]

        _, (hiddens, cells, gates) = _loop(forward, [hidden, cell], [opened, *masks], [hidden, cell, opened[0]])

        def gradient(d_hiddens, d_cells):
            i, f, g, o = tf.split(gates, 4, axis=-1)
            squashed = tf.tanh(cells)
            to_cell = o * (1 - squashed * squashed)
            to_gates = tf.concat([2 * g - 1, _before(cell, cells), 2 * i, squashed], axis=-1) * (gates * (1 - gates))
            transposed = tf.linalg.matrix_transpose(kernel)

            def backward(state, d_hidden, d_cell, to_cell, to_gates, f, *real):
                d_hidden = state[0] + tf.cast(d_hidden, gate)
                d_cell = state[1] + d_cell + d_hidden * to_cell
                dz = tf.cast(tf.concat([d_cell, d_cell, d_cell, d_hidden], axis=-1) * to_gates, dtype)
                d_before = tf.cast(tf.matmul(dz, transposed), gate)
                for chosen in real:
                    d_before = _choose(chosen, d_before, d_hidden)
                return [d_before, d_cell * f], [dz]

            (d_hidden, d_cell), (dz,) = _loop(
                backward,
                [tf.zeros_like(cell), tf.zeros_like(cell)],
                [d_hiddens, d_cells, to_cell, to_gates, f, *masks],
                [projected[0]],
                backwards=True,
            )
            return dz, tf.cast(d_hidden, dtype), d_cell, _recurrent_gradient(_before(hidden, hiddens), dz)

        return (hiddens, cells), gradient

    return tf.custom_gradient(run)(projected, hidden, tf.cast(cell, gate), tf.convert_to_tensor(recurrent_kernel))


def gru(
    projected: Any, hidden: Any, mask: Any, recurrent_kernel: Any, recurrent_bias: Any, *, reset_after: bool
) -> Any:
    """The GRU (Cho et al. 2014).

        z_t + [h_{t-1} U + b]        split into u (update), r (reset), g (candidate) as Keras does
        g = tanh(z_g + r * (h U_g + b_g))   with `reset_after`, as cuDNN does
        g = tanh(z_g + (r * h) U_g)         without
        h_t = σ(u) h_{t-1} + (1 - σ(u)) g

    Where the mask is False, h is carried over.

    Args:
        projected: z, `(time, batch, 3 units)`.
        hidden: the first h, `(batch, units)`.
        mask: bool `(time, batch)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, 3 units)`.
        recurrent_bias: b, `(3 units,)`, or None; with `reset_after` alone.
        reset_after: whether the reset gate works on the product or on h.

    Returns:
        h after each step, `(time, batch, units)`.
    """
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    units = hidden.shape[-1]
    if recurrent_bias is None:
        recurrent_bias = tf.zeros([*recurrent_kernel.shape[:-2], 3 * units], dtype)

    def shut(projected: Any) -> Any:
        """u open where the mask is False: h is carried over exactly and the gates get no gradient."""
        opened = tf.cast(projected, gate)
        if mask is None:
            return opened
        return tf.where(mask[..., None], opened, tf.repeat(tf.constant([_SHUT, 0, 0], gate), units))

    def run_after(projected, hidden, kernel, bias):
        bias = tf.cast(bias if bias.shape.rank == 1 else bias[:, None], gate)

        def forward(state, z):
            (before,) = state
            product = tf.cast(tf.matmul(tf.cast(before, dtype), kernel), gate) + bias
            z_gates, z_candidate = tf.split(z, [2 * units, units], axis=-1)
            product_gates, product_candidate = tf.split(product, [2 * units, units], axis=-1)
            gates = tf.sigmoid(z_gates + product_gates)
            u, r = tf.split(gates, 2, axis=-1)
            g = tf.tanh(z_candidate + r * product_candidate)
            after = u * before + (1 - u) * g
            return [after], [after, gates, g, product_candidate]

        first, opened = tf.cast(hidden, gate), shut(projected)
        _, (hiddens, gates, g, product) = _loop(
            forward, [first], [opened], [first, opened[0][..., : 2 * units], first, first]
        )

        def gradient(d_hiddens):
            u, r = tf.split(gates, 2, axis=-1)
            befores = _before(first, hiddens)
            to_g = (1 - u) * (1 - g * g)
            to_u, to_r = (befores - g) * u * (1 - u), to_g * product * r * (1 - r)
            to_product = tf.concat([to_u, to_r, to_g * r], axis=-1)
            transposed = tf.linalg.matrix_transpose(kernel)

            def backward(state, d_hidden, to_product, u):
                d_hidden = state[0] + tf.cast(d_hidden, gate)
                d_product = tf.cast(tf.concat([d_hidden] * 3, axis=-1) * to_product, dtype)
                d_before = tf.cast(tf.matmul(d_product, transposed), gate) + d_hidden * u
                return [d_before], [d_product, d_hidden]

            (d_hidden,), (d_product, d_totals) = _loop(
                backward, [tf.zeros_like(first)], [d_hiddens, to_product, u], [projected[0], first], backwards=True
            )
            d_projected = tf.concat([d_product[..., : 2 * units], tf.cast(d_totals * to_g, dtype)], axis=-1)
            over = [0, 1] if bias.shape.rank == 1 else [0, 2]
            return (
                d_projected,
                tf.cast(d_hidden, dtype),
                _recurrent_gradient(tf.cast(befores, dtype), d_product),
                tf.cast(tf.reduce_sum(tf.cast(d_product, gate), axis=over), dtype),
            )

        return tf.cast(hiddens, dtype), gradient

    def run_before(projected, hidden, kernel):
        kernel_gates, kernel_candidate = tf.split(kernel, [2 * units, units], axis=-1)

        def forward(state, z):
            (before,) = state
            z_gates, z_candidate = tf.split(z, [2 * units, units], axis=-1)
            gates = tf.sigmoid(z_gates + tf.cast(tf.matmul(tf.cast(before, dtype), kernel_gates), gate))
            u, r = tf.split(gates, 2, axis=-1)
            g = tf.tanh(z_candidate + tf.cast(tf.matmul(tf.cast(r * before, dtype), kernel_candidate), gate))
            after = u * before + (1 - u) * g
            return [after], [after, gates, g]

        first, opened = tf.cast(hidden, gate), shut(projected)
        _, (hiddens, gates, g) = _loop(forward, [first], [opened], [first, opened[0][..., : 2 * units], first])

        def gradient(d_hiddens):
            u, r = tf.split(gates, 2, axis=-1)
            befores = _before(first, hiddens)
            to_g, to_u, to_r = (1 - u) * (1 - g * g), (befores - g) * u * (1 - u), befores * r * (1 - r)
            transposed_gates = tf.linalg.matrix_transpose(kernel_gates)
            transposed_candidate = tf.linalg.matrix_transpose(kernel_candidate)

            def backward(state, d_hidden, to_g, to_u, to_r, u, r):
                d_hidden = state[0] + tf.cast(d_hidden, gate)
                d_g = tf.cast(d_hidden * to_g, dtype)
                d_reset = tf.cast(tf.matmul(d_g, transposed_candidate), gate)
                d_gates = tf.cast(tf.concat([d_hidden * to_u, d_reset * to_r], axis=-1), dtype)
                d_before = tf.cast(tf.matmul(d_gates, transposed_gates), gate) + d_hidden * u + d_reset * r
                return [d_before], [tf.concat([d_gates, d_g], axis=-1)]

            (d_hidden,), (dz,) = _loop(
                backward, [tf.zeros_like(first)], [d_hiddens, to_g, to_u, to_r, u, r], [projected[0]], backwards=True
            )
            d_gates, d_g = tf.split(dz, [2 * units, units], axis=-1)
            d_kernel = [
                _recurrent_gradient(tf.cast(befores, dtype), d_gates),
                _recurrent_gradient(tf.cast(r * befores, dtype), d_g),
            ]
            return dz, tf.cast(d_hidden, dtype), tf.concat(d_kernel, axis=-1)

        return tf.cast(hiddens, dtype), gradient

    kernel = tf.convert_to_tensor(recurrent_kernel)
    if reset_after:
        return tf.custom_gradient(run_after)(projected, hidden, kernel, tf.convert_to_tensor(recurrent_bias))
    return tf.custom_gradient(run_before)(projected, hidden, kernel)
