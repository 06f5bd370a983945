"""Probabilities that hold: one temperature, fitted to the development split (Guo et al. 2017, section 4.2)."""

import numpy as np

from shared import ctc
from tasks.phoneme_recognizer.data import Split, pad_samples
from tasks.phoneme_recognizer.model import PhonemeRecognizer
from tasks.phoneme_recognizer.recognition import batches
from tasks.phoneme_recognizer.scoring import aligned

HEARD = 200  # utterances that it is fitted to, at most
TEMPERATURES = np.geomspace(0.5, 4, 25)


def fit_temperature(model: PhonemeRecognizer, dev: Split) -> float:
    """Gives the model the temperature under which what it tells of each phone is likeliest to be right or wrong.

    The best path, and where its labels are, do not depend on the temperature; so sounds are heard once.
    """
    import keras

    log_probs_of = keras.ops.log_softmax
    nats = np.zeros(len(TEMPERATURES))
    chosen = np.unique(np.linspace(0, len(dev.utterances) - 1, HEARD).astype(int)).tolist()
    sounds = {number: dev.samples(number) for number in chosen}
    for places in batches([len(sounds[number]) for number in chosen]):
        numbers = [chosen[place] for place in places]
        samples, lengths = pad_samples([sounds[number] for number in numbers])
        heard = model.predict_on_batch({"samples": samples, "lengths": lengths})
        logits, frames = heard["ctc_logits"], heard["ctc_lengths"]
        labels, counts = (np.asarray(x) for x in ctc.best_path(logits, frames))
        labels = labels[:, : max(int(counts.max()), 1)]
        alignment = ctc.align(log_probs_of(logits), frames, labels, counts)
        is_right = np.zeros(labels.shape, bool)
        for row, number in enumerate(numbers):
            reference = [str(label) for label in dev.utterances[number].label_ids]
            hypothesis = [str(label) for label in labels[row, : counts[row]]]
            for ours, theirs in aligned(reference, hypothesis):
                if ours is not None and theirs is not None:
                    is_right[row, theirs] = reference[ours] == hypothesis[theirs]
        for place, temperature in enumerate(TEMPERATURES):
            told = np.asarray(ctc.label_log_probs(log_probs_of(logits / temperature), frames, labels, alignment))
            told = np.exp(told[labels != ctc.BLANK]).clip(1e-6, 1 - 1e-6)
            right = is_right[labels != ctc.BLANK]
            nats[place] -= np.log(np.where(right, told, 1 - told)).sum()
    best = float(TEMPERATURES[np.argmin(nats)])
    model.temperature.assign(best)
    return best
