"""Two views of each example of a batch, which differ in dropout and masks, and how far apart their outputs are."""

from typing import Any

import keras

from shared.losses import divergence

ops: Any = keras.ops  # Keras declares no result types for its operations


def repeat_batch(tensor: Any, times: int) -> Any:
    """`times` copies of a batch, one after the other along its axis."""
    return tensor if times == 1 else ops.concatenate([tensor] * times)


def consistency(logits: Any) -> Any:
    """KL divergence of each distribution from that of the other view, in nats, `(2 * batch, ...)`.

    The logits `(2 * batch, ..., classes)` are those of two views, one half after the other. The other view's
    distribution is the target, without a gradient (Liang et al. 2021, section 2.1, R-Drop; Yao et al. 2024, equation 3,
    CR-CTC).
    """
    log_probs = ops.log_softmax(logits, axis=-1)
    halves = ops.split(log_probs, 2)
    targets = ops.stop_gradient(ops.concatenate([halves[1], halves[0]]))
    return divergence(targets, log_probs)
