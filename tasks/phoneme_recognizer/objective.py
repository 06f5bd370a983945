"""The training objective: CTC, the loss of frames whose phones are known, and consistency between two views."""

from typing import Any

import keras

from shared import ctc
from shared.gathering import take_each
from shared.masks import is_real
from shared.views import consistency, repeat_batch
from tasks.phoneme_recognizer.model import Logits, PhonemeRecognizer

ops: Any = keras.ops  # Keras declares no result types for its operations


def consistency_loss(logits: Logits) -> Any:
    """KL divergence of each step from the same step of the other view, in nats, `(batch, time)`; 0 for padding.

    The batch holds two views of each utterance, see `shared.views`.
    """
    return ops.where(is_real(logits.ctc_logits, logits.ctc_lengths), consistency(logits.ctc_logits), 0.0)


class CTCTrainingModel(keras.Model):
    """Outputs the CTC loss of a batch; in training it adds the frame loss, which comes alone for the first steps."""

    def __init__(self, model: PhonemeRecognizer, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.model = model
        self.steps = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="steps")
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """-log p in nats per label, averaged over the batch and repeated `(batch x views,)`; inputs as in `data`."""
        config = self.model.config
        views = 2 if training and config.consistency_weight > 0 else 1
        logits = self.model.logits(inputs["samples"], inputs["lengths"], training, views)
        label_ids, label_lengths, frame_ids = (
            repeat_batch(inputs[name], views) for name in ("label_ids", "label_lengths", "frame_ids")
        )
        nats = ctc.loss(label_ids, label_lengths, logits.ctc_logits, logits.ctc_lengths)
        labels = ops.maximum(ops.cast(ops.sum(label_lengths), nats.dtype), 1)
        if views > 1:
            self.add_loss(config.consistency_weight * ops.sum(consistency_loss(logits)) / labels)
        if training and config.frame_weight:
            self.steps.assign(self.steps + 1)
            nats = ops.where(self.steps > config.frame_only_steps, nats, ops.stop_gradient(nats))
            known = ops.cast(frame_ids >= 0, "float32")
            log_probs = ops.log_softmax(logits.frame_logits, axis=-1)
            of_frames = take_each(log_probs, ops.maximum(frame_ids, 0))
            self.add_loss(-config.frame_weight * ops.sum(of_frames * known) / ops.maximum(ops.sum(known), 1))
        return ops.broadcast_to(ops.sum(nats) / labels, ops.shape(nats))
