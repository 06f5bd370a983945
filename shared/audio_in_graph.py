"""Untrusted sound files inside a TensorFlow graph: WAV with 16-bit samples, as `audio.read_sound` reads it."""

from typing import Any

import tensorflow as tf

from shared.audio import SAMPLE_RATE
from shared.export import attempt, first_error, message

CONVERSION = f"convert it: ffmpeg -i SOUND -ar {SAMPLE_RATE} -ac 1 -c:a pcm_s16le CONVERTED.wav"


def read_sounds_in_graph(encoded: tf.Tensor, max_seconds: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The samples of WAV files `(batch,)`, their channels averaged.

    Returns:
        Samples in -1..1, float32 `(batch, samples)`, padded with zeros; their count, int32 `(batch,)`; and an error for
        each file, string `(batch,)`: "", or why it has no samples here. Other formats than 16-bit PCM, other rates than
        `SAMPLE_RATE`, and sounds longer than `max_seconds` are errors.
    """
    silence = tf.zeros([0])

    def decode(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        audio, rate = tf.audio.decode_wav(file)
        count = tf.shape(audio)[0]
        error = first_error(
            (rate != SAMPLE_RATE, message("has ", rate, f" samples a second, not {SAMPLE_RATE:,}; {CONVERSION}")),
            (count == 0, "holds no samples; a sound file was expected"),
            (count > max_seconds * SAMPLE_RATE, too_long(count, max_seconds)),
        )
        return tf.cond(error == "", lambda: tf.reduce_mean(audio, axis=1), lambda: silence), error

    def read(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start = tf.strings.substr(tf.strings.join([file, bytes(12)]), 0, 12)
        is_wav = (tf.strings.substr(start, 0, 4) == b"RIFF") & (tf.strings.substr(start, 8, 4) == b"WAVE")
        other = first_error(
            (file == "", "is empty (0 bytes); a sound file was expected"), (True, f"is not a WAV file; {CONVERSION}")
        )
        damaged = silence, tf.constant(f"is not a complete WAV file with 16-bit samples; {CONVERSION}")
        return tf.cond(is_wav, lambda: attempt([decode], file, damaged), lambda: (silence, other))

    types = tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0), tf.TensorSpec([], tf.string)
    sounds, error = tf.map_fn(read, encoded, fn_output_signature=types)
    return sounds.to_tensor(), tf.cast(sounds.row_lengths(), tf.int32), error


def too_long(count: Any, max_seconds: int) -> tf.Tensor:
    """The error of a sound of `count` samples, more than `max_seconds`."""
    return message("lasts ", count // SAMPLE_RATE, f" s, the limit is {max_seconds} s; cut it into parts first")
