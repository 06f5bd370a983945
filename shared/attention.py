"""Attention of a whole sequence of queries over a memory.

The queries are the states of an LSTM that has already run, not part of a recurrence, so a training step computes the
attention of all target positions in a few matrix products.
"""

from typing import Any

import keras

from shared.dense import Dense, product

ops: Any = keras.ops  # Keras declares no result types for its operations

MASKED_SCORE = -1e9  # the score of a masked position before the softmax


@keras.saving.register_keras_serializable("quatrain")
class AdaptiveAttention(keras.layers.Layer):
    """Spatial attention with a visual sentinel, which is attended to instead of the image.

    Lu, Xiong, Parikh and Socher 2017, "Knowing when to look", sections 2.2 and 2.3. In the paper's notation, for the
    state h_t, the grid V = (v_1 .. v_k) and the sentinel s_t:

        z_ti = score(h_t, v_i),  z_t(k+1) = score(h_t, s_t),  alpha_t = softmax(z_t),  beta_t = alpha_t(k+1)
        c_t = sum_i alpha_ti v_i + beta_t s_t

    Departure: the score is the scaled dot product (W_g h_t) . (W_v v_i) / sqrt(units), one matrix product. The paper's
    w . tanh(W_v v_i + W_g h_t) stores (batch, target, positions, units) numbers. It is computed as
    (transpose(W_v) W_g h_t) . v_i, since a caption has fewer words than a grid has positions.

    Args:
        units: width of the projected queries and keys.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.query_projection = Dense(units, use_bias=False, name="query")
        self.key_projection = Dense(units, use_bias=False, name="key")
        self.sentinel_projection = Dense(units, use_bias=False, name="sentinel")

    def build(self, queries_shape, memory_shape, sentinels_shape):
        self.query_projection.build(queries_shape)
        self.key_projection.build(memory_shape)
        self.sentinel_projection.build(sentinels_shape)
        # With a bias of 0 the sentinel gets all the attention before the features of the grid are of use; the softmax
        # saturates, and the grid never gets any.
        self.sentinel_bias = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(-5.0), name="sentinel_bias"
        )

    def call(self, queries: Any, memory: Any, sentinels: Any) -> tuple[Any, Any]:
        """Contexts and attention weights of each query.

        Args:
            queries: the decoder's states h_t, `(batch, target, features)`.
            memory: the grid V, `(batch, positions, width)`.
            sentinels: s_t, `(batch, target, width)`: what the decoder knows without the image.

        Returns:
            contexts `(batch, target, width)`; weights `(batch, target, positions + 1)`, which sum to 1 and whose last
            column is that of the sentinel, beta_t.
        """
        queries = self.query_projection(queries) / self.units**0.5
        asked = product(queries, ops.transpose(self.key_projection.kernel))
        to_positions = ops.matmul(asked, ops.transpose(memory, (0, 2, 1)))
        to_sentinel = (
            ops.sum(queries * self.sentinel_projection(sentinels), axis=-1, keepdims=True) + self.sentinel_bias
        )
        weights = ops.softmax(ops.concatenate([to_positions, to_sentinel], axis=-1), axis=-1)
        contexts = ops.matmul(weights[..., :-1], memory) + weights[..., -1:] * sentinels
        return contexts, weights

    def get_config(self):
        return {**super().get_config(), "units": self.units}
