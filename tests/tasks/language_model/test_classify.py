"""Classifiers: the network, its training, evaluation, explanations and the command `classify`."""

import io
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from shared.calibration import calibration_error, fit_temperature
from shared.cli import TrainingOptions
from shared.errors import ListError, UserError
from shared.runs import Run, RunError
from shared.training import weights_as_arrays
from shared.vocabulary import WordVocabulary
from tasks.language_model import classification, classifier_evaluation, classifier_training, explanation
from tasks.language_model.classification import NO_WORDS, NONE_KNOWN, TextClassifier
from tasks.language_model.classifier import LabelReader, build_classifier, load_classifier, start_from
from tasks.language_model.classifier_training import LayeredAdam
from tasks.language_model.classify import main
from tasks.language_model.config import PRESETS, find_run
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.explanation import Explainer
from tasks.language_model.fill import main as fill
from tasks.language_model.labelled import HEAD, LONGEST, TAIL, Texts, build_vocabulary, shortened, training_batches
from tasks.language_model.model import load_model as load_language_model
from tasks.language_model.train import train

pytestmark = pytest.mark.any_backend

CONFIG = replace(
    PRESETS["sst2"], initial_run="", units=7, embedding_units=6, num_layers=2, head_units=5, batch_size=4, min_count=1,
    embedding_dropout=0.0, input_dropout=0.0, layer_dropout=0.0, output_dropout=0.0, weight_drop=0.0,
    weight_average=0.0, layer_rate_ratio=2.6,
)  # fmt: skip
TEXTS = Texts(["a b", "c", "a b c d", "d d", "b"], ["x", "y", "z", "x", "y"])


@pytest.fixture(scope="module")
def small():
    """An untrained classifier of the words a to d with three labels."""
    keras.utils.set_random_seed(1)
    vocabulary = build_vocabulary(CONFIG, TEXTS)
    return CONFIG, vocabulary, build_classifier(CONFIG, vocabulary, ["x", "y", "z"])


def loaded_of(small):
    from shared.loaded import Loaded

    return Loaded(*small)


# --- network --------------------------------------------------------------------------------------------------------


