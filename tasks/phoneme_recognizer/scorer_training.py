"""Training of the scorer of pronunciation, from the experts' scores of phones.

The scorer learns from the speakers of train. The recognizer has learned from them too, and is surer about them than
about others: so what it finds is standardised by the statistics of train while the scorer learns, and from then on by
those of dev. Each utterance is seen in several views, all but the first as in the recognizer's training, augmented and
with masks and dropout, so that it is less sure.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.batching import BucketedBatches
from shared.packing import pad
from shared.runs import Run
from shared.training import TrainingError, cosine_factor, warmup_factor, weights_as_arrays
from tasks.phoneme_recognizer import card
from tasks.phoneme_recognizer.agreement import agreement, judge
from tasks.phoneme_recognizer.augmentation import augment
from tasks.phoneme_recognizer.config import SCORER
from tasks.phoneme_recognizer.expert_scores import CORPUS, JudgedSplit, load_judged
from tasks.phoneme_recognizer.inference import MAX_BATCH, SoundRecognizer
from tasks.phoneme_recognizer.model import PhonemeRecognizer, load_model
from tasks.phoneme_recognizer.pronunciation import PronunciationScorer, as_inputs
from tasks.phoneme_recognizer.scorer import UNKNOWN, EvidenceFunction, PhoneScorer, build_scorer, squared_error

VIEWS = 3  # of each utterance; PCC of phones on dev: with one 0.665, with three 0.679
EPOCHS, BATCH_SIZE = 6, 32
LEARNING_RATE, WEIGHT_DECAY, WARMUP_STEPS = 2e-3, 1e-3, 50


class Judged(NamedTuple):
    """What a recognizer finds about an utterance, and the experts' scores of its phones."""

    features: np.ndarray  # (phones, features)
    label_ids: np.ndarray  # int32 (phones,)
    scores: np.ndarray  # (phones,), 0 to 2


def train_scorer(run: Run, seed: int, data_dir: Path | None = None) -> dict[str, Any]:
    """Train the scorer of a run; save it, and in metrics.json and on the card how it agrees with the experts on dev.

    Returns these metrics.

    Raises:
        UserError: the run is in training, or the corpus or its scores cannot be read.
    """
    with run.training():
        keras.utils.set_random_seed(seed)  # before the layers that draw masks and dropout are made
        loaded = load_model(run)
        train, dev = (load_judged(split, loaded.config, data_dir) for split in ("train", "dev"))
        scorer = build_scorer(len(loaded.vocabulary))
        fit(scorer, list(views(loaded.model, train, VIEWS, seed)), seed)
        standardise(scorer, list(views(loaded.model, dev)))
        run.save_weights(weights_as_arrays(scorer), SCORER)
        metrics = agreement(dev, judge(PronunciationScorer(SoundRecognizer(loaded), scorer), dev), scorer)
        is_of_run = CORPUS in (loaded.config.dev_corpus or loaded.config.corpora[0]).split("+")
        run.save_metrics("dev scores" if is_of_run else f"{CORPUS} dev scores", metrics)  # as `evaluate` names them
        card.write(run)
        return metrics


def views(model: PhonemeRecognizer, split: JudgedSplit, count: int = 1, seed: int = 0) -> Iterator[Judged]:
    """What a recognizer finds about each utterance, as it is and, in each further view, as in its training."""
    for view in range(count):
        function = EvidenceFunction(model, training=view > 0)
        for batch in function.batches(split.lengths, MAX_BATCH):
            sounds = [split.samples(i) for i in batch]
            if view:
                rngs = [np.random.default_rng([seed, view, i]) for i in batch]
                sounds = [augment(sound, None, model.config, rng)[0] for sound, rng in zip(sounds, rngs, strict=True)]
            found = function.predict_on_batch(as_inputs(sounds, [split.label_ids[i] for i in batch]))
            for row, i in enumerate(batch):
                label_ids, scores = np.array(split.label_ids[i], np.int32), split.scores[i].of_phones
                yield Judged(found["features"][row, : len(label_ids)], label_ids, scores)


def standardise(scorer: PhoneScorer, judged: Sequence[Judged]) -> None:
    """Give the features of utterances mean 0 and standard deviation 1."""
    features = np.concatenate([each.features for each in judged])
    scorer.mean.assign(features.mean(axis=0))
    scorer.deviation.assign(features.std(axis=0) + 1e-3)


def fit(scorer: PhoneScorer, judged: Sequence[Judged], seed: int) -> None:
    """Train a scorer in place; raises TrainingError if the loss is not finite."""
    standardise(scorer, judged)
    goodness = np.concatenate([each.features[:, 0] for each in judged])
    scores = np.concatenate([each.scores for each in judged])
    scorer.line.assign(np.polyfit((goodness - goodness.mean()) / (goodness.std() + 1e-3), scores, 1))

    def make_batch(indices: np.ndarray, _rngs: Any, sizes: Mapping[str, int]) -> Any:
        chosen = [judged[i] for i in indices]
        label_ids = pad([each.label_ids.tolist() for each in chosen], sizes["label_ids"])
        inputs = np.zeros((*label_ids.shape, chosen[0].features.shape[1]), np.float32)
        targets = np.full(label_ids.shape, UNKNOWN, np.float32)
        for row, each in enumerate(chosen):
            inputs[row, : len(each.scores)], targets[row, : len(each.scores)] = each.features, each.scores
        return {"features": inputs, "label_ids": label_ids}, targets

    lengths = [len(each.scores) for each in judged]
    batches = BucketedBatches(lengths, BATCH_SIZE, make_batch, seed, {"label_ids": lengths})
    batches.limit_sizes(run=1)
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, WEIGHT_DECAY, clipnorm=1.0)
    scorer.compile(optimizer, squared_error)
    optimizer.build(scorer.trainable_variables)  # else the first step is compiled twice
    steps = EPOCHS * len(batches)
    for step in range(steps):
        batches.epoch, index = divmod(step, len(batches))
        optimizer.learning_rate = LEARNING_RATE * warmup_factor(step, WARMUP_STEPS) * cosine_factor(step, steps)
        if index == 0:
            scorer.reset_metrics()
        loss = float(scorer.train_on_batch(*batches[index]))
        if not math.isfinite(loss):
            raise TrainingError(f"the scorer's loss is {loss} at step {step + 1}")
