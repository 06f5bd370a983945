"""The SavedModel: TensorFlow alone loads it, and it translates as the command line does."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import shared.export
from shared.export import ParityError, exported
from tasks.translator.export import export, main
from tasks.translator.score import PairScorer
from tasks.translator.translation import Translator
from tests.shared.test_export import read_requests

SENTENCES = ["one two three", "", "four \u732b", "  five\tfour\n", "two"]


@pytest.fixture(scope="module")
def folder(trained):
    return export("a-en-de", beam=3)


PROGRAM = """
import json, sys
sys.modules["keras"] = None  # TensorFlow imports it if it can; nothing here may need it
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
sentences = json.loads(sys.argv[2])
found = model.signatures["serving_default"](text=tf.constant(sentences))
text = [[text.decode() for text in beam] for beam in found["text"].numpy()]
told = model.signatures["score"](source=tf.constant(sentences), target=tf.constant([beam[0] for beam in text]))
print(json.dumps({
    "text": text,
    "log_prob": found["log_prob"].numpy().tolist(),
    "tokens": [[[token.decode() for token in row if token] for row in beam] for beam in found["tokens"].numpy()],
    "attention": list(found["attention"].shape),
    "score": told["log_prob"].numpy().tolist(),
    "ours": [name for name in sys.modules if name.split(".")[0] in ("tasks", "shared", "datasets")],
}))
"""


def test_a_process_with_tensorflow_alone_translates_as_the_command_line_does(tmp_path, folder):
    arguments = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(SENTENCES)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["ours"] == []
    assert found["attention"][:2] == [5, 3]
    expected = Translator.load("a-en-de", beam=3)(SENTENCES)
    for place, translations in enumerate(expected):
        count = len(translations)
        assert found["text"][place] == [one.text for one in translations] + [""] * (3 - count)
        assert found["tokens"][place] == [one.tokens for one in translations] + [[]] * (3 - count)
        np.testing.assert_allclose(found["log_prob"][place][:count], [one.log_prob for one in translations], atol=1e-3)
        assert found["log_prob"][place][count:] == [-np.inf] * (3 - count)
    pairs = [(sentence, one[0].text) for sentence, one in zip(SENTENCES, expected, strict=True)]
    wanted = [score.log_prob for score in PairScorer.load("a-en-de")(pairs)]
    np.testing.assert_allclose(found["score"], wanted, atol=1e-3)
    assert found["score"][0] == pytest.approx(found["log_prob"][0][0], abs=1e-3)


def test_every_endpoint_is_warmed_up_and_the_newest_version_found(folder, trained):
    assert exported(trained.run) == folder
    loaded = tf.saved_model.load(str(folder))
    requests = read_requests(folder / "assets.extra" / "tf_serving_warmup_requests")
    assert [endpoint for _, endpoint, _ in requests] == ["translate", "score"]
    for _, endpoint, inputs in requests:
        found = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        assert found["log_prob"].shape[0] == 1


def test_a_model_that_answers_otherwise_is_refused(monkeypatch, folder):
    loaded = tf.saved_model.load(str(folder))

    class Another:
        """The SavedModel, but a little surer of its translations."""

        def translate(self, text):
            found = loaded.translate(text)
            return {**found, "log_prob": found["log_prob"] + 0.01}

    def write(run, model, endpoints, check, resources):
        check(Another())

    monkeypatch.setattr(shared.export, "write_saved_model", write)
    with pytest.raises(ParityError, match="for the SavedModel"):
        export("a-en-de", beam=3)


def test_wrong_usage_is_told_in_one_line(trained, capsys):
    for arguments, message in ((["none"], "none: neither a folder nor a run"), (["--beam", "0"], "--beam 0: a number")):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
