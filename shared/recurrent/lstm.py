"""`keras.layers.LSTM` with the fused kernel inside: same weights, config and results, less time on a CPU."""

from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class LSTM(keras.layers.LSTM):
    """A `keras.layers.LSTM` that computes its sequence with `lstm_sequence`.

    It steps aside for Keras' own loop where that kernel does not apply: on JAX and torch; on a GPU, where Keras takes
    cuDNN; with other activations than tanh and sigmoid, `recurrent_dropout`, `unroll` or `implementation=1`.

    Args:
        units: size of h and c.
        return_cells: also return the cell c_t at every step, which the visual sentinel reads (Lu et al. 2017,
            section 2.3): `(hidden_sequence, cell_sequence[, h, c])`, the sequences `(batch, time, units)`.
        **kwargs: the options of `keras.layers.LSTM`.

    Raises:
        ValueError: `return_cells` without `return_sequences`, or with `unroll`.
    """

    def __init__(self, units, *, return_cells=False, **kwargs):
        super().__init__(units, **kwargs)
        if return_cells and not self.return_sequences:
            raise ValueError("return_cells=True needs return_sequences=True. Received: return_sequences=False")
        if return_cells and self.unroll:
            raise ValueError("return_cells=True needs unroll=False. Received: unroll=True")
        self.return_cells = return_cells

    @property
    def is_fused(self) -> bool:
        """Whether `lstm_sequence` computes this layer, here and with these options."""
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        cell = self.cell
        fits = (
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and cell.recurrent_dropout == 0
            and cell.implementation == 2
            and not self.unroll
            and self.use_cudnn is not True
        )
        # cuDNN keeps its cells to itself.
        return fits and (self.return_cells or not tf.config.list_logical_devices("GPU"))

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if self.is_fused:
            return self._fused_loop(sequences, initial_state, mask, training)
        if self.return_cells:
            return self._scan_loop(sequences, initial_state, mask, training)
        return super().inner_loop(sequences, initial_state, mask, training=training)

    def _fused_loop(self, sequences, initial_state, mask, training):
        from shared.recurrent.kernels import lstm_sequence

        cell = self.cell
        if training and 0 < cell.dropout < 1:
            # One mask for all steps of a sequence (Gal & Ghahramani 2016), the one that Keras' own loop would take.
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
        bias = cell.bias if cell.use_bias else ops.zeros((4 * self.units,), sequences.dtype)
        hidden, carry = initial_state
        inputs, mask = self._time_major(sequences, mask)
        *parts, hidden, carry = lstm_sequence(
            inputs, hidden, carry, mask, cell.kernel, cell.recurrent_kernel, bias, return_cells=self.return_cells
        )
        return self._batch_major(parts, hidden, carry, mask)

    def _scan_loop(self, sequences, initial_state, mask, training):
        """The cells of every step from Keras' own cell, on any backend."""
        inputs, mask = self._time_major(sequences, mask)
        real = ops.ones(ops.shape(inputs)[:2], "bool") if mask is None else mask
        cell: Any = self.cell

        def step(states, at_t):
            inputs_t, real_t = at_t
            _, new_states = cell(inputs_t, states, training=training)
            states = [ops.where(real_t[:, None], new, old) for new, old in zip(new_states, states, strict=True)]
            return states, states

        (hidden, carry), parts = ops.scan(step, list(initial_state), (inputs, real))
        return self._batch_major(parts, hidden, carry, mask)

    def _time_major(self, sequences, mask) -> tuple[Any, Any]:
        """`(batch, time, ...)` -> `(time, batch, ...)`, in the order in which the steps are taken."""
        inputs = ops.transpose(sequences, (1, 0, 2))
        mask = None if mask is None else ops.transpose(ops.cast(mask, "bool"))
        if self.go_backwards:
            inputs = ops.flip(inputs, 0)
            mask = None if mask is None else ops.flip(mask, 0)
        return inputs, mask

    def _batch_major(self, parts, hidden, carry, mask):
        """What `inner_loop` returns: last output, outputs `(batch, time, units)`, states.

        `parts` are the `(time, batch, units)` sequences: hidden and, with `return_cells`, cells, which travel side by
        side through Keras' `call` as one tensor `(batch, time, 2 * units)`.
        """
        last = hidden
        if mask is not None:
            # As Keras: before its first real step a row gives zeros, later masked steps repeat the last real output.
            shown = mask if self.zero_output_for_mask else ops.greater(ops.cumsum(ops.cast(mask, "int32"), axis=0), 0)
            shown = ops.expand_dims(shown, -1)
            parts = [ops.where(shown, part, ops.zeros_like(part)) for part in parts]
            last = parts[0][-1]
        if not self.return_sequences:
            return last, ops.expand_dims(last, 1), [hidden, carry]
        outputs = ops.concatenate(parts, axis=-1) if self.return_cells else parts[0]
        return last, ops.transpose(outputs, (1, 0, 2)), [hidden, carry]

    def call(self, sequences, initial_state=None, mask=None, training=False):
        outputs: Any = super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        if not self.return_cells:
            return outputs
        outputs, *states = outputs if self.return_state else (outputs,)
        return (*ops.split(outputs, 2, axis=-1), *states)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shapes: Any = super().compute_output_shape(sequences_shape, initial_state_shape)
        if not self.return_cells:
            return shapes
        sequence, *states = shapes if self.return_state else (shapes,)
        return (sequence, sequence, *states)

    def compute_mask(self, inputs, mask):
        masks: Any = super().compute_mask(inputs, mask)
        if not self.return_cells:
            return masks
        sequence, *states = masks if self.return_state else (masks,)
        return [sequence, sequence, *states]

    def get_config(self):
        return {**super().get_config(), "return_cells": self.return_cells}
