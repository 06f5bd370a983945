"""A training that starts from a run: what comes from the run, how words are added, and where their weights begin."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from shared import runs
from shared.card import all_terms
from shared.cli import training_arguments
from shared.errors import UserError
from shared.fine_tuning import WordWeights, extended, growth, pieces, transfer
from shared.recipe import Recipe
from shared.runs import Run, RunError
from shared.training import load_initial, training_run
from shared.vocabulary import SPECIALS, SubwordVocabulary, WordVocabulary

pytestmark = pytest.mark.any_backend

WORDS = WordVocabulary([*SPECIALS, "dog", "house", "blue"])


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """A configuration whose width decides the weights."""

    units: int = 8
    dropout: float = 0.1

    @property
    def inherited(self) -> tuple[str, ...]:
        return ("units",)


PRESETS = {"small": Config(), "wide": Config(units=64, dropout=0.5, epochs=9)}


@pytest.fixture
def source(tmp_path, monkeypatch) -> Run:
    """A run `first` of 5 units that has weights."""
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    run = Run.create("tagger", "first", Config(units=5, epochs=3, dropout=0.3), {"made_up": "f1"})
    run.save_weights({"kernel": np.ones((2, 3), np.float16)})
    return run


def arguments(*given: str) -> Any:
    find = lambda name: Run.find(name, "tagger", "none")  # noqa: E731
    return training_arguments(list(given), PRESETS, "small", "tasks.tagger.train", None, find)[0]


# --- configuration -------------------------------------------------------------------------------------------------


def test_a_preset_gets_the_sizes_of_the_run_and_keeps_the_rest(source):
    expected = replace(PRESETS["wide"], units=5, initial_run="first", dropout=0.2)
    assert arguments("wide", "--from", "first", "--dropout", "0.2") == expected
    assert arguments("wide", "--from=first", "--units", "5", "--dropout", "0.2") == expected


def test_without_a_preset_all_is_as_in_the_run(source):
    expected = Config(units=5, epochs=7, dropout=0.3, initial_run="first")
    assert arguments("--epochs", "7", "--from", "first") == expected
    assert arguments("--epochs", "7", "--initial-run", str(source.path)) == expected


def test_a_run_elsewhere_is_named_by_its_absolute_path(source, tmp_path, monkeypatch):
    source.path.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert arguments("--from", "./moved").initial_run == str(tmp_path / "moved")


def test_what_contradicts_the_run_is_one_line(source):
    with pytest.raises(UserError, match=r"^--units 6: 5 was expected, as in first that --from names$"):
        arguments("wide", "--from", "first", "--units", "6")
    with pytest.raises(UserError, match=r"^second: neither a folder nor a run of task tagger; there are first$"):
        arguments("--from", "second")


def test_the_run_is_not_written_to_and_is_recorded(source, tmp_path):
    config = arguments("--from", "first")
    load: Any = lambda run: run  # noqa: E731
    terms = lambda run: all_terms(run, "For research only.")  # noqa: E731
    find = lambda name: Run.find(name, "tagger", "none")  # noqa: E731
    with pytest.raises(RunError, match="first is the one that --from names, and is not written to"):
        load_initial("tagger", "first", config, find, load, terms)
    initial = load_initial("tagger", "second", config, find, load, terms)
    with training_run("tagger", "second", config, {"made_up": "f2"}, initial) as run:
        assert run.config["data"] == {"made_up": "f2", "begin": source.weights_fingerprint}
        assert all_terms(run, "Free.") == "Free.\n\nFor research only."
        assert all_terms(run, "For research only.") == "For research only."
    source.save_weights({"kernel": np.zeros((2, 3), np.float16)})
    with (
        pytest.raises(RunError, match="exists with another data: begin"),
        training_run("tagger", "second", config, {"made_up": "f2"}, initial),
    ):
        pass


# --- vocabulary ----------------------------------------------------------------------------------------------------


def test_new_words_follow_the_known_ones():
    after = extended(WORDS, ["a blue cat", "a cat", "the dog"], min_count=1)
    assert after.table == (*WORDS.table, "a", "cat", "the")
    assert extended(WORDS, ["a blue cat", "a cat", "the dog"], min_count=2).table == (*WORDS.table, "a", "cat")
    assert growth(WORDS, after) == "7 words, 3 new; 0 of the new ones begin from their pieces"


def test_their_number_is_that_of_the_new_texts_alone():
    assert extended(WORDS, ["a a dog"], min_count=1, max_size=len(SPECIALS) + 1).table == (*WORDS.table, "a")


def test_words_are_normalised_as_before():
    captions = WordVocabulary([*SPECIALS, "dog"], "captions")
    after = extended(captions, ["A Dog, a Cat."], min_count=1)
    assert (after.table, after.normalisation) == ((*captions.table, "a", "cat"), "captions")


def test_subwords_stay_as_they_are():
    subwords = SubwordVocabulary.characters(["ab"])
    assert extended(subwords, ["xyz"], min_count=1) is subwords


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Dog", ["dog"]), ("dog-house", None), ("doghouse", ["dog", "house"]), ("housedogs", None), ("cat", None),
        ("BLUE", ["blue"]), ("bluedoghouse", ["blue", "dog", "house"]), ("", []), ("x" * 5000, None),
    ],
)  # fmt: skip
def test_words_are_made_of_known_ones(word, expected):
    known = {"dog": 4, "house": 5, "blue": 6}
    assert pieces(word, known) == [known[piece] for piece in expected or []]
    assert pieces("dog-house", known | {"-": 7}) == [4, 7, 5]
    assert pieces("कुत्ताघर", {"कुत्ता": 7, "घर": 8}) == []  # the second has two letters only
    assert pieces("कुत्ता-भाषा", {"कुत्ता": 7, "भाषा": 8, "-": 9}) == [7, 9, 8]


# --- weights -------------------------------------------------------------------------------------------------------


class Model(keras.Model):
    """An embedding, a kernel of the other orientation, a bias, and a weight without words."""

    def __init__(self, size: int):
        super().__init__(name="model")
        options = {"initializer": "random_normal"}
        self.rows = self.add_weight((size, 2), name="rows", **options)
        self.columns = self.add_weight((3, size), name="columns", **options)
        self.bias = self.add_weight((size,), name="bias", **options)
        self.other = self.add_weight((2, 3), name="other", **options)
        self.built = True


def test_new_words_begin_with_the_mean_of_their_pieces_or_of_all_words():
    after = extended(WORDS, ["doghouse", "doghouse", "cat"], min_count=1)
    before, model = Model(len(WORDS)), Model(len(after))
    before.rows.assign(np.arange(14.0).reshape(7, 2))  # dog 8 9, house 10 11, blue 12 13
    before.bias.assign([9, 9, 9, 9, 1, 2, 6])
    transfer(before, model, WordWeights({"rows": 0, "columns": 1, "bias": 0, "absent": 0}, WORDS, after))
    rows, columns, bias = (np.asarray(keras.ops.convert_to_numpy(x)) for x in (model.rows, model.columns, model.bias))
    np.testing.assert_array_equal(rows[:7], keras.ops.convert_to_numpy(before.rows))
    np.testing.assert_array_equal(rows[7:], [[9, 10], [10, 11]])
    np.testing.assert_array_equal(columns[:, :7], keras.ops.convert_to_numpy(before.columns))
    np.testing.assert_allclose(columns[:, 7], columns[:, 4:6].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(columns[:, 8], columns[:, 4:7].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(bias[7:], [1.5, 3])
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(x.other) for x in (before, model)))


def test_weights_that_do_not_fit_are_named():
    with pytest.raises(RunError, match=r"rows has shape \(7, 2\), not \(8, 2\)"):
        transfer(Model(7), Model(8))


# --- more epochs ---------------------------------------------------------------------------------------------------


def finished(run: Run, waited: int = 0, stage: str = "checkpoints") -> Run:
    """The run as after a training whose last epochs were no better."""
    checkpoints = {"checkpoints": run.checkpoints, "checkpoints-2": run.later_checkpoints}[stage]
    checkpoints.save(4, {"kernel": np.ones(2)}, {"epochs_since_best": waited}, None)
    return run


def create(epochs: int = 3, **fields: Any) -> Run:
    return Run.create(
        "tagger", "first", Config(**{"units": 5, "dropout": 0.3, **fields}, epochs=epochs), {"made_up": "f1"}
    )


def test_more_epochs_are_recorded(source):
    finished(source)
    assert create(epochs=5).path == source.path
    assert source.config["config"]["epochs"] == 5
    assert create(epochs=5, patience=9).config["config"]["patience"] == 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 2}, "another config: epochs 3 -> 2"),
        ({"epochs": 5, "dropout": 0.4}, "another config: dropout 0.3 -> 0.4, epochs 3 -> 5"),
    ],
)
def test_nothing_else_may_change(source, fields, message):
    finished(source)
    with pytest.raises(RunError, match=message):
        create(**fields)
    assert source.config["config"]["epochs"] == 3


def test_a_run_that_cannot_train_on_says_why(source):
    with pytest.raises(
        RunError, match=r"its checkpoints are gone, so it cannot train on; start a new run .*--from first"
    ):
        create(epochs=5)
    finished(source, waited=5)
    with pytest.raises(RunError, match="it stopped after 5 epochs without a better score; a --patience above 5 was"):
        create(epochs=5)
    assert create(epochs=5, patience=6).config["config"]["patience"] == 6
    finished(source, stage="checkpoints-2")
    with pytest.raises(RunError, match="its second stage has begun, so epochs cannot be increased"):
        create(epochs=6, patience=6)


def test_a_released_run_is_not_trained_on(source):
    content = source.config | {"weights_sha256": "0"}
    runs.write_json(source.path / "config.json", content)
    finished(source)
    with pytest.raises(RunError, match="is a released model and is not trained further"):
        create(epochs=5)
    assert source.config == content


def test_damaged_terms_are_named(source: Run, tmp_path: Path):
    runs.write_json(source.path / "config.json", source.config | {"initial_terms": 3})
    with pytest.raises(RunError, match="a text was expected under initial_terms"):
        all_terms(source, "Free.")
