"""Stacks of recurrent layers: deep, bidirectional, residual, regularised, with carried state."""

from collections.abc import Sequence
from typing import Any

import keras

from shared.recurrent.layers import GRU, LSTM, Bidirectional, SimpleRNN
from shared.recurrent.mogrifier import RNN, MogrifierLSTMCell

ops: Any = keras.ops  # Keras declares no result types for its operations

CELLS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


@keras.saving.register_keras_serializable(package="quatrain")
class Stack(keras.layers.Layer):
    """Recurrent layers that return sequences: `(batch, time, features)` -> `(batch, time, units)`.

        for each layer:  x <- normalise(layer(drop(x))) [+ x]

    Args:
        cell: "simple_rnn", "lstm", "gru" or "mogrifier_lstm".
        units: width of all layers, or one for each layer; with `bidirectional` of each direction.
        num_layers: number of layers, if `units` is one number.
        bidirectional: each layer concatenates the outputs of a forward and a backward layer.
        residual: add a layer's input to its output if their widths are equal (He et al. 2016).
        dropout: fraction of a layer's inputs that is dropped in training, for all layers or one for each; the same at
            every step of a sequence (variational dropout; Gal and Ghahramani 2016).
        weight_drop: fraction of each recurrent kernel that is dropped in training, once for all steps of a batch
            (DropConnect; Merity et al. 2018, section 2).
        layer_norm: normalise the output of each layer over its units (Ba et al. 2016), before the residual.
        cell_options: further arguments of every recurrent layer, or of the Mogrifier cell.

    Raises:
        ValueError: unknown cell, numbers of layers that differ, or `weight_drop` with the Mogrifier.
    """

    def __init__(
        self,
        cell: str,
        units: int | Sequence[int],
        num_layers: int | None = None,
        *,
        bidirectional: bool = False,
        residual: bool = False,
        dropout: float | Sequence[float] = 0.0,
        weight_drop: float = 0.0,
        layer_norm: bool = False,
        cell_options: dict[str, Any] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        widths = [units] * (num_layers or 1) if isinstance(units, int) else list(units)
        if cell not in (*CELLS, "mogrifier_lstm"):
            raise ValueError(f"cell must be one of {[*CELLS, 'mogrifier_lstm']}. Received: {cell!r}")
        if not widths or num_layers not in (None, len(widths)):
            raise ValueError(f"units must hold one width for each layer. Received: {units} for {num_layers} layers")
        if weight_drop and cell == "mogrifier_lstm":
            raise ValueError(f"weight_drop must be 0 for the cell mogrifier_lstm. Received: {weight_drop}")
        self.settings = {
            "cell": cell,
            "units": widths,
            "bidirectional": bidirectional,
            "residual": residual,
            "dropout": dropout,
            "weight_drop": weight_drop,
            "layer_norm": layer_norm,
            "cell_options": dict(cell_options or {}),
        }
        self.supports_masking = True
        self.residual, self.directions = residual, 2 if bidirectional else 1
        rates = [float(dropout)] * len(widths) if isinstance(dropout, (int, float)) else list(dropout)
        if len(rates) != len(widths):
            raise ValueError(f"dropout must hold one rate for each layer. Received: {dropout} for {len(widths)} layers")
        self.drop = [keras.layers.SpatialDropout1D(rate, name=f"dropout_{i}") for i, rate in enumerate(rates)]
        self.layers = [self._layer(i, width) for i, width in enumerate(widths)]
        self.norms = [
            keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(len(widths) if layer_norm else 0)
        ]
        self.state_counts = [len(self._forward(layer).state_size) * self.directions for layer in self.layers]

    def _layer(self, i: int, units: int) -> keras.layers.Layer:
        cell, options = self.settings["cell"], self.settings["cell_options"]
        sequences: dict[str, Any] = {"return_sequences": True, "return_state": True, "name": f"layer_{i}"}
        if cell == "mogrifier_lstm":
            layer = RNN(MogrifierLSTMCell(units, name="cell", **options), **sequences)
        else:
            layer = CELLS[cell](units, weight_drop=self.settings["weight_drop"], **sequences, **options)
        return Bidirectional(layer, name=f"both_{i}") if self.directions == 2 else layer

    def _forward(self, layer: Any) -> Any:
        return layer.forward_layer if self.directions == 2 else layer

    def build(self, input_shape):
        for i, layer in enumerate(self.layers):
            layer.build(input_shape)
            input_shape = (*input_shape[:2], self._forward(layer).cell.units * self.directions)
            if self.norms:
                self.norms[i].build(input_shape)
        self.built = True

    def initial_state(self, batch: Any) -> list[Any]:
        """Zeros for the states of all layers, each `(batch, units)`, first layer first."""
        return [
            ops.zeros((batch, self._forward(layer).cell.units), self.compute_dtype)
            for layer, count in zip(self.layers, self.state_counts, strict=True)
            for _ in range(count)
        ]

    def call(self, inputs, initial_state=None, mask=None, training=False):
        """The outputs of the last layer and the last states of all layers.

        Args:
            inputs: `(batch, time, features)`.
            initial_state: as the result of `initial_state`, which is the default.
            mask: bool `(batch, time)`, True = real.

        Returns:
            `(batch, time, units)`; a list as the result of `initial_state`.
        """
        states = self.initial_state(ops.shape(inputs)[0]) if initial_state is None else list(initial_state)
        last_states, count = [], 0
        for i, layer in enumerate(self.layers):
            layer_states = states[count : count + self.state_counts[i]]
            count += self.state_counts[i]
            dropped = self.drop[i](inputs, training=training)
            outputs, *layer_states = layer(dropped, initial_state=layer_states, mask=mask, training=training)
            last_states += layer_states
            outputs = self.norms[i](outputs) if self.norms else outputs
            inputs = inputs + outputs if self.residual and inputs.shape[-1] == outputs.shape[-1] else outputs
        return inputs, last_states

    def compute_mask(self, inputs, mask=None, **_):
        return [mask, *[None] * sum(self.state_counts)]

    def compute_output_shape(self, input_shape, **_):
        widths = [self._forward(layer).cell.units for layer in self.layers]
        states = [(input_shape[0], width) for width, n in zip(widths, self.state_counts, strict=True) for _ in range(n)]
        return (*input_shape[:2], widths[-1] * self.directions), states

    def get_config(self):
        return {**super().get_config(), **self.settings}
