"""The translator as a graph of TensorFlow and on onnxruntime: the translations of Keras, without Keras."""

import json

import pytest

from tasks.translator.translate import main
from tests.runtimes import cache, run_without  # noqa: F401, a fixture


@pytest.mark.parametrize(
    ("runtime", "not_needed"), [("graph", "keras onnxruntime"), ("onnx", "keras tensorflow jax onnx")]
)
def test_translations_are_those_of_keras(trained, capsys, runtime, not_needed):
    sentences = ["one two three", "four", "five four three two one 450"]
    arguments = [*sentences, "--json", "--model", "a-en-de", "--n-best", "2"]
    assert main([*arguments, "--runtime", "keras"]) == 0
    texts, log_probs = found(capsys.readouterr().out)
    assert main([*arguments, "--runtime", runtime]) == 0  # makes the function
    assert found(capsys.readouterr().out) == (texts, pytest.approx(log_probs, abs=1e-3))
    done = run_without(not_needed, "tasks.translator.translate", trained.run, *arguments, "--runtime", runtime)
    assert (done.returncode, done.stderr) == (0, "")
    assert found(done.stdout) == (texts, pytest.approx(log_probs, abs=1e-3))


def found(output: str) -> tuple[list[str], list[float]]:
    """The translations of all lines, and their log-probabilities."""
    best = [each for line in output.splitlines() for each in json.loads(line)["translations"]]
    return [each["text"] for each in best], [each["log_prob"] for each in best]


def test_an_ensemble_needs_keras(trained, capsys):
    assert main(["one", "--model", "a-en-de", "--model", "a-en-de", "--runtime", "onnx"]) == 2
    assert "an ensemble needs parts of the model that run on Keras" in capsys.readouterr().err
