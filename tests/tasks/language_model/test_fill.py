"""Words told from both sides."""

import io
import json
import os
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.runs import Run
from tasks.language_model.config import PRESETS, find_run
from tasks.language_model.data import BlankBatches
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.fill import BlankFiller, main
from tasks.language_model.model import build_fill_model, load_fill_model
from tasks.language_model.score import main as score
from tasks.language_model.train import train
from tests.tasks.language_model.conftest import CONFIG, NOUNS, VERBS

BLANK, END = 1, 2


@pytest.fixture(scope="module")
def filled(small_manual):
    config = replace(CONFIG, reads="both ways", num_layers=2, epochs=60, patience=60, batch_size=8, length=12)
    train(config, TrainingOptions(run="fill"))
    return Run(small_manual / "fill")


def test_blanks_stand_where_they_are_told_to():
    stream = np.random.default_rng(0).integers(2, 30, size=200).astype("int32")
    batches = BlankBatches(stream, 4, 11, BLANK, END, 0.25, seed=3)
    rows = []
    for number in range(len(batches)):
        inputs, targets = batches[number]
        assert inputs["places"].shape == targets.shape == (len(inputs["token_ids"]), 3)  # a quarter of 11
        assert (np.take_along_axis(inputs["token_ids"], inputs["places"], axis=1) == BLANK).all()
        assert (inputs["token_ids"] == BLANK).sum() == targets.size
        assert not (targets == END).any()  # each row has words enough
        whole = inputs["token_ids"].copy()
        np.put_along_axis(whole, inputs["places"], targets, axis=1)
        rows += [tuple(row) for row in whole]
    parts = [tuple(stream[begin : begin + 11]) for begin in range(len(stream) - 10)]
    begins = sorted(parts.index(row) for row in rows)
    assert begins[0] < 11
    assert begins == list(range(begins[0], len(parts), 11))  # one after the other, each read once


def test_blanks_are_decided_by_epoch_and_number():
    stream = np.arange(2, 202, dtype=np.int32)
    one, other = (BlankBatches(stream, 4, 11, BLANK, END, 0.25, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one[1][0]["token_ids"], other[1][0]["token_ids"])
    places = [one[number][0]["places"].tolist() for number in range(4)]
    assert all(a != b for a, b in combinations(places, 2))
    other.epoch = 1
    assert not np.array_equal(one[1][1], other[1][1])
    other = BlankBatches(stream, 4, 11, BLANK, END, 0.25, seed=4)
    assert not np.array_equal(one[1][1], other[1][1])


def test_an_end_is_blank_only_where_there_are_too_few_words():
    batches = BlankBatches(np.array([END, 5, END, END] * 5, np.int32), 9, 4, BLANK, END, 0.5, seed=0)
    _, targets = batches[0]
    assert ((targets == 5).sum(axis=1) == 1).all()
    assert ((targets == END).sum(axis=1) == 1).all()


def test_both_sides_decide():
    model = build_fill_model(replace(PRESETS["fill"], units=5, embedding_units=4), 20)
    ids = np.random.default_rng(0).integers(4, 20, size=(1, 7)).astype("int32")
    ids[0, 3] = BLANK

    def answer(**changed):
        changes = {int(place.removeprefix("at")): word for place, word in changed.items()}
        other = ids.copy()
        for place, word in changes.items():
            other[0, place] = word
        return np.asarray(model({"token_ids": other, "places": np.array([[3]], np.int32)}))[0, 0]

    assert np.abs(answer(at0=19) - answer()).max() > 1e-6
    assert np.abs(answer(at6=19) - answer()).max() > 1e-6
    assert answer().shape == (20,)


def test_it_fills(filled):
    filler = BlankFiller.load("fill", top=7)
    found = filler("the cat ___ the dog .")
    words = [word for word, _ in found.blanks[0]]
    assert set(words[: len(VERBS)]) == set(VERBS)
    probabilities = [p for _, p in found.blanks[0]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities[: len(VERBS)]) > 0.5
    nouns, point = filler("the ______ sees the dog __").blanks
    assert {word for word, _ in nouns[:4]} <= set(NOUNS)
    assert point[0][0] == "."


def test_probabilities_are_the_models(filled):
    _, vocabulary, model = load_fill_model(filled)
    ids = vocabulary.encode("the cat")
    inputs = np.array([[END, *ids, BLANK, END]], np.int32)
    logits = np.asarray(model({"token_ids": inputs, "places": np.array([[3]], np.int32)}))[0, 0].astype("float64")
    expected = np.exp(logits) / np.exp(logits).sum()
    for word, p in BlankFiller(model, vocabulary)("the cat ___").blanks[0]:
        assert p == pytest.approx(expected[vocabulary.encode(word)[0]], rel=1e-4)


def test_evaluate_tells_how_often_it_is_right(filled, capsys):
    assert evaluate(["--model", "fill", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 1 < found["perplexity"] < 10
    assert 0 < found["right"] <= found["right_in_five"] <= 1
    assert evaluate(["--model", "fill", "--cache"]) == 2
    assert "does not adapt" in capsys.readouterr().err


def test_the_command(filled, capsys, monkeypatch):
    lines = b"the ___ .\nno blank\n\xff ___ \xe7\x8c\xab\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["--file", "-", "--model", "fill", "--top", "2", "--json"]) == 1  # one could not be filled
    written = capsys.readouterr()
    first, second = map(json.loads, written.out.splitlines())
    assert first["text"] == "the ___ ."
    assert [len(words) for words in first["blanks"]] == [2]
    assert second["text"] == "\ufffd ___ \u732b"
    assert "'no blank': no blank in it" in written.err
    assert main(["the ___ sees", "--model", "fill"]) == 0
    assert "%  " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected texts or --file"),
        (["no blank"], "'no blank': no blank in it"),
        (["a ___", "--top", "0"], "--top 0: at least 1"),
        (["--file", "nowhere"], "nowhere: no such file"),
        (["a ___", "--model", "tiny"], "a model that reads forwards, for score and generate"),
    ],
)
def test_what_cannot_be_filled_is_told(arguments, message, trained, filled, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_each_command_finds_the_newest_run_that_reads_its_way(trained, filled):
    for first, second in ((trained.run, filled), (filled, trained.run)):
        os.utime(first.path / "weights.safetensors", (2e9, 2e9))
        os.utime(second.path / "weights.safetensors", (2.1e9, 2.1e9))
        assert find_run(None, "both ways").path == filled.path
        assert find_run(None, "forwards").path == trained.run.path


def test_without_one_it_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    assert main(["a ___"]) == 2
    assert "tasks.language_model.train fill" in capsys.readouterr().err


def test_other_commands_want_another_model(filled, capsys):
    assert score(["the cat", "--model", "fill"]) == 2
    assert "a model that reads both ways, for fill" in capsys.readouterr().err
