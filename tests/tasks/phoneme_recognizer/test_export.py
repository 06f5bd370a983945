"""The SavedModel returns the same phones as `SoundRecognizer`."""

import io
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from datasets.records import as_int16
from shared.audio import SAMPLE_RATE, pad_samples
from shared.audio_in_graph import CONVERSION
from shared.export import MISSING, ParityError
from tasks.phoneme_recognizer import export as module
from tasks.phoneme_recognizer.export import example_sounds, export, main
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tests.shared.test_export import read_requests
from tests.tasks.phoneme_recognizer.conftest import VOCABULARY, sound


@pytest.fixture(scope="module")
def exported(trained):
    """With a beam, so that the endpoint has the search, too."""
    return export("tiny", 2)


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.mark.parametrize("texts", [["aims"], ["s", "misa  mi", "ia"]])
def test_recognize_equals_sound_recognizer(loaded, texts):
    sounds = [sound(text) for text in texts]
    outputs = {name: value.numpy() for name, value in loaded.recognize(*pad_samples(sounds)).items()}
    for row, (best,) in enumerate(SoundRecognizer.load("tiny", beam=2)(sounds)):
        count = len(best.phones)
        assert [phone.decode() for phone in outputs["phonemes"][row, :count]] == [phone.phone for phone in best.phones]
        assert not any(outputs["phonemes"][row, count:])
        for name in ("start", "end", "probability"):
            expected = [getattr(phone, name) for phone in best.phones]
            np.testing.assert_allclose(outputs[name][row, :count], expected, atol=1e-4)
        np.testing.assert_allclose(outputs["log_prob"][row], best.log_prob, atol=1e-3)


def test_posteriors_equal_those_of_sound_recognizer(loaded, recognizer):
    sounds = [sound("aims"), sound("mi")]
    outputs = loaded.posteriors(*pad_samples(sounds))
    assert [phone.decode() for phone in outputs["phones"].numpy()] == ["sil", *VOCABULARY.phones]
    for row, samples in enumerate(sounds):
        expected = recognizer.posteriors(samples)
        count = int(outputs["lengths"][row])
        assert count == len(expected)
        np.testing.assert_allclose(outputs["posteriors"][row, :count], expected, atol=1e-4)
        np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-4)


