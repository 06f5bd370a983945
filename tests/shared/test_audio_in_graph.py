"""WAV files inside a graph: the samples of `read_sound`, or an error for the file alone."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from shared.audio import SAMPLE_RATE, read_sound
from shared.audio_in_graph import CONVERSION, read_sounds_in_graph


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """`read_sounds_in_graph` with a limit of 2 s, loaded from a SavedModel."""
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]
    module.read = tf.function(lambda files: read_sounds_in_graph(files, 2), signature, autograph=False)
    folder = str(tmp_path_factory.mktemp("reader"))
    tf.saved_model.save(module, folder)
    return tf.saved_model.load(folder).read


def wav(samples: int, channels: int = 1, rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> bytes:
    values = np.random.default_rng(samples).uniform(-0.5, 0.5, (samples, channels))
    with io.BytesIO() as file:
        soundfile.write(file, values, rate, subtype, format="WAV")
        return file.getvalue()


def test_samples_are_those_of_read_sound(read):
    files = [wav(300), wav(500, channels=2), wav(2 * SAMPLE_RATE)]
    samples, lengths, error = read(tf.constant(files))
    assert lengths.numpy().tolist() == [300, 500, 32_000]
    assert error.numpy().tolist() == [b""] * 3
    for row, file in enumerate(files):
        np.testing.assert_allclose(samples[row, : lengths[row]], read_sound(file), atol=1e-7)
        assert not np.any(samples[row, lengths[row] :])


UNREADABLE = f"is not a complete WAV file with 16-bit samples; {CONVERSION}"
BAD = {
    b"": "is empty (0 bytes); a sound file was expected",
    b"RIFF": f"is not a WAV file; {CONVERSION}",
    b"\xff\x00 no sound": f"is not a WAV file; {CONVERSION}",
    wav(300)[:30]: UNREADABLE,
    wav(300)[:-2]: UNREADABLE,
    wav(300)[:40] + b"\xf0\xff\xff\x7f" + wav(300)[44:]: UNREADABLE,  # announces 2 GB
    wav(300, subtype="PCM_24"): UNREADABLE,
    wav(300, subtype="FLOAT"): UNREADABLE,
    wav(0): "holds no samples; a sound file was expected",
    wav(300, rate=44_100): f"has 44100 samples a second, not 16,000; {CONVERSION}",
    wav(3 * SAMPLE_RATE): "lasts 3 s, the limit is 2 s; cut it into parts first",
}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_file_has_an_error_and_the_others_their_samples(read, position):
    good = [wav(300), wav(500)]
    for file, expected in BAD.items():
        _, lengths, error = read(tf.constant([*good[:position], file, *good[position:]]))
        assert np.delete(lengths, position).tolist() == [300, 500]
        assert lengths[position] == 0
        assert [one.decode() for one in error.numpy()] == [expected if row == position else "" for row in range(3)]


def test_all_files_may_be_bad(read):
    samples, lengths, error = read(tf.constant(list(BAD)))
    assert samples.shape == (len(BAD), 0)
    assert not np.any(lengths)
    assert [one.decode() for one in error.numpy()] == list(BAD.values())
