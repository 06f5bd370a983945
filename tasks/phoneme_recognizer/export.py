"""Writes a trained recognizer as a SavedModel that takes samples and returns phones with times.

    python -m tasks.phoneme_recognizer.export [RUN] [--beam 10]      # --beam 0: best path
    python -m tasks.phoneme_recognizer.export [RUN] [--beam 10] --format onnx

With --format onnx, `decoder.onnx` takes samples float32 (batch, samples) and lengths int32 (batch,), and returns phones
as indices of the vocabulary with their times; `posterior.onnx`, probabilities; `aligner.onnx`, the times of phones that
are given. Endpoints of the SavedModel, for any batch size:

    serving_default   sound_bytes `(batch,)` string: WAV files, 16-bit samples, 16,000 Hz; channels are averaged
                      -> as recognize
    recognize         waveform `(batch, samples)` float32 in -1..1, 16,000 Hz; lengths `(batch,)` int32, in samples
                      -> phonemes     `(batch, target)` string      ARPAbet, "" for padding
                         start, end   `(batch, target)` float32     seconds
                         probability  `(batch, target)` float32     of this phone and no other in its segment
                         log_prob     `(batch,)` float32            natural logarithm, of the whole sequence
                         error        `(batch,)` string             "", or why this sound has no phones
    posteriors        waveform, lengths, as above
                      -> posteriors   `(batch, frames, vocab)` float32, every 10 ms, silence first; at temperature 1
                         phones       `(vocab,)` string
                         lengths      `(batch,)` int32, in frames
                         error        `(batch,)` string, as above

Memory is proportional to samples x phones: sounds last at most 5 minutes; cut longer ones, as the command line does.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.audio import MAX_AMPLITUDE
from shared.cli import BestPathExportOptions, command
from shared.onnx import ExportFormat
from tasks.phoneme_recognizer.config import find_run

if TYPE_CHECKING:
    import numpy as np

    from shared.export import Endpoint
    from tasks.phoneme_recognizer.inference import SoundRecognizer

MAX_SECONDS = 300  # of a sound
EXAMPLE_SECONDS = (0.6, 2.0, 0.01, 1.3, 3.1, 0.9, 1.7, 2.4)  # of the sounds of the parity check
TOLERANCE = 1e-3  # of seconds, probabilities and relative log-probabilities; graphs differ in the order of sums


def export(model: str | None = None, beam: int | None = None, format: ExportFormat = "savedmodel") -> Path:
    """Export a run or folder and return the new folder; `beam` is 0 for the best path. No corpus is needed.

    Raises:
        RunError: the run does not exist, or its files do not fit together.
        ParityError: the outputs of what is exported and of the Python model differ.
    """
    run = find_run(model)
    from shared.export import write_saved_model
    from tasks.phoneme_recognizer.inference import SoundRecognizer

    recognizer = SoundRecognizer.load(str(run.path), beam)
    if format == "onnx":
        from shared.onnx.files import write_onnx

        return write_onnx(run, {name: getattr(recognizer, name) for name in ("decoder", "aligner", "posterior")})
    sounds = example_sounds()
    return write_saved_model(
        run, recognizer.decoder, endpoints(recognizer, sounds[0]), parity_check(recognizer, sounds)
    )


def example_sounds() -> "list[np.ndarray]":
    """Sounds like speech, float32 `(samples,)` each: voiced and hissing segments with pauses, of random formants."""
    import numpy as np

    from shared.audio import SAMPLE_RATE

    rng, sounds = np.random.default_rng(0), []
    for duration in EXAMPLE_SECONDS:
        pieces = []
        while sum(map(len, pieces)) < duration * SAMPLE_RATE:
            seconds = np.arange(int(rng.integers(1000, 3000))) / SAMPLE_RATE
            fade = np.sin(np.pi * np.arange(len(seconds)) / len(seconds)) ** 0.5
            formants = rng.uniform([250, 900, 2200], [800, 2200, 3000])
            harmonics = np.arange(1, 40) * rng.uniform(90, 220)
            strengths = np.exp(-(((harmonics[:, None] - formants) / 120) ** 2)).sum(axis=1) + 0.01
            voiced = strengths @ np.sin(2 * np.pi * harmonics[:, None] * seconds)
            hiss = np.diff(rng.normal(size=len(seconds) + 1))
            pieces.append(fade * (0.1 * voiced, 0.05 * hiss, 0 * seconds)[rng.choice(3, p=(0.6, 0.25, 0.15))])
        sounds.append(np.concatenate(pieces)[: int(duration * SAMPLE_RATE)].astype(np.float32))
    return sounds


def endpoints(recognizer: "SoundRecognizer", sound: "np.ndarray") -> "dict[str, Endpoint]":
    """The functions of the SavedModel; `sound` is the input of the warm-up requests."""
    import numpy as np
    import tensorflow as tf

    from shared.audio import SAMPLE_RATE
    from shared.audio_in_graph import read_sounds_in_graph, too_long
    from shared.export import Endpoint, first_error, message
    from shared.frames import WINDOW

    network, vocabulary = recognizer.model, recognizer.vocabulary

    def checked(waveform, lengths):
        """The waveform cut to the longest sound, but at least a window; lengths; and an error for each sound.

        Sounds with an error have length 0, and all samples outside of the sounds are 0.
        """
        size = tf.shape(waveform)[1]
        waveform = tf.pad(waveform, [[0, 0], [0, WINDOW]])
        inside = tf.sequence_mask(lengths, size + WINDOW)
        # TensorFlow would turn "not at most" into "above", which is false for NaN.
        is_wrong = inside & (~tf.math.is_finite(waveform) | (tf.abs(waveform) > MAX_AMPLITUDE))
        first = tf.argmax(is_wrong, axis=1, output_type=tf.int32)
        value = tf.gather(waveform, first, batch_dims=1)
        seconds = tf.strings.as_string(tf.cast(first, tf.float32) / SAMPLE_RATE, precision=3)
        error = first_error(
            (lengths < 0, message("has ", lengths, " samples; 1 or more were expected")),
            (lengths == 0, "holds no samples; a sound was expected"),
            (
                lengths > size,
                message("is cut short: ", size, " of ", lengths, " samples; a complete sound was expected"),
            ),
            (lengths > MAX_SECONDS * SAMPLE_RATE, too_long(lengths, MAX_SECONDS)),
            (
                tf.reduce_any(is_wrong, axis=1),
                message("holds ", value, " at ", seconds, " s; finite samples from -1 to 1 were expected"),
            ),
        )
        lengths = tf.where(error == "", lengths, 0)
        longest = tf.maximum(tf.reduce_max(lengths), WINDOW)
        return tf.where(tf.sequence_mask(lengths, longest), waveform[:, :longest], 0.0), lengths, error

    unknown_size = [tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)]

    @tf.function(input_signature=unknown_size, autograph=False)  # once for both endpoints
    def decode(waveform, lengths):
        segments = recognizer.decoder.decode(waveform, lengths)
        return {
            "phonemes": tf.gather(tf.constant(vocabulary.table), segments.label_ids[:, 0]),
            "start": segments.starts[:, 0],
            "end": segments.ends[:, 0],
            "probability": segments.probabilities[:, 0],
            "log_prob": segments.log_probs[:, 0],
        }

    def recognize(waveform, lengths):
        waveform, lengths, error = checked(waveform, lengths)
        return decode(waveform, lengths) | {"error": error}

    def recognize_bytes(sound_bytes):
        waveform, lengths, unread = read_sounds_in_graph(sound_bytes, MAX_SECONDS)
        outputs = recognize(waveform, lengths)
        return outputs | {"error": tf.where(unread == "", outputs["error"], unread)}

    def posteriors(waveform, lengths):
        waveform, lengths, error = checked(waveform, lengths)
        probabilities, frames = network.posteriors(waveform, lengths)
        phones = tf.constant(["sil", *vocabulary.phones])
        return {"posteriors": probabilities, "phones": phones, "lengths": frames, "error": error}

    sounds = {
        "waveform": tf.TensorSpec([None, None], tf.float32, name="waveform"),
        "lengths": tf.TensorSpec([None], tf.int32, name="lengths"),
    }
    example = {"waveform": sound[None], "lengths": np.array([len(sound)], np.int32)}
    files = {"sound_bytes": tf.TensorSpec([None], tf.string, name="sound_bytes")}
    file = [tf.audio.encode_wav(sound[:, None], SAMPLE_RATE).numpy()]
    return {
        "serving_default": Endpoint(function=recognize_bytes, signature=files, example={"sound_bytes": file}),
        "recognize": Endpoint(function=recognize, signature=sounds, example=example),
        "posteriors": Endpoint(function=posteriors, signature=sounds, example=example),
    }


def parity_check(recognizer: "SoundRecognizer", sounds: "list[np.ndarray]") -> Callable[[Any], None]:
    """A function that raises ParityError unless a SavedModel gives the outputs of the Python model for sounds."""
    import numpy as np

    from shared.audio import pad_samples
    from shared.export import ParityError

    samples, lengths = pad_samples(sounds)
    expected = [best[0] for best in recognizer(sounds)]
    expected_posteriors = [recognizer.posteriors(sound) for sound in sounds]

    def check(loaded: Any) -> None:
        recognized, by_frame = (
            {name: value.numpy() for name, value in endpoint(samples, lengths).items()}
            for endpoint in (loaded.recognize, loaded.posteriors)
        )
        for row, best in enumerate(expected):
            if error := recognized["error"][row] or by_frame["error"][row]:
                raise ParityError(f"nothing was exported: the SavedModel refuses sound {row + 1}: {error.decode()}")
            phones = [phone.decode() for phone in recognized["phonemes"][row] if phone]
            if phones != (expected_phones := [phone.phone for phone in best.phones]):
                raise ParityError(
                    f"nothing was exported: for sound {row + 1} the SavedModel returns {' '.join(phones)!r}, the Python"
                    f" model {' '.join(expected_phones)!r}"
                )
            names = ("start", "end", "probability")
            values = np.stack([recognized[name][row, : len(phones)] for name in names], axis=-1)
            frames = by_frame["lengths"][row]
            differences = [
                *np.abs(values - np.array([phone[1:] for phone in best.phones]).reshape(-1, 3)).ravel(),
                abs(best.log_prob - recognized["log_prob"][row]) / max(1, abs(best.log_prob)),
                np.abs(expected_posteriors[row] - by_frame["posteriors"][row, :frames]).max(initial=0),
            ]
            if not np.max(differences) <= TOLERANCE:  # NaN included
                raise ParityError(
                    f"nothing was exported: for sound {row + 1} the outputs of the SavedModel and of the Python model"
                    f" differ by {np.max(differences):.2g}"
                )

    return check


@command
def main(arguments: list[str]) -> None:
    commands.export(arguments, "tasks.phoneme_recognizer.export", __doc__, export, BestPathExportOptions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
