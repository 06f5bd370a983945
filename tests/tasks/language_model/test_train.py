"""Training and evaluation: a run learns, resumes with equal bits, and is measured."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.runs import Run
from shared.training import Trainer
from tasks.language_model.adapt import stream_nats
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.model import load_model
from tasks.language_model.train import main, train
from tests.tasks.language_model.conftest import CONFIG, sentences


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


def test_only_the_weights_of_the_model_are_saved(trained):
    """Neither the states of the streams nor those of the optimizer."""
    names = trained.run.load_weights().keys()
    assert "embedding/embeddings" in names
    assert not [name for name in names if "state" in name]


def test_evaluate(trained, capsys):
    assert evaluate(["--model", "tiny", "--split", "test", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["run"] == "tiny"
    assert 1 < metrics["perplexity"] < 20
    saved = json.loads((trained.run.path / "metrics.json").read_text())
    assert saved["test"]["perplexity"] == metrics["perplexity"]


def test_adaptive_evaluation(trained, capsys):
    """None is worse than the static model, because all are fitted to this split."""
    assert evaluate(["--model", "tiny", "--split", "dev", "--cache", "--dynamic", "--json"]) == 0
    assert evaluate(["--model", "tiny", "--split", "dev", "--fit-temperature", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert metrics["perplexity_dynamic_cache"] <= metrics["perplexity_dynamic"]
    for name in ("temperature", "cache", "dynamic"):
        assert 1 < metrics[f"perplexity_{name}"] <= metrics["perplexity"]  # cache, dynamic: from the command before
    assert metrics["cache"].keys() == {"window", "flatness", "share"}
    assert metrics["dynamic"].keys() == {"rate", "decay"}
    card = (trained.run.path / "README.md").read_text()
    assert f"| perplexity_cache | {metrics['perplexity_cache']} |" in card
    assert "PSF licence" in card


def test_the_perplexity_of_a_stream_equals_that_of_single_steps(trained):
    _, vocabulary, model = load_model(trained.run)
    stream = np.array([*vocabulary.encode("the cat sees the dog ."), vocabulary.end_id], np.int32)
    states, last, expected = model.initial_state(1), vocabulary.end_id, []
    for token in stream:
        logits, states = model(np.array([[last]], np.int32), states)
        p = np.exp(logits[0, 0].numpy().astype("float64"))
        expected.append(-math.log(p[token] / p.sum()))
        last = token
    np.testing.assert_allclose(stream_nats(model, stream, vocabulary.end_id), expected, rtol=1e-4)


CAUSAL = {
    "random_length": True,
    "weight_drop": 0.3,
    "activation_penalty": 2.0,
    "temporal_penalty": 1.0,
    "sampled_softmax_size": 5,
    "state_reset_probability": 0.2,
}


@pytest.mark.slow
@pytest.mark.parametrize("changed", [CAUSAL, {"reads": "both ways"}], ids=["causal", "bidirectional"])
def test_a_killed_run_resumes_to_equal_bits(changed, small_manual, monkeypatch):
    """With carried states, dropout, random lengths and samples."""
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
        for _ in range(3):  # killed after each step
            with pytest.raises(KeyboardInterrupt):
                train(config, TrainingOptions(run=f"{name}-killed"))
    assert saved == [1, 2, 3]
    train(config, TrainingOptions(run=f"{name}-killed"))
    whole, killed = (Run(small_manual / f"{name}-{end}").load_weights() for end in ("whole", "killed"))
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, killed[name])


@pytest.fixture
def begun(trained):
    """The run `begun`, which a test trains; it is removed, because the newest run is a default."""
    run = Run(trained.run.path.with_name("begun"))
    yield run
    shutil.rmtree(run.path)


def test_a_training_starts_from_a_run_and_goes_on(trained, begun, tmp_path, capsys):
    """With words of a text of one's own; then with one more epoch."""
    (tmp_path / "book.txt").write_text("\n".join(line.replace("the", "catdog", 1) for line in sentences()[::-1]))
    arguments = ["--from", "tiny", "--corpus", str(tmp_path / "book.txt"), "--run", "begun", "--epochs"]
    assert main([*arguments, "1"]) == 0
    assert "from tiny: 15 words, 1 new; 1 of the new ones begin from their pieces" in capsys.readouterr().out
    first = load_model(trained.run)
    config, vocabulary, _ = load_model(begun)
    assert vocabulary.table == (*first.vocabulary.table, "catdog")
    assert (config.learning_rate, config.units) == (CONFIG.learning_rate, CONFIG.units)
    assert float(begun.load_history()[0]["dev perplexity"]) < 5  # that of an untrained model is 15
    assert main([*arguments, "2"]) == 0
    assert f"resuming {begun.path} at epoch 2" in capsys.readouterr().out
    assert [row["epoch"] for row in begun.load_history()] == ["1", "2"]
    text = (begun.path / "README.md").read_text()
    assert "PSF licence" in text
    assert f"begun from the weights of tiny (fingerprint {trained.run.weights_fingerprint})" in text
    assert evaluate(["--model", "begun"]) == 0
    assert main([*arguments, "2", "--cell", "gru"]) == 2
    assert "error: --cell gru: lstm was expected, as in tiny that --from names\n" in capsys.readouterr().err


@pytest.mark.slow
def test_averaging_starts_when_the_development_score_stalls(small_manual, monkeypatch):
    monkeypatch.setattr("shared.training.STALLED", 0)
    config = replace(CONFIG, optimizer="sgd", schedule="averaging", learning_rate=20.0, clip_norm=0.25, epochs=8)
    begun = []
    monkeypatch.setattr("shared.optimizers.AveragedSGD.begin_averaging", lambda self: begun.append(self))
    train(config, TrainingOptions(run="averaged"))
    rows = Run(small_manual / "averaged").load_history()
    scores = [float(row["dev perplexity"]) for row in rows]
    stalled = [score > min(scores[:epoch]) for epoch, score in enumerate(scores) if epoch]
    assert len(begun) == sum(stalled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule", "averaging"], "schedule averaging needs optimizer sgd"),
        (["--units", "0"], "--units 0: a number from 1 to 10,000 was expected"),
        (["--vocabulary", "subwords", "--vocabulary-size", "200"], "--vocabulary-size 200: above 260 was expected"),
        (["fill", "--state-reset-probability", "0.1"], "reads both ways does not support state_reset_probability 0.1"),
        (["--corpus", __file__, "--data-dir", "."], "is a path itself"),
        (["--corpus", ""], "--corpus '': python_manual, "),
        (["--corpus", " "], "wikitext2, english_text, a file or a folder was expected"),
        (["--split-by", "tokens"], "--split-by tokens: the corpus python_manual has splits of its own"),
        (["--dev-corpus", "wikitext2", "--corpus", __file__], "corpus wikitext2: a file or folder was expected"),
        (["war_and_peace"], "preset 'war_and_peace' does not exist"),
    ],
)
def test_invalid_trainings_are_refused_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
