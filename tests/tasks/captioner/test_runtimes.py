"""The captioner as a graph of TensorFlow and on onnxruntime: the captions of Keras, without Keras."""

import json

import numpy as np
import pytest

from shared.errors import UserError
from shared.onnx.runtime import OnnxFunction
from tasks.captioner.caption import main
from tasks.captioner.export import export
from tasks.captioner.inference import ImageCaptioner
from tests.runtimes import cache, run_without  # noqa: F401, a fixture
from tests.tasks.captioner.conftest import odd_images, picture


@pytest.fixture
def files(tmp_path):
    for name, content in odd_images().items():
        (tmp_path / name).write_bytes(content)
    return [str(path) for path in sorted(tmp_path.iterdir())]


def rounded(text: str) -> list:
    """JSON objects, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def is_close(a: object, b: object) -> bool:
    """Whether two JSON values are equal, numbers within 1e-4 and what rounding to 4 digits adds."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 2.1e-4
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_close(value, b[name]) for name, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_close, a, b))
    return a == b


@pytest.mark.parametrize("model", ["tiny", "found"])
@pytest.mark.parametrize(
    ("options", "message", "not_needed"),
    [
        ((), "", "keras onnxruntime"),
        (("--runtime", "onnx"), "converting {} for onnxruntime, once ...\n", "keras tensorflow jax onnx"),
    ],
    ids=["graph", "onnx"],
)
def test_captions_are_those_of_keras(trained, found, files, capsys, options, message, not_needed, model):
    arguments = [*files, "--json", "--n-best", "2", "--model", model]
    assert main([*arguments, "--runtime", "keras"]) == 0
    expected = rounded(capsys.readouterr().out)
    assert main([*arguments, *options]) == 0  # builds or converts, and keeps
    output = capsys.readouterr()
    assert output.err == message.format(model)
    assert is_close(rounded(output.out), expected)
    done = run_without(not_needed, "tasks.captioner.caption", trained.run, *arguments, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_close(rounded(done.stdout), expected)


def test_attention_is_that_of_keras(captioner):
    light = ImageCaptioner.load("tiny", runtime="onnx")
    for ours, theirs in zip(light([picture()])[0], captioner([picture()])[0], strict=True):
        assert ours.tokens == theirs.tokens
        np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-4)
        np.testing.assert_allclose(ours.sentinel, theirs.sentinel, atol=1e-4)


def test_regions_need_keras(files):
    assert main([files[0], "--regions", "a.png", "--runtime", "onnx"]) == 2


def test_an_export_has_all_that_a_client_needs(trained, captioner):
    folder = export("tiny", beam=2, format="onnx")
    assert folder == trained.run.path / "onnx"
    names = ["calibration.json", "caption.onnx", "config.json", "vocabulary.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    function = OnnxFunction((folder / "caption.onnx").read_bytes())
    found = function.predict_on_batch(np.zeros((3, 32, 32, 3), np.float32))
    assert found["token_ids"].shape == (3, 2, 21)
    assert found["extras"].shape == (3, 2, 21, 4 * 4 + 1)


def test_a_missing_package_is_named(monkeypatch, trained):
    monkeypatch.setattr("shared.onnx.is_installed", lambda package: package != "onnxruntime")
    with pytest.raises(UserError, match=r"needs onnxruntime, which is not installed; run pip install -e '.\[onnx\]'"):
        ImageCaptioner.load("tiny", runtime="onnx")
