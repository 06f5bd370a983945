"""The SavedModel returns the same phones as `SoundRecognizer`."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from shared.audio import pad_samples
from shared.export import ParityError
from tasks.phoneme_recognizer import export as module
from tasks.phoneme_recognizer.export import export, main
from tasks.phoneme_recognizer.inference import SoundRecognizer
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


def test_posteriors_equal_those_of_sound_recognizer(loaded):
    sounds = [sound("aims"), sound("mi")]
    outputs = loaded.posteriors(*pad_samples(sounds))
    assert [phone.decode() for phone in outputs["phones"].numpy()] == ["sil", *VOCABULARY.phones]
    recognizer = SoundRecognizer.load("tiny")
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
        import tensorflow as tf
        loaded = tf.saved_model.load({str(exported)!r})
        outputs = loaded.signatures["recognize"](
            waveform=tf.constant(np.zeros((2, 5000), np.float32)), lengths=tf.constant([5000, 3000], tf.int32)
        )
        assert outputs["phonemes"].shape[0] == 2
        assert outputs.keys() == {{"phonemes", "start", "end", "probability", "log_prob"}}
        assert not {{"shared", "tasks"}} & sys.modules.keys()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (exported / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0


def test_an_export_with_other_outputs_is_not_written(trained, monkeypatch):
    versions = sorted(path.name for path in (trained.run.path / "export").iterdir())
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(ParityError, match=r"nothing was exported: for sound 1 the outputs .* differ by"):
        export("tiny")
    assert sorted(path.name for path in (trained.run.path / "export").iterdir()) == versions


def test_a_beam_out_of_range_is_refused(capsys):
    assert main(["tiny", "--beam", "-1"]) == 2
    assert "error: --beam -1: a number from 0 to 100 was expected" in capsys.readouterr().err
