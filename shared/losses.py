"""Losses over padded sequences, averaged over the real tokens alone."""

from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


def real_tokens_mean(values, token_ids):
    """The mean of `values` where `token_ids`, of the same shape, is no padding (id 0); 0 when all is padding."""
    real = ops.cast(ops.not_equal(token_ids, 0), values.dtype)
    return ops.sum(values * real) / ops.maximum(ops.sum(real), 1)


def token_nats(token_ids, logits, smoothing: float = 0.0):
    """-log p(token) in nats, as `logits` (..., vocab) without its last axis.

    With label smoothing (Szegedy et al. 2016, section 7) that share of it is the mean of -log p over the vocabulary.
    Logits of a batch are the largest of all tensors; so they are read as seldom as can be, here and backwards: half the
    time of what `log_softmax` and automatic derivatives take.
    """
    shape, vocab = ops.shape(logits), logits.shape[-1]
    tokens = ops.reshape(token_ids, (-1,))
    places = ops.arange(ops.shape(tokens)[0], dtype="int32") * vocab + ops.cast(tokens, "int32")

    @ops.custom_gradient
    def nats(logits):
        top = ops.max(logits, axis=-1, keepdims=True)
        powers = ops.exp(logits - top)
        total = ops.sum(powers, axis=-1, keepdims=True)
        chosen = ops.reshape(ops.take(ops.reshape(logits, (-1,)), places), shape[:-1])
        costs = (ops.log(total) + top)[..., 0] - (1 - smoothing) * chosen
        if smoothing:
            costs = costs - smoothing * ops.mean(logits, axis=-1)

        def gradient(*args, upstream=None):
            slope = (args[0] if upstream is None else upstream)[..., None]
            slopes = powers * (slope / total)
            if smoothing:
                slopes = slopes - slope * (smoothing / vocab)
            slopes = ops.reshape(slopes, (-1,))
            of_tokens = ops.take(slopes, places) - (1 - smoothing) * ops.reshape(slope, (-1,))
            return ops.reshape(ops.scatter_update(slopes, places[:, None], of_tokens), shape)

        return costs, gradient

    return nats(logits)


@keras.saving.register_keras_serializable("quatrain")
class SequenceCrossEntropy(keras.losses.Loss):
    """Cross-entropy in nats per real token, with label smoothing, see `token_nats`.

    Called with token ids (..., target), 0 being padding, and logits (..., target, vocab).
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "cross_entropy"):
        super().__init__(name=name, reduction="none")
        self.label_smoothing = label_smoothing

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Not Keras' own: it would weigh the mean with the mask of the inputs, if the model passes one on.
        if sample_weight is not None:
            raise ValueError("SequenceCrossEntropy takes no sample_weight: padding (id 0) alone counts for nothing")
        return self.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred, self.dtype))

    def call(self, y_true, y_pred):
        token_ids = ops.cast(y_true, "int32")
        return real_tokens_mean(token_nats(token_ids, y_pred, self.label_smoothing), token_ids)

    def get_config(self):
        return {"label_smoothing": self.label_smoothing, "name": self.name}


@keras.saving.register_keras_serializable("quatrain")
def nats_per_token(y_true, y_pred):
    """The plain cross-entropy, as a metric beside a smoothed loss: exp of it is the perplexity.

    Returns the one number at every token, since Keras averages a metric under whatever mask the model passes on.
    """
    token_ids = ops.cast(y_true, "int32")  # Keras hands targets to a metric as floats
    nats = token_nats(token_ids, y_pred)
    return ops.broadcast_to(real_tokens_mean(nats, token_ids), ops.shape(token_ids))


@keras.saving.register_keras_serializable("quatrain")
class PolicyGradient(keras.losses.Loss):
    """REINFORCE (Williams 1992, section 4) for sampled sequences: the sum of -log p(token) times its sample weight.

    Called with the sampled token ids (..., target), 0 being padding, and logits (..., target, vocab); the sample
    weights (..., target) are the advantages, divided by whatever the sum should be an average over.
    """

    def __init__(self, name: str = "policy_gradient"):
        super().__init__(name=name, reduction="sum")

    def call(self, y_true, y_pred):
        token_ids = ops.cast(y_true, "int32")
        return token_nats(token_ids, y_pred) * ops.cast(ops.not_equal(token_ids, 0), y_pred.dtype)

    def get_config(self):
        return {"name": self.name}


@keras.saving.register_keras_serializable("quatrain")
def mean_nats(_targets, nats):
    """The loss of a model that tells itself what its targets cost: what it tells, averaged."""
    return ops.mean(nats)


@keras.saving.register_keras_serializable("quatrain")
def told_nats(_targets, nats):
    """The same as a metric, without the penalties that the loss has besides: exp of it is the perplexity."""
    return nats