def test_it_needs_tensorflow_alone(exported, tmp_path):
    program = f"""
        import sys
        import numpy as np
        sys.modules["keras"] = None  # TensorFlow imports it if it can; nothing here may need it
        import tensorflow as tf
        loaded = tf.saved_model.load({str(exported)!r})
        outputs = loaded.signatures["recognize"](
            waveform=tf.constant(np.zeros((2, 5000), np.float32)), lengths=tf.constant([5000, 3000], tf.int32)
        )
        assert outputs["phonemes"].shape[0] == 2
        assert outputs.keys() == {{"phonemes", "start", "end", "probability", "log_prob", "error"}}
        file = tf.audio.encode_wav(np.zeros((5000, 2), np.float32), 16_000)
        outputs = loaded.signatures["serving_default"](sound_bytes=tf.stack([file, "no sound", file]))
        assert [error != b"" for error in outputs["error"].numpy()] == [False, True, False]
        assert not {{"shared", "tasks"}} & sys.modules.keys()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "OP_REQUIRES" not in done.stderr


def test_every_endpoint_has_a_warm_up_request(exported, loaded):
    requests = read_requests(exported / "assets.extra" / "tf_serving_warmup_requests")
    assert [endpoint for _, endpoint, _ in requests] == ["serving_default", "recognize", "posteriors"]
    for _, endpoint, inputs in requests:
        outputs = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        assert outputs["error"].numpy().tolist() == [b""]


def wav(samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, subtype, format="WAV")
        return file.getvalue()


def test_the_default_endpoint_takes_the_bytes_of_wav_files(loaded):
    sounds = [as_int16(sound(text)) for text in ("aims", "mi")]
    stereo = np.stack([sounds[1], sounds[1]], axis=1)
    outputs = loaded.signatures["serving_default"](sound_bytes=tf.constant([wav(sounds[0]), wav(stereo)]))
    expected = loaded.recognize(*pad_samples([one.astype(np.float32) / 32_768 for one in sounds]))
    assert outputs.keys() == expected.keys()
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert outputs["error"].numpy().tolist() == [b"", b""]


def check_row(batch, row, alone, name):
    """A row of a batch has the values of the same sound alone, and padding after them."""
    values = batch[name].numpy()[row]
    if alone[name].shape.rank == 2:
        values, padding = np.split(values, alone[name].shape[1:])
        assert not any(padding)
    expected = alone[name].numpy()[0]
    if alone[name].dtype == tf.string:
        assert np.array_equal(values, expected), name
    else:
        np.testing.assert_allclose(values, expected, atol=1e-4, err_msg=name)


WRONG = {  # samples of a sound of 9,000 -> error
    "nan": "holds nan at 0.125 s; finite samples from -1 to 1 were expected",
    "inf": "holds -inf at 0.125 s; finite samples from -1 to 1 were expected",
    "loud": "holds 1e+29 at 0.125 s; finite samples from -1 to 1 were expected",
    "none": "holds no samples; a sound was expected",
    "negative": "has -3 samples; 1 or more were expected",
    "cut": "is cut short: {size} of 2000000000 samples; a complete sound was expected",
}


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_sound_does_not_end_the_batch(loaded, kind, position):
    wrong = np.zeros(9000, np.float32)
    wrong[2000] = {"nan": np.nan, "inf": -np.inf, "loud": 1e29}.get(kind, 0)
    good = [sound("aims"), sound("si")]
    samples, lengths = pad_samples([*good[:position], wrong, *good[position:]])
    lengths[position] = {"none": 0, "negative": -3, "cut": 2_000_000_000}.get(kind, 9000)
    rows = [row for row in range(3) if row != position]
    for endpoint in (loaded.recognize, loaded.posteriors):
        batch = endpoint(samples, lengths)
        errors = [WRONG[kind].format(size=samples.shape[1]) if row == position else "" for row in range(3)]
        assert [error.decode() for error in batch["error"].numpy()] == errors
        for row, one in zip(rows, good, strict=True):
            alone = endpoint(*pad_samples([one]))
            for name in alone.keys() - {"phones", "posteriors"}:
                check_row(batch, row, alone, name)
            if "posteriors" in alone:
                frames = int(alone["lengths"][0])
                np.testing.assert_allclose(batch["posteriors"][row, :frames], alone["posteriors"][0], atol=1e-4)
        if "posteriors" in batch:
            assert not np.any(batch["posteriors"][position])
        else:
            assert set(batch["phonemes"][position].numpy()) <= {b""}
            assert batch["log_prob"][position] == MISSING


def test_a_value_outside_of_the_sound_is_ignored(loaded):
    samples, lengths = pad_samples([sound("aims")])
    noisy = np.concatenate([samples, [[np.nan] * 500]], axis=1).astype(np.float32)
    for endpoint in (loaded.recognize, loaded.posteriors):
        for name, value in endpoint(samples, lengths).items():
            np.testing.assert_array_equal(endpoint(noisy, lengths)[name], value, err_msg=name)


DAMAGED = {
    "empty": (b"", "is empty (0 bytes); a sound file was expected"),
    "other": (b"OggS, and so on", f"is not a WAV file; {CONVERSION}"),
    "cut": (wav(np.zeros(999))[:-2], f"is not a complete WAV file with 16-bit samples; {CONVERSION}"),
    "24 bits": (wav(np.zeros(999), subtype="PCM_24"), f"is not a complete WAV file with 16-bit samples; {CONVERSION}"),
    "8 kHz": (wav(np.zeros(999), 8000), f"has 8000 samples a second, not 16,000; {CONVERSION}"),
    "none": (wav(np.zeros(0)), "holds no samples; a sound file was expected"),
    "long": (wav(np.zeros(16_000 * 300 + 1)), "lasts 300 s, the limit is 300 s; cut it into parts first"),
}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_damaged_file_does_not_end_the_batch(loaded, position):
    serve = loaded.signatures["serving_default"]
    good = [wav(as_int16(sound("aims"))), wav(as_int16(sound("si")))]
    for content, error in DAMAGED.values():
        batch = serve(sound_bytes=tf.constant([*good[:position], content, *good[position:]]))
        errors = [error if row == position else "" for row in range(3)]
        assert [error.decode() for error in batch["error"].numpy()] == errors
        for row, one in zip([row for row in range(3) if row != position], good, strict=True):
            alone = serve(sound_bytes=tf.constant([one]))
            for name in alone:
                check_row(batch, row, alone, name)
    batch = serve(sound_bytes=tf.constant([content for content, _ in DAMAGED.values()]))
    assert [error.decode() for error in batch["error"].numpy()] == [error for _, error in DAMAGED.values()]
    assert batch["log_prob"].numpy().tolist() == [MISSING] * len(DAMAGED)


def test_a_batch_may_be_empty_and_a_sound_short(loaded):
    for size in (0, 7):
        outputs = loaded.recognize(tf.zeros([0, size]), tf.zeros([0], tf.int32))
        shapes = {name: (value.shape[0], value.shape.rank) for name, value in outputs.items()}
        assert shapes == {name: (0, 1 if name in ("log_prob", "error") else 2) for name in outputs}
        outputs = loaded.posteriors(tf.zeros([0, size]), tf.zeros([0], tf.int32))
        assert outputs["posteriors"].shape[::2] == (0, len(VOCABULARY))
        assert outputs["phones"].shape == (len(VOCABULARY),)
        assert outputs["lengths"].shape == outputs["error"].shape == (0,)
    outputs = loaded.signatures["serving_default"](sound_bytes=tf.zeros([0], tf.string))
    assert outputs["error"].shape == (0,)
    outputs = loaded.recognize(tf.zeros([2, 7]), [3, 7])  # less than a window
    assert outputs["error"].numpy().tolist() == [b"", b""]
    assert not any(outputs["phonemes"].numpy().ravel())


def test_outputs_are_strict_json(loaded):
    samples, lengths = pad_samples([sound("aims"), np.full(4000, np.nan, np.float32)])
    for endpoint in (loaded.recognize, loaded.posteriors):
        for value in endpoint(samples, lengths).values():
            if value.dtype != tf.string:
                json.dumps(value.numpy().tolist(), allow_nan=False)


def test_example_sounds_are_made_here_and_of_several_lengths():
    assert len({len(one) for one in example_sounds()}) >= 8
    assert all(0.01 < np.abs(one).max() <= 1 for one in example_sounds())
    np.testing.assert_array_equal(example_sounds()[1], example_sounds()[1])


def test_an_export_with_other_outputs_is_not_written(trained, monkeypatch):
    versions = sorted(path.name for path in (trained.run.path / "export").iterdir())
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(ParityError, match=r"nothing was exported: for sound 1 the outputs .* differ by"):
        export("tiny")
    assert sorted(path.name for path in (trained.run.path / "export").iterdir()) == versions


def test_a_beam_out_of_range_is_refused(capsys):
    assert main(["tiny", "--beam", "-1"]) == 2
    assert "error: --beam -1: a number from 0 to 100 was expected" in capsys.readouterr().err
