"""The decoders of the translator: attention inside the recurrence, between two LSTMs, or none.

`call` processes all steps of a training batch: inputs `(batch, target, features)`, state a tuple of `(batch, units)`.
`step` processes one step of a search: inputs `(batch, beam, features)`, state a tuple of `(batch, beam, units)`. The
hypotheses of a sentence share its memory.
"""

from typing import Any, NamedTuple

import keras

from shared.attention import MASKED_SCORE
from shared.dense import Dense
from shared.recurrent import LSTM, ConditionalGRU
from shared.recurrent.conditional import AttentionOutputs

ops: Any = keras.ops  # Keras declares no result types for its operations


class Memory(NamedTuple):
    """The encoded source sentences."""

    values: Any  # (batch, source, width), outputs of the encoder
    precomputed: Any  # the decoder's products of the values, computed once: (batch, source, ...) each
    mask: Any  # bool (batch, source), True = real
    summary: Any  # (batch, width), from which the decoder's initial state is computed
    embeddings: Any  # (batch, source, embedding_units), 0 for padding


class Decoded(NamedTuple):
    """The result of several steps of a decoder."""

    outputs: Any  # (batch, target, units)
    state: Any  # tuple of (batch, units), after the last step
    attention: Any  # (batch, target, source), 0 without attention


class InsideDecoder(keras.layers.Layer):
    """Attention inside the recurrence: a conditional GRU, then o_t as in Bahdanau et al. 2015, A.2.2."""

    num_states = 1

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.gru = ConditionalGRU(units, units, name="gru")
        self.by_state = Dense(units, use_bias=False, name="by_state")
        self.by_token = Dense(units, use_bias=False, name="by_token")
        self.by_context = Dense(units, name="by_context")

    def build(self, inputs_shape: Any, values_shape: Any) -> None:
        self.gru.build(inputs_shape, values_shape)
        self.by_state.build((None, None, self.gru.units))
        self.by_token.build(inputs_shape)
        self.by_context.build(values_shape)
        self.built = True

    def precompute(self, values: Any) -> Any:
        """Attention keys, and two products of the values for the weighted sums of a search, `(batch, source, ...)`."""
        return self.gru.keys(values), self.gru.project(values), self.by_context(values)

    def call(self, inputs: Any, memory: Memory, state: Any, training: bool = False) -> Decoded:
        attended = self.gru(inputs, memory.values, memory.precomputed[0], memory.mask, state[0], training=training)
        return self._decoded(inputs, attended, self.by_context(attended.contexts), (attended.states[:, -1],))

    def step(self, inputs: Any, memory: Memory, state: Any) -> Decoded:
        keys, answers, by_context = memory.precomputed
        attended = self.gru.step(inputs, state[0], memory.values, keys, memory.mask, answers)
        return self._decoded(inputs, attended, ops.matmul(attended.weights, by_context), (attended.states,))

    def _decoded(self, inputs: Any, attended: AttentionOutputs, by_context: Any, state: tuple[Any, ...]) -> Decoded:
        outputs = self.by_state(attended.states) + self.by_token(inputs) + by_context
        return Decoded(ops.tanh(outputs), state, attended.weights)


class LSTMDecoder(keras.layers.Layer):
    """A decoder of LSTMs: a training batch is processed like a beam of 1, a step of a search like one target token."""

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def call(self, inputs: Any, memory: Memory, state: Any, training: bool = False) -> Decoded:
        decoded = self._run(inputs[:, None], memory, tuple(part[:, None] for part in state), training)
        return Decoded(decoded.outputs[:, 0], tuple(part[:, 0] for part in decoded.state), decoded.attention[:, 0])

    def step(self, inputs: Any, memory: Memory, state: Any) -> Decoded:
        decoded = self._run(inputs[:, :, None], memory, state, False)
        return Decoded(decoded.outputs[:, :, 0], decoded.state, decoded.attention[:, :, 0])

    def _run(self, inputs: Any, memory: Memory, state: Any, training: bool) -> Decoded:
        """Inputs `(batch, beam, target, features)`, state a tuple of `(batch, beam, units)`; results likewise."""
        raise NotImplementedError

    def _lstm(self, name: str) -> LSTM:
        return LSTM(self.units, return_sequences=True, return_state=True, name=name)

    def _sequence(self, lstm: LSTM, inputs: Any, state: Any, training: bool) -> tuple[Any, tuple[Any, ...]]:
        """The outputs and the state of an LSTM; all shapes as in `_run`."""
        batch, beam, target, features = ops.shape(inputs)
        states = [ops.reshape(part, (batch * beam, self.units)) for part in state]
        flat = ops.reshape(inputs, (batch * beam, target, features))
        outputs, *states = lstm(flat, initial_state=states, training=training)
        states = tuple(ops.reshape(part, (batch, beam, self.units)) for part in states)
        return ops.reshape(outputs, (batch, beam, target, self.units)), states


class BetweenDecoder(LSTMDecoder):
    """LSTM, attention in several hops, LSTM: x <- norm(x + W softmax(Q x . K) H), as in a Transformer.

    No recurrence waits for attention, so all steps of a training batch attend at once.
    """

    num_states = 4

    def __init__(self, units: int, hops: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.lower, self.upper = self._lstm("lower"), self._lstm("upper")
        self.to_keys = Dense(units, use_bias=False, name="keys")
        self.queries = [Dense(units, use_bias=False, name=f"query_{i}") for i in range(hops)]
        self.answers = [Dense(units, name=f"answer_{i}") for i in range(hops)]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(hops)]

    def build(self, inputs_shape: Any, values_shape: Any) -> None:
        self.lower.build(inputs_shape)
        for layer in (self.to_keys, *self.answers):
            layer.build(values_shape)
        for layer in (self.upper, *self.queries, *self.norms):
            layer.build((None, None, self.units))
        self.built = True

    def precompute(self, values: Any) -> Any:
        """Attention keys `(batch, source, units)`."""
        return self.to_keys(values)

    def _run(self, inputs: Any, memory: Memory, state: Any, training: bool) -> Decoded:
        batch, beam, target, _ = ops.shape(inputs)
        x, lower = self._sequence(self.lower, inputs, state[:2], training)
        x = ops.reshape(x, (batch, beam * target, self.units))
        attention = bias = ops.where(memory.mask, 0.0, MASKED_SCORE)[:, None]
        for query, answer, norm in zip(self.queries, self.answers, self.norms, strict=True):
            scores = ops.matmul(query(x) / self.units**0.5, ops.transpose(memory.precomputed, (0, 2, 1)))
            attention = ops.softmax(scores + bias, axis=-1)
            x = norm(x + answer(ops.matmul(attention, memory.values)))
        x, upper = self._sequence(self.upper, ops.reshape(x, (batch, beam, target, self.units)), state[2:], training)
        return Decoded(x, lower + upper, ops.reshape(attention, (batch, beam, target, -1)))


class FixedDecoder(LSTMDecoder):
    """An LSTM without attention, which starts from the final states of the encoder (Sutskever et al. 2014)."""

    num_states = 2

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.lstm = self._lstm("lstm")

    def build(self, inputs_shape: Any, values_shape: Any) -> None:
        self.lstm.build(inputs_shape)
        self.built = True

    def precompute(self, values: Any) -> Any:
        """Nothing."""
        return ()

    def _run(self, inputs: Any, memory: Memory, state: Any, training: bool) -> Decoded:
        outputs, state = self._sequence(self.lstm, inputs, state, training)
        mask = ops.cast(memory.mask[:, None, None], outputs.dtype)
        return Decoded(outputs, state, ops.zeros_like(outputs[..., :1]) * mask)
