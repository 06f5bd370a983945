"""The conditional GRU, with attention inside the recurrence; its loop is one fused pass in each direction.

Firat and Cho's decoder (2016), as in Nematus (Sennrich et al. 2017) and nmtpy (Caglayan et al. 2017): a GRU reads the
token before, its state attends to the source, and a second GRU reads the context. For the memory H
`(batch, source, width)` with its keys K = H U_a, inputs x_t and states s_t:

    m_t = GRU_1(x_t, s_{t-1})
    e_ti = v . tanh(K_i + W_a m_t),    α_t = softmax(e_t)        [Bahdanau et al. 2015, appendix A.1.2]
    c_t = Σ_i α_ti H_i
    s_t = GRU_2(c_t, m_t)

A step computes what depends on the step before: four products of `(batch, units)` by a matrix, the scores, the context.
The rest is computed for all steps at once: x W before the loop; after the backward loop one matrix product for each
weight and one for the memory. A search, which needs one token at a time, and other backends compute single steps.
"""

from typing import Any, NamedTuple

import keras

from shared.attention import MASKED_SCORE
from shared.dense import product

ops: Any = keras.ops  # Keras declares no result types for its operations


class AttentionOutputs(NamedTuple):
    """The results of every step; of a search's step with the axis beam instead of target."""

    states: Any  # (batch, target, units), s_t
    contexts: Any  # (batch, target, width), c_t
    weights: Any  # (batch, target, source), α_t


