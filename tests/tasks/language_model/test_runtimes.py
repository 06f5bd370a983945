"""Scores, continuations, blanks and labels by a graph of TensorFlow and by onnxruntime: those of Keras, without it."""

import json

import pytest

from shared.errors import UserError
from tasks.language_model import classify, fill, generate, score
from tasks.language_model.classification import TextClassifier
from tasks.language_model.explanation import Explainer
from tasks.language_model.inference import TextGenerator
from tests.runtimes import cache, run_without  # noqa: F401, a fixture

RUNTIMES = pytest.mark.parametrize(
    ("runtime", "not_needed"), [("graph", "keras onnxruntime"), ("onnx", "keras tensorflow jax onnx")]
)


@RUNTIMES
@pytest.mark.parametrize("options", [(), ("--carry",)], ids=["independent", "carried"])
def test_scores_are_those_of_keras(runtime, not_needed, options, trained, capsys):
    lines = "the cat sees the dog", "the hen likes the zebra", "dog dog"
    arguments = [*lines, *options, "--json", "--model", "tiny"]
    score.main([*arguments, "--runtime", "keras"])
    expected = records(capsys.readouterr().out)
    score.main([*arguments, "--runtime", runtime])  # makes the function
    done = run_without(not_needed, "tasks.language_model.score", trained.run, *arguments, "--runtime", runtime)
    assert (done.returncode, done.stderr) == (0, "")
    for output in (capsys.readouterr().out, done.stdout):
        found = records(output)
        assert [record["tokens"] for record in found] == [record["tokens"] for record in expected]
        for one, other in zip(found, expected, strict=True):
            assert one["log_probs"] == pytest.approx(other["log_probs"], abs=1e-3)


@RUNTIMES
def test_continuations_are_those_of_keras(runtime, not_needed, trained, capsys):
    prompts = ["--prompt", "the cat sees", "--prompt", ""]
    arguments = [*prompts, "--samples", "3", "--max-tokens", "6", "--top-k", "4", "--json", "--model", "tiny"]
    generate.main([*arguments, "--runtime", "keras"])
    expected = [record["text"] for record in records(capsys.readouterr().out)]
    assert len(set(expected)) > 2
    generate.main([*arguments, "--runtime", runtime])  # makes the functions
    assert [record["text"] for record in records(capsys.readouterr().out)] == expected
    done = run_without(not_needed, "tasks.language_model.generate", trained.run, *arguments, "--runtime", runtime)
    assert (done.returncode, done.stderr) == (0, "")
    assert [record["text"] for record in records(done.stdout)] == expected


def test_a_saved_state_needs_keras(trained, tmp_path, capsys):
    assert generate.main(["--model", "tiny", "--save-state", str(tmp_path / "state"), "--runtime", "onnx"]) == 2
    assert "--save-state needs parts of the model that run on Keras" in capsys.readouterr().err
    with pytest.raises(UserError, match="the runtime keras was expected"):
        TextGenerator.load("tiny", runtime="graph").as_bytes()


@RUNTIMES
def test_blanks_are_those_of_keras(runtime, not_needed, bidirectional, capsys):
    arguments = ["the ___ sees the ___ .", "a ___", "--json", "--model", "fill"]
    assert fill.main([*arguments, "--runtime", "keras"]) == 0
    expected = records(capsys.readouterr().out)
    assert fill.main([*arguments, "--runtime", runtime]) == 0  # makes the function
    assert words(records(capsys.readouterr().out)) == words(expected)
    done = run_without(not_needed, "tasks.language_model.fill", bidirectional, *arguments, "--runtime", runtime)
    assert (done.returncode, done.stderr) == (0, "")
    assert words(records(done.stdout)) == words(expected)


@RUNTIMES
def test_labels_are_those_of_keras(runtime, not_needed, classifier, capsys):
    long = " ".join(["the cat hugs the dog"] * 60)  # is read in two parts
    arguments = ["The cat hugs the dog.", long, " ", "--json", "--model", "labels"]
    assert classify.main([*arguments, "--runtime", "keras"]) == 1  # one text has no words
    expected = records(capsys.readouterr().out)
    assert classify.main([*arguments, "--runtime", runtime]) == 1  # makes the function
    done = run_without(not_needed, "tasks.language_model.classify", classifier.run, *arguments, "--runtime", runtime)
    assert (done.returncode, done.stderr) == (1, "error: ' ': no words in it; a text was expected\n")
    for output in (capsys.readouterr().out, done.stdout):
        for one, other in zip(records(output), expected, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-3)
            assert (one["label"], one["unknown_words"]) == (other["label"], other["unknown_words"])


def test_explanations_need_keras(classifier, capsys):
    assert classify.main(["the cat", "--explain", "--model", "labels", "--runtime", "onnx"]) == 2
    assert "--explain needs parts of the model that run on Keras" in capsys.readouterr().err
    with pytest.raises(UserError, match="the runtime keras was expected"):
        Explainer(TextClassifier.load(str(classifier.run.path), runtime="graph"))


def records(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def words(filled: list[dict]) -> list[list[str]]:
    """The words of each blank of all texts."""
    return [[word["word"] for word in blank] for record in filled for blank in record["blanks"]]
