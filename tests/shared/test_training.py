"""Training of a tiny tagger: a killed and resumed run ends with the same bits as an uninterrupted one.

As a script (`python -m tests.shared.test_training ROOT`) it trains while its processes are killed.
"""

import csv
import functools
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from shared import runs, training
from shared.atomic import atomic_file
from shared.batching import BucketedBatches
from shared.errors import UserError
from shared.losses import PolicyGradient, SequenceCrossEntropy, nats_per_token
from shared.packing import pad
from shared.recipe import Recipe
from shared.recurrent import LSTM
from shared.runs import Checkpoints, Run, RunError, write_json
from shared.training import (
    Evaluation,
    Interrupted,
    State,
    Trainer,
    TrainingError,
    averaged_weights,
    build_bounded,
    build_trained,
    model_weights,
    shapes_of,
    training_run,
)
from tests.shared.test_runs import Settings

VOCAB, EXAMPLES, BATCH, EPOCHS = 7, 18, 4, 3
STEPS = math.ceil(EXAMPLES / BATCH)  # per epoch
REPOSITORY = Path(__file__).parents[2]


def tagger(recurrent: bool = False, momentum: float = 0.9) -> keras.Model:
    """Token ids `(batch, time)` -> logits `(batch, time, vocab)`, with every kind of state that a model can have."""
    keras.utils.set_random_seed(3)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(VOCAB, 5, name="embedding")(token_ids)
    x = keras.layers.Dropout(0.3, name="dropout")(x)
    if recurrent:
        x = LSTM(6, dropout=0.2, return_sequences=True, name="lstm")(x)
    x = keras.layers.BatchNormalization(name="normalization")(x)
    model = keras.Model(token_ids, keras.layers.Dense(VOCAB, name="output")(x), name="tagger")
    optimizer = keras.optimizers.Adam(global_clipnorm=1.0, use_ema=True, ema_momentum=momentum)
    model.compile(optimizer, SequenceCrossEntropy(0.1), metrics=[nats_per_token])
    return model


@functools.cache
def compiled(momentum: float) -> tuple[keras.Model, keras.optimizers.Optimizer, list[np.ndarray]]:
    model = tagger(momentum=momentum)
    model.optimizer.build(model.trainable_variables)
    variables = model.variables + model.optimizer.variables
    return model, model.optimizer, [keras.ops.convert_to_numpy(variable) for variable in variables]


def fresh(momentum: float = 0.9) -> keras.Model:
    """An untrained `tagger` that is not compiled again."""
    model, optimizer, initial = compiled(momentum)
    for variable, value in zip(model.variables + optimizer.variables, initial, strict=True):
        variable.assign(value)
    return model


def batches() -> BucketedBatches:
    """The tag of a token is its double; 30 % of the inputs are hidden, drawn by the generator of its row."""
    sequences = [[1 + (i + j) % (VOCAB - 1) for j in range(2 + i % 5)] for i in range(EXAMPLES)]

    def make_batch(indices, rngs, sizes):
        token_ids = pad([sequences[i] for i in indices], sizes.get("time"))
        is_hidden = np.stack([rng.random(token_ids.shape[1]) for rng in rngs]) < 0.3
        return np.where(is_hidden, 0, token_ids), np.where(token_ids > 0, 2 * token_ids % VOCAB, 0)

    lengths = [len(sequence) for sequence in sequences]
    return BucketedBatches(lengths, BATCH, make_batch, seed=5, sizes={"time": lengths})


def likelihood_on_development(model: keras.Model):
    data = batches()

    def evaluate() -> Evaluation:
        data.epoch = 99
        losses = [SequenceCrossEntropy()(targets, model(inputs)) for inputs, targets in map(data.__getitem__, range(5))]
        nats = float(np.mean(keras.ops.convert_to_numpy(losses)))
        return Evaluation(metrics={"nats": nats}, score=-nats, samples=[("[/b] an output", "a reference")])

    return evaluate


