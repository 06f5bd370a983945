"""Training: the files of a run, and initial runs."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.audio import SAMPLE_RATE
from shared.cli import TrainingOptions
from shared.errors import UserError
from shared.runs import Run, RunError
from tasks.phoneme_recognizer import data
from tasks.phoneme_recognizer.config import PRESETS, RELEASED, Config
from tasks.phoneme_recognizer.data import training_batches
from tasks.phoneme_recognizer.model import build_model, load_model, start_from
from tasks.phoneme_recognizer.train import (
    main,
    run_name,
    train,
    with_absolute_paths,
    with_initial_run,
    without_other_splits,
)
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY, say, sound


def test_training_learns_and_writes_all_files_of_a_run(trained):
    assert trained.run.load_metrics()["dev"]["PER"] < 0.2
    assert {path.name for path in trained.run.path.iterdir()} >= {
        "README.md", "checkpoints", "config.json", "history.csv", "metrics.json", "model.keras", "ngrams.safetensors",
        "plots", "weights.safetensors",
    }  # fmt: skip
    assert trained.plots == {"history.png", "confusions-dev.png", "reliability-dev.png"}
    assert re.search(r"parameters, \d+(\.\d)? (s|minutes) an epoch", trained.output)
    assert "# Phoneme recognizer, trained on spoken_scenes" in (trained.run.path / "README.md").read_text()


def test_the_model_file_can_be_loaded_with_keras_alone(trained):
    model = keras.saving.load_model(trained.run.path / "model.keras")
    samples, lengths = np.ones((1, 3200), np.float32), np.array([3200], np.int32)
    expected = load_model(trained.run).model.logits(samples, lengths).ctc_logits
    np.testing.assert_allclose(model({"samples": samples, "lengths": lengths})["ctc_logits"], expected, atol=1e-5)


def test_the_temperature_is_saved_with_the_weights(trained):
    assert float(load_model(trained.run).model.temperature) != 1


@pytest.mark.slow
def test_an_initial_run_provides_weights_and_times(trained, spoken_words, monkeypatch, capsys):
    splits = []

    def remember(config, train, vocabulary):
        splits.append(train)
        return training_batches(config, train, vocabulary)

    monkeypatch.setattr(data, "training_batches", remember)
    changes = {"initial_run": "tiny", "frame_only_steps": 0, "learning_rate": 1e-4, "epochs": 1}
    config = replace(CONFIG, corpus=str(spoken_words), **changes)
    train(config, TrainingOptions(run="begun"))
    assert "dev PER" in capsys.readouterr().out
    (split,) = splits
    assert len(split.utterances) == 16
    texts = {path.stem: path.read_text() for path in spoken_words.glob("*.txt")}
    for utterance in split.utterances:
        speech = say(texts[split.records[utterance.index]["name"]])
        expected = [span for span in zip(*speech[1:], strict=True) if span[0] != "sil"]
        spans = utterance.spans[utterance.spans[:, 0] > 0]
        assert VOCABULARY.decode(spans[:, 0]) == [phone for phone, *_ in expected]
        np.testing.assert_allclose(spans[:, 1:], [times for _, *times in expected], atol=0.03 * SAMPLE_RATE)
        np.testing.assert_array_equal(utterance.spans[1:, 1], utterance.spans[:-1, 2])  # no gaps
        assert (utterance.spans[0, 1], utterance.spans[-1, 2]) == (0, len(speech.samples))
    begun, first = (Run(trained.run.path.with_name(name)) for name in ("begun", "tiny"))
    assert begun.config["data"]["begin"] == first.weights_fingerprint
    distances = [np.abs(begun.load_weights()[name] - weight).max() for name, weight in first.load_weights().items()]
    assert max(distances) < 0.3  # that of an untrained model is larger
    assert "begun from the weights of tiny (fingerprint " in (begun.path / "README.md").read_text()


def test_a_recognizer_starts_with_the_probabilities_of_the_run(trained):
    loaded = load_model(trained.run)
    model = build_model(loaded.config, loaded.vocabulary)
    start_from(loaded, model, loaded.vocabulary)
    samples, lengths = sound("aim", 3)[None], np.array([len(sound("aim", 3))], np.int32)
    expected, found = (x.log_probs(x.logits(samples, lengths)) for x in (loaded.model, model))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    config = replace(CONFIG, frame_only_steps=50).starting_from(loaded.config)
    assert (config.frame_only_steps, config.units) == (0, CONFIG.units)


def test_sounds_of_ones_own_start_from_the_released_run(spoken_words, capsys):
    own = replace(PRESETS["speechocean762"], corpus=str(spoken_words))
    assert with_initial_run(own).initial_run == RELEASED
    assert capsys.readouterr().out == f"starts from the released run {RELEASED}; --from RUN names another\n"
    for config in (PRESETS["speechocean762"], replace(own, initial_run="")):
        assert with_initial_run(config) == config


def test_another_corpus_has_no_splits_of_a_preset_or_initial_run(spoken_words):
    people = PRESETS["english"]
    assert without_other_splits(people) == people
    for corpus in (str(spoken_words), "timit", "speechocean762"):
        assert without_other_splits(replace(people, corpus=corpus)).dev_corpus == ""
    own = replace(people, corpus="timit", dev_corpus="timit", test_corpus=str(spoken_words))
    found = without_other_splits(own)
    assert (found.dev_corpus, found.test_corpus) == ("timit", "")


def test_a_preset_trains_a_run_of_its_name_from_another_run():
    for name, preset in PRESETS.items():
        assert run_name(preset) == ("spoken_scenes-streaming" if name == "streaming" else name)
        assert run_name(preset) != preset.initial_run


def test_paths_are_absolute(spoken_words, monkeypatch):
    monkeypatch.chdir(spoken_words)
    (spoken_words.parent / "c++").mkdir()
    (spoken_words / "own.dict").write_text("a AA1\n")
    config = replace(Config(), corpus="../spoken*0.5+timit*.1", dev_corpus="timit+.", dictionary="own.dict")
    found = with_absolute_paths(config)
    assert found.corpus == f"{spoken_words}*0.5+timit*.1"
    assert (found.dev_corpus, found.dictionary) == (f"timit+{spoken_words}", str(spoken_words / "own.dict"))
    monkeypatch.chdir(spoken_words.parent / "c++")
    assert with_absolute_paths(replace(Config(), corpus=".")).corpus == "."  # + joins corpora


def test_an_initial_run_of_another_shape_is_refused(trained, capsys):
    assert main(["spoken_scenes", "--from", "tiny", "--units", "33", "--run", "other"]) == 2
    assert capsys.readouterr().err == "error: --units 33: 32 was expected, as in tiny that --from names\n"
    assert main(["timit", "--initial-run", "tiny", "--classes", "61", "--run", "other"]) == 2
    assert capsys.readouterr().err == "error: --classes 61: 39 was expected, as in tiny that --from names\n"


def test_another_configuration_is_refused(trained, capsys):
    with pytest.raises(RunError, match="units 32 -> 33"):
        train(replace(CONFIG, units=33), TrainingOptions(run="tiny"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("units", 0),
        ("dropout", 1.0),
        ("augment_probability", 1.5),
        ("auxiliary_fraction", -0.1),
        ("learning_rate", 0.0),
        ("frame_weight", -1.0),
        ("corpus", ""),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        replace(CONFIG, **{field: value})


def test_an_unknown_corpus_or_preset_is_one_line(tones, capsys):
    assert main(["--corpus", "nowhere/at/all"]) == 2
    assert capsys.readouterr().err == (
        "error: nowhere/at/all is neither a corpus nor a folder of sound files with transcripts\n"
    )
    assert main(["nothing"]) == 2
    assert f"the presets are {', '.join(PRESETS)}" in capsys.readouterr().err


def test_a_corpus_without_sound_is_one_line(tones, capsys):
    assert main(["--corpus", "scenes"]) == 2
    assert "scenes is neither a corpus" in capsys.readouterr().err


def test_a_run_is_named_after_its_first_corpus():
    assert run_name(Config(corpus="speechocean762+spoken_scenes")) == "speechocean762"
    assert run_name(PRESETS["streaming"]) == "spoken_scenes-streaming"
    assert run_name(Config(corpus="/home/me/my recordings")) == "my-recordings"
