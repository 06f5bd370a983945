"""Training: the files of a run, its default name, errors in one line."""

import hashlib
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.runs import Run, RunError
from shared.training import Trainer, weights_as_arrays
from tasks.translator.config import PRESETS
from tasks.translator.data import Split
from tasks.translator.model import load_model
from tasks.translator.train import evaluation, main, run_name, train
from tests.tasks.translator.conftest import WORDS


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
        "multi30k-en-fr": "multi30k-en-fr", "tatoeba": "tatoeba-deu-eng", "everyday": "everyday-de-en",
        "sutskever": "scenes-fixed",
    }  # fmt: skip
    assert run_name(replace(PRESETS["everyday"], source="en", target="fr")) == "everyday-en-fr"
    assert run_name(replace(PRESETS["tatoeba"], corpus="files", pairs_file="x/memory.tmx.gz")) == "memory-deu-eng"


def test_the_loss_selects_epochs_while_bleu_is_chance(trained):
    loaded, pairs = load_model(trained.run), Split(["one two", "three one four"], ["vier", "fünf zwei"])
    wrong = evaluation(loaded, pairs)()
    right = evaluation(loaded, Split(["three one four two", "three"] * 9, ["zwei vier eins drei", "drei"] * 9))()
    assert (wrong.is_informative, right.is_informative) == (False, True)
    assert wrong.loss is not None
    assert right.loss is not None
    assert wrong.loss > right.loss
    assert wrong.rank < -wrong.loss < right.rank
    assert right.metrics["dev perplexity"] == pytest.approx(math.exp(right.loss))


def test_errors_are_one_line(capsys):
    assert main(["--corpus", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "error: nowhere is not a corpus of pairs; expected scenes, multi30k, tatoeba, everyday or files\n"
    )
    assert main(["--corpus", ""]) == 2
    assert capsys.readouterr().err == (
        "error: --corpus '' is not a corpus of pairs; expected scenes, multi30k, tatoeba, everyday or files\n"
    )
    assert main(["--source-file", "a.en"]) == 2
    assert capsys.readouterr().err == (
        "error: --source-file and --target-file were expected together, or --pairs-file alone\n"
    )
    assert main(["--corpus", "files", "--pairs-file", "none.tmx"]) == 2
    assert capsys.readouterr().err == "error: none.tmx does not exist.\n"


# --- from a run ----------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    """A hash of each file of a run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def new_pairs(tmp_path) -> list[str]:
    """The options that name 200 pairs, some of which have words that the trained run lacks."""
    numbers = {**WORDS, "six": "sechs", "onesix": "einssechs"}
    names = list(numbers)
    lines = [[names[number // 7**digit % 7] for digit in range(3)] for number in range(200)]
    (tmp_path / "b.en").write_text("\n".join(" ".join(line) for line in lines))
    (tmp_path / "b.de").write_text("\n".join(" ".join(numbers[word] for word in line) for line in lines))
    files = "--source-file", str(tmp_path / "b.en"), "--target-file", str(tmp_path / "b.de")
    return ["--corpus", "files", *files, "--epochs", "1"]


@pytest.fixture
def begun(trained):
    """The run `begun`, which a test trains; it is removed, because the newest run is a default."""
    run = Run(trained.run.path.with_name("begun"))
    yield run
    shutil.rmtree(run.path)


def test_a_training_starts_from_a_run(trained, begun, new_pairs, monkeypatch, capsys):
    """Known words keep their outputs before the first step, new ones are learned, and the run is left as it was."""
    inputs = {"source_ids": np.array([[4, 5, 2]]), "target_ids": np.array([[1, 6, 7]])}
    before, outputs, fit = contents(trained.run.path), [], Trainer.fit

    def remember(self):
        outputs.append(np.asarray(self.model(inputs)))
        return fit(self)

    monkeypatch.setattr(Trainer, "fit", remember)
    assert main(["scenes", "--from", "a-en-de", *new_pairs, "--min-count", "5", "--run", "begun"]) == 0
    assert contents(trained.run.path) == before
    source = load_model(trained.run)
    expected = np.asarray(source.model(inputs))
    np.testing.assert_allclose(outputs[0][..., : expected.shape[-1]], expected, rtol=0, atol=1e-6)
    config, vocabulary, model = load_model(begun)
    assert (config.units, config.initial_run, config.warmup_steps) == (24, "a-en-de", PRESETS["scenes"].warmup_steps)
    for side, known, new in zip(
        vocabulary, source.vocabulary, ({"six", "onesix"}, {"sechs", "einssechs"}), strict=True
    ):
        assert side.table[: len(known)] == known.table
        assert set(side.table[len(known) :]) == new
    weights = weights_as_arrays(model)
    assert weights["target_embedding/embeddings"].shape == (len(vocabulary.target), 24)
    assert np.any(weights["first_state/kernel"] != weights_as_arrays(source.model)["first_state/kernel"])
    text = (begun.path / "README.md").read_text()
    assert f"begun from the weights of a-en-de (fingerprint {trained.run.weights_fingerprint})" in text
    assert "from a-en-de, source: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "a-en-de"], "a-en-de is the one that --from names, and is not written to; choose another --run"),
        (["--from", "a-en-de", "--units", "9", "--run", "x"], "--units 9: 24 was expected, as in a-en-de"),
        (["--from", "a-en-de", "--vocabulary", "subwords", "--run", "x"], "--vocabulary subwords: words was expected"),
        (["--from", "nothing"], "nothing: neither a folder nor a run of task translator"),
        (["--from"], "--from"),
    ],
)
def test_a_wrong_start_is_one_line(trained, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_of_other_tasks_and_damaged_ones_are_one_line(trained, tmp_path, new_pairs, capsys):
    shutil.copytree(trained.run.path, tmp_path / "other")
    config = (tmp_path / "other" / "config.json").read_text()
    (tmp_path / "other" / "config.json").write_text(config.replace('"task": "translator"', '"task": "captioner"'))
    shutil.copytree(trained.run.path, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    for name, message in (("other", "a run of task 'captioner', not of 'translator'"), ("damaged", "header declares")):
        assert main(["--from", str(tmp_path / name), *new_pairs, "--run", "x"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not trained.run.path.with_name("x").exists()


def test_a_training_imitates_other_runs(trained):
    config = replace(trained.config, teachers=trained.run.name, distillation_weight=0.5, epochs=1)
    train(config, TrainingOptions(run="pupil"))
    run = Run(trained.run.path.with_name("pupil"))
    assert run.config["data"][f"teacher {trained.run.name}"] == trained.run.weights_fingerprint
    weights, teacher = (each.load_weights() for each in (run, trained.run))
    assert weights.keys() == teacher.keys()
    assert any(not np.array_equal(weights[name], teacher[name]) for name in weights)
    shutil.rmtree(run.path)
