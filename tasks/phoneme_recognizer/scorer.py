"""A small recurrent network from what the recognizer finds about each phone of a text to a score of its pronunciation.

    samples, phones -> CTC and frame posteriors -> evidence about each phone  `(batch, target, features)`
      goodness, and the log-posteriors of its alternatives: each phone, or none           [goodness.py]
      the best phone inserted before it and after it
      its duration and the pauses around it
      frame posteriors, averaged over the frames of its alignment
    -> dense -> forward and backward GRU over the phones of the utterance -> score between 0 and 2, as the experts give

The experts of speechocean762 give 2 for a right phone, 1 for a heavy accent, 0 for a wrong or missing one.
"""

from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from shared.audio import SAMPLE_RATE
from shared.dense import Dense
from shared.frames import HOP, WINDOW
from shared.labels import BLANK, LOG_ZERO
from shared.recurrent import Stack
from shared.runs import Run, RunError
from shared.training import assign_weights, check_types
from tasks.phoneme_recognizer.config import SCORER, check_scorer
from tasks.phoneme_recognizer.goodness import Alternatives, alternatives
from tasks.phoneme_recognizer.model import PhonemeRecognizer, RecognizerFunction, Segments

ops: Any = keras.ops  # Keras declares no result types for its operations

MAX_SCORE = 2.0  # of the experts
EMBEDDING_UNITS, UNITS, DROPOUT = 16, 48, 0.3
USUAL = 2.0  # log-odds of a high score at the start of the training: most phones are right
UNKNOWN = -1.0  # in place of the score of padding
LEAST = -12.0  # nats; log-probabilities below it say no more


class Evidence(NamedTuple):
    """What a recognizer finds about each phone of a text."""

    features: Any  # (batch, target, features)
    goodness: Any  # (batch, target), at most 0
    said_ids: Any  # (batch, target) int32, the likeliest alternative to the phone; 0 for none
    said_odds: Any  # (batch, target), its log-probability relative to the phone
    inserted_ids: Any  # (batch, target + 1) int32, the likeliest phone before the first one, and after each
    inserted_odds: Any  # (batch, target + 1), its log-probability relative to none


def feature_count(vocab: int) -> int:
    """Number of features of a phone."""
    return 3 * vocab + 10


def evidence(
    model: PhonemeRecognizer, samples: Any, lengths: Any, label_ids: Any, label_lengths: Any, training: bool = False
) -> Evidence:
    """The evidence about phones `(batch, target)`, 0 for padding, in sounds `(batch, samples)`.

    With `training`, by a recognizer with masks and dropout as in its training.
    """
    logits = model.logits(samples, lengths, training)
    found = alternatives(model.log_probs(logits), logits.ctc_lengths, label_ids, label_lengths)
    segments = model.align(logits, lengths, label_ids[:, None], label_lengths[:, None], are_all=False)
    frame_log_probs = ops.log_softmax(logits.frame_logits, axis=-1)
    ids = ops.arange(model.num_classes)
    is_own = label_ids[..., None] == ids
    others = ops.where(is_own, 2 * LOG_ZERO, found.replaced)
    new = ops.where(ids == BLANK, 2 * LOG_ZERO, found.extended)
    return Evidence(
        ops.where(label_ids[..., None] != BLANK, _features(found, segments, frame_log_probs, is_own), 0.0),
        found.goodness,
        ops.cast(ops.argmax(others, axis=-1), "int32"),
        ops.max(others, axis=-1),
        ops.cast(ops.argmax(new, axis=-1), "int32"),
        ops.max(new, axis=-1),
    )


def _features(found: Alternatives, segments: Segments, frame_log_probs: Any, is_own: Any) -> Any:
    """The features of phones `(batch, target, features)`; `is_own` is `(batch, target, vocab)`."""
    goodness = ops.minimum(found.goodness, 0.0)[..., None]
    posteriors = ops.maximum(found.replaced + goodness, LEAST)
    inserted = ops.maximum(ops.max(found.extended[:, 1:, 1:], axis=-1, keepdims=True), LEAST)
    inserted_before = ops.pad(inserted[:, :-1], ((0, 0), (1, 0), (0, 0)))
    starts, ends = segments.starts[:, 0], segments.ends[:, 0]
    pauses = ops.pad(ops.maximum(starts[:, 1:] - ends[:, :-1], 0.0), ((0, 0), (1, 1)))
    seconds = ops.stack([ends - starts, found.occupancies, pauses[:, :-1], pauses[:, 1:]], axis=-1)

    middles = (ops.arange(ops.shape(frame_log_probs)[1], dtype="float32") * HOP + WINDOW / 2) / SAMPLE_RATE
    within = (middles >= starts[..., None]) & (middles < ends[..., None])  # (batch, target, frames)
    weights = ops.cast(within, "float32")
    weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1.0)
    by_frame = ops.matmul(weights, ops.exp(frame_log_probs))
    log_by_frame = ops.matmul(weights, ops.maximum(frame_log_probs, LEAST))
    of_own = ops.log(ops.sum(ops.where(is_own, by_frame, 0.0), axis=-1, keepdims=True) + 1e-4)

    clipped = ops.maximum(goodness, LEAST)
    of_goodness = clipped, ops.exp(clipped), ops.sqrt(-clipped + 1e-6)
    durations = ops.log(ops.maximum(seconds, 0.0) + 0.02)
    parts = *of_goodness, posteriors, inserted_before, inserted, durations, by_frame, log_by_frame, of_own
    return ops.concatenate(parts, axis=-1)