@keras.saving.register_keras_serializable(package="quatrain")
class ConditionalGRU(keras.layers.Layer):
    """Two GRUs with attention to a memory between them; both as in Keras with `reset_after`.

    Args:
        units: width of s and m.
        attention_units: width of the keys.
    """

    def __init__(self, units: int, attention_units: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.attention_units = units, attention_units

    def build(self, inputs_shape, memory_shape):
        """Creates the weights, given the shapes `(batch, target, features)` and `(batch, source, width)`."""
        units, attention_units, width = self.units, self.attention_units, memory_shape[-1]

        def weight(name, *shape, initializer: Any = "glorot_uniform"):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self.kernel = weight("kernel", inputs_shape[-1], 3 * units)
        self.context_kernel = weight("context_kernel", width, 3 * units)
        self.key_kernel = weight("key_kernel", width, attention_units)
        self.query_kernel = weight("query_kernel", units, attention_units)
        self.query_bias = weight("query_bias", attention_units, initializer="zeros")
        self.score = weight("score", attention_units, initializer=keras.initializers.RandomUniform(-0.1, 0.1))
        for i in (1, 2):
            recurrent = weight(f"recurrent_kernel_{i}", units, 3 * units, initializer="orthogonal")
            setattr(self, f"recurrent_kernel_{i}", recurrent)
            # Of Keras' second bias, that of h U, only the candidate's part, which the reset gate multiplies, is needed.
            setattr(self, f"bias_{i}", weight(f"bias_{i}", 3 * units, initializer="zeros"))
            setattr(self, f"candidate_bias_{i}", weight(f"candidate_bias_{i}", units, initializer="zeros"))
        self.built = True

    def keys(self, memory: Any) -> Any:
        """K, `(batch, source, attention_units)`, computed once."""
        return product(memory, self.key_kernel)

    def project(self, memory: Any) -> Any:
        """H times the second GRU's kernel, `(batch, source, 3 * units)`, which a search computes once."""
        return product(memory, self.context_kernel)

    def call(
        self, inputs: Any, memory: Any, keys: Any, mask: Any, state: Any, training: bool = False
    ) -> AttentionOutputs:
        """All steps.

        Args:
            inputs: x, `(batch, target, features)`.
            memory: H, `(batch, source, width)`.
            keys: `self.keys(memory)`.
            mask: bool `(batch, source)`, True = real; each row has at least one real position.
            state: s before the first step, `(batch, units)`.
        """
        projected = product(inputs, self.kernel) + self.bias_1
        if not self.is_fused:
            return self._scan(projected, memory, keys, mask, state)
        from shared.recurrent.kernels import conditional_gru

        return AttentionOutputs(*conditional_gru(projected, memory, keys, mask, state, *self._weights(), keep=training))

    @property
    def is_fused(self) -> bool:
        """Whether a fused kernel computes all steps on this backend."""
        return keras.backend.backend() in ("tensorflow", "jax")

    def implementation(self, training: bool) -> str:
        """What computes all steps here, as `Fused.implementation`."""
        if not self.is_fused:
            return f"Keras: the backend {keras.backend.backend()}"
        from shared.recurrent import kernels

        return kernels.NAME

    def _scan(self, projected, memory, keys, mask, state) -> AttentionOutputs:
        """All steps, one at a time, on any backend."""

        def step(carry, projected):
            outputs = self._step(projected[:, None], carry[0][:, None], memory, keys, mask)
            # On TensorFlow the outputs must have the shapes of the carry, so the two are the same.
            outputs = tuple(x[:, 0] for x in outputs)
            return outputs, outputs

        initial = (state, ops.zeros_like(memory[:, 0]), ops.zeros_like(keys[:, :, 0]))
        _, outputs = ops.scan(step, initial, ops.transpose(projected, (1, 0, 2)))
        return AttentionOutputs(*(ops.transpose(x, (1, 0, 2)) for x in outputs))

    def step(
        self, inputs: Any, state: Any, memory: Any, keys: Any, mask: Any, projected_memory: Any = None
    ) -> AttentionOutputs:
        """One step of several hypotheses for each row of the memory.

        Args:
            inputs: `(batch, beam, features)`.
            state: `(batch, beam, units)`.
            memory, keys, mask: as in `call`, without a beam axis.
            projected_memory: `self.project(memory)`, which makes many steps faster.

        Returns:
            `(batch, beam, ...)`.
        """
        return self._step(product(inputs, self.kernel) + self.bias_1, state, memory, keys, mask, projected_memory)

    def _weights(self):
        """In the order of the arguments of `kernels.conditional_gru`."""
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

    def _step(self, projected, state, memory, keys, mask, projected_memory=None) -> AttentionOutputs:
        kernel_1, bias_1, query_kernel, query_bias, score, context_kernel, bias, kernel_2, bias_2 = self._weights()
        middle = gru_step(projected, state, kernel_1, bias_1)
        queries = product(middle, query_kernel) + query_bias
        energy = ops.tanh(keys[:, None] + queries[:, :, None])  # (batch, beam, source, attention_units)
        scores = ops.where(mask[:, None], product(energy, score[:, None])[..., 0], MASKED_SCORE)
        weights = ops.softmax(scores, axis=-1)
        contexts = ops.matmul(weights, memory)
        if projected_memory is None:
            projected = product(contexts, context_kernel)
        else:
            projected = ops.matmul(weights, projected_memory)
        return AttentionOutputs(gru_step(projected + bias, middle, kernel_2, bias_2), contexts, weights)

    def compute_output_shape(self, inputs_shape, memory_shape, *_args, **_kwargs):
        batch, target, _ = inputs_shape
        return (batch, target, self.units), (batch, target, memory_shape[-1]), (batch, target, memory_shape[1])

    def get_config(self):
        return {**super().get_config(), "units": self.units, "attention_units": self.attention_units}


def gru_step(projected: Any, state: Any, recurrent_kernel: Any, candidate_bias: Any) -> Any:
    """The next state `(..., units)` of a GRU with `reset_after`.

    Args:
        projected: x W + b, `(..., 3 * units)`.
        state: `(..., units)`.
        recurrent_kernel, candidate_bias: `(units, 3 * units)`, `(units,)`.
    """
    u, r, g = ops.split(projected, 3, axis=-1)
    product_u, product_r, product_g = ops.split(product(state, recurrent_kernel), 3, axis=-1)
    u, r = ops.sigmoid(u + product_u), ops.sigmoid(r + product_r)
    g = ops.tanh(g + r * (product_g + candidate_bias))
    return g + u * (state - g)
