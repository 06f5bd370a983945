"""`keras.layers.SimpleRNN`, `LSTM` and `GRU`, computed by the fused kernels.

Arguments, weights, config, saved files and results are those of Keras; the layers take less time. What computes a layer
depends on backend, device and options; `implementation` says it:

- TensorFlow on a CPU: `compiled` in training of float32 and bfloat16, and in inference within
  `inference_in_machine_code`; else `kernels`, so that an exported model needs nothing but TensorFlow.
- TensorFlow on a GPU: Keras, which uses cuDNN.
- JAX: `kernels`; on an NVIDIA GPU `cudnn` for the LSTM.
- Keras' own loop on torch, with other activations than the default ones, `recurrent_dropout`, `unroll` or
  `implementation=1`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, ClassVar

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


def _on_gpu() -> bool:
    return any(device.startswith(("gpu", "cuda")) for device in keras.distribution.list_devices())


def uses_cudnn_of_keras() -> bool:
    """Whether layers that are traced here are those of Keras with cuDNN's operation, which no CPU has."""
    return keras.backend.backend() == "tensorflow" and _on_gpu() and not _operations_only.get()


_infers_in_machine_code = False
_operations_only = ContextVar("operations_only", default=False)


@contextmanager
def inference_in_machine_code() -> Iterator[None]:
    """Within the block, layers that are traced, in any thread, infer in machine code if their loops are compiled.

    For a process that infers for long, such as an evaluation or a server: loading the loops takes a second or two.
    Functions that are traced in the block cannot be saved, unless they are traced within `operations_only`.
    """
    global _infers_in_machine_code
    before, _infers_in_machine_code = _infers_in_machine_code, True
    try:
        yield
    finally:
        _infers_in_machine_code = before


def infers_in_machine_code() -> bool:
    """Whether layers that are traced here infer in machine code, if their loops are compiled."""
    return _infers_in_machine_code and not _operations_only.get()


@contextmanager
def operations_only() -> Iterator[None]:
    """Within the block, layers are traced for inference as operations of TensorFlow, which can be saved."""
    token = _operations_only.set(True)
    try:
        yield
    finally:
        _operations_only.reset(token)


