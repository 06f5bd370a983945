"""Training: what it leaves behind, and that a resumed one ends in the same bits."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import shared.runs
from shared.audio import SAMPLE_RATE
from shared.cli import TrainingOptions
from shared.errors import UserError
from shared.losses import mean_nats, told_nats
from shared.runs import Run, RunError
from tasks.phoneme_recognizer import data
from tasks.phoneme_recognizer.config import PRESETS, Config
from tasks.phoneme_recognizer.data import load_split, training_batches
from tasks.phoneme_recognizer.model import Heard, Listener, build_model, disagreement, load_model
from tasks.phoneme_recognizer.train import main, run_name, train
from tests.tasks.phoneme_recognizer.conftest import CONFIG, say


def test_it_learns_and_leaves_a_whole_run(trained):
    assert trained.run.load_metrics()["dev"]["PER"] < 0.2
    assert {path.name for path in trained.run.path.iterdir()} >= {
        "README.md", "checkpoints", "config.json", "history.csv", "metrics.json", "model.keras", "ngrams.safetensors",
        "plots", "weights.safetensors",
    }  # fmt: skip
    assert trained.plots == {"history.png", "confusions-dev.png", "reliability-dev.png"}
    assert "hours an epoch" in trained.output
    assert "# Phoneme recognizer, trained on spoken_scenes" in (trained.run.path / "README.md").read_text()


def test_the_whole_model_can_be_loaded_by_users_of_keras(trained):
    whole = keras.saving.load_model(trained.run.path / "model.keras")
    samples, lengths = np.ones((1, 3200), np.float32), np.array([3200], np.int32)
    ours = load_model(trained.run)[1].hear(samples, lengths)
    np.testing.assert_allclose(
        whole({"samples": samples, "lengths": lengths})["ctc_logits"], ours.ctc_logits, atol=1e-5
    )


def test_the_temperature_is_kept_with_the_weights(trained):
    assert float(load_model(trained.run)[1].temperature) != 1


def steps(batch, count: int, learning_rate: float = 1e-3, **options) -> list[dict[str, float]]:
    """What a few steps on one batch tell, with nothing drawn in them."""
    keras.utils.set_random_seed(1)
    listener = Listener(build_model(replace(CONFIG, masked_bands=0, masked_frames=0, dropout=0.0, **options)))
    listener.compile(keras.optimizers.Adam(learning_rate), mean_nats, metrics=[told_nats], run_eagerly=True)
    return [listener.train_on_batch(*batch, return_dict=True) for _ in range(count)]


@pytest.fixture(scope="module")
def batch(tones):
    config = replace(CONFIG, augmented=0.0)
    return training_batches(config, load_split(config, "train"))[0]


def test_true_steps_lower_both_losses(batch):
    by_ctc = steps(batch, 4, frame_weight=0.0)
    assert by_ctc[-1]["loss"] < by_ctc[0]["loss"] == pytest.approx(by_ctc[0]["told_nats"])
    by_both = steps(batch, 4, frame_weight=1.0, frames_first=0)
    assert by_both[-1]["loss"] < by_both[0]["loss"]
    assert by_both[-1]["told_nats"] < by_both[0]["told_nats"]
    # What frames cost at first: about as much as a draw among all classes.
    assert by_both[0]["loss"] - by_both[0]["told_nats"] == pytest.approx(np.log(39), abs=1.0)


def test_frames_of_unknown_phones_cost_nothing(batch):
    inputs, targets = batch
    unknown = inputs | {"frame_ids": np.full_like(inputs["frame_ids"], -1)}
    (told,) = steps((unknown, targets), 1, frame_weight=1.0)
    assert told["loss"] == pytest.approx(told["told_nats"], rel=1e-6)


def test_at_first_frames_alone_are_learned_from(batch):
    inputs, targets = batch
    unknown = inputs | {"frame_ids": np.full_like(inputs["frame_ids"], -1)}
    told = [step["told_nats"] for step in steps((unknown, targets), 4, frames_first=2)]
    assert told[0] == told[1] == told[2] > told[3]  # the third step is the first to teach


def test_an_utterance_heard_twice_must_be_told_alike(batch):
    """Without anything drawn both are alike, and cost what one does; with stripes they differ, and that costs, too."""
    once, twice = (steps(batch, 2, consistency=weight) for weight in (0.0, 0.2))
    for told, others in zip(once, twice, strict=True):
        assert others["loss"] == pytest.approx(told["loss"], rel=1e-4)
    keras.utils.set_random_seed(1)
    listener = Listener(build_model(replace(CONFIG, masked_bands=8, consistency=1.0, frame_weight=0.0)))
    listener.compile(keras.optimizers.Adam(), mean_nats, metrics=[told_nats], run_eagerly=True)
    told = listener.train_on_batch(*batch, return_dict=True)
    assert told["loss"] > told["told_nats"] + 1e-3


def test_disagreement_is_the_divergence_from_the_other():
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], [[0.25, 0.25, 0.5], [0.7, 0.2, 0.1]]], np.float32))
    nats = disagreement(Heard(logits, np.array([1, 1], np.int32), None, None))
    # KL(second || first) = .25 log(.25/.5) + .5 log(.5/.25), and the same the other way; the second step is padding.
    np.testing.assert_allclose(nats, [[0.25 * np.log(2), 0], [0.25 * np.log(2), 0]], atol=1e-6)


PROGRAM = """
import sys
import shared.runs
from pathlib import Path
from datasets import spoken
from datasets.spoken_scenes import spoken_scenes_dataset_builder as builder
from tests.tasks.phoneme_recognizer import conftest
from shared import training
from shared.cli import TrainingOptions
from tasks.phoneme_recognizer.train import train

