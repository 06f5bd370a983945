"""Attention inside the recurrence: the conditional GRU, its whole loop in one pass each way.

Firat and Cho's decoder (2016), as in Nematus (Sennrich et al. 2017) and nmtpy (Caglayan et al. 2017): one GRU reads the
token before, the attention asks what of the source belongs here, a second GRU reads the answer. For the memory H
`(batch, source, width)` with its keys K = H U_a, tokens x_t and state s_t:

    m_t = GRU_1(x_t, s_{t-1})
    e_ti = v . tanh(K_i + W_a m_t),    α_t = softmax(e_t)        [Bahdanau et al. 2015, appendix A.1.2]
    c_t = Σ_i α_ti H_i
    s_t = GRU_2(c_t, m_t)

What follows waits for the step before: four products of `(batch, units)` by a matrix, the scores, the context. All else
is taken for all steps at once: x W before the loop; after the loop backwards one matrix product for each weight, and
one for the memory. Searches, which ask for one token at a time, and other backends take the same step by itself.
"""

from typing import Any, NamedTuple

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations

FAR = -1e9  # the score of what is no source


class Attended(NamedTuple):
    """What every step gives."""

    states: Any  # (batch, target, units), s_t
    contexts: Any  # (batch, target, width), c_t
    weights: Any  # (batch, target, source), α_t


@keras.saving.register_keras_serializable(package="quatrain")
class ConditionalGRU(keras.layers.Layer):
    """A GRU that attends to a memory between its two halves.

    Args:
        units: width of s and m.
        attention_units: width of the keys.

    Both GRUs are of the kind that cuDNN has (`reset_after`), in the letters of Keras.
    """

    def __init__(self, units: int, attention_units: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.attention_units = units, attention_units

    def build(self, inputs_shape, memory_shape):
        """From the shapes of inputs (batch, target, features) and memory (batch, source, width)."""
        units, attention_units, width = self.units, self.attention_units, memory_shape[-1]

        def weight(name, *shape, initializer: Any = "glorot_uniform"):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self.kernel = weight("kernel", inputs_shape[-1], 3 * units)
        self.context_kernel = weight("context_kernel", width, 3 * units)
        self.key_kernel = weight("key_kernel", width, attention_units)
        self.query_kernel = weight("query_kernel", units, attention_units)
        self.query_bias = weight("query_bias", attention_units, initializer="zeros")
        self.score = weight("score", attention_units, initializer=keras.initializers.RandomUniform(-0.1, 0.1))
        for number in (1, 2):
            recurrent = weight(f"recurrent_kernel_{number}", units, 3 * units, initializer="orthogonal")
            setattr(self, f"recurrent_kernel_{number}", recurrent)
            # z has one bias, and the candidate's product another, which the reset gate works on.
            setattr(self, f"bias_{number}", weight(f"bias_{number}", 3 * units, initializer="zeros"))
            setattr(self, f"candidate_bias_{number}", weight(f"candidate_bias_{number}", units, initializer="zeros"))
        self.built = True

    def keys(self, memory):
        """K, computed once: (batch, source, attention_units)."""
        return ops.matmul(memory, self.key_kernel)

    def answers(self, memory):
        """H times the second GRU's kernel, (batch, source, 3 * units): so a search, of many steps, computes it once."""
        return ops.matmul(memory, self.context_kernel)

    def call(self, inputs, memory, keys, mask, state, training=False) -> Attended:
        """All steps.

        Args:
            inputs: x, (batch, target, features).
            memory: H, (batch, source, width).
            keys: `self.keys(memory)`.
            mask: bool (batch, source), True = real; at least one in each row.
            state: s before the first step, (batch, units).
        """
        projected = ops.matmul(inputs, self.kernel) + self.bias_1
        if keras.backend.backend() == "tensorflow":
            from shared.recurrent.kernels import conditional_gru

            return Attended(*conditional_gru(projected, memory, keys, mask, state, *self._weights(), keep=training))

        return self._scan(projected, memory, keys, mask, state)

    def _scan(self, projected, memory, keys, mask, state) -> Attended:
        """The same step by step, on any backend."""

        def step(before, projected):
            attended = self._step(projected[:, None], before[0][:, None], memory, keys, mask)
            # On TensorFlow what is kept must be shaped like what is carried: so all of it is both.
            kept = tuple(part[:, 0] for part in attended)
            return kept, kept

        first = (state, ops.zeros_like(memory[:, 0]), ops.zeros_like(keys[:, :, 0]))
        _, found = ops.scan(step, first, ops.transpose(projected, (1, 0, 2)))
        return Attended(*(ops.transpose(part, (1, 0, 2)) for part in found))

    def step(self, inputs, state, memory, keys, mask, answers=None) -> Attended:
        """One step of several hypotheses for each row of the memory.

        Args:
            inputs: (batch, beam, features).
            state: (batch, beam, units).
            memory, keys, mask: as in `call`; they are not repeated.
            answers: `self.answers(memory)`, if there are to be many steps.

        Returns:
            (batch, beam, ...), in the place of target the beam.
        """
        return self._step(ops.matmul(inputs, self.kernel) + self.bias_1, state, memory, keys, mask, answers)

    def _weights(self):
        """What a loop reads, in the order of `kernels.conditional_gru`."""
        return (
            self.recurrent_kernel_1,
            self.candidate_bias_1,
            self.query_kernel,
            self.query_bias,
            self.score,
            self.context_kernel,
            self.bias_2,
            self.recurrent_kernel_2,
            self.candidate_bias_2,
        )

    def _step(self, projected, state, memory, keys, mask, answers=None) -> Attended:
        kernel_1, bias_1, query_kernel, query_bias, score, context_kernel, bias, kernel_2, bias_2 = self._weights()
        middle = gru_step(projected, state, kernel_1, bias_1)
        queries = ops.matmul(middle, query_kernel) + query_bias
        energy = ops.tanh(keys[:, None] + queries[:, :, None])  # (batch, beam, source, attention_units)
        scores = ops.where(mask[:, None], ops.matmul(energy, score[:, None])[..., 0], FAR)
        weights = ops.softmax(scores, axis=-1)
        contexts = ops.matmul(weights, memory)
        answer = ops.matmul(contexts, context_kernel) if answers is None else ops.matmul(weights, answers)
        return Attended(gru_step(answer + bias, middle, kernel_2, bias_2), contexts, weights)

    def compute_output_shape(self, inputs_shape, memory_shape, *_args, **_kwargs):
        batch, target, _ = inputs_shape
        return (batch, target, self.units), (batch, target, memory_shape[-1]), (batch, target, memory_shape[1])

    def get_config(self):
        return {**super().get_config(), "units": self.units, "attention_units": self.attention_units}


def gru_step(projected, state, recurrent_kernel, candidate_bias):
    """The GRU with `reset_after`, from x W + b, for any leading axes."""
    u, r, g = ops.split(projected, 3, axis=-1)
    product_u, product_r, product = ops.split(ops.matmul(state, recurrent_kernel), 3, axis=-1)
    u, r = ops.sigmoid(u + product_u), ops.sigmoid(r + product_r)
    g = ops.tanh(g + r * (product + candidate_bias))
    return g + u * (state - g)