class Fused(keras.layers.Layer):
    """Base class of the layers; it precedes the Keras layer among their bases.

    Args:
        *args, **kwargs: those of the Keras layer.
        weight_drop: fraction of the recurrent kernel that is dropped in training, once for all steps of a batch
            (DropConnect on U; Merity et al. 2018, section 2). Unlike `recurrent_dropout` it keeps the fused kernel.

    Attributes:
        num_concurrent_layers: number of layers, this one included, that are trained at the same time.

    Raises:
        ValueError: `weight_drop` is not in [0, 1).
    """

    cell: Any
    unroll: Any
    go_backwards: Any
    return_sequences: Any
    zero_output_for_mask: Any
    loops: ClassVar[str]  # that compute the cell in machine code: one of `shared.native.precompile.CELLS`
    backward_seed = 0  # added to the seed of the weight drop of a layer that goes backwards
    _all_states: ClassVar[dict[str, bool]] = {}  # the option with which a kernel returns all states of every step

    def __init__(self, *args, weight_drop: float = 0.0, **kwargs):
        parent: Any = super()
        parent.__init__(*args, **kwargs)
        if not 0 <= weight_drop < 1:
            raise ValueError(f"weight_drop must be from 0 to below 1. Received: {weight_drop}")
        self.weight_drop = weight_drop
        seed = kwargs.get("seed")
        seed = seed if seed is None or not self.go_backwards else seed + self.backward_seed
        self.weight_drop_seed = keras.random.SeedGenerator(seed) if weight_drop else None
        self.num_concurrent_layers = 1

    def _has_usual_activations(self) -> bool:
        raise NotImplementedError

    def _sequence(
        self, kernels: Any, inputs: Any, state: Any, mask: Any, recurrent_kernel: Any, **options: Any
    ) -> list[Any]:
        """The states after each step by a function of `kernels`, each `(batch, time, units)`; the output is the first.

        Args:
            kernels: the module `shared.recurrent.kernels` or `shared.recurrent.compiled`.
            inputs: `(batch, time, features)`.
            state: the initial states, each `(batch, units)`.
            mask: bool `(batch, time)`, or None.
            recurrent_kernel: `(units, gates * units)`, with weight drop applied.
            options: of the function.
        """
        raise NotImplementedError

    @property
    def is_fused(self) -> bool:
        """Whether a fused kernel computes this layer, on this machine and with its options."""
        return not self._keras_only and not uses_cudnn_of_keras()

    @property
    def _keras_only(self) -> str:
        """The option, or the backend, that only Keras' own loop supports; empty if there is none."""
        reasons = {
            f"the backend {keras.backend.backend()}": keras.backend.backend() not in ("tensorflow", "jax"),
            "its activations": not self._has_usual_activations(),
            "recurrent_dropout": self.cell.recurrent_dropout,
            "implementation=1": getattr(self.cell, "implementation", 2) != 2,
            "unroll": self.unroll,
            "use_cudnn": getattr(self, "use_cudnn", "auto") is True,
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    def implementation(self, training: bool) -> str:
        """What computes this layer here, "cuDNN", "machine code", "TensorFlow operations", "a scan on JAX" or "Keras",
        and why if it is not the fastest."""
        if self.is_fused:
            return self._kernels(training)[0].NAME
        return f"Keras: {self._keras_only or 'cuDNN on a GPU, where it has one'}"

    def _infers_by_loops(self, time: int | None) -> bool:
        if time == 1 or not infers_in_machine_code():  # a call takes longer than a step of a search
            return False
        from shared.native.precompile import is_compiled

        return is_compiled(self.loops)

    def _kernels(self, training: bool, time: int | None = None) -> tuple[Any, dict[str, Any]]:
        """The module that has the kernel for `time` steps, if their number is known, and the kernel's options."""
        from shared.recurrent import kernels

        options = {"backwards": self.go_backwards, "keep": bool(training)}
        if keras.backend.backend() == "tensorflow" and (training or self._infers_by_loops(time)):
            from shared.recurrent import compiled

            if compiled.fits(self.compute_dtype):
                return compiled, options | {"num_concurrent_layers": self.num_concurrent_layers}
        return kernels, options

    def inner_loop(self, sequences, initial_state, mask, training=False):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if not self.is_fused:
            parent: Any = super()
            with self._cell_with(self._recurrent_kernel(training)):
                return parent.inner_loop(sequences, initial_state, mask, training=training)
        mask = None if mask is None else ops.cast(mask, "bool")
        return self._results(self._states(sequences, initial_state, mask, training), mask)

    def _states(self, sequences: Any, initial_state: Any, mask: Any, training: bool) -> list[Any]:
        """The states after each step, as `_sequence`, by the kernel that fits."""
        if training and 0 < self.cell.dropout < 1:
            # One mask for all steps of a sequence (Gal & Ghahramani 2016), the same as in Keras' own loop.
            sequences = sequences * ops.expand_dims(self.cell.get_dropout_mask(sequences[:, 0, :]), 1)
        kernels, options = self._kernels(training, sequences.shape[1])
        recurrent_kernel = self._recurrent_kernel(training)
        return self._sequence(kernels, sequences, initial_state, mask, recurrent_kernel, **options)

    def every_state(self, sequences: Any, initial_state: Any) -> list[Any]:
        """The states after each step in inference, each `(batch, time, units)`: h, and of an LSTM c.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: those before the first step, each `(batch, units)`.

        Raises:
            ValueError: no kernel computes a layer with its options.
        """
        from shared.recurrent import kernels

        if self._keras_only:
            raise ValueError(f"a layer that the kernels compute was expected. Received: {self._keras_only}")
        options = {"backwards": self.go_backwards, "keep": False, **self._all_states}
        return self._sequence(kernels, sequences, initial_state, None, self.cell.recurrent_kernel, **options)

    def _recurrent_kernel(self, training: bool) -> Any:
        """The recurrent kernel, `(units, gates * units)`: the cell's variable; a tensor if weight drop is applied."""
        kernel = self.cell.recurrent_kernel
        if not (training and self.weight_drop):
            return kernel
        return keras.random.dropout(ops.convert_to_tensor(kernel), self.weight_drop, seed=self.weight_drop_seed)

    def _cell_with(self, recurrent_kernel: Any) -> AbstractContextManager:
        """The context in which the cell computes with `recurrent_kernel`, for Keras' own loop."""
        kernel = self.cell.recurrent_kernel
        if recurrent_kernel is kernel:
            return nullcontext()
        # The scope hides an outer one, which JAX trains in, and its values. The loop itself updates no variables.
        others = [(variable, variable.value) for variable in self.cell.variables if variable is not kernel]
        return keras.StatelessScope([*others, (kernel, recurrent_kernel)])

    def get_config(self):
        # Without weight drop the config is that of Keras' layer.
        return super().get_config() | ({"weight_drop": self.weight_drop} if self.weight_drop else {})

    def _results(self, states: list[Any], mask: Any) -> tuple[Any, Any, list[Any]]:
        """The results of `inner_loop`: last output, outputs in the order in which they are computed, last states.

        Args:
            states: those after each step in order of time, each `(batch, time, units)`; the output is the first.
            mask: bool `(batch, time)`, or None.
        """
        last_states = [state[:, 0 if self.go_backwards else -1] for state in states]
        outputs = self._masked(self._output(states), mask)
        last = outputs[:, -1]
        return last, outputs if self.return_sequences else ops.expand_dims(last, 1), last_states

    def _output(self, states: list[Any]) -> Any:
        return states[0]

    def _masked(self, outputs: Any, mask: Any) -> Any:
        """The outputs in the order in which they are computed, at masked steps as in Keras: zeros before the first real
        step of a row, the last real output after it."""
        if self.go_backwards:
            outputs, mask = ops.flip(outputs, 1), None if mask is None else ops.flip(mask, 1)
        if mask is None:
            return outputs
        visible = mask if self.zero_output_for_mask else ops.greater(ops.cumsum(ops.cast(mask, "int32"), axis=1), 0)
        return ops.where(ops.expand_dims(visible, -1), outputs, ops.zeros_like(outputs))


@keras.saving.register_keras_serializable(package="quatrain")
class SimpleRNN(Fused, keras.layers.SimpleRNN):
    """A `keras.layers.SimpleRNN` that computes its sequence with `kernels.simple_rnn` (tanh or relu)."""

    loops = "simple_rnn"
    backward_seed = 1  # the two directions of `Bidirectional`, which have one config, drop different weights

    def _has_usual_activations(self):
        return self.cell.activation in (keras.activations.tanh, keras.activations.relu)

    def _sequence(self, kernels, inputs, state, mask, recurrent_kernel, **options):
        cell: Any = self.cell
        options["relu"] = cell.activation is keras.activations.relu
        return [kernels.simple_rnn(inputs, cell.kernel, cell.bias, state[0], mask, recurrent_kernel, **options)]

    def get_config(self):
        # Keras omits the seed, unlike that of its other two layers, so a copy of the layer would draw another one.
        seed = self.cell.seed
        return super().get_config() | ({} if seed is None else {"seed": seed})


@keras.saving.register_keras_serializable(package="quatrain")
class GRU(Fused, keras.layers.GRU):
    """A `keras.layers.GRU` that computes its sequence with `kernels.gru`, for both values of `reset_after`."""

    loops = "gru"

    def _has_usual_activations(self):
        cell = self.cell
        return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid

    def _sequence(self, kernels, inputs, state, mask, recurrent_kernel, **options):
        cell: Any = self.cell
        bias, candidate_bias = cell.bias, None
        if cell.use_bias and cell.reset_after:
            # The second bias is added to h U. It differs from the first one for the candidate only, after the reset.
            bias, recurrent_bias = ops.unstack(ops.convert_to_tensor(bias))
            recurrent_bias, candidate_bias = ops.split(recurrent_bias, [2 * cell.units])
            bias += ops.pad(recurrent_bias, (0, cell.units))
        options["reset_after"] = cell.reset_after
        return [kernels.gru(inputs, cell.kernel, bias, state[0], mask, recurrent_kernel, candidate_bias, **options)]


@keras.saving.register_keras_serializable(package="quatrain")
class LSTM(Fused, keras.layers.LSTM):
    """A `keras.layers.LSTM` that computes its sequence with `kernels.lstm`.

    Args:
        units: size of h and c.
        return_cells: also return the cell c_t at every step, which the visual sentinel reads (Lu et al. 2017,
            section 2.3): `(hidden_sequence, cell_sequence[, h, c])`, the sequences `(batch, time, units)`. cuDNN does
            not return its cells, so the kernel computes them on a GPU too.
        **kwargs: the options of `keras.layers.LSTM`.

    Raises:
        ValueError: `return_cells` without `return_sequences`, or with `unroll`.
    """

    loops = "lstm"
    _all_states: ClassVar = {"every_cell": True}

    def __init__(self, units: int, *, return_cells: bool = False, **kwargs):
        super().__init__(units, **kwargs)
        if return_cells and not self.return_sequences:
            raise ValueError("return_cells=True needs return_sequences=True. Received: return_sequences=False")
        if return_cells and self.unroll:
            raise ValueError("return_cells=True needs unroll=False. Received: unroll=True")
        self.return_cells = return_cells

    def _has_usual_activations(self):
        cell = self.cell
        return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid

    def _sequence(self, kernels, inputs, state, mask, recurrent_kernel, **options):
        cell: Any = self.cell
        options.setdefault("every_cell", self.return_cells)
        hiddens, cells = kernels.lstm(inputs, cell.kernel, cell.bias, *state, mask, recurrent_kernel, **options)
        return [hiddens, ops.cast(cells, hiddens.dtype)]

    @property
    def _obstacle_to_cudnn(self) -> str:
        """Why cuDNN does not compute this layer on JAX; empty if it does."""
        from shared.recurrent import cudnn

        return "cuDNN does not return its cells" if self.return_cells else cudnn.obstacle()

    def implementation(self, training):
        name = super().implementation(training)
        return f"{name}: {self._obstacle_to_cudnn}" if name == "a scan on JAX" else name

    def _kernels(self, training, time=None):
        if keras.backend.backend() == "jax" and not self._obstacle_to_cudnn:
            from shared.recurrent import cudnn

            return cudnn, {"backwards": self.go_backwards}
        return super()._kernels(training, time)

    @property
    def is_fused(self):
        return super().is_fused or (self.return_cells and not self._keras_only)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.return_cells and not self.is_fused:
            with self._cell_with(self._recurrent_kernel(training)):
                return self._scan_loop(sequences, initial_state, mask, training)
        return super().inner_loop(sequences, initial_state, mask, training=training)

    def _scan_loop(self, sequences, initial_state, mask, training):
        """`inner_loop` that also returns the cells of every step, with Keras' own cell, on any backend."""
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
        # Keras' `call` expects one tensor: (batch, time, 2 units).
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
    """A `keras.layers.Bidirectional` that trains both directions at the same time, each on half of the cores."""

    def __init__(self, layer: keras.layers.Layer, *args, **kwargs):
        super().__init__(layer, *args, **kwargs)
        directions = self.forward_layer, self.backward_layer
        self.has_our_layers = all(isinstance(layer, Fused) for layer in directions)
        if self.has_our_layers:
            for layer in directions:
                layer.num_concurrent_layers = 2

    # On other backends Keras has a cuDNN call for both directions, without masks and the options that our layers add.
    def _can_attempt_fused_lstm(self, mask, initial_state=None):
        return not self.has_our_layers and super()._can_attempt_fused_lstm(mask, initial_state)

    def _can_attempt_fused_gru(self, mask, initial_state=None):
        return not self.has_our_layers and super()._can_attempt_fused_gru(mask, initial_state)

    def implementation(self, training: bool) -> str:
        """What computes the two directions here, as `Fused.implementation`."""
        one, other = (x.implementation(training) for x in (self.forward_layer, self.backward_layer))
        if self._fits_one_call(training):
            return f"{one}, both directions in one call"
        together = "at the same time" if one == other == "machine code" else "one after the other"
        return f"{one}, {together}" if one == other else f"{one}; {other}"

    def _fits_one_call(self, training: bool) -> bool:
        """Whether one call of cuDNN computes both directions."""
        directions = self.forward_layer, self.backward_layer
        return (
            keras.backend.backend() == "jax"
            and all(isinstance(x, LSTM) and x.implementation(training) == "cuDNN" for x in directions)
            and self.forward_layer.units == self.backward_layer.units
            and not (training and any(x.cell.dropout for x in directions))  # which has a mask for each direction
        )

    def call(self, sequences, initial_state=None, mask=None, training=None):
        parent: Any = super()
        if not self._fits_one_call(bool(training)):
            return parent.call(sequences, initial_state=initial_state, mask=mask, training=training)
        from shared.recurrent import cudnn

        layers = self.forward_layer, self.backward_layer
        if initial_state is None:
            batch = sequences.shape[0]
            initial_state = [x for layer in layers for x in layer.states or layer.get_initial_state(batch)]
        directions = [
            cudnn.Direction(x.cell.kernel, x.cell.bias, hidden, cell, x._recurrent_kernel(training))
            for x, (hidden, cell) in zip(layers, (initial_state[:2], initial_state[2:]), strict=True)
        ]
        one_mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        one_mask = None if one_mask is None else ops.cast(one_mask, "bool")
        states = cudnn.bidirectional_lstm(sequences, one_mask, *directions)
        with _given(layers[0], states[0]), _given(layers[1], states[1]):
            return parent.call(sequences, initial_state=initial_state, mask=mask, training=training)


@contextmanager
def _given(layer: Any, states: Any) -> Iterator[None]:
    """Within the block, the states of the layer after each step are `states`."""
    layer._states = lambda *_: list(states)
    try:
        yield
    finally:
        del layer._states


def fused(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer of this module that corresponds to a Keras layer; a copy of any other layer. Weights are not copied.

    >>> faster = keras.models.clone_model(model, clone_function=fused)
    >>> faster.set_weights(model.get_weights())
    """
    types = {keras.layers.SimpleRNN: SimpleRNN, keras.layers.GRU: GRU, keras.layers.LSTM: LSTM}
    if type(layer) is keras.layers.Bidirectional:
        return Bidirectional(
            fused(layer.forward_layer),
            merge_mode=layer.merge_mode,
            backward_layer=fused(layer.backward_layer),
            name=layer.name,
            dtype=layer.dtype_policy,
        )
    return types.get(type(layer), type(layer)).from_config(layer.get_config())
