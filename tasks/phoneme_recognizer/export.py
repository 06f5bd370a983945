"""Writes a trained recognizer as a SavedModel that takes samples and gives phones with times.

    python -m tasks.phoneme_recognizer.export [RUN]

Endpoints, for any batch size and length (memory is of the order of length x phones: cut what lasts minutes):

    waveform (batch, samples) float32 in -1..1, 16,000 a second; lengths (batch,) int32, samples that are real

    recognize    -> phonemes     (batch, n) string      ARPAbet, then ""
                    start, end   (batch, n) float32     seconds
                    probability  (batch, n) float32     that this phone, and no other, was said there
                    log_prob     (batch,) float32       natural logarithm, of all phones together
    posteriors   -> posteriors   (batch, frames, phones + 1) float32, every 10 ms, silence first; no temperature
                    phones       (phones + 1,) string
                    lengths      (batch,) int32, frames that are real
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from shared.cli import command, parse
from shared.runs import Run
from tasks.phoneme_recognizer.config import RELEASED, TASK, Config

CHECKED = 4  # sounds that the parity check recognizes in both ways
TOLERANCE = 1e-3  # in seconds, probabilities and their logarithm; graphs may add up in different orders


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: tyro.conf.Positional[str | None] = None
    """Run or folder; by default the released model, else the newest run."""


def export(model: str | None) -> Path:
    """Exports a run or folder; returns the SavedModel's folder.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: the SavedModel and the Python model recognize a sound differently.
    """
    run = Run.find(model, TASK, RELEASED)
    import numpy as np
    import tensorflow as tf

    from shared.export import Endpoint, ParityError, write_saved_model
    from shared.features import WINDOW
    from tasks.phoneme_recognizer.data import example_sounds, pad_samples
    from tasks.phoneme_recognizer.recognition import PIECE, SoundRecognizer

    recognizer = SoundRecognizer.load(str(run.path))
    network, config = recognizer.model, run.read_config(Config)
    table = tf.constant(["", *config.phones])

    def whole(waveform, lengths):
        """A window at least, and no length beyond what there is."""
        size = tf.shape(waveform)[1]
        missing: Any = [[0, 0], [0, tf.maximum(WINDOW - size, 0)]]
        return tf.pad(waveform, missing), tf.clip_by_value(lengths, 0, size)

    def recognize(waveform, lengths):
        found = recognizer.finder.find(*whole(waveform, lengths))
        return {
            "phonemes": tf.gather(table, found.label_ids[:, 0]),
            "start": found.starts[:, 0],
            "end": found.ends[:, 0],
            "probability": found.probabilities[:, 0],
            "log_prob": found.log_probs[:, 0],
        }

    def posteriors(waveform, lengths):
        told, frames = network.posteriors(*whole(waveform, lengths))
        return {"posteriors": told, "phones": tf.constant(["sil", *config.phones]), "lengths": frames}

    sounds = [sound[:PIECE] for sound in example_sounds(config, CHECKED)]  # longer ones are cut by the command line
    samples, lengths = pad_samples(sounds)
    expected = [best[0] for best in recognizer(sounds)]
    expected_posteriors = np.asarray(network.posteriors(*whole(samples, lengths))[0])

    def check(loaded) -> None:
        given = {name: value.numpy() for name, value in loaded.recognize(samples, lengths).items()}
        everywhere = {name: value.numpy() for name, value in loaded.posteriors(samples, lengths).items()}
        for row, wanted in enumerate(expected):
            told = [phone.decode() for phone in given["phonemes"][row] if phone]
            phones = [phone.phone for phone in wanted.phones]
            if told != phones:
                raise ParityError(
                    f"nothing was exported: in sound {row + 1} the SavedModel hears {' '.join(told)!r}, the model"
                    f" {' '.join(phones)!r}"
                )
            numbers = np.array([phone[1:] for phone in wanted.phones]).reshape(-1, 3)
            theirs = np.stack([given[name][row, : len(told)] for name in ("start", "end", "probability")], axis=-1)
            real = row, slice(everywhere["lengths"][row])
            apart = [
                *np.abs(numbers - theirs).ravel(),
                abs(wanted.log_prob - given["log_prob"][row]) / max(1, abs(wanted.log_prob)),
                np.abs(expected_posteriors[real] - everywhere["posteriors"][real]).max(initial=0),
            ]
            if not np.max(apart) <= TOLERANCE:
                raise ParityError(
                    f"nothing was exported: of sound {row + 1} the SavedModel and the model tell numbers that differ by"
                    f" {np.max(apart):.2g}"
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
    return write_saved_model(run, recognizer.finder, endpoints, check)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.export", __doc__)
    print(export(options.model))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