shared.runs.ROOT = Path(sys.argv[1])
builder.make_requests = conftest.make_requests
spoken.check_engine = lambda: None
spoken.say_all = lambda shards: ([conftest.say(request.text) for request in shard] for shard in shards)
training.CHECKPOINT_SECONDS = 0
train(conftest.CONFIG, TrainingOptions(run="killed"))
"""


@pytest.mark.slow
def test_resumed_after_a_kill_it_ends_in_the_same_bits(trained):
    """Begun and killed in a process of its own, ended in this one."""
    run = Run(trained.run.path.with_name("killed"))
    command = [sys.executable, "-c", PROGRAM, str(shared.runs.ROOT)]
    killed = subprocess.Popen(command, cwd=Path(__file__).parents[3], env=os.environ, stdout=subprocess.DEVNULL)
    checkpoints = run.path / "checkpoints"
    while killed.poll() is None and not list(checkpoints.glob("[0-9]*5")):  # the fifth batch, the fifteenth ...
        pass
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    train(CONFIG, TrainingOptions(run="killed"))
    resumed = run.load_weights()
    for name, weight in trained.run.load_weights().items():
        np.testing.assert_array_equal(weight, resumed[name], err_msg=name)


def test_a_run_begins_with_another_and_has_its_times(trained, spoken_words, monkeypatch, capsys):
    taught = []

    def remember(config, split):
        taught.append(split)
        return training_batches(config, split)

    monkeypatch.setattr(data, "training_batches", remember)
    config = replace(CONFIG, corpus=str(spoken_words), begin="tiny", frames_first=0, learning_rate=1e-4, epochs=1)
    train(config, TrainingOptions(run="begun"))
    assert "dev PER" in capsys.readouterr().out
    (split,) = taught
    assert len(split.utterances) == 16
    texts = {path.stem: path.read_text() for path in spoken_words.glob("*.txt")}
    for utterance in split.utterances:
        speech = say(texts[split.records[utterance.place]["name"]])
        said = [turns for turns in zip(*speech[1:], strict=True) if turns[0] != "sil"]
        heard = utterance.spans[utterance.spans[:, 0] > 0]
        assert [CONFIG.phones[label - 1] for label in heard[:, 0]] == [phone for phone, *_ in said]
        np.testing.assert_allclose(heard[:, 1:], [turns for _, *turns in said], atol=0.03 * SAMPLE_RATE)
        np.testing.assert_array_equal(utterance.spans[1:, 1], utterance.spans[:-1, 2])  # nothing is left out
        assert (utterance.spans[0, 1], utterance.spans[-1, 2]) == (0, len(speech.samples))
    begun, first = (Run(trained.run.path.with_name(name)) for name in ("begun", "tiny"))
    assert begun.config["data"]["begin"] == first.fingerprint
    far = [np.abs(begun.load_weights()[name] - weight).max() for name, weight in first.load_weights().items()]
    assert max(far) < 0.3  # an untrained model is further away


def test_a_run_of_another_shape_is_no_beginning(trained, capsys):
    arguments = [
        "--begin",
        "tiny",
        "--mels",
        "16",
        "--units",
        "17",
        "--num-layers",
        "1",
        "--front-channels",
        "4",
        "--pace",
        "20",
    ]
    assert main([*arguments, "--run", "other"]) == 2
    assert re.search(r"error: .*tiny: .*shape", capsys.readouterr().err)


def test_another_configuration_is_refused(trained, capsys):
    with pytest.raises(RunError, match="units 16 -> 17"):
        train(replace(CONFIG, units=17), TrainingOptions(run="tiny"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("units", 0),
        ("dropout", 1.0),
        ("augmented", 1.5),
        ("beside", -0.1),
        ("learning_rate", 0.0),
        ("frame_weight", -1.0),
        ("corpus", ""),
    ],
)
def test_numbers_that_make_no_sense_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        replace(CONFIG, **{field: value})


def test_a_corpus_that_is_none_is_told_in_one_line(tones, capsys):
    assert main(["--corpus", "nowhere/at/all"]) == 2
    assert capsys.readouterr().err == (
        "error: nowhere/at/all is neither a corpus nor a folder of sound files with transcripts\n"
    )
    assert main(["nothing"]) == 2
    assert f"there are {', '.join(PRESETS)}" in capsys.readouterr().err


def test_a_corpus_without_sound_is_told_in_one_line(tones, capsys):
    assert main(["--corpus", "scenes"]) == 2
    assert "scenes is neither a corpus" in capsys.readouterr().err


def test_runs_are_named_after_what_is_measured():
    assert run_name(Config(corpus="speechocean762+spoken_scenes")) == "speechocean762"
    assert run_name(PRESETS["streaming"]) == "spoken_scenes-streaming"
    assert run_name(Config(corpus="/home/me/my recordings")) == "my-recordings"
