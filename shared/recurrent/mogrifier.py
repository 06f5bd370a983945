"""The Mogrifier LSTM, in which input and state gate each other before each step."""

from typing import Any

import keras

from shared.recurrent.layers import Fused

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class MogrifierLSTMCell(keras.layers.LSTMCell):
    """An LSTM cell whose x and h gate each other in turn before each step (Melis et al. 2020, section 2).

        x <- 2 σ(Q_i h) * x    for i = 1, 3, ..
        h <- 2 σ(R_i x) * h    for i = 2, 4, ..

    Use it as `RNN(MogrifierLSTMCell(units))`, or as `cell="mogrifier_lstm"` of a `Stack`. It is slower than an LSTM: x
    depends on h, so the input cannot be projected for all steps at once.

    Args:
        units: size of h and c.
        rounds: number of gatings, 5 or 6 in the paper; 0 gives an LSTM.
        rank: rank of Q and R, each then a product of two matrices; None: full matrices.
        **kwargs: the options of `keras.layers.LSTMCell`.

    Raises:
        ValueError: `rounds` is negative or `rank` not positive.
    """

    def __init__(self, units: int, rounds: int = 5, rank: int | None = None, **kwargs):
        super().__init__(units, **kwargs)
        if rounds < 0:
            raise ValueError(f"rounds must be at least 0. Received: {rounds}")
        if rank is not None and rank < 1:
            raise ValueError(f"rank must be at least 1, or None. Received: {rank}")
        self.rounds, self.rank = rounds, rank

    def build(self, input_shape):
        super().build(input_shape)
        features = input_shape[-1]
        self.factors: list[list[Any]] = []
        for i in range(self.rounds):
            rows, columns = (self.units, features) if i % 2 == 0 else (features, self.units)
            sizes = [(rows, columns)] if self.rank is None else [(rows, self.rank), (self.rank, columns)]
            self.factors.append(
                [
                    self.add_weight(shape=size, name=f"mogrifier_{i}_{part}", initializer=self.kernel_initializer)
                    for part, size in enumerate(sizes)
                ]
            )

    def call(self, inputs, states, training=False):
        hidden, carry = states
        for i, factors in enumerate(self.factors):
            gate = hidden if i % 2 == 0 else inputs
            for factor in factors:
                gate = ops.matmul(gate, factor)
            gate = 2 * ops.sigmoid(gate)
            if i % 2 == 0:
                inputs = gate * inputs
            else:
                hidden = gate * hidden
        return super().call(inputs, [hidden, carry], training=training)

    def get_config(self):
        return {**super().get_config(), "rounds": self.rounds, "rank": self.rank}


@keras.saving.register_keras_serializable(package="quatrain")
class RNN(Fused, keras.layers.RNN):
    """A `keras.layers.RNN` of a `MogrifierLSTMCell` that computes its sequence with `kernels.mogrifier_lstm`.

    Files of either load with the other.

    Args:
        cell: the cell.
        **kwargs: the options of `keras.layers.RNN`.

    Raises:
        ValueError: another cell.
    """

    def __init__(self, cell: MogrifierLSTMCell, **kwargs):
        if not isinstance(cell, MogrifierLSTMCell):
            raise ValueError(f"cell must be a MogrifierLSTMCell. Received: {cell}")
        super().__init__(cell, **kwargs)

    @property
    def _keras_only(self):
        return super()._keras_only or ("dropout" if self.cell.dropout else "")  # which is that of the gated x

    @property
    def is_fused(self):
        return not self._keras_only

    def _has_usual_activations(self):
        cell = self.cell
        return cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid

    def _kernels(self, training, time=None):
        from shared.recurrent import kernels

        return kernels, {"backwards": self.go_backwards, "keep": bool(training)}

    def _sequence(self, kernels, inputs, state, mask, recurrent_kernel, **options):
        cell: Any = self.cell
        weights = inputs, cell.kernel, cell.bias, *state, mask, recurrent_kernel, cell.factors
        hiddens, cells = kernels.mogrifier_lstm(*weights, **options)
        return [hiddens, ops.cast(cells, hiddens.dtype)]