class EvidenceFunction(RecognizerFunction):
    """`evidence` of a recognizer; `EvidenceFunction(model, training=True)` with masks and dropout."""

    shortest: ClassVar = {"samples": SAMPLE_RATE, "label_ids": 16}  # of a second of speech

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`samples`, `lengths`, `label_ids` `(batch, target)`, `label_lengths` `(batch,)` -> fields of `Evidence`."""
        names = "samples", "lengths", "label_ids", "label_lengths"
        return evidence(self.model, *(inputs[name] for name in names), **self.search)._asdict()


@keras.saving.register_keras_serializable("quatrain")
class PhoneScorer(keras.Model):
    """Features and ids of phones in, scores between 0 and `MAX_SCORE` out.

    Attributes:
        mean, deviation: `(features,)`, statistics of utterances that the recognizer was not trained on.
        line: `(2,)`, slope and offset of the score that the goodness alone suggests, standardised by these.
    """

    def __init__(self, vocab: int, name: str = "scorer", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)
        self.vocab = vocab
        self.embedding = keras.layers.Embedding(vocab, EMBEDDING_UNITS, name="embedding")
        self.dense = Dense(2 * UNITS, activation="relu", name="dense")
        self.stack = Stack("gru", UNITS, 1, bidirectional=True, dropout=DROPOUT, name="stack")
        self.dropout = keras.layers.Dropout(DROPOUT, name="dropout")
        self.head = Dense(1, name="head")
        count = feature_count(vocab)
        self.mean = self.add_weight(shape=(count,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(count,), initializer="ones", trainable=False, name="deviation")
        self.line = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="line")

    def build(self, input_shape: Any = None):
        del input_shape
        self.embedding.build((None, None))
        self.dense.build((None, None, feature_count(self.vocab) + EMBEDDING_UNITS))
        self.stack.build((None, None, 2 * UNITS))
        self.head.build((None, None, 4 * UNITS))
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """`features` `(batch, target, features)`, `label_ids` `(batch, target)`, 0 for padding -> `(batch, target)`."""
        label_ids = inputs["label_ids"]
        normalised = (inputs["features"] - self.mean) / self.deviation
        x = ops.concatenate([normalised, self.embedding(label_ids)], axis=-1)
        x = self.dense(self.dropout(x, training=training))
        outputs, _ = self.stack(x, mask=label_ids != BLANK, training=training)
        x = self.dropout(ops.concatenate([outputs, x], axis=-1), training=training)
        return MAX_SCORE * ops.sigmoid(self.head(x)[..., 0] + USUAL)

    def by_goodness(self, goodness: np.ndarray) -> np.ndarray:
        """The scores that the goodness of phones, of any shape, suggests without the network."""
        (slope, offset), mean, deviation = map(np.asarray, (self.line, self.mean[0], self.deviation[0]))
        return np.clip(slope * (np.clip(goodness, LEAST, 0.0) - mean) / deviation + offset, 0.0, MAX_SCORE)

    def get_config(self) -> dict[str, Any]:
        return {"vocab": self.vocab, "name": self.name}


def squared_error(scores: Any, predicted: Any) -> Any:
    """The mean squared error of phones `(batch, target)`; padding has the score `UNKNOWN`."""
    is_real = ops.cast(scores > UNKNOWN, predicted.dtype)
    return ops.sum(is_real * ops.square(predicted - scores)) / ops.maximum(ops.sum(is_real), 1.0)


class ScoringFunction(EvidenceFunction):
    """`evidence` of a recognizer, with the scores of a scorer in place of the features."""

    def __init__(self, model: PhonemeRecognizer, scorer: PhoneScorer):
        super().__init__(model)
        self.scorer = scorer

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """As `EvidenceFunction`, and `scores` `(batch, target)` between 0 and `MAX_SCORE`."""
        found = super().call(inputs)
        features = {"features": found.pop("features"), "label_ids": inputs["label_ids"]}
        return {**found, "scores": self.scorer(features)}


def build_scorer(vocab: int) -> PhoneScorer:
    """An untrained scorer for a recognizer with `vocab` ids."""
    scorer = PhoneScorer(vocab)
    scorer.build()
    return scorer


def load_scorer(run: Run, vocab: int) -> PhoneScorer:
    """The scorer of a run; raises RunError if it has none, or if the weights do not fit."""
    check_scorer(run)
    path, scorer = run.path / f"{SCORER}.safetensors", build_scorer(vocab)
    try:
        check_types(run.weight_specs(SCORER))
        assign_weights(scorer, run.load_weights(SCORER))
    except RunError as error:
        raise RunError(f"{path}: {error}") from None
    if not bool(ops.all(scorer.deviation > 0)):
        raise RunError(f"{path}: deviations above 0 were expected")
    return scorer
