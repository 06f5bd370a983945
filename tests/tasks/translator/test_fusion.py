"""Rescoring by the SavedModel of a language model."""

import pytest
import tensorflow as tf

import shared.runs
from shared.runs import RunError, write_json
from tasks.translator.fusion import LanguageModel
from tasks.translator.inference import Translator


class Constant(tf.Module):
    """A language model: log-probability -2 for one line, 0 for all others."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def score(self, text):
        return {"log_prob": tf.where(text == "zwei eins", -2.0, 0.0)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run of the language model, without its exports."""
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path)
    folder = tmp_path / "language_model" / "lines"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"task": "language_model"})
    (folder / "weights.safetensors").touch()
    return folder


def test_scores_by_hand():
    class Lengths(LanguageModel):
        def __init__(self, weight):
            self.weight = weight

        def log_probs(self, texts):
            return [-float(len(text)) for text in texts]

    assert Lengths(0.5).scores([("abcd", -3.0, 1), ("ab", -4.0, 7)], 0.0) == [-5, -5]
    assert Lengths(0.5).scores([("abcd", -3.0, 1), ("ab", -4.0, 7)], 1.0) == [-5, -2.5]  # divided by 1 and by 2


def test_the_newest_export_is_used(run):
    with pytest.raises(RunError, match=r"has no SavedModel; write one: python -m tasks\.language_model\.export lines"):
        LanguageModel("lines", 1.0)
    (run / "export" / "9").mkdir(parents=True)  # an empty folder
    tf.saved_model.save(Constant(), str(run / "export" / "10"))
    assert LanguageModel("lines", 1.0).log_probs(["vier", "zwei eins", ""]) == [0, -2, 0]


def test_a_language_model_changes_the_order(run, trained):
    tf.saved_model.save(Constant(), str(run / "export" / "1"))
    path = str(trained.run.path)
    (plain,) = Translator.load(path, beam=5)(["one two"])
    assert plain[0].text == "zwei eins"
    (rescored,) = Translator.load(path, beam=5, language_model=LanguageModel("lines", 50.0))(["one two"])
    assert [best.text for best in rescored] == [best.text for best in plain[1:] + plain[:1]]
    (rescored,) = Translator.load(path, beam=5, language_model=LanguageModel("lines", 0.0))(["one two"])
    assert [best.text for best in rescored] == [best.text for best in plain]
    assert [best.score for best in rescored] == pytest.approx([best.score for best in plain], rel=1e-5)
