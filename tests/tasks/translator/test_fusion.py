"""A language model's SavedModel is found, asked, and its absence told."""

import pytest
import tensorflow as tf

import shared.runs
from shared.runs import RunError, write_json
from tasks.translator.fusion import LanguageModel
from tasks.translator.translation import Translator


class Contrary(tf.Module):
    """Says that one line costs two nats, any other nothing."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def score(self, text):
        return {"log_prob": tf.where(text == "zwei eins", -2.0, 0.0)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """What is left of a language model's run once it is exported twice."""
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path)
    folder = tmp_path / "language_model" / "lines"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"task": "language_model"})
    (folder / "weights.safetensors").touch()
    return folder


def test_the_newest_one_is_asked(run):
    with pytest.raises(RunError, match=r"has no SavedModel; write one: python -m tasks\.language_model\.export lines"):
        LanguageModel("lines", 1.0)
    (run / "export" / "9").mkdir(parents=True)  # nothing in it
    tf.saved_model.save(Contrary(), str(run / "export" / "10"))
    assert LanguageModel("lines", 1.0).log_probs(["vier", "zwei eins", ""]) == [0, -2, 0]


def test_it_changes_which_translation_is_best(run, trained):
    tf.saved_model.save(Contrary(), str(run / "export" / "1"))
    alone = Translator.load(str(trained.run.path), beam=5)
    joined = Translator.load(str(trained.run.path), beam=5, language_model=LanguageModel("lines", 50.0))
    (before,), (after,) = alone(["one two"]), joined(["one two"])
    assert before[0].text == "zwei eins"
    assert {one.text for one in before} == {one.text for one in after}
    assert [one.text for one in after] == [one.text for one in before[1:] + before[:1]]


def test_a_weight_of_nothing_changes_nothing(run, trained):
    tf.saved_model.save(Contrary(), str(run / "export" / "1"))
    alone = Translator.load(str(trained.run.path), beam=3)
    joined = Translator.load(str(trained.run.path), beam=3, language_model=LanguageModel("lines", 0.0))
    for one, other in zip(alone(["one two"])[0], joined(["one two"])[0], strict=True):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, rel=1e-5)  # length is counted alike