def trainer(root: Path, name: str = "run", model: keras.Model | None = None, evaluate=None, **options: Any) -> Trainer:
    model = model or fresh()
    run = Run.create("tagger", name, Settings(), {"made_up": "1"}, root)
    tensorboard = options.pop("tensorboard", False)
    recipe = Recipe(**{"epochs": EPOCHS, "learning_rate": 0.02, "warmup_steps": 3, "patience": 9} | options)
    evaluate = evaluate or likelihood_on_development(model)
    return Trainer(model, batches(), run, evaluate, recipe, tensorboard=tensorboard)


def dense(units: int) -> keras.Model:
    """A model of one layer, with 3 inputs."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, name="output")], name="dense")


def test_shapes_take_no_memory_and_leave_the_seeds_alone():
    before, peak = random.getstate(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert shapes_of(lambda: dense(2 * 10**9)) == {"output/kernel": (3, 2 * 10**9), "output/bias": (2 * 10**9,)}
    assert random.getstate() == before
    with keras.StatelessScope():  # its end initializes the variables that were left uninitialized
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1_000_000  # kilobytes; the weights have 24 GB


def test_a_model_of_bounded_size_is_built(monkeypatch):
    monkeypatch.setattr(training, "MAX_PARAMETERS", 28)
    assert build_bounded(lambda: dense(7)).count_params() == 28
    with pytest.raises(UserError, match="the model would have 32 parameters; at most 28 were expected"):
        build_bounded(lambda: dense(8))


def test_a_model_is_built_with_the_weights_of_a_run(tmp_path):
    run = Run.create("tagger", "dense", Settings(), {}, tmp_path)
    tensors = {"output/kernel": np.arange(6, dtype=np.float32).reshape(3, 2), "output/bias": np.ones(2, np.float16)}
    run.save_weights(tensors)
    model = build_trained(run, lambda: dense(2))
    np.testing.assert_array_equal(model.layers[0].kernel, tensors["output/kernel"])
    np.testing.assert_array_equal(model.layers[0].bias, [1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output/kernel": np.zeros((2, 3), np.float32)}, r"output/kernel has shape \(2, 3\), not \(3, 2\)"),
        ({"output/bias": np.zeros((), np.float32)}, r"output/bias has shape \(\), not \(2,\)"),
        ({"extra": np.zeros(2, np.float32)}, "extra is in one of the two only"),
        ({"output/bias": np.zeros(2, np.float64)}, "output/bias has the type F64; F16 or F32 was expected"),
        ({"output/bias": np.zeros(2, np.int32)}, "output/bias has the type I32; F16 or F32 was expected"),
        ({"output/bias": np.zeros(2, bool)}, "output/bias has the type BOOL; F16 or F32 was expected"),
        ({"output/bias": np.zeros(2, np.complex64)}, "output/bias has the type C64; F16 or F32 was expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_the_model_is_built(tmp_path, changes, message):
    run = Run.create("tagger", "dense", Settings(), {}, tmp_path)
    tensors = {"output/kernel": np.zeros((3, 2), np.float32), "output/bias": np.zeros(2, np.float32)}
    run.save_weights(tensors | changes)
    built = []

    def build() -> keras.Model:
        built.append(dense(2))
        return built[-1]

    with pytest.raises(RunError, match=message):
        build_trained(run, build)
    assert len(built) == 1  # for its shapes alone


def run_at(root: Path, name: str = "run") -> Run:
    return Run(root / "tagger" / name)


def outcome(root: Path, name: str = "run", checkpoints: str = "checkpoints") -> dict[str, Any]:
    """The results of a training, without times."""
    run = run_at(root, name)
    latest = Checkpoints(run.path / checkpoints).latest(lambda line: pytest.fail(line))
    assert latest is not None
    tensors, state = latest
    rows = [{key: row[key] for key in row if key != "minutes"} for row in run.load_history()]
    for row in state["history"]:
        del row["minutes"]
    del state["seconds"]
    tensors = {name: (tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in tensors.items()}
    return {"weights": (run.path / "weights.safetensors").read_bytes(), "rows": rows, **tensors, "state": state}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("uninterrupted")
    trainer(root, model=tagger()).fit()
    return outcome(root)


@pytest.fixture
def save_every_step(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1)


class Killed(BaseException):
    """Simulates a kill -9 inside the process."""


# --- resuming ------------------------------------------------------------------------------------------------------


def killed_at(times: int, before: bool, function):
    """`function`, but the given call raises Killed, before or after its work."""
    calls = 0

    def wrapped(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == times and before:
            raise Killed
        result = function(*arguments, **options)
        if calls == times:
            raise Killed
        return result

    return wrapped


@pytest.mark.any_backend
@pytest.mark.usefixtures("save_every_step")
@pytest.mark.parametrize(
    ("call", "times", "before"),
    [
        ("checkpoint", 1, True),  # nothing is saved
        ("checkpoint", 8, False),
        ("checkpoint", STEPS, False),  # after the last step of an epoch, before its evaluation
        ("evaluate", 2, True),
        ("weights", 2, False),  # better weights without their checkpoint
        ("history", 2, False),
        ("checkpoint", EPOCHS * (STEPS + 1), False),  # the last checkpoint: only model.keras is missing
    ],
)
@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(tmp_path, monkeypatch, uninterrupted, call, times, before):
    first = trainer(tmp_path)
    owner, name = {
        "checkpoint": (first.run.checkpoints, "save"),
        "evaluate": (first, "evaluate"),
        "weights": (first.run, "save_weights"),
        "history": (first.run, "save_history"),
    }[call]
    monkeypatch.setattr(owner, name, killed_at(times, before, getattr(owner, name)))
    with pytest.raises(Killed):
        first.fit()
    # In one case the step is compiled again, starting with another batch.
    trainer(tmp_path, model=tagger() if times == 8 else None).fit()
    assert outcome(tmp_path) == uninterrupted


def test_two_trainings_agree_and_a_finished_one_is_not_continued(tmp_path, uninterrupted):
    trainer(tmp_path).fit()
    assert outcome(tmp_path) == uninterrupted
    again = trainer(tmp_path, evaluate=lambda: pytest.fail("evaluated"))
    again.fit()
    assert outcome(tmp_path) == uninterrupted
    best = run_at(tmp_path).load_weights()
    assert all(
        np.array_equal(keras.ops.convert_to_numpy(weight), best[name])
        for name, weight in model_weights(again.model).items()
    )


@pytest.mark.parametrize("damage", ["truncated tensors", "garbage state", "changed state", "no state"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(tmp_path, capsys, uninterrupted, damage):
    trainer(tmp_path).fit()
    checkpoints = run_at(tmp_path).checkpoints
    last = checkpoints.steps()[-1]
    folder = checkpoints.folder / f"{last:09d}"
    tensors, state = folder / "tensors.safetensors", folder / "state.json"
    match damage:
        case "truncated tensors":
            tensors.write_bytes(tensors.read_bytes()[:-7])
        case "garbage state":
            state.write_bytes(b"\xff{[")
        case "changed state":
            state.write_text(state.read_text().replace('"epoch": 3', '"epoch": 2'))
        case "no state":
            state.unlink()
    capsys.readouterr()
    trainer(tmp_path).fit()
    printed = capsys.readouterr().out
    assert f"checkpoint {last} is damaged, using the one before it: {folder}" in printed
    assert f"resuming {run_at(tmp_path).path} at epoch {EPOCHS}, step {last - STEPS}" in printed
    assert outcome(tmp_path) == uninterrupted


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    run = trainer(tmp_path).run
    folders = [run.path / "plots" / ".figures.k3_x9a7q", run.path / "export" / ".1.h2_x9a7q", run.path / "checkpoints"]
    folders.append(run.path / "checkpoints-2" / ".000000009.ab_x9a7q")
    files = [folder / "half.bin" for folder in folders[:2]] + [folders[-1] / "tensors.safetensors"]
    names = "weights safetensors", "model keras", "history csv", "metrics json", "README md", "ngrams safetensors"
    files += [run.path / ".{}.x1x1x1x1.{}".format(*name.split()) for name in names]
    files += [run.path / "plots" / ".history.x1x1x1x1.png", run.path / "checkpoints" / ".state.x1x1x1x1.json"]
    kept = [run.path / ".notes", run.path / "plots" / ".gitignore"]
    for path in [*files, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with atomic_file(run.path / "plots" / "other.png") as living:
        trainer(tmp_path, epochs=1).fit()
        assert living.exists()
    assert not [path for path in files if path.exists()]
    assert all(path.exists() for path in kept)
    assert sorted(path.name for path in run.path.iterdir() if path.is_file()) == [
        ".notes",
        ".training",
        "config.json",
        "history.csv",
        "model.keras",
        "weights.safetensors",
    ]
    assert [path.name for path in run.checkpoints.folder.iterdir()] == [f"{STEPS:09d}"]


@pytest.mark.usefixtures("save_every_step")
def test_the_last_two_checkpoints_and_the_best_are_kept(tmp_path):
    scores = iter([1.0, 3.0, 2.0])
    state = trainer(tmp_path, evaluate=lambda: Evaluation(metrics={}, score=next(scores))).fit()
    assert state.best_step == 2 * STEPS
    assert run_at(tmp_path).checkpoints.steps() == [2 * STEPS, 3 * STEPS - 1, 3 * STEPS]


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LOCK_SECONDS", 0)
    first = trainer(tmp_path)
    with first.run.training(), pytest.raises(RunError, match="is being trained by another process"):
        trainer(tmp_path).fit()


@pytest.mark.parametrize("change", [{}, {"seed": 2}])
def test_a_run_is_locked_before_anything_is_written(tmp_path, monkeypatch, change):
    """Two trainings that start at once: the second one writes nothing, whether it has the same configuration or not."""
    monkeypatch.setattr(runs, "LOCK_SECONDS", 0)
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    arguments = "tagger", "run", Recipe(), {"made_up": "1"}

    def second(path, value):
        with (
            pytest.raises(RunError, match="being trained by another process"),
            training_run("tagger", "run", replace(Recipe(), **change), {"made_up": "1"}),
        ):
            pytest.fail("trained")
        assert [path.name for path in run_at(tmp_path).path.iterdir()] == [".training"]
        write_json(path, value)

    monkeypatch.setattr(runs, "write_json", second)
    with training_run(*arguments) as run:
        assert run.config["config"] == asdict(Recipe())
        with pytest.raises(RunError, match="is being trained by another process"), Run(run.path).training():
            pytest.fail("locked twice")
        with run.training():
            pass
        with pytest.raises(RunError, match="is being trained by another process"), Run(run.path).training():
            pytest.fail("an inner block has unlocked it")
    with Run(run.path).training():
        pass


def test_results_are_not_written_into_a_run_in_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "LOCK_SECONDS", 0)
    run = Run.create("tagger", "run", Recipe(), {}, tmp_path)
    with Run(run.path).training(), run.results() as may_write:
        assert not may_write
    assert capsys.readouterr().err.count("\n") == 1
    with run.training(), run.results() as may_write:
        assert may_write
    with run.results() as may_write, pytest.raises(RunError), Run(run.path).training():
        assert may_write
    write_json(run.path / "config.json", {**run.config, "weights_sha256": "0"})
    with run.results() as may_write:
        assert not may_write
    assert capsys.readouterr().err == ""


def test_a_training_starts_from_its_seed_whatever_was_prepared_before(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    kernels = []
    for name, draws in (("warm", 0), ("cold", 3)):
        for _ in range(draws):
            _ = random.random(), keras.random.uniform(())
        with training_run("tagger", name, Recipe(), {}):
            layer = keras.layers.Dense(3)
            layer.build((2, 4))
            kernels.append([keras.ops.convert_to_numpy(x) for x in (layer.kernel, keras.random.uniform((2,)))])
    np.testing.assert_equal(*kernels)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    trainer(tmp_path, epochs=1).fit()
    with pytest.raises(RunError, match="of another model"):
        trainer(tmp_path, model=tagger(recurrent=True)).fit()


def rewarded(root: Path, killed_save: int = 0) -> State:
    """Two stages: cross-entropy, then a reward for correct tags; the model chooses tags and lengths."""
    first = trainer(root, epochs=1)
    model, plain = first.model, first.batches
    state = first.fit()

    def make_batch(indices, rngs, sizes):
        inputs, targets = plain.make_batch(indices, rngs, sizes)
        chosen = keras.ops.convert_to_numpy(keras.ops.argmax(model(inputs), axis=-1))
        length = max(1, inputs.shape[1] - int(chosen.sum()) % 3)
        chosen = np.where(targets > 0, chosen, 0)[:, :length]
        return inputs[:, :length], chosen, np.float32((chosen == targets[:, :length]) - 0.5)

    optimizer = keras.optimizers.Adam(global_clipnorm=1.0, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, PolicyGradient(), metrics=[nats_per_token])
    run, evaluate = first.run, first.evaluate
    second = Trainer(
        model,
        BucketedBatches([1] * EXAMPLES, BATCH, make_batch, seed=6),
        run,
        evaluate,
        Recipe(epochs=2, learning_rate=0.01, warmup_steps=0, schedule="plateau", patience=9),
        previous_stage=state,
        on_policy=True,
    )
    if killed_save:
        second.checkpoints.save = killed_at(killed_save, False, second.checkpoints.save)
    try:
        return second.fit()
    finally:
        model.compile(compiled(0.9)[1], SequenceCrossEntropy(0.1), metrics=[nats_per_token])


@pytest.mark.slow
@pytest.mark.usefixtures("save_every_step")
def test_an_on_policy_second_stage_resumes_with_the_same_bits(tmp_path):
    rewarded(tmp_path / "whole")
    with pytest.raises(Killed):
        rewarded(tmp_path / "killed", killed_save=3)
    (run_at(tmp_path / "killed").path / "checkpoints-2" / ".000000009.x1x1x1x1").mkdir()
    rewarded(tmp_path / "killed")
    whole, killed = (outcome(root, checkpoints="checkpoints-2") for root in (tmp_path / "whole", tmp_path / "killed"))
    assert killed == whole
    assert [row["epoch"] for row in whole["rows"]] == ["1", "2", "3"]
    assert not list(run_at(tmp_path / "killed").path.glob("checkpoints*/.*"))


# --- stopping ------------------------------------------------------------------------------------------------------


@pytest.mark.any_backend
@pytest.mark.slow
def test_a_finished_training_goes_on_for_more_epochs(tmp_path):
    """With the bits of one that had them from the beginning, if the schedule does not depend on their number."""
    trainer(tmp_path, epochs=1, schedule="plateau").fit()
    assert trainer(tmp_path, epochs=3, schedule="plateau").fit().epoch == 3
    trainer(tmp_path, "whole", epochs=3, schedule="plateau").fit()
    first, second = (run_at(tmp_path, name) for name in ("run", "whole"))
    for name, weight in second.load_weights().items():
        np.testing.assert_array_equal(first.load_weights()[name], weight)
    assert [row["epoch"] for row in first.load_history()] == ["1", "2", "3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_a_checkpoint(tmp_path, uninterrupted, number):
    before = signal.getsignal(signal.SIGINT)
    first = trainer(tmp_path)
    rate = first.rate

    def signalled(step: int) -> float:
        if step == STEPS + 1:
            os.kill(os.getpid(), number)
        return rate(step)

    first.rate = signalled
    with pytest.raises(Interrupted) as stopped:
        first.fit()
    assert stopped.value.code == 128 + number
    assert run_at(tmp_path).checkpoints.steps()[-1] == STEPS + 2
    assert signal.getsignal(signal.SIGINT) is before
    trainer(tmp_path).fit()
    assert outcome(tmp_path) == uninterrupted


def test_a_signal_during_evaluation_saves_the_epoch_with_its_history(tmp_path, uninterrupted):
    first = trainer(tmp_path)
    evaluate = first.evaluate
    first.evaluate = lambda: (os.kill(os.getpid(), signal.SIGTERM), evaluate())[1]
    with pytest.raises(Interrupted):
        first.fit()
    assert [row["epoch"] for row in run_at(tmp_path).load_history()] == ["1"]
    trainer(tmp_path).fit()
    assert outcome(tmp_path) == uninterrupted


@pytest.mark.any_backend
def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_the_last_checkpoint(
    tmp_path, monkeypatch, uninterrupted
):
    first = trainer(tmp_path)
    run = first.steps.run

    def poisoned(loaded, rates):
        if first.state.step == STEPS + 2:
            first.steps.synchronize()
            first.model.get_layer("output").bias.assign(np.full(VOCAB, np.inf))
        run(loaded, rates)

    monkeypatch.setattr(first.steps, "run", poisoned)
    with pytest.raises(TrainingError, match=rf"the loss is nan at epoch 2, step {STEPS + 3}; the last good checkpoint"):
        first.fit()
    monkeypatch.undo()
    assert run_at(tmp_path).checkpoints.steps() == [STEPS]
    trainer(tmp_path).fit()
    assert outcome(tmp_path) == uninterrupted


def test_a_device_with_too_little_memory_is_named_and_the_last_checkpoint_kept(tmp_path, monkeypatch):
    first = trainer(tmp_path, batch_size=4)
    run = first.steps.run

    def exhausted(loaded, rates):
        if first.state.step == STEPS + 1:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes.")
        run(loaded, rates)

    monkeypatch.setattr(first.steps, "run", exhausted)
    with pytest.raises(TrainingError, match="too little memory for a step of --batch-size 4; a smaller one"):
        first.fit()
    assert run_at(tmp_path).checkpoints.steps() == [STEPS]


@pytest.mark.any_backend
@pytest.mark.parametrize("poisoned_step", [STEPS + 1, 2 * STEPS])
@pytest.mark.usefixtures("save_every_step")
def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, uninterrupted, poisoned_step):
    first = trainer(tmp_path)
    run = first.steps.run

    def poisoned(loaded, rates):
        run(loaded, rates)
        if first.state.step + 1 == poisoned_step:
            first.steps.synchronize()
            first.model.get_layer("output").kernel.assign(np.full((5, VOCAB), np.nan))

    monkeypatch.setattr(first.steps, "run", poisoned)
    with pytest.raises(TrainingError, match=f"the weight output/kernel is not finite at epoch 2, step {poisoned_step}"):
        first.fit()
    monkeypatch.undo()
    trainer(tmp_path).fit()
    assert outcome(tmp_path) == uninterrupted


def test_a_nan_score_stops_the_training(tmp_path):
    with pytest.raises(TrainingError, match="the development score is nan at epoch 1"):
        trainer(tmp_path, evaluate=lambda: Evaluation(metrics={}, score=math.nan)).fit()


# --- the schedule, the averages, the files -------------------------------------------------------------------------


def test_cosine_rate(tmp_path):
    rate = trainer(tmp_path, epochs=40, learning_rate=0.5, warmup_steps=10).rate
    total = 40 * STEPS
    assert rate(0) == pytest.approx(0.5 * 1 / 10)
    assert rate(total // 2) == pytest.approx(0.25)
    assert rate(total) == pytest.approx(0)
    assert rate(4) == pytest.approx(0.5 * 5 / 10 * (1 + math.cos(math.pi * 4 / total)) / 2)


def test_slanted_rate(tmp_path):
    rate = trainer(tmp_path, epochs=40, learning_rate=0.5, warmup_steps=10, schedule="slanted").rate
    total = 40 * STEPS
    assert rate(0) == pytest.approx(0.5 / 10)
    assert rate(total // 2) == pytest.approx(0.5 * (1 + 1 / 32) / 2)
    assert rate(total) == pytest.approx(0.5 / 32)


def test_plateau_halves_the_rate_and_patience_ends_the_training(tmp_path):
    scores = iter([1.0, 0.5, 2.0, 2.0, 1.5, 1.0])
    state = trainer(
        tmp_path,
        evaluate=lambda: Evaluation(metrics={}, score=next(scores)),
        epochs=9,
        learning_rate=0.08,
        warmup_steps=0,
        schedule="plateau",
        patience=2,
    ).fit()
    assert [row["learning_rate"] for row in state.history] == [0.08, 0.04, 0.04, 0.02, 0.01]
    assert (state.epoch, state.best_score, state.best_step, state.epochs_since_best) == (5, 2.0, 3 * STEPS, 2)


def test_the_loss_selects_while_the_score_is_not_informative(tmp_path):
    values = iter(
        [(0.0, 3.0, False), (9.0, 2.0, False), (4.0, 2.5, False), (5.0, 8.0, True), (6.0, 9.0, True), (7.0, 1.0, False)]
    )

    def evaluate() -> Evaluation:
        score, loss, is_informative = next(values)
        return Evaluation(metrics={}, score=score, loss=loss, is_informative=is_informative)

    trained = trainer(tmp_path, evaluate=evaluate, epochs=6)
    bests = []
    save = trained.run.save_weights
    trained.run.save_weights = lambda tensors: bests.append(trained.state.epoch) or save(tensors)
    state = trained.fit()
    assert bests == [0, 1, 3, 4]
    assert (state.best_score, state.best_step) == (6.0, 5 * STEPS)


def test_few_steps_shorten_warm_up_and_average(tmp_path, capsys):
    model = fresh(momentum=0.998)
    trained = trainer(tmp_path, model=model, epochs=4, warmup_steps=300, weight_average=0.998, learning_rate=0.5)
    total = 4 * STEPS
    assert trained.rate(0) == pytest.approx(0.5 / (total // 10))
    assert model.optimizer.ema_momentum == pytest.approx(1 - 10 / total)
    assert f"at most {total} steps: warm-up takes {total // 10} instead of 300" in capsys.readouterr().out


@pytest.mark.any_backend
def test_averaged_weights_are_set_and_restored_exactly(tmp_path, monkeypatch):
    model = fresh(momentum=0.75)
    kernel = model.get_layer("output").kernel
    history, evaluated = [], []

    def evaluate() -> Evaluation:
        evaluated.append(keras.ops.convert_to_numpy(kernel))
        return Evaluation(metrics={}, score=0.0)

    trained = trainer(tmp_path, model=model, evaluate=evaluate, epochs=2)
    run = trained.steps.run

    def watched(loaded, rates):
        run(loaded, rates)
        trained.steps.synchronize()
        history.append(keras.ops.convert_to_numpy(kernel))

    monkeypatch.setattr(trained.steps, "run", watched)
    trained.fit()
    average = history[0]
    averages = [average := 0.75 * average + 0.25 * value for value in history]
    np.testing.assert_allclose(evaluated, [averages[STEPS - 1], averages[2 * STEPS - 1]], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(
        run_at(tmp_path).load_weights()["output/kernel"], evaluated[0]
    )  # the first is the best

    kernel.assign(history[0])
    with averaged_weights(model):
        assert not np.array_equal(keras.ops.convert_to_numpy(kernel), history[0])
        model.predict_on_batch(batches()[0][0])  # on JAX, gives up the arrays of the weights
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), history[0])
    assert all(np.isfinite(keras.ops.convert_to_numpy(variable)).all() for variable in model.optimizer.variables)


def test_model_keras_loads_in_safe_mode_with_the_best_weights(tmp_path):
    model = tagger(recurrent=True)
    trainer(tmp_path, model=model, epochs=1).fit()
    loaded = keras.saving.load_model(run_at(tmp_path).path / "model.keras", safe_mode=True)
    inputs, _ = batches()[0]
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs))
    assert loaded.loss.label_smoothing == 0.1


@pytest.mark.any_backend
def test_perplexity_is_averaged_over_real_tokens(tmp_path, monkeypatch):
    """The perplexity of an epoch averages over its tokens, not over its batches."""
    trained, results = trainer(tmp_path, epochs=1), []
    read = trained.steps.read
    monkeypatch.setattr(trained.steps, "read", lambda: (results.extend(new := read()), new)[1])
    trained.fit()
    assert len(results) == STEPS
    nats, tokens = sum(result.nats * result.tokens for result in results), sum(result.tokens for result in results)
    assert tokens == sum(2 + i % 5 for i in range(EXAMPLES))
    with open(run_at(tmp_path).path / "history.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["perplexity"]) == pytest.approx(math.exp(nats / tokens), abs=1e-3)
    assert list(row) == ["epoch", "perplexity", "nats", "learning_rate", "minutes"]


def test_tensorboard_receives_each_epoch_or_an_error_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(TrainingError, match="--tensorboard needs the package tensorboard"):
        trainer(tmp_path, tensorboard=True)

    written = []

    class Writer:
        def __init__(self, folder):
            assert folder == str(run_at(tmp_path).path / "tensorboard")

        def add_scalar(self, tag, data, step):
            written.append((tag, step))

        def flush(self):
            written.append("flushed")

    monkeypatch.setitem(sys.modules, "tensorboard.summary", types.SimpleNamespace(Writer=Writer))
    trainer(tmp_path, tensorboard=True, epochs=2).fit()
    assert ("nats", 1) in written
    assert written[-2:] == [("minutes", 2), "flushed"]


# --- real kills ----------------------------------------------------------------------------------------------------


def train_in_child(root: Path, name: str) -> int:
    """Trains in a child process, forked before TensorFlow starts threads; returns its id."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            trainer(root, name, tagger(recurrent=True), epochs=2 * EPOCHS).fit()
            code = 0
        except SystemExit as stopped:
            code = int(str(stopped.code))
        finally:
            os._exit(code)
    return child


