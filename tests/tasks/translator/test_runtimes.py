"""The translator as a graph of TensorFlow and on onnxruntime: the translations of Keras, without Keras."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.translator.translate import main

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
import shared
sys.modules |= dict.fromkeys(sys.argv.pop(1).split())  # none can be imported
import shared.runs
from pathlib import Path
shared.runs.ROOT = Path(sys.argv[1])
from tasks.translator.translate import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
    saved_models = trained.run.path.parent.parent
    command = [sys.executable, "-c", PROGRAM, not_needed, str(saved_models), *arguments, "--runtime", runtime]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert found(done.stdout) == (texts, pytest.approx(log_probs, abs=1e-3))


def found(output: str) -> tuple[list[str], list[float]]:
    """The translations of all lines, and their log-probabilities."""
    best = [each for line in output.splitlines() for each in json.loads(line)["translations"]]
    return [each["text"] for each in best], [each["log_prob"] for each in best]


def test_an_ensemble_needs_keras(trained, capsys):
    assert main(["one", "--model", "a-en-de", "--model", "a-en-de", "--runtime", "onnx"]) == 2
    assert "an ensemble needs parts of the model that run on Keras" in capsys.readouterr().err
