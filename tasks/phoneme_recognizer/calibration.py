"""Calibrates the probabilities of phones on the development split.

The CTC logits are divided by one temperature (Guo et al. 2017, section 4.2). Phones found with n-grams are right more
often than their acoustic probabilities say, above all low ones; so their log-odds are also scaled and shifted (Platt
1999).
"""

from typing import Any

import keras
import numpy as np

from shared import ctc
from shared.audio import pad_samples
from shared.calibration import fit_log_odds
from shared.runs import Run
from shared.training import weights_as_arrays
from tasks.phoneme_recognizer.data import Split
from tasks.phoneme_recognizer.evaluate import recognize_split
from tasks.phoneme_recognizer.inference import MAX_BATCH, SoundRecognizer
from tasks.phoneme_recognizer.model import LoadedRecognizer, RecognizerFunction
from tasks.phoneme_recognizer.nearest import nearest
from tasks.phoneme_recognizer.scoring import align_words, score

ops: Any = keras.ops  # Keras declares no result types for its operations

MAX_UTTERANCES = 200  # utterances that the temperature is fitted to
TEMPERATURES = np.geomspace(0.5, 4, 25).astype(np.float32)


class TemperatureFitter(RecognizerFunction):
    """The best path, and the probability of each label at each of `TEMPERATURES`.

    The best path and the segments of its labels do not depend on the temperature.
    """

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """`samples`, `lengths` -> label ids `(batch, target)`, their number, probabilities at each temperature.

        The probabilities are `(batch, temperatures, target)`.
        """
        logits = self.model.logits(inputs["samples"], inputs["lengths"])
        log_probs = ops.log_softmax(logits.ctc_logits, axis=-1)
        labels, counts = ctc.best_path(log_probs, logits.ctc_lengths)
        labels = ctc.trimmed(labels, counts)
        alignment = ctc.align(log_probs, logits.ctc_lengths, labels, counts)

        def repeated(x):  # once for each temperature, along the batch
            return ops.concatenate([x] * len(TEMPERATURES), axis=0)

        scaled = log_probs[None] / TEMPERATURES[:, None, None, None]
        scaled = ops.reshape(ops.log_softmax(scaled, axis=-1), (-1, *ops.shape(log_probs)[1:]))
        label_log_probs = ctc.label_log_probs(
            scaled, repeated(logits.ctc_lengths), repeated(labels), ctc.Alignment(*map(repeated, alignment))
        )
        probabilities = ops.reshape(ops.exp(label_log_probs), (len(TEMPERATURES), *ops.shape(labels)))
        return labels, counts, ops.transpose(probabilities, (1, 0, 2))


def calibrate(run: Run, loaded: LoadedRecognizer, dev: Split) -> None:
    """Fit the temperature and, if the run has a beam, the log-odds to the development split; save the model."""
    dev = transcribed(dev)
    fit_temperature(loaded, dev)
    loaded.model.belief.assign([1, 0])  # those of the run that the training started from do not hold
    if loaded.config.beam:
        recognitions = recognize_split(SoundRecognizer.of(loaded, run), dev)
        scores = score(dev.utterances, recognitions, loaded.vocabulary)
        loaded.model.belief.assign(fit_belief(scores.probabilities, scores.is_right))
    run.save_weights(weights_as_arrays(loaded.model))
    run.save_model(loaded.model)


def transcribed(split: Split) -> Split:
    """The utterances whose phones are those that were said; all of them if a dictionary pronounced every utterance.

    Against the nearest of a dictionary's pronunciations, phones count as right that a transcriber would have corrected.
    """
    utterances = [utterance for utterance in split.utterances if not utterance.words]
    return Split(split.records, utterances or split.utterances)


def fit_temperature(loaded: LoadedRecognizer, dev: Split) -> float:
    """Set the model's temperature to the one with the lowest log-loss of phones being right or wrong; return it."""
    _, vocabulary, model = loaded
    fitter, nats = TemperatureFitter(model), np.zeros(len(TEMPERATURES))
    chosen = np.unique(np.linspace(0, len(dev.utterances) - 1, MAX_UTTERANCES).astype(int)).tolist()
    for batch in fitter.batches([dev.utterances[i].length for i in chosen], MAX_BATCH):
        indices = [chosen[i] for i in batch]
        samples, lengths = pad_samples([dev.samples(i) for i in indices])
        labels, counts, probabilities = fitter.predict_on_batch({"samples": samples, "lengths": lengths})
        for row, i in enumerate(indices):
            reference, hypothesis = dev.utterances[i].phones, vocabulary.decode(labels[row, : counts[row]])
            if dev.utterances[i].words and loaded.config.classes == 39:  # else the dictionary's first pronunciations
                reference = nearest(dev.utterances[i].words, hypothesis)
            for in_reference, in_hypothesis in align_words(reference, hypothesis):
                if in_hypothesis is not None:
                    is_right = in_reference is not None and reference[in_reference] == hypothesis[in_hypothesis]
                    probability = probabilities[row, :, in_hypothesis].clip(1e-6, 1 - 1e-6)
                    nats -= np.log(probability if is_right else 1 - probability)
    best = float(TEMPERATURES[np.argmin(nats)])
    model.temperature.assign(best)
    return best


def fit_belief(probabilities: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Slope and offset `(2,)` of the log-odds of probabilities `(phones,)` that best predict which phones are right.

    Platt scaling; probabilities of 0 and 1 count as almost that.
    """
    probabilities = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return fit_log_odds(np.log(probabilities / (1 - probabilities)), is_right)
