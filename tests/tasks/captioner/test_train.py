"""A complete training and the files of its run."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.errors import UserError
from shared.runs import Run
from tasks.captioner.config import PRESETS
from tasks.captioner.train import main, train
from tests.tasks.captioner.conftest import CONFIG


def test_a_training_leaves_a_complete_run(trained):
    run = trained.run
    files = ["config.json", "vocabulary.json", "encoder.safetensors", "weights.safetensors", "model.keras"]
    for name in (*files, "history.csv", "metrics.json"):
        assert (run.path / name).stat().st_size > 0
    assert (run.path / "plots" / "history.png").read_bytes().startswith(b"\x89PNG")
    rows = run.load_history()
    assert [row["epoch"] for row in rows] == [str(i + 1) for i in range(CONFIG.epochs + CONFIG.reward_epochs)]
    assert float(rows[CONFIG.epochs - 1]["perplexity"]) < float(rows[0]["perplexity"])
    assert json.loads((run.path / "config.json").read_text())["task"] == "captioner"
    assert f"trained: {run.path}" in trained.output


@pytest.mark.usefixtures("trained")
def test_the_reward_replaces_weights_by_better_ones_only(begun):
    rates = ["--learning-rate", "1e-4", "--reward-learning-rate", "1"]
    assert main(["--from", "tiny", "--epochs", "1", "--reward-epochs", "1", *rates, "--run", "begun"]) == 0
    before, rewarded = (float(row["CIDEr-D"]) for row in begun.load_history())
    assert rewarded < before
    assert begun.load_metrics()["dev"]["CIDEr-D"] == pytest.approx(before, abs=1e-3)


def test_the_model_card_has_metrics_and_commands(trained):
    card = (trained.run.path / "README.md").read_text()
    dev = json.loads((trained.run.path / "metrics.json").read_text())["dev"]
    assert f"| CIDEr-D | {dev['CIDEr-D']} |" in card
    assert f"| novelty | {dev['novelty']} |" in card
    assert "python -m tasks.captioner.caption --model tiny photo.jpg" in card
    assert re.search(r"13 epochs in \d+ minutes? on scenes \(fingerprint ", card)
    assert "{" not in card


def test_the_same_command_again_trains_no_further(trained):
    kept = {name: (trained.run.path / name).read_bytes() for name in ("weights.safetensors", "history.csv")}
    dev = json.loads((trained.run.path / "metrics.json").read_text())
    train(CONFIG, TrainingOptions(run="tiny"))
    assert {name: (trained.run.path / name).read_bytes() for name in kept} == kept
    assert json.loads((trained.run.path / "metrics.json").read_text()) == dev


def test_another_configuration_is_refused_in_one_line(trained, capsys):
    assert main(["scenes", "--run", "tiny", "--units", "17"]) == 2
    error = capsys.readouterr().err
    assert "units 16 -> 17" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], f"preset 'nothing' does not exist; the presets are {', '.join(PRESETS)}"),
        (["--run", "a/b"], "run name 'a/b'"),
        (["photos"], "--corpus : scenes, flickr8k, flickr30k, coco, a folder of photos with captions, or a file"),
        (["photos", "--corpus", "none/"], "--corpus none/: scenes, flickr8k, flickr30k, coco, a folder of photos"),
        (["--batch-size", "0"], "--batch-size 0: a number from 1 to 10,000 was expected"),
        (["flickr8k", "--dropout", "1"], "--dropout 1.0: a number from 0 to below 1 was expected"),
    ],
)
def test_wrong_arguments(trained, capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def begun(trained):
    """The run `begun`, which a test trains; it is removed, because the newest run is a default."""
    run = Run(trained.run.path.with_name("begun"))
    yield run
    shutil.rmtree(run.path)


def test_a_training_starts_from_a_run_and_has_its_encoder(trained, begun, capsys):
    assert main(["--from", "tiny", "--epochs", "1", "--reward-epochs", "0", "--run", "begun"]) == 0
    output = capsys.readouterr().out
    assert "the encoder has learned" not in output
    assert "words, 0 new" in output
    for name, tensor in trained.run.load_weights("encoder").items():
        np.testing.assert_array_equal(begun.load_weights("encoder")[name], tensor)
    assert (begun.path / "vocabulary.json").read_bytes() == (trained.run.path / "vocabulary.json").read_bytes()
    row, last = begun.load_history()[0], trained.run.load_history()[CONFIG.epochs - 1]
    assert float(row["perplexity"]) < 1.5 * float(last["perplexity"])
    assert begun.load_metrics()["dev"]["CIDEr-D"] > 0
    assert main(["--from", "tiny", "--encoder-epochs", "3", "--run", "begun"]) == 2
    assert "error: --encoder-epochs 3: 2 was expected, as in tiny that --from names\n" in capsys.readouterr().err


def test_a_trained_run_is_trained_for_its_reward_only(trained, found, begun, capsys):
    reward = ["--epochs", "0", "--reward-epochs", "1"]
    assert main(["--from", found.name, *reward, "--run", "begun"]) == 0
    output = capsys.readouterr().out
    assert "CIDEr-D" in output.split("words, 0 new")[1].splitlines()[1]  # of the run that it starts from
    assert len(begun.load_history()) == 1
    before, after = (run.load_metrics()["dev"]["CIDEr-D"] for run in (trained.run, begun))
    assert after >= before
    for name in ("encoder", "finder"):
        for path, tensor in found.load_weights(name).items():
            np.testing.assert_array_equal(begun.load_weights(name)[path], tensor)
    assert main(["scenes", *reward, "--run", "begun"]) == 2
    assert "--epochs 0: 1 or more was expected; 0 is for --from RUN with --reward-epochs" in capsys.readouterr().err


def test_a_training_imitates_runs_with_the_same_encoder(trained):
    config = replace(CONFIG, teachers="tiny", epochs=2, reward_epochs=0)
    train(config, TrainingOptions(run="pupil"))
    run = Run(trained.run.path.with_name("pupil"))
    weights, teacher = (each.load_weights() for each in (run, trained.run))
    assert {name: tensor.shape for name, tensor in weights.items()} == {n: t.shape for n, t in teacher.items()}
    assert f"teacher tiny (fingerprint {trained.run.weights_fingerprint})" in (run.path / "README.md").read_text()
    train(config, TrainingOptions(run="pupil"))  # it resumes, and is complete

    other = trained.run.path.with_name("other")
    shutil.copytree(trained.run.path, other)
    Run(other).save_weights({n: t + 1 for n, t in trained.run.load_weights("encoder").items()}, "encoder")
    with pytest.raises(UserError, match="other has another encoder"):
        train(replace(config, teachers="other"), TrainingOptions(run="refused"))
    for name in ("pupil", "other", "refused"):
        shutil.rmtree(trained.run.path.with_name(name))
    with pytest.raises(UserError, match="teachers"):
        replace(config, epochs=0, initial_run="tiny", reward_epochs=1)