def reaped(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def newest(root: Path, name: str) -> int:
    return max(run_at(root, name).checkpoints.steps(), default=0)


def train_with_signals(numbers: Sequence[signal.Signals], root: Path, name: str) -> list[tuple[int, int]]:
    """Trains to the end while signals are sent at random moments; returns exit codes and last saved steps."""
    rng, log = random.Random(11), []
    training.CHECKPOINT_SECONDS = -1
    for number in numbers:
        before, child = newest(root, name), train_in_child(root, name)
        while newest(root, name) == before and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.001)
        time.sleep(0.04 * rng.random())  # a save takes about 10 ms and a step 5 ms
        os.kill(child, number)
        log.append((reaped(child), newest(root, name)))
    log.append((reaped(train_in_child(root, name)), newest(root, name)))
    return log


@pytest.mark.campaign
def test_kill_9_and_sigterm_at_random_moments_do_not_change_the_result(tmp_path):
    script = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.shared.test_training", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert script.returncode == 0, script.stderr
    log = json.loads(script.stdout.splitlines()[-1])
    expected = outcome(tmp_path, "whole")
    assert log["whole"] == [[0, 2 * EPOCHS * STEPS]]
    assert [code for code, _ in log["stopped"]] == [-signal.SIGKILL, 128 + signal.SIGTERM, 0]
    assert outcome(tmp_path, "stopped") == expected


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    whole = [(reaped(train_in_child(folder, "whole")), newest(folder, "whole"))]
    stopped = train_with_signals([signal.SIGKILL, signal.SIGTERM], folder, "stopped")
    print(json.dumps({"whole": whole, "stopped": stopped}), flush=True)
