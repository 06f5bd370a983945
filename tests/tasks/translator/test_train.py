"""Training: the files of a run, its default name, errors in one line."""

from dataclasses import replace

import pytest

from shared.cli import TrainingOptions
from shared.runs import RunError
from tasks.translator.config import PRESETS
from tasks.translator.train import main, run_name, train


def test_a_finished_run_is_complete_and_refuses_another_configuration(trained):
    names = {path.name for path in trained.run.path.iterdir()}
    assert names >= {"config.json", "history.csv", "weights.safetensors", "vocabulary.json", "target_vocabulary.json"}
    assert [path.name for path in (trained.run.path / "plots").iterdir()] == ["history.png"]
    rows = trained.run.load_history()
    assert float(rows[-1]["perplexity"]) < float(rows[0]["perplexity"]) / 2
    assert trained.run.load_metrics()["dev"]["beam"] == trained.config.beam
    assert "# Translator from en to de" in (trained.run.path / "README.md").read_text()
    with pytest.raises(RunError, match="units 24 -> 25"):
        train(replace(trained.config, units=25), TrainingOptions())


def test_runs_are_named_after_corpus_and_languages():
    names = {name: run_name(config) for name, config in PRESETS.items()}
    assert names == {
        "scenes": "scenes", "multi30k-en-de": "multi30k-en-de", "multi30k-de-en": "multi30k-de-en",
        "multi30k-en-fr": "multi30k-en-fr", "tatoeba": "tatoeba-deu-eng", "sutskever": "scenes-fixed",
    }  # fmt: skip


def test_errors_are_one_line(capsys):
    assert main(["--corpus", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "error: nowhere is not a corpus of pairs; expected scenes, multi30k, tatoeba or files\n"
    )
    assert main(["--corpus", ""]) == 2
    assert capsys.readouterr().err == (
        "error: --corpus '' is not a corpus of pairs; expected scenes, multi30k, tatoeba or files\n"
    )
    assert main(["--source-file", "a.en"]) == 2
    assert capsys.readouterr().err == (
        "error: --corpus files, --source-file and --target-file were expected together, or none of them\n"
    )
