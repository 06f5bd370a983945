"""Attention over a memory, asked by a whole sequence of queries at once.

None of these layers sits inside a recurrence: the queries are the states of an LSTM that has already run, so a training
step attends for every target position in a few matrix products.
"""

from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable("quatrain")
class AdaptiveAttention(keras.layers.Layer):
    """Where to look, and whether to look at all: spatial attention with a visual sentinel.

    Lu, Xiong, Parikh and Socher 2017, "Knowing when to look", sections 2.2 and 2.3. In the paper's letters, for the
    state h_t, the grid V = (v_1 .. v_k) and the sentinel s_t,

        z_ti = score(h_t, v_i),  z_t(k+1) = score(h_t, s_t),  alpha_t = softmax(z_t),  beta_t = alpha_t(k+1)
        c_t = sum_i alpha_ti v_i + beta_t s_t

    Departure: the score is the scaled dot product (W_g h_t) . (W_v v_i) / sqrt(units), not w . tanh(W_v v_i + W_g h_t).
    The additive form stores batch x target x positions x units numbers; the product is one matrix product.
    """

    def __init__(self, units: int, **keras_options):
        super().__init__(**keras_options)
        self.units = units
        self.query_projection = keras.layers.Dense(units, use_bias=False, name="query")
        self.key_projection = keras.layers.Dense(units, use_bias=False, name="key")
        self.sentinel_projection = keras.layers.Dense(units, use_bias=False, name="sentinel")

    def build(self, queries_shape, memory_shape, keys_shape, sentinels_shape):
        self.query_projection.build(queries_shape)
        self.key_projection.build(memory_shape)
        self.sentinel_projection.build(sentinels_shape)
        # The sentinel starts far behind: offered on equal terms it wins every word before the grid has learned to be
        # of use, the softmax saturates, and nothing is ever looked at.
        self.sentinel_bias = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(-5.0), name="sentinel_bias"
        )

    def keys(self, memory):
        """The part that depends on the memory alone, so that decoding computes it once: (batch, positions, units)."""
        return self.key_projection(memory)

    def call(self, queries, memory, keys, sentinels):
        """Attends for each query.

        Args:
            queries: (batch, query, units), the decoder's states h_t.
            memory: (batch, positions, units), the values V.
            keys: (batch, positions, units), `self.keys(memory)`.
            sentinels: (batch, query, units), s_t: what the decoder knows without looking.

        Returns:
            contexts (batch, query, units), and weights (batch, query, positions + 1), whose last column is the
            sentinel's share beta_t and whose rows sum to one.
        """
        queries = self.query_projection(queries) / self.units**0.5
        to_positions = ops.matmul(queries, ops.transpose(keys, (0, 2, 1)))
        to_sentinel = (
            ops.sum(queries * self.sentinel_projection(sentinels), axis=-1, keepdims=True) + self.sentinel_bias
        )
        weights = ops.softmax(ops.concatenate([to_positions, to_sentinel], axis=-1), axis=-1)
        contexts = ops.matmul(weights[..., :-1], memory) + weights[..., -1:] * sentinels
        return contexts, weights

    def get_config(self):
        return {**super().get_config(), "units": self.units}
