"""Recurrent layers one above the other: deep, bidirectional, residual, regularised, with carried state."""

from collections.abc import Sequence
from typing import Any

import keras

from shared.recurrent.layers import GRU, LSTM, Bidirectional, SimpleRNN
from shared.recurrent.mogrifier import MogrifierLSTMCell

ops: Any = keras.ops  # Keras declares no result types for its operations

CELLS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


@keras.saving.register_keras_serializable(package="quatrain")
class Stack(keras.layers.Layer):
    """Several recurrent layers, `(batch, time, features)` -> `(batch, time, units)`, all of them returning sequences.

        for each layer:  x <- normalise(layer(drop(x))) [+ x]

    Args:
        cell: "simple_rnn", "lstm", "gru" or "mogrifier_lstm".
        units: width of every layer, or of each; of one direction, if there are two.
        num_layers: how many, if `units` is one number.
        bidirectional: each layer reads in both directions; its output is both, side by side.
        residual: add its input to the output of each layer that has inputs of that width (He et al. 2016).
        dropout: share of the inputs of each layer dropped in training, one for all or one for each; the same at every
            step of a sequence (variational dropout; Gal and Ghahramani 2016).
        weight_drop: share of each recurrent kernel dropped in training, once for all steps of a batch (DropConnect;
            Merity et al. 2018, section 2).
        layer_norm: normalise the output of each layer over its units (Ba et al. 2016), before the residual.
        cell_options: further arguments of every recurrent layer, or of the Mogrifier's cell.

    Raises:
        ValueError: there is no such cell, the number of layers does not fit, or the Mogrifier is asked for
            `weight_drop`.
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
            raise ValueError(f"units must hold one number for each layer. Received: {units} for {num_layers} layers")
        if weight_drop and cell == "mogrifier_lstm":
            raise ValueError("weight_drop is not for the cell mogrifier_lstm. Received: " + str(weight_drop))
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
        shares = [float(dropout)] * len(widths) if isinstance(dropout, (int, float)) else list(dropout)
        if len(shares) != len(widths):
            raise ValueError(
                f"dropout must hold one number for each layer. Received: {dropout} for {len(widths)} layers"
            )
        self.drop = [keras.layers.SpatialDropout1D(share, name=f"dropout_{i}") for i, share in enumerate(shares)]
        self.layers = [self._layer(i, width) for i, width in enumerate(widths)]
        self.norms = [
            keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(len(widths) if layer_norm else 0)
        ]
        self.state_counts = [len(self._one(layer).state_size) * self.directions for layer in self.layers]

    def _layer(self, number: int, units: int) -> keras.layers.Layer:
        cell, options = self.settings["cell"], self.settings["cell_options"]
        sequences: dict[str, Any] = {"return_sequences": True, "return_state": True, "name": f"layer_{number}"}
        if cell == "mogrifier_lstm":
            layer = keras.layers.RNN(MogrifierLSTMCell(units, name="cell", **options), **sequences)
        else:
            layer = CELLS[cell](units, weight_drop=self.settings["weight_drop"], **sequences, **options)
        return Bidirectional(layer, name=f"both_{number}") if self.directions == 2 else layer

    def _one(self, layer: Any) -> Any:
        return layer.forward_layer if self.directions == 2 else layer

    def build(self, input_shape):
        for i, layer in enumerate(self.layers):
            layer.build(input_shape)
            input_shape = (*input_shape[:2], self._one(layer).cell.units * self.directions)
            if self.norms:
                self.norms[i].build(input_shape)
        self.built = True

    def initial_state(self, batch: Any) -> list[Any]:
        """Zeros for every layer's states, (batch, units), bottom layer first."""
        return [
            ops.zeros((batch, self._one(layer).cell.units), self.compute_dtype)
            for layer, count in zip(self.layers, self.state_counts, strict=True)
            for _ in range(count)
        ]

    def call(self, inputs, initial_state=None, mask=None, training=False):
        """The outputs (batch, time, units) of the last layer; the last states of all, a list like `initial_state`."""
        states = self.initial_state(ops.shape(inputs)[0]) if initial_state is None else list(initial_state)
        last_states, taken = [], 0
        for i, layer in enumerate(self.layers):
            own = states[taken : taken + self.state_counts[i]]
            taken += self.state_counts[i]
            outputs, *new = layer(
                self.drop[i](inputs, training=training), initial_state=own, mask=mask, training=training
            )
            last_states += new
            outputs = self.norms[i](outputs) if self.norms else outputs
            inputs = inputs + outputs if self.residual and inputs.shape[-1] == outputs.shape[-1] else outputs
        return inputs, last_states

    def compute_mask(self, inputs, mask=None, **_):
        return [mask, *[None] * sum(self.state_counts)]

    def compute_output_shape(self, input_shape, **_):
        widths = [self._one(layer).cell.units for layer in self.layers]
        states = [(input_shape[0], width) for width, n in zip(widths, self.state_counts, strict=True) for _ in range(n)]
        return (*input_shape[:2], widths[-1] * self.directions), states

    def get_config(self):
        return {**super().get_config(), **self.settings}
