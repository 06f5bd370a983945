"""The SavedModel: samples in, phones out, the same as the command line."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from shared.export import ParityError
from tasks.phoneme_recognizer import export as module
from tasks.phoneme_recognizer.data import pad_samples
from tasks.phoneme_recognizer.export import export
from tasks.phoneme_recognizer.recognition import SoundRecognizer
from tests.tasks.phoneme_recognizer.conftest import CONFIG, sound


@pytest.fixture(scope="module")
def exported(trained):
    return export("tiny")


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.mark.parametrize("texts", [["aims"], ["s", "misa  mi", "ia"]])
def test_it_recognizes_as_the_command_line_does(loaded, texts):
    sounds = [sound(text) for text in texts]
    given = {name: value.numpy() for name, value in loaded.recognize(*pad_samples(sounds)).items()}
    for row, (best,) in enumerate(SoundRecognizer.load("tiny")(sounds)):
        count = len(best.phones)
        assert [phone.decode() for phone in given["phonemes"][row, :count]] == [phone.phone for phone in best.phones]
        assert not any(given["phonemes"][row, count:])
        for name, place in (("start", 1), ("end", 2), ("probability", 3)):
            np.testing.assert_allclose(given[name][row, :count], [phone[place] for phone in best.phones], atol=1e-4)
        np.testing.assert_allclose(given["log_prob"][row], best.log_prob, atol=1e-3)


def test_posteriors_are_those_of_the_command_line(loaded):
    sounds = [sound("aims"), sound("mi")]
    given = loaded.posteriors(*pad_samples(sounds))
    assert [phone.decode() for phone in given["phones"].numpy()] == ["sil", *CONFIG.phones]
    recognizer = SoundRecognizer.load("tiny")
    for row, samples in enumerate(sounds):
        wanted = recognizer.posteriors(samples)
        count = int(given["lengths"][row])
        assert count == len(wanted)
        np.testing.assert_allclose(given["posteriors"][row, :count], wanted, atol=1e-4)
        np.testing.assert_allclose(wanted.sum(-1), 1, atol=1e-4)


def test_it_needs_nothing_but_tensorflow(exported, tmp_path):
    program = f"""
        import sys
        import numpy as np
        import tensorflow as tf
        loaded = tf.saved_model.load({str(exported)!r})
        told = loaded.signatures["recognize"](
            waveform=tf.constant(np.zeros((2, 5000), np.float32)), lengths=tf.constant([5000, 3000], tf.int32)
        )
        assert told["phonemes"].shape[0] == 2
        assert told.keys() == {{"phonemes", "start", "end", "probability", "log_prob"}}
        assert not {{"shared", "tasks"}} & sys.modules.keys()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (exported / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0


def test_nothing_is_exported_that_answers_otherwise(trained, monkeypatch):
    versions = sorted(path.name for path in (trained.run.path / "export").iterdir())
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(ParityError, match=r"nothing was exported: of sound 1 .* tell numbers that differ"):
        export("tiny")
    assert sorted(path.name for path in (trained.run.path / "export").iterdir()) == versions
