"""The recognizer as graphs of TensorFlow and on onnxruntime: what Keras recognizes, without Keras."""

import json

import numpy as np
import pytest
import soundfile

from shared.audio import SAMPLE_RATE
from tasks.phoneme_recognizer.export import example_sounds, export
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.recognize import main
from tests.runtimes import cache, run_without  # noqa: F401, a fixture


@pytest.fixture
def sounds() -> list[np.ndarray]:
    return example_sounds()[:3]


def assert_close(ours, theirs) -> None:
    """Equal phones; times, probabilities and log-probabilities within 1e-4."""
    for (mine, *_), (expected, *_) in zip(ours, theirs, strict=True):
        assert [phone.phone for phone in mine.phones] == [phone.phone for phone in expected.phones]
        values = [np.array([phone[1:] for phone in each.phones]).reshape(-1, 3) for each in (mine, expected)]
        np.testing.assert_allclose(*values, atol=1e-4)
        assert mine.log_prob == pytest.approx(expected.log_prob, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("options", [{"beam": 0}, {"beam": 4, "n_best": 2}])
def test_recognitions_are_those_of_keras(trained, sounds, options):
    light, whole = (SoundRecognizer.load("tiny", **options, runtime=runtime) for runtime in ("onnx", "keras"))
    assert_close(light(sounds), whole(sounds))


@pytest.mark.parametrize("runtime", ["graph", "onnx"])
def test_alignments_and_posteriors_are_those_of_keras(trained, recognizer, sounds, runtime):
    for _ in range(2):  # the functions are made, then read
        light = SoundRecognizer.load("tiny", runtime=runtime)
        light.align(sounds[0], ["aa"])
        light.posteriors(sounds[0])
    aligned = [[each.align(sounds[1], ["aa", "s", "m"])] for each in (light, recognizer)]
    assert_close(*([found] for found in aligned))
    np.testing.assert_allclose(light.posteriors(sounds[1]), recognizer.posteriors(sounds[1]), atol=1e-4)


@pytest.mark.parametrize(
    ("runtime", "not_needed"), [("graph", "keras onnxruntime"), ("onnx", "keras tensorflow jax onnx")]
)
def test_the_command_needs_no_keras_the_second_time(trained, sounds, tmp_path, capsys, runtime, not_needed):
    path = tmp_path / "a.wav"
    soundfile.write(path, sounds[1], SAMPLE_RATE)
    arguments = [str(path), "--json", "--model", "tiny", "--beam", "4", "--runtime", runtime]
    assert main(arguments) == 0
    expected = capsys.readouterr().out
    done = run_without(not_needed, "tasks.phoneme_recognizer.recognize", trained.run, *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", expected)
    assert json.loads(expected)["sound"] == str(path)


@pytest.mark.parametrize("option", [["--plot", "a.png"], ["--align", "a", "--score"]])
def test_parts_that_run_on_keras_are_refused(option, capsys):
    assert main(["a.wav", *option, "--runtime", "onnx"]) == 2
    assert "--runtime keras was expected" in capsys.readouterr().err


def test_an_export_has_a_file_for_each_function(trained):
    folder = export("tiny", beam=2, format="onnx")
    names = ["aligner.onnx", "config.json", "decoder.onnx", "posterior.onnx"]
    assert sorted(path.name for path in folder.iterdir()) == names
