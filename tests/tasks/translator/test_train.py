"""Training: what it leaves behind, how runs are named, what is refused in one line."""

from dataclasses import replace

import pytest

from shared.cli import TrainingOptions
from shared.errors import UserError
from shared.runs import RunError
from tasks.translator.config import PRESETS, SCENES
from tasks.translator.train import main, run_name, train


def test_it_leaves_a_whole_run_which_is_not_trained_over(trained):
    left = {path.name for path in trained.run.path.iterdir()}
    assert left >= {"config.json", "history.csv", "weights.safetensors", "vocabulary.json", "target_vocabulary.json"}
    assert [path.name for path in (trained.run.path / "plots").iterdir()] == ["history.png"]
    rows = trained.run.load_history()
    assert float(rows[-1]["perplexity"]) < float(rows[0]["perplexity"]) / 2
    with pytest.raises(RunError, match="units 24 -> 25"):
        train(replace(trained.config, units=25), TrainingOptions())


def test_runs_are_named_after_corpus_and_languages():
    names = {name: run_name(config) for name, config in PRESETS.items()}
    assert names == {
        "scenes": "scenes", "multi30k-en-de": "multi30k-en-de", "multi30k-de-en": "multi30k-de-en",
        "multi30k-en-fr": "multi30k-en-fr", "tatoeba": "tatoeba-deu-eng", "sutskever": "scenes-fixed",
    }  # fmt: skip


def test_what_cannot_be_trained_is_told_in_one_line(capsys):
    assert main(["--corpus", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere is no corpus of pairs; there are scenes, ")
    assert main(["--source-file", "a.en"]) == 2
    assert capsys.readouterr().err == ("error: --source-file and --target-file go together, and with --corpus files\n")


def test_no_attention_is_no_attention_to_guide():
    with pytest.raises(UserError, match=r"guidance 0.5: the decoder fixed has no attention to guide; take 0"):
        replace(SCENES, decoder="fixed")
