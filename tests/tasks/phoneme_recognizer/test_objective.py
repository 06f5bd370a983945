"""The training objective: its parts, and their weights."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.losses import mean_nats, output_nats
from tasks.phoneme_recognizer.data import load_split, training_batches
from tasks.phoneme_recognizer.model import Logits, build_model
from tasks.phoneme_recognizer.objective import CTCTrainingModel, consistency_loss
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY

EAGERLY = keras.backend.backend() == "tensorflow"  # JAX would compile each operation


def steps(batch, count: int, learning_rate: float = 1e-3, **options) -> list[dict[str, float]]:
    """The logs of `count` steps on one batch, without masks and dropout."""
    keras.utils.set_random_seed(1)
    config = replace(CONFIG, frequency_mask_width=0, time_mask_width=0, dropout=0.0, **options)
    model = CTCTrainingModel(build_model(config, VOCABULARY))
    model.compile(keras.optimizers.Adam(learning_rate), mean_nats, metrics=[output_nats], run_eagerly=EAGERLY)
    return [model.train_on_batch(*batch, return_dict=True) for _ in range(count)]


@pytest.fixture(scope="module")
def batch(tones):
    config = replace(CONFIG, augment_probability=0.0)
    return training_batches(config, load_split(config, "train"), VOCABULARY)[0]


@pytest.mark.any_backend
def test_steps_lower_both_losses(batch):
    by_ctc = steps(batch, 4, frame_weight=0.0)
    assert by_ctc[-1]["loss"] < by_ctc[0]["loss"] == pytest.approx(by_ctc[0]["output_nats"])
    by_both = steps(batch, 4, frame_weight=1.0, frame_only_steps=0)
    assert by_both[-1]["loss"] < by_both[0]["loss"]
    assert by_both[-1]["output_nats"] < by_both[0]["output_nats"]
    # The initial loss of frames: about that of a uniform distribution.
    assert by_both[0]["loss"] - by_both[0]["output_nats"] == pytest.approx(np.log(39), abs=1.0)


def test_unknown_frames_have_no_loss(batch):
    inputs, targets = batch
    unknown = inputs | {"frame_ids": np.full_like(inputs["frame_ids"], -1)}
    (logs,) = steps((unknown, targets), 1, frame_weight=1.0)
    assert logs["loss"] == pytest.approx(logs["output_nats"], rel=1e-6)


def test_the_first_steps_train_on_frames_alone(batch):
    inputs, targets = batch
    unknown = inputs | {"frame_ids": np.full_like(inputs["frame_ids"], -1)}
    nats = [step["output_nats"] for step in steps((unknown, targets), 4, frame_only_steps=2)]
    assert nats[0] == nats[1] == nats[2] > nats[3]  # the third step is the first with CTC


def test_consistency_costs_nothing_for_equal_views_and_something_for_others(batch):
    """Without masks and dropout the two views are equal."""
    once, twice = (steps(batch, 2, consistency_weight=weight) for weight in (0.0, 0.2))
    for one, other in zip(once, twice, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
    keras.utils.set_random_seed(1)
    config = replace(CONFIG, frequency_mask_width=8, consistency_weight=1.0, frame_weight=0.0)
    model = CTCTrainingModel(build_model(config, VOCABULARY))
    model.compile(keras.optimizers.Adam(), mean_nats, metrics=[output_nats], run_eagerly=EAGERLY)
    logs = model.train_on_batch(*batch, return_dict=True)
    assert logs["loss"] > logs["output_nats"] + 1e-3


@pytest.mark.any_backend
def test_the_consistency_loss_is_the_divergence_from_the_other_view():
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], [[0.25, 0.25, 0.5], [0.7, 0.2, 0.1]]], np.float32))
    nats = consistency_loss(Logits(logits, np.array([1, 1], np.int32), None, None))
    # KL(second || first) = .25 log(.25/.5) + .5 log(.5/.25), and the same in reverse; the second step is padding.
    np.testing.assert_allclose(nats, [[0.25 * np.log(2), 0], [0.25 * np.log(2), 0]], atol=1e-6)
