"""The SavedModel: it needs TensorFlow alone and gives the outputs of the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import shared.export
from shared.export import ParityError, latest_export
from tasks.translator.export import export, main
from tasks.translator.inference import PairScorer, Translator
from tests.shared.test_export import read_requests

SENTENCES = ["one two three", "", "four \u732b", "  five\tfour\n", "two"]


@pytest.fixture(scope="module")
def folder(trained):
    return export("a-en-de", beam=3)


PROGRAM = """
import json, sys
sys.modules["keras"] = None  # TensorFlow imports it if it is installed; the SavedModel must not need it
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
sentences = json.loads(sys.argv[2])
translated = model.signatures["serving_default"](text=tf.constant(sentences))
text = [[text.decode() for text in beam] for beam in translated["text"].numpy()]
scored = model.signatures["score"](source=tf.constant(sentences), target=tf.constant([beam[0] for beam in text]))
print(json.dumps({
    "text": text,
    "log_prob": translated["log_prob"].numpy().tolist(),
    "tokens": [[[token.decode() for token in row if token] for row in beam] for beam in translated["tokens"].numpy()],
    "attention": list(translated["attention"].shape),
    "score": scored["log_prob"].numpy().tolist(),
    "own_modules": [name for name in sys.modules if name.split(".")[0] in ("tasks", "shared", "datasets")],
}))
"""


def test_a_process_with_tensorflow_alone_gives_the_outputs_of_the_python_model(tmp_path, folder):
    arguments = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(SENTENCES)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    outputs = json.loads(result.stdout)
    assert outputs["own_modules"] == []
    assert outputs["attention"][:2] == [5, 3]
    expected = Translator.load("a-en-de", beam=3)(SENTENCES)
    for row, translations in enumerate(expected):
        count = len(translations)
        assert outputs["text"][row] == [best.text for best in translations] + [""] * (3 - count)
        assert outputs["tokens"][row] == [best.tokens for best in translations] + [[]] * (3 - count)
        np.testing.assert_allclose(
            outputs["log_prob"][row][:count], [best.log_prob for best in translations], atol=1e-3
        )
        assert outputs["log_prob"][row][count:] == [-np.inf] * (3 - count)
    pairs = [(sentence, best[0].text) for sentence, best in zip(SENTENCES, expected, strict=True)]
    log_probs = [score.log_prob for score in PairScorer.load("a-en-de")(pairs)]
    np.testing.assert_allclose(outputs["score"], log_probs, atol=1e-3)
    assert outputs["score"][0] == pytest.approx(outputs["log_prob"][0][0], abs=1e-3)


def test_every_endpoint_has_a_warm_up_request(folder, trained):
    assert latest_export(trained.run) == folder
    loaded = tf.saved_model.load(str(folder))
    requests = read_requests(folder / "assets.extra" / "tf_serving_warmup_requests")
    assert [endpoint for _, endpoint, _ in requests] == ["translate", "score"]
    for _, endpoint, inputs in requests:
        outputs = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        assert outputs["log_prob"].shape[0] == 1


def test_a_saved_model_with_other_outputs_is_refused(monkeypatch, folder):
    loaded = tf.saved_model.load(str(folder))

    class Another:
        """The SavedModel, with slightly higher log-probabilities."""

        def translate(self, text):
            outputs = loaded.translate(text)
            return {**outputs, "log_prob": outputs["log_prob"] + 0.01}

    def write(run, model, endpoints, check, resources):
        check(Another())

    monkeypatch.setattr(shared.export, "write_saved_model", write)
    with pytest.raises(ParityError, match="for the SavedModel"):
        export("a-en-de", beam=3)


def test_wrong_usage_is_one_line(trained, capsys):
    for arguments, message in ((["none"], "none: neither a folder nor a run"), (["--beam", "0"], "--beam 0: a number")):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
