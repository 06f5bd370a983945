"""`keras.layers.SimpleRNN`, `LSTM` and `GRU` with the fused kernels inside.

Same arguments, weights, config, saved files and results; less time on a CPU. In training the kernels are compiled ones;
otherwise, and in 16-bit types, they are made of TensorFlow's operations, so that what is exported needs nothing else.
The layers step aside for Keras' own loop where the kernels do not apply: on JAX and torch; on a GPU, where Keras takes
cuDNN; with other activations than the usual ones, `recurrent_dropout`, `unroll` or `implementation=1`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


def _on_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


class Fused(keras.layers.Layer):
    """What the three layers share; it goes before the Keras layer among their bases.

    Args:
        weight_drop: share of the recurrent kernel that is dropped in training, once for all steps of a batch
            (DropConnect on U; Merity et al. 2018, section 2). Unlike `recurrent_dropout` it keeps the kernel.
    """

    cell: Any
    unroll: Any
    go_backwards: Any
    return_sequences: Any
    zero_output_for_mask: Any

    def __init__(self, units, *, weight_drop=0.0, **kwargs):
        parent: Any = super()
        parent.__init__(units, **kwargs)
        if not 0 <= weight_drop < 1:
            raise ValueError(f"weight_drop must be from 0 to below 1. Received: {weight_drop}")
        self.weight_drop = weight_drop
        self.weight_drop_seed = keras.random.SeedGenerator(kwargs.get("seed")) if weight_drop else None
        self.parts = 1  # of how many layers that run at the same time this is one

    def _has_usual_activations(self) -> bool:
        raise NotImplementedError

    def _sequence(self, kernels: Any, inputs: Any, state: Any, mask: Any, **options) -> list[Any]:
        """The states after each step by one of `kernels`, `(batch, time, units)`, that of the output first."""
        raise NotImplementedError

    @property
    def is_fused(self) -> bool:
        """Whether a kernel computes this layer, here and with these options."""
        return self._fits_kernel and not _on_gpu()

    @property
    def _fits_kernel(self) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and self._has_usual_activations()
            and self.cell.recurrent_dropout == 0
            and getattr(self.cell, "implementation", 2) == 2
            and not self.unroll
            and getattr(self, "use_cudnn", "auto") is not True
        )

    def _kernels(self, training) -> tuple[Any, dict[str, Any]]:
        """Where the kernels come from, and their options: compiled ones to train with, those in the graph otherwise."""
        from shared.recurrent import compiled, kernels

        options = {"backwards": self.go_backwards, "keep": bool(training)}
        if training and compiled.fits(self.compute_dtype):
            return compiled, options | {"parts": self.parts}
        return kernels, options

    def inner_loop(self, sequences, initial_state, mask, training=False):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        with self._dropped_weights(training):
            if not self.is_fused:
                parent: Any = super()
                return parent.inner_loop(sequences, initial_state, mask, training=training)
            if training and 0 < self.cell.dropout < 1:
                # One mask for all steps of a sequence (Gal & Ghahramani 2016), the one that Keras' own loop would take.
                sequences = sequences * ops.expand_dims(self.cell.get_dropout_mask(sequences[:, 0, :]), 1)
            mask = None if mask is None else ops.cast(mask, "bool")
            kernels, options = self._kernels(training)
            return self._results(self._sequence(kernels, sequences, initial_state, mask, **options), mask)

    @contextmanager
    def _dropped_weights(self, training) -> Iterator[None]:
        """Within the block a part of the cell's recurrent kernel is dropped, if that is wanted and due."""
        kernel = self.cell.recurrent_kernel
        if training and self.weight_drop:
            # Past Keras, which would take a tensor in the place of a weight for a change of state.
            dropped = keras.random.dropout(ops.convert_to_tensor(kernel), self.weight_drop, seed=self.weight_drop_seed)
            vars(self.cell)["recurrent_kernel"] = dropped
        try:
            yield
        finally:
            vars(self.cell)["recurrent_kernel"] = kernel

    def get_config(self):
        # Without it the config is that of Keras' layer.
        return super().get_config() | ({"weight_drop": self.weight_drop} if self.weight_drop else {})

    def _results(self, states, mask) -> tuple[Any, Any, list[Any]]:
        """What `inner_loop` returns: last output, outputs in the order of their steps, last states.

        Args:
            states: those after each step in order of time, the first of them the outputs.
            mask: bool `(batch, time)`, or None.
        """
        last_states = [state[:, 0 if self.go_backwards else -1] for state in states]
        outputs = self._shown(self._output(states), mask)
        last = outputs[:, -1]
        return last, outputs if self.return_sequences else ops.expand_dims(last, 1), last_states

    def _output(self, states) -> Any:
        return states[0]

    def _shown(self, outputs, mask) -> Any:
        """In the order of their steps. As Keras: before its first real step a row gives zeros, later masked steps
        repeat the last real output."""
        if self.go_backwards:
            outputs, mask = ops.flip(outputs, 1), None if mask is None else ops.flip(mask, 1)
        if mask is None:
            return outputs
        shown = mask if self.zero_output_for_mask else ops.greater(ops.cumsum(ops.cast(mask, "int32"), axis=1), 0)
        return ops.where(ops.expand_dims(shown, -1), outputs, ops.zeros_like(outputs))


