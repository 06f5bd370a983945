"""The SavedModel: it needs TensorFlow alone and gives the outputs of the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import shared.export
from shared.export import MISSING, ParityError, latest_export
from tasks.translator.export import export, main
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
translated = model.signatures["translate"](text=tf.constant(sentences))
slim = model.signatures["serving_default"](text=tf.constant([*sentences, "one " * 19]))
text = [[text.decode() for text in beam] for beam in translated["text"].numpy()]
scored = model.signatures["score"](source=tf.constant(sentences), target=tf.constant([beam[0] for beam in text]))
print(json.dumps({
    "text": text,
    "log_prob": translated["log_prob"].numpy().tolist(),
    "tokens": [[[token.decode() for token in row if token] for row in beam] for beam in translated["tokens"].numpy()],
    "attention": list(translated["attention"].shape),
    "slim": {
        "text": [[text.decode() for text in beam] for beam in slim.pop("text").numpy()],
        "error": [error.decode() for error in slim.pop("error").numpy()],
        **{name: value.numpy().tolist() for name, value in slim.items()},
    },
    "score": scored["log_prob"].numpy().tolist(),
    "own_modules": [name for name in sys.modules if name.split(".")[0] in ("tasks", "shared", "datasets")],
}))
"""


def test_a_process_with_tensorflow_alone_gives_the_outputs_of_the_python_model(tmp_path, folder, translator, scorer):
    arguments = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(SENTENCES)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    outputs = json.loads(result.stdout)
    assert outputs["own_modules"] == []
    assert outputs["attention"][:2] == [5, 3]
    expected = translator(SENTENCES)
    for row, translations in enumerate(expected):
        count = len(translations)
        assert outputs["text"][row] == [best.text for best in translations] + [""] * (3 - count)
        assert outputs["tokens"][row] == [best.tokens for best in translations] + [[]] * (3 - count)
        np.testing.assert_allclose(
            outputs["log_prob"][row][:count], [best.log_prob for best in translations], atol=1e-3
        )
        assert outputs["log_prob"][row][count:] == [MISSING] * (3 - count)
    too_long = "has 19 tokens, more than twice the 9 of training; split it"
    assert outputs["slim"].keys() == {"text", "log_prob", "error"}
    assert outputs["slim"]["text"] == [*outputs["text"], [""] * 3]
    assert outputs["slim"]["error"] == [*[""] * 5, too_long]
    pairs = [(sentence, best[0].text) for sentence, best in zip(SENTENCES, expected, strict=True)]
    log_probs = [score.log_prob for score in scorer(pairs)]
    np.testing.assert_allclose(outputs["score"], log_probs, atol=1e-3)
    assert outputs["score"][0] == pytest.approx(outputs["log_prob"][0][0], abs=1e-3)


def test_every_endpoint_has_a_warm_up_request(folder, trained, loaded):
    assert latest_export(trained.run) == folder
    requests = read_requests(folder / "assets.extra" / "tf_serving_warmup_requests")
    assert [endpoint for _, endpoint, _ in requests] == ["serving_default", "translate", "score"]
    for _, endpoint, inputs in requests:
        outputs = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        assert outputs["log_prob"].shape[0] == 1


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


ODD = {
    b"one " * 19: "has 19 tokens, more than twice the 9 of training; split it",
    b"two " * 2000: "has 2000 tokens, more than twice the 9 of training; split it",
    b"one \xff two": "is not UTF-8; invalid bytes are read as \ufffd",
}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_odd_sentence_does_not_end_the_batch(loaded, translator, position):
    good = [b"one two three", b"four five"]
    alone = [loaded.translate(tf.constant([sentence])) for sentence in good]
    for sentence, error in ODD.items():
        batch = loaded.translate(tf.constant([*good[:position], sentence, *good[position:]]))
        errors = [error if row == position else "" for row in range(3)]
        assert [one.decode() for one in batch["error"].numpy()] == errors
        for row, one in zip([row for row in range(3) if row != position], alone, strict=True):
            assert batch["text"][row].numpy().tolist() == one["text"][0].numpy().tolist()
            for name in ("log_prob", "score"):
                np.testing.assert_allclose(batch[name][row], one[name][0], atol=1e-4)
        json.dumps([batch[name].numpy().tolist() for name in ("log_prob", "score", "attention")], allow_nan=False)
        texts, log_probs = batch["text"][position].numpy().tolist(), batch["log_prob"][position].numpy().tolist()
        if sentence.isascii():
            assert (texts, log_probs) == ([b""] * 3, [MISSING] * 3)
            assert not np.any(batch["attention"][position])
        else:
            assert [text.decode() for text in texts] == [best.text for best in translator(["one \ufffd two"])[0]]


def test_all_sentences_of_a_batch_may_be_too_long(loaded):
    outputs = loaded.translate(tf.constant(list(ODD)[:2]))
    assert [error.decode() for error in outputs["error"].numpy()] == list(ODD.values())[:2]
    assert outputs["text"].numpy().tolist() == [[b""] * 3] * 2


def test_invalid_utf_8_is_scored_with_replacements_and_named(loaded):
    sources, targets = [b"one \xff", b"one", b"two"], [b"eins", b"eins", b"\xfe zwei"]
    outputs = loaded.score(tf.constant(sources), tf.constant(targets))
    notice = "is not UTF-8; invalid bytes are read as \ufffd"
    assert [error.decode() for error in outputs["error"].numpy()] == [f"source {notice}", "", f"target {notice}"]
    replaced = [[text.decode(errors="replace") for text in texts] for texts in (sources, targets)]
    np.testing.assert_allclose(outputs["log_prob"], loaded.score(*map(tf.constant, replaced))["log_prob"], atol=1e-5)


def test_a_batch_may_be_empty(loaded):
    texts = tf.zeros([0], tf.string)
    outputs = loaded.translate(texts)
    shapes = {name: (*value.shape[:2], value.shape.rank) for name, value in outputs.items()}
    of_beam = {name: (0, 3, rank) for name, rank in {"text": 2, "log_prob": 2, "score": 2, "tokens": 3}.items()}
    assert shapes == of_beam | {"attention": (0, 3, 4), "error": (0, 1)}
    outputs = loaded.signatures["serving_default"](text=texts)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "text": (0, 3),
        "log_prob": (0, 3),
        "error": (0,),
    }
    outputs = loaded.score(texts, texts)
    assert {name: value.shape[0] for name, value in outputs.items()} == dict.fromkeys(outputs, 0)
    assert outputs["log_prob"].shape.rank == 1
    assert outputs["tokens"].shape.rank == outputs["token_log_probs"].shape.rank == 2


def test_texts_may_all_be_empty(loaded):
    outputs = loaded.translate(tf.constant(["", " "]))
    assert outputs["text"].numpy().tolist() == [[b""] * 3] * 2
    assert outputs["log_prob"].numpy().tolist() == [[0, MISSING, MISSING]] * 2
    assert outputs["error"].numpy().tolist() == [b"", b""]


def test_a_saved_model_with_other_outputs_is_refused(monkeypatch, loaded):
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


def test_onnx_files_are_checked_and_replace_earlier_ones(trained):
    for _ in range(2):
        folder = export("a-en-de", beam=3, format="onnx")
    names = {path.name for path in folder.iterdir()}
    assert names >= {"translate.onnx", "score.onnx", "config.json", "vocabulary.json"}
