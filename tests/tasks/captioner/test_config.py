"""Checks of the configuration."""

from dataclasses import asdict, replace

import pytest

from shared.errors import UserError
from shared.runs import Run, write_json
from tasks.captioner.config import CORPORA, PRESETS, Config
from tasks.captioner.train import run_name


def test_presets_are_named_after_their_corpora():
    assert {name: preset.corpus for name, preset in PRESETS.items()} == {
        **{name: name for name in CORPORA},
        "flickr8k_scst": "flickr8k",
        "photos": "",
    }


def test_runs_do_not_replace_the_run_that_they_start_from():
    named = {name: preset for name, preset in PRESETS.items() if preset.corpus}
    assert {name: run_name(preset) for name, preset in named.items()} == {name: name for name in named}
    PRESETS["flickr8k_scst"].check_inherited(PRESETS["flickr8k"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs 0: 1 or more was expected; 0 is for --from RUN with --reward-epochs"),
        ({"batch_size": 0}, "batch_size 0: a number from 1 to 10,000 was expected"),
        (
            {"reward_samples": 1},
            "reward_samples 1: a number from 2 to 100 was expected",
        ),  # its advantage is over the others' mean
        ({"dropout": 1.0}, "dropout 1.0: a number from 0 to below 1 was expected"),
        ({"learning_rate": 0.0}, "learning_rate 0.0: a number above 0 and at most 1,000 was expected"),
        (
            {"encoder_learning_rate": float("nan")},
            "encoder_learning_rate nan: a number above 0 and at most 1,000 was expected",
        ),
        ({"reward_learning_rate": -1.0}, "reward_learning_rate -1.0: a number above 0 and at most 1,000 was expected"),
        ({"clip_norm": 0.0}, "clip_norm 0.0: a number above 0 and at most 1,000,000 was expected"),
        ({"ridge_penalty": 0.0}, "ridge_penalty 0.0: a number above 0 and at most 1,000,000 was expected"),
        ({"embedding_stddev": 0.0}, "embedding_stddev 0.0: a number above 0 and at most 100 was expected"),
        ({"warmup_steps": -1}, "warmup_steps -1: a number from 0 to 1,000,000 was expected"),
        ({"encoder_warmup_steps": -1}, "encoder_warmup_steps -1: a number from 0 to 1,000,000 was expected"),
        ({"reward_epochs": -1}, "reward_epochs -1: a number from 0 to 1,000,000 was expected"),
        ({"length_penalty": -0.5}, "length_penalty -0.5: a number from 0 to 100 was expected"),
        ({"seed": -1}, "seed -1: a number from 0 to 4,294,967,295 was expected"),
        ({"image_size": 4}, "image_size 4: a number from 8 to 512 was expected"),
        ({"image_size": 100}, "image_size 100: a multiple of 8 was expected (cnn)"),
        (
            {"image_size": 512, "beam": 100},
            "beam 100 x max_length 32 x cells 4,096: 13,107,200 attention weights of an image; at most 2,000,000 were"
            " expected",
        ),
        ({"corpus": "photos/"}, "encoder cnn: mobilenet_v2 was expected for photos (corpus 'photos/')"),
        ({"dev_corpus": "photos/"}, "dev_corpus photos/: none was expected: scenes are measured by what is drawn"),
        (
            {"image_size": 200, "encoder": "mobilenet_v2"},
            "image_size 200: a multiple of 32 was expected (mobilenet_v2)",
        ),
    ],
)
def test_values_out_of_range_are_refused(fields, message):
    with pytest.raises(UserError) as error:
        Config(**fields)
    assert str(error.value) == message


def test_a_run_with_former_names_of_fields_loads(tmp_path):
    former = {new: old for old, new in Config.RENAMED.items()}
    assert former.keys() == {"encoder_words", "ridge_penalty", "embedding_stddev", "sum_pooling"}
    saved = {former.get(name, name): value for name, value in asdict(PRESETS["flickr8k"]).items()}
    for name in ("finder_weight", "consensus_weight"):  # newer fields
        del saved[name]
    write_json(tmp_path / "config.json", {"task": "captioner", "config": saved})
    expected = replace(PRESETS["flickr8k"], finder_weight=0.0, consensus_weight=0.0)
    assert Run(tmp_path).read_config(Config) == expected
