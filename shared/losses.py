"""Losses of padded sequences, averaged over the real tokens."""

from typing import Any

import keras

from shared.gathering import take

ops: Any = keras.ops  # Keras declares no result types for its operations


def real_tokens_mean(values: Any, token_ids: Any) -> Any:
    """The mean of `values` where `token_ids`, of the same shape, is not padding (id 0); 0 if all is padding."""
    real = ops.cast(ops.not_equal(token_ids, 0), values.dtype)
    return ops.sum(values * real) / ops.maximum(ops.sum(real), 1)


def divergence(log_targets: Any, log_probs: Any) -> Any:
    """KL(q || p) in nats, `(...)`, of log q and log p `(..., classes)`."""
    return ops.sum(ops.exp(log_targets) * (log_targets - log_probs), axis=-1)


def token_nats(token_ids: Any, logits: Any, smoothing: float = 0.0) -> Any:
    """-log p(token) in nats, `(..., target)`, of token ids `(..., target)` and logits `(..., target, vocab)`.

    With label smoothing (Szegedy et al. 2016, section 7), this fraction of the loss is the mean of -log p over the
    vocabulary. Logits are the largest tensor of a batch, so both passes read them as few times as possible: half the
    time of `log_softmax` and automatic differentiation.
    """
    shape, vocab = ops.shape(logits), logits.shape[-1]
    tokens = ops.reshape(token_ids, (-1,))
    indices = ops.arange(ops.shape(tokens)[0], dtype="int32") * vocab + ops.cast(tokens, "int32")  # in flat logits

    @ops.custom_gradient
    def nats(logits):
        top = ops.max(logits, axis=-1, keepdims=True)
        powers = ops.exp(logits - top)
        total = ops.sum(powers, axis=-1, keepdims=True)
        chosen = ops.reshape(take(ops.reshape(logits, (-1,)), indices), shape[:-1])
        losses = (ops.log(total) + top)[..., 0] - (1 - smoothing) * chosen
        if smoothing:
            losses = losses - smoothing * ops.mean(logits, axis=-1)

        def gradient(*args, upstream=None):
            upstream = (args[0] if upstream is None else upstream)[..., None]
            gradients = powers * (upstream / total)
            if smoothing:
                gradients = gradients - upstream * (smoothing / vocab)
            gradients = ops.reshape(gradients, (-1,))
            of_tokens = take(gradients, indices) - (1 - smoothing) * ops.reshape(upstream, (-1,))
            return ops.reshape(ops.scatter_update(gradients, indices[:, None], of_tokens), shape)

        return losses, gradient

    return nats(logits)


@keras.saving.register_keras_serializable("quatrain")
class SequenceCrossEntropy(keras.losses.Loss):
    """Cross-entropy in nats per real token, with label smoothing (see `token_nats`).

    Called with token ids `(..., target)`, 0 for padding, and logits `(..., target, vocab)`.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "cross_entropy"):
        super().__init__(name=name, reduction="none")
        self.label_smoothing = label_smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Keras' implementation would weight the mean by the mask of the inputs, if the model propagates one.
        if sample_weight is not None:
            raise ValueError("SequenceCrossEntropy takes no sample_weight; it excludes padding (id 0) itself")
        return self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred, self.dtype))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        token_ids = ops.cast(y_true, "int32")
        return real_tokens_mean(token_nats(token_ids, y_pred, self.label_smoothing), token_ids)

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing, "name": self.name}


@keras.saving.register_keras_serializable("quatrain")
def nats_per_token(y_true: Any, y_pred: Any) -> Any:
    """Cross-entropy without label smoothing, as a metric; its exponential is the perplexity.

    Returns the mean at every token, `(..., target)`, because Keras averages a metric under the propagated mask.
    """
    token_ids = ops.cast(y_true, "int32")  # Keras casts the targets of a metric to float
    nats = token_nats(token_ids, y_pred)
    return ops.broadcast_to(real_tokens_mean(nats, token_ids), ops.shape(token_ids))


@keras.saving.register_keras_serializable("quatrain")
class PolicyGradient(keras.losses.Loss):
    """REINFORCE (Williams 1992, section 4) for sampled sequences: the sum of -log p(token) times its sample weight.

    Called with sampled token ids `(..., target)`, 0 for padding, logits `(..., target, vocab)` and sample weights
    `(..., target)`: the advantages, already divided by the number of items to average over.
    """

    def __init__(self, name: str = "policy_gradient"):
        super().__init__(name=name, reduction="sum")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        token_ids = ops.cast(y_true, "int32")
        return token_nats(token_ids, y_pred) * ops.cast(ops.not_equal(token_ids, 0), y_pred.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


@keras.saving.register_keras_serializable("quatrain")
def mean_nats(_targets: Any, nats: Any) -> Any:
    """Loss of a model that outputs the loss of its targets: the mean of the output."""
    return ops.mean(nats)


@keras.saving.register_keras_serializable("quatrain")
def output_nats(_targets: Any, nats: Any) -> Any:
    """The same output as a metric, without the penalties that a loss includes; its exponential is the perplexity."""
    return nats