def test_a_classifier_reads_in_a_training_with_bfloat16(small):
    """Its memory of what it has read, which is float32, is not rounded."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        config, vocabulary, plain = small
        model = build_classifier(config, vocabulary, plain.labels)
        model.set_weights(plain.get_weights())
        found = TextClassifier(loaded_of((config, vocabulary, model)))
        texts = ["a b", "d " * 300]  # the second is read in parts
        np.testing.assert_allclose(found.log_probs(texts), TextClassifier(loaded_of(small)).log_probs(texts), atol=0.03)
    finally:
        keras.config.set_dtype_policy(before)


def test_pooling_has_the_last_the_highest_and_the_mean_output(small):
    _, vocabulary, model = small
    ids = np.array([[2, *vocabulary.encode("a b c")], [2, *vocabulary.encode("d"), 0, 0]], np.int32)
    lengths = np.array([4, 2], np.int32)
    memory = model.read(model.embed(ids), lengths, model.initial_memory(2))
    outputs, _ = model.stack(model.embed(ids[:1]))
    for found, expected in ((memory.last, outputs[:, -1]), (memory.highest, np.max(outputs, axis=1))):
        np.testing.assert_allclose(found[:1], expected, atol=1e-5)
    np.testing.assert_allclose(memory.total[:1] / memory.count[:1], np.mean(outputs, axis=1), atol=1e-5)
    alone, _ = model.stack(model.embed(ids[1:, :2]))  # without padding
    np.testing.assert_allclose(memory.last[1:], alone[:, -1], atol=1e-5)
    np.testing.assert_allclose(memory.highest[1:], np.max(alone, axis=1), atol=1e-5)
    assert np.asarray(memory.count).tolist() == [[4], [2]]


def test_parts_and_batches_change_nothing(small, monkeypatch):
    classifier = TextClassifier(loaded_of(small))
    texts = ["a b c d a b c", "d", "", "b c a d d d d a a c"]
    whole = classifier.logits(texts)
    np.testing.assert_allclose(np.concatenate([classifier.logits([text]) for text in texts]), whole, atol=1e-5)
    monkeypatch.setattr(classification, "PART", 3)
    np.testing.assert_allclose(classifier.logits(texts), whole, atol=1e-5)


def test_a_vocabulary_has_the_words_of_the_texts_then_those_of_the_language_model():
    initial = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "The", "B", "of", "@-@", "in", "zebra"])
    config = replace(CONFIG, vocabulary_size=9)
    texts = Texts(["c isn't C", "b c"], ["x", "y"])
    assert build_vocabulary(config, texts, initial).table[4:] == ("c", "b", "is", "n't", "the")
    config = replace(config, vocabulary_size=100, min_count=2)
    assert build_vocabulary(config, texts, initial).table[4:] == ("c", "the", "b", "of", "in", "zebra")


def test_a_classifier_starts_from_the_words_it_knows(small):
    before, other = loaded_of(small), replace(CONFIG, head_units=4)
    after = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "D", "e", "a"])
    model = build_classifier(other, after, ["x", "w", "z"])
    own = weights_as_arrays(model)
    start_from(before, model, after)
    old, new = weights_as_arrays(before.model), weights_as_arrays(model)
    index = [0, 1, 2, 3, before.vocabulary.encode("d")[0], None, before.vocabulary.encode("a")[0]]
    for row, source in enumerate(index):
        words = old["embedding/embeddings"]
        expected = words[4:].mean(axis=0) if source is None else words[source]
        np.testing.assert_allclose(new["embedding/embeddings"][row], expected, atol=1e-6)
    same = [name for name in new if name.startswith("stack/")]
    assert len(same) == 6
    assert all(np.array_equal(new[name], old[name]) for name in same)
    np.testing.assert_array_equal(new["output/kernel"], own["output/kernel"])  # other labels


def test_upper_layers_learn_first_and_faster(small):
    config, vocabulary, _ = small
    batch = training_batches(config, TEXTS, vocabulary, ["x", "y", "z"])[0]

    def changes(steps: int) -> dict[str, float]:
        model = build_classifier(config, vocabulary, ["x", "y", "z"])
        reader = LabelReader(model)
        optimizer = LayeredAdam(replace(config, clip_norm=1e6), steps)
        optimizer.learning_rate = 0.01
        reader.compile(optimizer, lambda _, nats: keras.ops.mean(nats), run_eagerly=True)
        before = weights_as_arrays(model)
        reader.train_on_batch(*batch)
        return {name: float(np.abs(x - before[name]).max()) for name, x in weights_as_arrays(model).items()}

    all_begun, first = changes(0), changes(100)
    depths = {"output/bias": 0, "stack/layer_1/lstm_cell/bias": 1, "stack/layer_0/lstm_cell/bias": 2}
    for name, depth in {**depths, "embedding/embeddings": 3}.items():
        assert all_begun[name] == pytest.approx(0.01 / 2.6**depth, rel=0.02), name  # Adam's first step is the rate
        assert first[name] == pytest.approx(0 if depth else 0.01, rel=0.02), name


def test_views_cost_what_they_differ_by_in_training_alone(small):
    """Without dropout the two views are equal, so that they cost nothing."""
    config, vocabulary, _ = small
    inputs, _ = training_batches(config, TEXTS, vocabulary, ["x", "y", "z"])[0]
    rows = len(inputs["lengths"])
    none = dict.fromkeys(("embedding_dropout", "input_dropout", "layer_dropout", "output_dropout", "weight_drop"), 0.0)

    def losses(training: bool, **fields) -> tuple[int, list[float]]:
        keras.utils.set_random_seed(1)
        config_of_views = replace(config, consistency_weight=2.0, **fields)
        reader = LabelReader(build_classifier(config_of_views, vocabulary, ["x", "y", "z"]))
        nats = reader(inputs, training=training)
        return len(nats), [float(loss) for loss in reader.losses]

    assert losses(False) == (rows, [])
    count, (loss,) = losses(True, **none)
    assert count == 2 * rows
    assert loss == pytest.approx(0, abs=1e-6)
    assert losses(True, **none | {"output_dropout": 0.5})[1][0] > 1e-5


def test_a_long_text_keeps_its_ends():
    ids = list(range(LONGEST + 3))
    assert shortened(ids) == [*range(HEAD), *range(HEAD + 3, HEAD + 3 + TAIL)]
    assert shortened(ids[:LONGEST]) == ids[:LONGEST]


# --- metrics --------------------------------------------------------------------------------------------------------


def test_metrics_by_hand():
    found, reference = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    # F1: label 0 has 1 right of 2 found and 2 true, label 1 has 2 right of 2 and 3; no text has label 2
    assert classifier_evaluation.macro_f1(found, reference) == pytest.approx((0.5 + 0.8) / 2)
    probabilities, is_right = np.array([0.9, 0.6, 0.8, 0.7]), np.array([1, 0, 0, 1])
    # bins (0.6, 0.7) and (0.8, 0.9): differences 1.3 - 1 and 1.7 - 1
    assert calibration_error(probabilities, is_right, bins=2) == pytest.approx((0.3 + 0.7) / 4)
    logits = np.array([[2.0, 0], [2, 0], [2, 0], [0, 2]]) * 3  # right three times of four; of 5 / 6 of the weight
    temperature = fit_temperature(logits, np.array([0, 0, 1, 1]))
    assert 1 / (1 + np.exp(-6 / temperature)) == pytest.approx(0.75 * 5 / 6 + 0.5 / 6, abs=0.01)
    certain = fit_temperature(logits, np.array([0, 0, 0, 1]))  # all are right
    assert 1 / (1 + np.exp(-6 / certain)) == pytest.approx(1 - 0.5 / 6, abs=0.01)


# --- a trained classifier -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_classifier(classifier):
    return TextClassifier(load_classifier(classifier.run))


@pytest.mark.slow
def test_it_learns_and_the_run_is_complete(classifier):
    metrics = classifier.run.load_metrics()["dev"]
    assert metrics["texts"] == 8
    assert metrics["accuracy"] > 0.9
    assert sum(metrics["confusion"].values()) == 8
    assert "warm as warm" in metrics["confusion"]
    assert "# Classifier of texts" in (classifier.run.path / "README.md").read_text()
    assert (classifier.run.path / "texts" / "history.csv").exists()
    assert find_run(None, "for a label").path == classifier.run.path
    train(classifier.config, TrainingOptions(run="labels"))  # resumes, and has nothing left to do


@pytest.mark.slow
def test_labels_and_probabilities(trained_classifier):
    texts = ["The cat LIKES the dog.", "", "\u732b", "the hen feeds the fox .", "zebra the"]
    warm, empty, unknown, plain, known = trained_classifier(texts)
    assert (warm.label, plain.label) == ("warm", "plain fact")
    for found in (warm, plain, known):
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert found.probability == max(found.probabilities.values()) == found.probabilities[found.label]
    assert (empty.label, empty.error, empty.probability) == (None, NO_WORDS, 0.0)
    assert (unknown.label, unknown.error) == (None, NONE_KNOWN)
    assert known.unknown_words == ["zebra"]
    assert [found.label for found in trained_classifier.stream(iter(texts))] == [
        found.label for found in (warm, empty, unknown, plain, known)
    ]
    with pytest.raises(ListError):
        trained_classifier("the cat")
    (decomposed,) = trained_classifier(["e\u0301te\u0301 the cat likes"])
    assert (decomposed.text, decomposed.unknown_words) == ("été the cat likes", ["été"])


@pytest.mark.slow
def test_contributions_sum_to_the_change_of_the_log_odds(trained_classifier, monkeypatch):
    (found,) = trained_classifier(["The cat hugs the dog."])
    explained = Explainer(trained_classifier)(found)
    assert [word.word for word in explained.words] == ["The", "cat", "hugs", "the", "dog", "."]
    assert [found.text[word.start : word.end] for word in explained.words] == [word.word for word in explained.words]
    assert {word.word: word.value for word in explained.words}["hugs"] > 0.5
    total = explained.log_odds - explained.log_odds_without
    assert sum(word.value for word in explained.words) == pytest.approx(total, rel=0.03)
    assert explained.log_odds == pytest.approx(np.log(found.probability / (1 - found.probability)), abs=1e-3)
    monkeypatch.setattr(explanation, "TOKENS", 5 * explanation.SHORTEST)  # in parts of five steps
    again = Explainer(trained_classifier)(found)
    np.testing.assert_allclose([w.value for w in again.words], [w.value for w in explained.words], atol=1e-4)
    monkeypatch.setattr(explanation, "STEP_TOKENS", 1)  # as for a long text
    coarse = Explainer(trained_classifier)(found)
    assert sum(word.value for word in coarse.words) == pytest.approx(total, rel=0.1)
    assert [w.value for w in coarse.words] != [w.value for w in explained.words]
    monkeypatch.setattr(explanation, "LONGEST", 3)
    with pytest.raises(UserError, match="7 tokens are too many to explain"):
        Explainer(trained_classifier)(found)


@pytest.mark.slow
def test_the_command(classifier, capsys, monkeypatch, tmp_path):
    lines = b"the cat likes the dog\n\nThe \xff fox feeds the <cow>.\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    page = tmp_path / "page.html"
    assert main(["--model", "labels", "--file", "-", "--json", "--explain", "--html", str(page)]) == 1
    output = capsys.readouterr()
    first, empty, third = map(json.loads, output.out.splitlines())
    assert first["label"] == "warm"
    assert [word["word"] for word in first["words"]] == ["the", "cat", "likes", "the", "dog"]
    assert (empty["label"], empty["error"]) == (None, NO_WORDS)
    assert third["label"] == "plain fact"
    assert f"-: line 2: {NO_WORDS}" in output.err
    assert page.read_text().count('<p dir="auto"><b>') == 2
    assert "&lt;" in page.read_text()

    (tmp_path / "a.txt").write_text("the hen hugs\nthe dog .\n")
    assert main(["--model", "labels", "--documents", str(tmp_path), "--tsv", "--html", str(page)]) == 0
    assert f"<small>{tmp_path / 'a.txt'}</small><br><span" in page.read_text()
    heading, row = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["file", "label", "probability"]
    assert row[:2] == [str(tmp_path / "a.txt"), "warm"]
    assert main(["--model", "labels", "--documents", str(tmp_path), "--tsv", "--explain"]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["file", "label", "position", "word", "contribution"]
    assert {row[0] for row in rows} == {str(tmp_path / "a.txt")}
    (tmp_path / "b.txt").write_bytes("the f\u00f6x hugs".encode("latin-1"))
    assert main(["--model", "labels", "--documents", str(tmp_path), "--json"]) == 1
    output = capsys.readouterr()
    assert [json.loads(line)["label"] for line in output.out.splitlines()] == ["warm"]
    assert "b.txt is not UTF-8: line 1 has other bytes; iconv -f ENCODING" in output.err
    assert main(["--model", "labels", "the cat sees the hen .", "--csv", "--explain"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading == "number,label,position,word,contribution"
    assert len(rows) == 6
    assert main(["--model", "labels", "the cat", "", "--csv", "--explain"]) == 1  # a text without a label has no row
    assert all(row.startswith("1,") for row in capsys.readouterr().out.splitlines()[1:])
    monkeypatch.setattr(explanation, "LONGEST", 3)
    assert main(["--model", "labels", "the cat sees the hen .", "--json", "--explain"]) == 1
    assert "are too many to explain" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the three was expected"),
        (["a", "--file", "b"], "one of the three was expected"),
        (["a", "--tsv", "--json"], "one of the three was expected"),
        (["--file", "nowhere"], "nowhere: no such file"),
        (["--documents", "nowhere"], "nowhere does not exist"),
        ([""], NO_WORDS),
        (["\u732b \u72ac"], NONE_KNOWN),
        (["a", "--model", "tiny"], "a causal model, for score and generate"),
    ],
)
def test_what_has_no_label_is_reported_in_one_line(arguments, message, classifier, capsys):
    assert main([*arguments, *([] if "--model" in arguments else ["--model", "labels"])]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_evaluate(classifier, capsys, tmp_path):
    assert evaluate(["--model", "labels", "--json", "--split", "test"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["accuracy_interval"]["from"] <= record["accuracy"] <= record["accuracy_interval"]["to"]
    assert 0 <= record["calibration_error"] <= 1
    other = tmp_path / "other.tsv"
    other.write_text("the cat likes the dog .\twarm\nthe dog sees the hen .\tstrange\nthe hen feeds the cat .\twarm\n")
    assert evaluate(["--model", "labels", "--json", "--corpus", str(other)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["texts"], record["texts_with_other_labels"], record["split"]) == (3, 1, "all")
    assert record["accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    other.write_text("a b\tup\nc d\tdown\n")
    assert evaluate(["--model", "labels", "--corpus", str(other)]) == 2
    assert "its labels are down, up; plain fact, warm were expected" in capsys.readouterr().err
    assert evaluate(["--model", "labels", "--cache"]) == 2
    assert "needs a causal model" in capsys.readouterr().err


@pytest.mark.slow
def test_what_cannot_be_trained_is_refused_before_texts_are_read(classifier, bidirectional, monkeypatch, tmp_path):
    config, options = classifier.config, TrainingOptions(run="other")
    monkeypatch.setattr(classifier_training, "train_on_texts", None)
    with pytest.raises(UserError, match="a causal model or a classifier was expected"):
        train(replace(config, initial_run="fill"), options)
    with pytest.raises(UserError, match="adam was expected"):
        replace(config, optimizer="sgd")
    with pytest.raises(UserError, match="does not exist"):
        train(replace(config, corpus="/nowhere.tsv"), options)
    (tmp_path / "dev.tsv").write_text("the cat\tcold\nthe dog\thot\n")
    with pytest.raises(UserError, match=r"dev\.tsv: its labels are cold, hot; plain fact, warm were expected"):
        train(replace(config, dev_corpus=str(tmp_path / "dev.tsv")), options)
    for name, changed, message in (
        ("a/b", config, "run name 'a/b' is invalid"),
        ("labels", replace(config, min_count=2), "exists with another config: min_count 1 -> 2; choose another --run"),
        ("tiny", replace(config, initial_run=""), "exists with another config: .*reads 'forwards' -> 'for a label'"),
    ):
        with pytest.raises(RunError, match=message):
            train(changed, TrainingOptions(run=name))
    assert not (find_run("tiny").path / "texts").exists()


@pytest.mark.slow
def test_a_classifier_that_starts_from_another_one_has_its_head(classifier, monkeypatch, tmp_path, capsys):
    """And the other layers of the language model that has read its texts."""

    class Begun(Exception):
        """The training of the labels begins; its argument is the model."""

    def begin(*_, model_to_save, **__):
        raise Begun(model_to_save)

    of_texts = load_language_model(Run(classifier.run.path / "texts"))
    monkeypatch.setattr(classifier_training, "train_on_texts", lambda *_: of_texts)
    monkeypatch.setattr(classifier_training, "Trainer", begin)
    before, texts = map(weights_as_arrays, (load_classifier(classifier.run).model, of_texts.model))
    heads = [name for name in before if name.startswith(("hidden/", "output/"))]
    assert len(heads) == 4
    corpus = tmp_path / "again.tsv"
    rows = Path(classifier.config.corpus).read_text()
    for name, text, is_kept in (("again", rows, True), ("other", rows.replace("warm", "cold"), False)):
        corpus.write_text(text)
        config = replace(classifier.config, corpus=str(corpus), initial_run="labels")
        with pytest.raises(Begun) as raised:
            train(config, TrainingOptions(run=name))
        weights = weights_as_arrays(raised.value.args[0])
        np.testing.assert_array_equal(weights["embedding/embeddings"], texts["embedding/embeddings"])
        kept = [np.array_equal(weights[head], before[head]) for head in heads if head.endswith("kernel")]
        assert kept == [is_kept] * 2
        said = "the same 2 labels, so its head is kept"
        said = said if is_kept else "its labels are plain fact, warm, so a new head is trained for cold, plain fact"
        assert f"from labels: {said}" in capsys.readouterr().out


@pytest.mark.slow
def test_other_commands_name_what_a_classifier_is_for(classifier, capsys):
    assert fill(["a ___", "--model", "labels"]) == 2
    assert "a classifier, for classify" in capsys.readouterr().err


@pytest.mark.slow
def test_damaged_labels_are_reported(classifier):
    path = classifier.run.path / "labels.json"
    content = path.read_text()
    try:
        for damaged in ('{"labels": ["one"]}', '{"labels": [1, 2]}', '{"labels": ["a", "a"]}', "[]"):
            path.write_text(damaged)
            with pytest.raises(RunError, match=r"labels\.json"):
                load_classifier(classifier.run)
    finally:
        path.write_text(content)


def test_without_a_model_the_command_that_trains_one_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    assert main(["a text"]) == 2
    assert "tasks.language_model.train sst2 --corpus reviews.tsv" in capsys.readouterr().err
