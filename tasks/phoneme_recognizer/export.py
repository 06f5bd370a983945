"""Writes a trained recognizer as a SavedModel that takes samples and returns phones with times.

    python -m tasks.phoneme_recognizer.export [RUN] [--beam 10]      # --beam 0: best path

Endpoints, for any batch size and length (memory is proportional to samples x phones: cut sounds of minutes):

    waveform `(batch, samples)` float32 in -1..1, 16,000 Hz; lengths `(batch,)` int32, in samples

    recognize    -> phonemes     `(batch, target)` string      ARPAbet, "" for padding
                    start, end   `(batch, target)` float32     seconds
                    probability  `(batch, target)` float32     of this phone and no other in its segment
                    log_prob     `(batch,)` float32            natural logarithm, of the whole sequence
    posteriors   -> posteriors   `(batch, frames, vocab)` float32, every 10 ms, silence first; at temperature 1
                    phones       `(vocab,)` string
                    lengths      `(batch,)` int32, in frames
"""

import sys
from pathlib import Path
from typing import Any

from shared import commands
from shared.cli import BestPathExportOptions, command
from tasks.phoneme_recognizer.config import find_run

EXAMPLES = 4  # sounds in the parity check
TOLERANCE = 1e-3  # of seconds, probabilities and relative log-probabilities; graphs differ in the order of sums


def export(model: str | None = None, beam: int | None = None) -> Path:
    """Export a run or folder and return the SavedModel's folder; `beam` is 0 for the best path.

    Raises:
        RunError: the run does not exist, or its files do not fit together.
        ParityError: the outputs of the SavedModel and of the Python model differ.
    """
    run = find_run(model)
    import numpy as np
    import tensorflow as tf

    from shared.audio import pad_samples
    from shared.export import Endpoint, ParityError, write_saved_model
    from shared.features import WINDOW
    from tasks.phoneme_recognizer.data import example_sounds
    from tasks.phoneme_recognizer.inference import MAX_PIECE, SoundRecognizer

    recognizer = SoundRecognizer.load(str(run.path), beam)
    network, vocabulary = recognizer.model, recognizer.vocabulary

    def checked(waveform, lengths):
        """The waveform padded to at least a window, and lengths within it."""
        size = tf.shape(waveform)[1]
        missing: Any = [[0, 0], [0, tf.maximum(WINDOW - size, 0)]]
        return tf.pad(waveform, missing), tf.clip_by_value(lengths, 0, size)

    def recognize(waveform, lengths):
        segments = recognizer.decoder.decode(*checked(waveform, lengths))
        return {
            "phonemes": tf.gather(tf.constant(vocabulary.table), segments.label_ids[:, 0]),
            "start": segments.starts[:, 0],
            "end": segments.ends[:, 0],
            "probability": segments.probabilities[:, 0],
            "log_prob": segments.log_probs[:, 0],
        }

    def posteriors(waveform, lengths):
        probabilities, frames = network.posteriors(*checked(waveform, lengths))
        return {"posteriors": probabilities, "phones": tf.constant(["sil", *vocabulary.phones]), "lengths": frames}

    sounds = [sound[:MAX_PIECE] for sound in example_sounds(recognizer.config, EXAMPLES)]
    samples, lengths = pad_samples(sounds)
    expected = [best[0] for best in recognizer(sounds)]
    expected_posteriors = np.asarray(network.posteriors(*checked(samples, lengths))[0])

    def check(loaded: Any) -> None:
        recognized, by_frame = (
            {name: value.numpy() for name, value in endpoint(samples, lengths).items()}
            for endpoint in (loaded.recognize, loaded.posteriors)
        )
        for row, best in enumerate(expected):
            phones = [phone.decode() for phone in recognized["phonemes"][row] if phone]
            if phones != (expected_phones := [phone.phone for phone in best.phones]):
                raise ParityError(
                    f"nothing was exported: for sound {row + 1} the SavedModel returns {' '.join(phones)!r}, the Python"
                    f" model {' '.join(expected_phones)!r}"
                )
            names = ("start", "end", "probability")
            values = np.stack([recognized[name][row, : len(phones)] for name in names], axis=-1)
            real = row, slice(by_frame["lengths"][row])
            differences = [
                *np.abs(values - np.array([phone[1:] for phone in best.phones]).reshape(-1, 3)).ravel(),
                abs(best.log_prob - recognized["log_prob"][row]) / max(1, abs(best.log_prob)),
                np.abs(expected_posteriors[real] - by_frame["posteriors"][real]).max(initial=0),
            ]
            if not np.max(differences) <= TOLERANCE:  # NaN included
                raise ParityError(
                    f"nothing was exported: for sound {row + 1} the outputs of the SavedModel and of the Python model"
                    f" differ by {np.max(differences):.2g}"
                )

    signature = {
        "waveform": tf.TensorSpec([None, None], tf.float32, name="waveform"),
        "lengths": tf.TensorSpec([None], tf.int32, name="lengths"),
    }
    example = {"waveform": samples[:1], "lengths": lengths[:1]}
    endpoints = {
        function.__name__: Endpoint(function=function, signature=signature, example=example)
        for function in (recognize, posteriors)
    }
    return write_saved_model(run, recognizer.decoder, endpoints, check)


@command
def main(arguments: list[str]) -> None:
    commands.export(arguments, "tasks.phoneme_recognizer.export", __doc__, export, BestPathExportOptions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