@keras.saving.register_keras_serializable(package="quatrain")
class SimpleRNN(Fused, keras.layers.SimpleRNN):
    """A `keras.layers.SimpleRNN` that computes its sequence with `kernels.simple_rnn` (tanh or relu)."""

    def _has_usual_activations(self):
        return self.cell.activation in (keras.activations.tanh, keras.activations.relu)

    def _sequence(self, kernels, inputs, state, mask, **options):
        cell: Any = self.cell
        options["relu"] = cell.activation is keras.activations.relu
        return [kernels.simple_rnn(inputs, cell.kernel, cell.bias, state[0], mask, cell.recurrent_kernel, **options)]


@keras.saving.register_keras_serializable(package="quatrain")
class GRU(Fused, keras.layers.GRU):
    """A `keras.layers.GRU` that computes its sequence with `kernels.gru`, with `reset_after` and without."""

    def _has_usual_activations(self):
        cell = self.cell
        return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid

    def _sequence(self, kernels, inputs, state, mask, **options):
        cell: Any = self.cell
        bias, candidate_bias = cell.bias, None
        if cell.use_bias and cell.reset_after:
            # The second bias belongs to h U. Only for the candidate, after the reset, does that make a difference.
            bias, recurrent_bias = ops.unstack(ops.convert_to_tensor(bias))
            recurrent_bias, candidate_bias = ops.split(recurrent_bias, [2 * cell.units])
            bias += ops.pad(recurrent_bias, (0, cell.units))
        options["reset_after"] = cell.reset_after
        return [
            kernels.gru(inputs, cell.kernel, bias, state[0], mask, cell.recurrent_kernel, candidate_bias, **options)
        ]


@keras.saving.register_keras_serializable(package="quatrain")
class LSTM(Fused, keras.layers.LSTM):
    """A `keras.layers.LSTM` that computes its sequence with `kernels.lstm`.

    Args:
        units: size of h and c.
        return_cells: also return the cell c_t at every step, which the visual sentinel reads (Lu et al. 2017,
            section 2.3): `(hidden_sequence, cell_sequence[, h, c])`, the sequences `(batch, time, units)`. cuDNN keeps
            its cells to itself, so they come from the kernel on a GPU too.
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

    def _has_usual_activations(self):
        cell = self.cell
        return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid

    def _sequence(self, kernels, inputs, state, mask, **options):
        cell: Any = self.cell
        options["every_cell"] = self.return_cells
        hidden, carry = state
        hiddens, cells = kernels.lstm(
            inputs, cell.kernel, cell.bias, hidden, carry, mask, cell.recurrent_kernel, **options
        )
        return [hiddens, ops.cast(cells, hiddens.dtype)]

    @property
    def is_fused(self):
        return self._fits_kernel and (self.return_cells or not _on_gpu())

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.return_cells and not self.is_fused:
            with self._dropped_weights(training):
                return self._scan_loop(sequences, initial_state, mask, training)
        return super().inner_loop(sequences, initial_state, mask, training=training)

    def _scan_loop(self, sequences, initial_state, mask, training):
        """The cells of every step from Keras' own cell, on any backend."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        real = ops.ones(ops.shape(sequences)[:2], "bool") if mask is None else ops.cast(mask, "bool")
        cell: Any = self.cell

        def step(states, at_t):
            inputs_t, real_t = at_t
            _, new_states = cell(inputs_t, states, training=training)
            states = [ops.where(real_t[:, None], new, old) for new, old in zip(new_states, states, strict=True)]
            return states, states

        at_times = ops.transpose(sequences, (1, 0, 2)), ops.transpose(real)
        _, states = ops.scan(step, list(initial_state), at_times, reverse=self.go_backwards)
        return self._results([ops.transpose(state, (1, 0, 2)) for state in states], None if mask is None else real)

    def _output(self, states):
        # Side by side through Keras' `call`, as one tensor (batch, time, 2 units).
        return ops.concatenate(states, axis=-1) if self.return_cells else states[0]

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
        return super().get_config() | ({"return_cells": True} if self.return_cells else {})


@keras.saving.register_keras_serializable(package="quatrain")
class Bidirectional(keras.layers.Bidirectional):
    """A `keras.layers.Bidirectional` whose two directions are trained at the same time, each by half of the cores."""

    def __init__(self, layer, *args, **kwargs):
        super().__init__(layer, *args, **kwargs)
        both = self.forward_layer, self.backward_layer
        if all(isinstance(layer, Fused) for layer in both):
            for layer in both:
                layer.parts = 2
        # Keras' cuDNN of both directions in one call, on other backends, does not know what our layers have besides.
        self.plain = not any(getattr(x, "weight_drop", 0) or getattr(x, "return_cells", False) for x in both)

    def _can_attempt_fused_lstm(self, mask, initial_state=None):
        return self.plain and super()._can_attempt_fused_lstm(mask, initial_state)

    def _can_attempt_fused_gru(self, mask, initial_state=None):
        return self.plain and super()._can_attempt_fused_gru(mask, initial_state)


def fused(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Our layer in the place of one of Keras', another layer as it is, both without their weights.

    >>> faster = keras.models.clone_model(model, clone_function=fused)
    >>> faster.set_weights(model.get_weights())
    """
    ours = {keras.layers.SimpleRNN: SimpleRNN, keras.layers.GRU: GRU, keras.layers.LSTM: LSTM}
    if type(layer) is keras.layers.Bidirectional:
        return Bidirectional(
            fused(layer.forward_layer),
            merge_mode=layer.merge_mode,
            backward_layer=fused(layer.backward_layer),
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    return ours.get(type(layer), type(layer)).from_config(layer.get_config())
