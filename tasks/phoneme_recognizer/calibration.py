"""Probabilities that hold, fitted to the development split.

What the best path spells is told under one temperature (Guo et al. 2017, section 4.2). What is found with n-grams is
right more often than the sound alone would have it, the more so the less the sound says: its log-odds are stretched and
shifted besides (Platt 1999).
"""

from typing import Any

import keras
import numpy as np

from shared import ctc
from shared.any_size import AnySize
from tasks.phoneme_recognizer.data import Split, pad_samples
from tasks.phoneme_recognizer.model import PhonemeRecognizer
from tasks.phoneme_recognizer.recognition import batches
from tasks.phoneme_recognizer.scoring import aligned

ops: Any = keras.ops  # Keras declares no result types for its operations

HEARD = 200  # utterances that it is fitted to, at most
TEMPERATURES = np.geomspace(0.5, 4, 25).astype(np.float32)


class Thermometer(AnySize):
    """What the best path spells, and how probable each label is under each temperature, compiled once.

    Which path is best, and where its labels are, does not depend on the temperature.
    """

    def __init__(self, model: PhonemeRecognizer):
        super().__init__()
        self.model = model

    def call(self, inputs):
        """`samples` and `lengths` -> labels (batch, places), how many, probabilities (temperatures, batch, places)."""
        heard = self.model.hear(inputs["samples"], inputs["lengths"])
        log_probs = ops.log_softmax(heard.ctc_logits, axis=-1)
        labels, counts = ctc.best_path(log_probs, heard.ctc_lengths)
        labels = labels[:, : ops.maximum(ops.max(counts), 1)]
        found = ctc.align(log_probs, heard.ctc_lengths, labels, counts)

        def for_all(x):  # all temperatures side by side, as so many utterances more
            return ops.concatenate([x] * len(TEMPERATURES), axis=0)

        scaled = log_probs[None] / TEMPERATURES[:, None, None, None]
        scaled = ops.reshape(ops.log_softmax(scaled, axis=-1), (-1, *ops.shape(log_probs)[1:]))
        told = ctc.label_log_probs(
            scaled, for_all(heard.ctc_lengths), for_all(labels), ctc.Alignment(*map(for_all, found))
        )
        return labels, counts, ops.reshape(ops.exp(told), (len(TEMPERATURES), *ops.shape(labels)))


def fit_temperature(model: PhonemeRecognizer, dev: Split) -> float:
    """Gives the model the temperature under which what it tells of each phone is likeliest to be right or wrong."""
    thermometer, nats = Thermometer(model), np.zeros(len(TEMPERATURES))
    chosen = np.unique(np.linspace(0, len(dev.utterances) - 1, HEARD).astype(int)).tolist()
    for places in batches([dev.utterances[number].length for number in chosen]):
        samples, lengths = pad_samples([dev.samples(chosen[place]) for place in places])
        labels, counts, told = thermometer.predict_on_batch({"samples": samples, "lengths": lengths})
        for row, place in enumerate(places):
            reference = [str(label) for label in dev.utterances[chosen[place]].label_ids]
            hypothesis = [str(label) for label in labels[row, : counts[row]]]
            for ours, theirs in aligned(reference, hypothesis):
                if theirs is not None:
                    is_right = ours is not None and reference[ours] == hypothesis[theirs]
                    probability = told[:, row, theirs].clip(1e-6, 1 - 1e-6)
                    nats -= np.log(probability if is_right else 1 - probability)
    best = float(TEMPERATURES[np.argmin(nats)])
    model.temperature.assign(best)
    return best


def fit_belief(told: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Slope and shift of the log-odds of probabilities (phones,) by which they fit best how often phones are right.

    Newton's method on the likelihood, with one phone more that is right at odds of 1, and one that is wrong.
    """
    told = np.clip(np.append(told, [0.5, 0.5]), 1e-6, 1 - 1e-6)
    odds = np.stack([np.log(told / (1 - told)), np.ones(len(told))])
    right, belief = np.append(right, [1, 0]), np.array([1.0, 0.0])
    for _ in range(20):
        found = 1 / (1 + np.exp(-belief @ odds))
        curvature = (odds * found * (1 - found)) @ odds.T + 1e-6 * np.eye(2)
        belief = belief + np.linalg.solve(curvature, odds @ (right - found))
    return belief
