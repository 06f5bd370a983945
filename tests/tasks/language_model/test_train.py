"""Training and evaluation by their commands: a run that learns, resumes bit for bit, and is measured."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.runs import Run
from shared.training import Trainer
from tasks.language_model.adapt import stream_nats
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.model import load_model
from tasks.language_model.train import train
from tests.tasks.language_model.conftest import CONFIG


def test_it_learns(trained):
    history = trained.run.load_history()
    perplexities = [float(row["dev perplexity"]) for row in history]
    assert len(history) == CONFIG.epochs
    assert perplexities[-1] < 0.5 * perplexities[0]
    assert {path.name for path in trained.run.path.iterdir()} >= {
        "weights.safetensors",
        "vocabulary.json",
        "model.keras",
    }


def test_only_the_model_is_kept(trained):
    """Neither the states of the streams nor what the optimizer knows."""
    names = trained.run.load_weights().keys()
    assert "embedding/embeddings" in names
    assert not [name for name in names if "state" in name]


def test_evaluate(trained, capsys):
    assert evaluate(["--model", "tiny", "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == "tiny"
    assert 1 < found["perplexity"] < 20
    kept = json.loads((trained.run.path / "metrics.json").read_text())
    assert kept["test"]["perplexity"] == found["perplexity"]


def test_evaluate_with_all_that_adapts(trained, capsys):
    """Fitted to this very split, none can do harm."""
    assert evaluate(["--model", "tiny", "--split", "dev", "--dynamic", "--json"]) == 0
    assert evaluate(["--model", "tiny", "--split", "dev", "--cache", "--fit-temperature", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("temperature", "cache", "dynamic"):
        assert 1 < found[f"perplexity_{name}"] <= found["perplexity"]  # dynamic is from the command before
    assert found["cache"].keys() == {"window", "flatness", "share"}
    assert found["dynamic"].keys() == {"rate", "decay"}
    card = (trained.run.path / "README.md").read_text()
    assert f"| perplexity_cache | {found['perplexity_cache']} |" in card
    assert "PSF licence" in card


def test_perplexity_is_that_of_one_token_after_the_other(trained):
    _, vocabulary, model = load_model(trained.run)
    stream = np.array([*vocabulary.encode("the cat sees the dog ."), vocabulary.end_id], np.int32)
    states, before, expected = model.initial_state(1), vocabulary.end_id, []
    for token in stream:
        logits, states = model(np.array([[before]], np.int32), states)
        p = np.exp(logits[0, 0].numpy().astype("float64"))
        expected.append(-math.log(p[token] / p.sum()))
        before = token
    np.testing.assert_allclose(stream_nats(model, stream, vocabulary.end_id), expected, rtol=1e-4)


FORWARDS = {
    "random_length": True,
    "weight_drop": 0.3,
    "activation_penalty": 2.0,
    "change_penalty": 1.0,
    "sampled_words": 5,
    "reset_chance": 0.2,
}


@pytest.mark.parametrize("changed", [FORWARDS, {"reads": "both ways"}], ids=["forwards", "both ways"])
def test_a_run_that_was_killed_ends_in_the_same_bits(changed, small_manual, monkeypatch):
    """With states carried, and all that is drawn and dropped."""
    config = replace(CONFIG, epochs=2, weight_average=0.9, **changed)
    name = config.reads.replace(" ", "-")
    train(config, TrainingOptions(run=f"{name}-whole"))

    save, saved = Trainer._save, []

    def save_and_die(self, seconds):
        save(self, seconds)
        saved.append(self.state.step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shared.training.CHECKPOINT_SECONDS", 0)
        patch.setattr(Trainer, "_save", save_and_die)
        for _ in range(3):  # dies after each step
            with pytest.raises(KeyboardInterrupt):
                train(config, TrainingOptions(run=f"{name}-killed"))
    assert saved == [1, 2, 3]
    train(config, TrainingOptions(run=f"{name}-killed"))
    whole, killed = (Run(small_manual / f"{name}-{end}").load_weights() for end in ("whole", "killed"))
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, killed[name])


def test_averaging_begins_when_development_stalls(small_manual, monkeypatch):
    monkeypatch.setattr("shared.training.STALLED", 0)
    config = replace(CONFIG, optimizer="sgd", schedule="averaging", learning_rate=20.0, clip_norm=0.25, epochs=8)
    begun = []
    monkeypatch.setattr("shared.averaging.AveragedSGD.begin_averaging", lambda self: begun.append(self))
    train(config, TrainingOptions(run="averaged"))
    rows = Run(small_manual / "averaged").load_history()
    scores = [float(row["dev perplexity"]) for row in rows]
    stalled = [score > min(scores[:place]) for place, score in enumerate(scores) if place]
    assert len(begun) == sum(stalled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule", "averaging"], "schedule averaging needs optimizer sgd"),
        (["--units", "0"], "units 0: at least 1 was expected"),
        (["--vocabulary", "subwords", "--vocabulary-size", "200"], "vocabulary_size 200: above 260 was expected"),
        (["fill", "--reset-chance", "0.1"], "a model that reads both ways has no"),
        (["--corpus", __file__, "--data-dir", "."], "is a path itself"),
        (["war_and_peace"], "no preset is called 'war_and_peace'"),
    ],
)
def test_what_cannot_be_trained_is_told_at_once(arguments, message):
    found = subprocess.run(
        [sys.executable, "-m", "tasks.language_model.train", *arguments], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
