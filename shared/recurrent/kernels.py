"""Whole recurrent sequences in one pass each way, for TensorFlow on a CPU.

Forward, one matrix product projects the whole input, so that the loop over time holds `h @ U` and the gates only.
Backward, the loop holds `dz @ U.T` only; the weight and input gradients are one matrix product each, afterwards.
All tensors here are time-major: `(time, batch, ...)`.
"""

from typing import Any

import tensorflow as tf

# A gate input this far from zero closes (or opens) a sigmoid exactly, in every float type.
_SHUT = 1e6


def lstm_sequence(
    inputs: tf.Tensor,
    initial_hidden: tf.Tensor,
    initial_cell: tf.Tensor,
    mask: tf.Tensor | None,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    *,
    return_cells: bool = False,
) -> tuple[tf.Tensor, ...]:
    """Run an LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000) over a whole sequence.

        z_t = x_t W + h_{t-1} U + b      split into i, f, g, o as Keras does
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    Where the mask is False, h and c are carried over unchanged. With 16-bit inputs the products are 16-bit; gates,
    cell and sums are float32.

    Args:
        inputs: `(time, batch, features)`, of one float type with the states and the weights.
        initial_hidden: `(batch, units)`.
        initial_cell: `(batch, units)`.
        mask: bool `(time, batch)`, True = real, any pattern; or None.
        kernel: `(features, 4 * units)`.
        recurrent_kernel: `(units, 4 * units)`.
        bias: `(4 * units,)`.
        return_cells: also return the cell at every step, for an attention that reads it.

    Returns:
        `(hidden_sequence, hidden, cell)`, or `(hidden_sequence, cell_sequence, hidden, cell)` with `return_cells`:
        sequences `(time, batch, units)`, last states `(batch, units)`.
    """
    # A custom gradient treats variables among its arguments apart, so they go in as tensors.
    weights = [tf.convert_to_tensor(weight) for weight in (kernel, recurrent_kernel, bias)]
    dtype = inputs.dtype
    gate_dtype = tf.float32 if dtype.size == 2 else dtype
    features: Any = kernel.shape[0]
    units: Any = recurrent_kernel.shape[0]
    time: Any = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]

    def array(size: tf.Tensor | int, width: int, dtype: tf.DType) -> tf.TensorArray:
        return tf.TensorArray(dtype, size=size, element_shape=[inputs.shape[1], width], clear_after_read=False)

    def steps(sequence: tf.Tensor) -> tf.TensorArray:
        return tf.TensorArray(sequence.dtype, size=tf.shape(sequence)[0], clear_after_read=False).unstack(sequence)

    def run(inputs, initial_hidden, initial_cell, kernel, recurrent_kernel, bias):
        # tanh(g) = 2 σ(2g) - 1: with the columns of g doubled, one σ serves all four gates.
        double = tf.constant([1, 1, 2, 1], dtype)[:, None]

        def doubled(weight: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.reshape(weight, [-1, 4, units]) * double, tf.shape(weight))

        projected = tf.matmul(tf.reshape(inputs, [-1, features]), doubled(kernel)) + doubled(bias)
        projected = tf.cast(tf.reshape(projected, [time, -1, 4 * units]), gate_dtype)
        if mask is not None:
            # i and o shut, f open: the cell is carried over and the gates get no gradient. h is carried in the loop.
            carry = tf.repeat(tf.constant([-_SHUT, _SHUT, 0, -_SHUT], gate_dtype), units)
            projected = tf.where(mask[:, :, None], projected, carry)
        projected_steps = steps(projected)
        real_steps = None if mask is None else steps(mask)
        doubled_recurrent = doubled(recurrent_kernel)

        def forward(t, hidden, cell, hiddens, cells, gates):
            z = projected_steps.read(t) + tf.cast(tf.matmul(hidden, doubled_recurrent), gate_dtype)
            gate = tf.sigmoid(z)
            i, f, g, o = tf.split(gate, 4, axis=1)
            cell = f * cell + i * (2 * g - 1)
            new_hidden = tf.cast(o * tf.tanh(cell), dtype)
            if real_steps is not None:
                new_hidden = _rows(real_steps.read(t), new_hidden, hidden)
            hiddens, cells = hiddens.write(t + 1, new_hidden), cells.write(t + 1, cell)
            return t + 1, new_hidden, cell, hiddens, cells, gates.write(t, gate)

        first_cell = tf.cast(initial_cell, gate_dtype)
        # States before each step: the initial ones at 0, those of step t at t + 1.
        hiddens = array(time + 1, units, dtype).write(0, initial_hidden)
        cells = array(time + 1, units, gate_dtype).write(0, first_cell)
        gates = array(time, 4 * units, gate_dtype)
        _, hidden, cell, hiddens, cells, gates = tf.while_loop(
            lambda t, *_: t < time,
            forward,
            (0, initial_hidden, first_cell, hiddens, cells, gates),
            maximum_iterations=time,
            parallel_iterations=1,
        )
        # Stacked: a SavedModel cannot hold a gradient that captures a TensorArray.
        hidden_sequence, cell_sequence, gate_sequence = hiddens.stack(), cells.stack(), gates.stack()

        def gradient(d_hidden_sequence, *d_rest):
            *d_cell_sequence, d_hidden, d_cell = d_rest
            transposed_recurrent = tf.transpose(recurrent_kernel)
            d_hidden_steps = steps(tf.cast(d_hidden_sequence, gate_dtype))
            cell_steps, gate_steps = steps(cell_sequence), steps(gate_sequence)
            real_steps = None if mask is None else steps(mask)
            d_cell_steps = [steps(tf.cast(d, gate_dtype)) for d in d_cell_sequence]

            def backward(t, d_hidden, d_cell, d_gates):
                d_hidden += d_hidden_steps.read(t)
                for d in d_cell_steps:
                    d_cell += d.read(t)
                gate = gate_steps.read(t)
                i, f, g, o = tf.split(gate, 4, axis=1)
                squashed = tf.tanh(cell_steps.read(t + 1))
                d_cell += d_hidden * o * (1 - squashed * squashed)
                d_gate = [d_cell * (2 * g - 1), d_cell * cell_steps.read(t), d_cell * (4 * i), d_hidden * squashed]
                d_gate = tf.concat(d_gate, axis=1) * (gate * (1 - gate))
                d_gate = tf.cast(d_gate, dtype)
                d_previous = tf.cast(tf.matmul(d_gate, transposed_recurrent), gate_dtype)
                if real_steps is not None:
                    d_previous = _rows(real_steps.read(t), d_previous, d_hidden)
                return t - 1, d_previous, d_cell * f, d_gates.write(t, d_gate)

            _, d_initial_hidden, d_initial_cell, d_gates = tf.while_loop(
                lambda t, *_: t >= 0,
                backward,
                (time - 1, tf.cast(d_hidden, gate_dtype), tf.cast(d_cell, gate_dtype), array(time, 4 * units, dtype)),
                maximum_iterations=time,
                parallel_iterations=1,
            )
            d_gate = tf.reshape(d_gates.stack(), [-1, 4 * units])
            return (
                tf.reshape(tf.matmul(d_gate, kernel, transpose_b=True), tf.shape(inputs)),
                tf.cast(d_initial_hidden, dtype),
                tf.cast(d_initial_cell, dtype),
                tf.matmul(tf.reshape(inputs, [-1, features]), d_gate, transpose_a=True),
                tf.matmul(tf.reshape(hidden_sequence[:-1], [-1, units]), d_gate, transpose_a=True),
                tf.cast(tf.reduce_sum(tf.cast(d_gate, gate_dtype), axis=0), dtype),
            )

        sequences = [hidden_sequence[1:]]
        if return_cells:
            sequences.append(tf.cast(cell_sequence[1:], dtype))
        return (*sequences, hidden, tf.cast(cell, dtype)), gradient

    return tf.custom_gradient(run)(inputs, initial_hidden, initial_cell, *weights)


def _rows(chosen: tf.Tensor, then: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
    """Rows of `then` where `chosen` `(batch,)` is True, else of `otherwise`; both `(batch, units)`.

    The older Select op copies whole rows; `tf.where` would broadcast the condition to every element.
    """
    return tf.raw_ops.Select(condition=chosen, x=then, y=otherwise)
