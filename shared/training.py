"""The training loop of every task: resumes anywhere, stops cleanly, keeps the best.

What happens between two steps is decided by the checkpointed state alone, so a run killed at any moment and started
again ends in the same weights, bit for bit, as one that was left alone (on the same machine).
"""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shared.averaging import AveragedSGD
from shared.errors import UserError
from shared.runs import Checkpoints, Run, RunError, Tensors

ops: Any = keras.ops  # Keras declares no result types for its operations

CHECKPOINT_SECONDS = 120  # a kill costs at most this much work
SCHEDULES = ("cosine", "plateau", "averaging")
STALLED = 5  # epochs that may pass without a better score before averaging begins
SIZES_TRIED = 8  # batches, from the longest to the shortest, that show which sizes vary


class TrainingError(UserError):
    """Training cannot go on: one line that says where it stopped and what is kept."""


class Batches(Protocol):
    """What a `Trainer` asks of its batches: `BucketedBatches`, or others that can be named by epoch and number."""

    @property
    def epoch(self) -> int: ...

    @epoch.setter
    def epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...

    def by_length(self) -> list[int]:
        """The numbers of the epoch's batches, shortest first."""
        ...

    def share(self, number: int) -> float:
        """What the rate of a batch is multiplied with."""
        ...


class Interrupted(SystemExit):
    """Ctrl-C or SIGTERM, raised after the checkpoint is saved; its code is the shell's for the signal."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a task says of its model on the development split."""

    metrics: dict[str, float]
    score: float  # higher is better; decides what is best, when the rate decays and when training stops
    samples: list[tuple[str, str]] = field(default_factory=list)  # (output, reference)


@dataclass(kw_only=True)
class State:
    """Where a training stands, apart from its tensors."""

    epoch: int = 0
    batch: int = 0  # of the epoch: the next one to train on
    step: int = 0  # batches since the beginning
    rate_factor: float = 1.0  # by plateau decay
    best_score: float | None = None
    best_step: int | None = None
    epochs_since_best: int = 0
    scores: list[float] = field(default_factory=list)  # of every epoch of this stage
    nats: float = 0.0  # summed over the tokens of this epoch
    tokens: int = 0
    seconds: float = 0.0  # trained so far, evaluation included
    history: list[dict[str, Any]] = field(default_factory=list)


# --- a model's variables as named tensors --------------------------------------------------------------------------


def model_weights(model: keras.Model) -> dict[str, Any]:
    """The weights by their path below the model, e.g. `lstm/lstm_cell/kernel`, the same in every process."""
    named = {weight.path.removeprefix(f"{model.name}/"): weight for weight in model.weights}
    if len(named) != len(model.weights):
        raise ValueError("two weights of the model share a path; name its layers")
    return named


def assign_weights(model: keras.Model, tensors: Tensors) -> None:
    """Sets the model's weights; RunError naming what does not fit."""
    weights = model_weights(model)
    misfits = sorted(weights.keys() ^ tensors.keys())
    if misfits:
        raise RunError(f"the weights do not fit the model: {misfits[0]} is in one of the two only")
    for name, weight in weights.items():
        if tuple(weight.shape) != tensors[name].shape:
            raise RunError(
                f"the weights do not fit the model: {name} has shape {tensors[name].shape}, not {tuple(weight.shape)}"
            )
        weight.assign(tensors[name])


def load_trained(run: Run, model: keras.Model) -> None:
    """Gives the model the run's weights; RunError, naming the run, when they do not fit."""
    try:
        assign_weights(model, run.load_weights())
    except RunError as error:
        raise RunError(f"{run.path}: {error}") from None


def _variables(model: keras.Model) -> dict[str, Any]:
    """Everything a training step reads or writes: weights, seed generators, optimizer slots and averages."""
    return {f"model/{i}": variable for i, variable in enumerate(model.variables)} | {
        f"optimizer/{i}": variable for i, variable in enumerate(model.optimizer.variables)
    }


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within the block the model carries the moving average of its weights, if its optimizer keeps one."""
    # Public Keras offers the swap only as a callback of `fit`.
    averages = model.optimizer._model_variables_moving_average if model.optimizer.use_ema else []
    pairs = list(zip(model.trainable_variables, averages, strict=True)) if averages else []
    own = [ops.convert_to_numpy(variable) for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(average)
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, own, strict=True):
            variable.assign(value)


def warmed_up(step: int, warmup_steps: int) -> float:
    """The share of the highest rate that a step may have: rising linearly over `warmup_steps`, then 1."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def cosine(step: int, steps: int) -> float:
    """The share of the highest rate that is left at a step: from 1 to 0 over `steps` (Loshchilov & Hutter 2017, 3)."""
    return (1 + math.cos(math.pi * step / steps)) / 2


# --- the loop ------------------------------------------------------------------------------------------------------


class Trainer:
    """Trains a compiled model and leaves checkpoints, history and the best weights in its run.

    Args:
        model: compiled with a loss and the metric `nats_per_token`, and built.
        batches: of (inputs, targets) or (inputs, targets, weights), targets being token ids with 0 for padding.
        run: where everything is kept.
        evaluate: measures the model on the development split, after each epoch, with averaged weights if any.
        epochs: at most so many.
        learning_rate: the highest; warmed up linearly over `warmup_steps`.
        schedule: `cosine` falls to zero over all epochs; `plateau` halves the rate after each epoch without a better
            development score; `averaging` keeps it, and has an `AveragedSGD` begin to average after an epoch with a
            score below the best of all but the last 5 (Merity et al. 2018, algorithm 1).
        patience: stop after so many epochs in a row without a better score.
        after: the end of an earlier stage of the same run, whose best this stage starts from and has to beat.
        kept: what of the model is to be kept as the run's weights; by default all.
        on_policy: batches are made by the model as it stands, so none is made ahead of its step.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        run: Run,
        evaluate: Callable[[], Evaluation],
        *,
        epochs: int,
        learning_rate: float,
        warmup_steps: int,
        schedule: str,
        patience: int,
        after: State | None = None,
        kept: keras.Model | None = None,
        on_policy: bool = False,
        tensorboard: bool = False,
    ):
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}. Received: {schedule!r}")
        self.kept = model if kept is None else kept
        self.model, self.batches, self.run, self.evaluate = model, batches, run, evaluate
        self.epochs, self.learning_rate, self.warmup_steps = epochs, learning_rate, warmup_steps
        self.schedule, self.patience = schedule, patience
        self.console = Console(highlight=False, markup=False, soft_wrap=True)
        self.writer = _summary_writer(run) if tensorboard else None
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)  # a checkpoint needs its slots before the first step
        self.on_policy = on_policy
        self.state = State()
        self.checkpoints = run.checkpoints
        if after is not None:
            self.state = State(best_score=after.best_score, history=list(after.history), seconds=after.seconds)
            self.checkpoints = Checkpoints(run.path / "checkpoints-2")
        self._signal: int | None = None
        self._saved_at = time.monotonic()

    def fit(self) -> State:
        """Trains to the end, resuming where the run stands; the run's weights are then the best on development.

        Raises:
            TrainingError: the loss or a weight is not finite, or the development score is not a number.
            Interrupted: by SIGINT or SIGTERM, after a checkpoint.
            RunError: the checkpoint does not fit the model, or another process trains this run.
        """
        with self.run.training():
            with self._signals_noted():
                self._restore()
                while not self._is_finished:
                    self._train_epoch()
                    self._close_epoch()
            if self._load_best():
                self.run.save_model(self.kept)
        return self.state

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        decay = cosine(step, self.epochs * len(self.batches)) if self.schedule == "cosine" else self.state.rate_factor
        return self.learning_rate * warmed_up(step, self.warmup_steps) * decay

    @property
    def _is_finished(self) -> bool:
        return self.state.epoch >= self.epochs or self.state.epochs_since_best >= self.patience

    def _load_best(self) -> bool:
        """Gives the model the best weights; they are those of a checkpoint, since a later stage may have bettered the
        run's. False if no epoch has ended yet."""
        if self.state.best_step is not None:
            tensors, _ = self.checkpoints.load(self.state.best_step)
            for name, variable in _variables(self.model).items():
                variable.assign(tensors[name])
            if self.model.optimizer.use_ema:
                self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        elif self.state.best_score is not None:
            assign_weights(self.kept, self.run.load_weights())  # the earlier stage's
        return self.state.best_score is not None

    def _compile_for_all_sizes(self) -> None:
        """Has the training step compiled in the same way whichever batch will be the first.

        TensorFlow compiles a function for the sizes that it meets first, and for any size once it has met others. The
        two round differently, so a resumed training, which meets another batch first, would end in other bits. It
        happens before weights are restored, since batches that the model makes differ with them in size.
        """
        variables = _variables(self.model)
        own = {name: ops.convert_to_numpy(variable) for name, variable in variables.items()}
        self.batches.epoch, by_length = 0, self.batches.by_length()
        met: list[tuple[int | None, ...]] = []
        for i in range(min(SIZES_TRIED, len(by_length))):
            batch = self.batches[by_length[-1 - i * len(by_length) // SIZES_TRIED]]
            shapes = [array.shape for array in keras.tree.flatten(batch)]
            varying = [_merged(*pair) for pair in zip(met or shapes, shapes, strict=True)]
            if varying != met:
                self.model.train_on_batch(*batch)
            met = varying
        for name, variable in variables.items():
            variable.assign(own[name])

    def _train_epoch(self) -> None:
        state = self.state
        self.batches.epoch = state.epoch
        began, before = time.monotonic(), state.tokens
        with self._progress() as show, ThreadPoolExecutor(1) as loader:
            ahead = loader.submit(self.batches.__getitem__, state.batch)
            while state.batch < len(self.batches):
                batch = ahead.result()
                following = state.batch + 1
                if following < len(self.batches) and not self.on_policy:
                    ahead = loader.submit(self.batches.__getitem__, following)
                self.model.optimizer.learning_rate = self.rate(state.step) * self.batches.share(state.batch)
                logs = self.model.train_on_batch(*batch, return_dict=True)
                if following < len(self.batches) and self.on_policy:
                    ahead = loader.submit(self.batches.__getitem__, following)
                if not math.isfinite(logs["loss"]):
                    raise self._stopped(f"the loss is {logs['loss']}", state.step + 1)
                tokens = int(np.count_nonzero(batch[1]))
                state.nats += float(logs["nats_per_token"]) * tokens
                state.tokens += tokens
                state.batch += 1
                state.step += 1
                elapsed = time.monotonic() - began
                show(state.batch, f"{(state.tokens - before) / elapsed:,.0f} tokens/s")
                if self._signal or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS:
                    self._save(elapsed)
                    began, before = time.monotonic(), state.tokens
        state.seconds += time.monotonic() - began

    def _require_finite_weights(self) -> None:
        """A step may ruin the weights and the loss tell of it one step later: too late for a checkpoint in between."""
        for name, weight in model_weights(self.model).items():
            if weight.trainable and not np.isfinite(ops.convert_to_numpy(weight)).all():
                raise self._stopped(f"the weight {name} is not finite", self.state.step)

    def _stopped(self, reason: str, step: int) -> TrainingError:
        return TrainingError(
            f"{reason} at epoch {self.state.epoch + 1}, step {step}; the last good checkpoint is kept in "
            f"{self.checkpoints.folder}; a lower learning rate may help"
        )

    def _close_epoch(self) -> None:
        """Evaluates, remembers the best, decides the next rate, and writes it all down; the checkpoint comes last."""
        self._require_finite_weights()
        if self._signal:
            self._save(0)  # evaluation may take longer than the sender of the signal waits
        state, began = self.state, time.monotonic()
        perplexity = math.exp(min(state.nats / max(1, state.tokens), 50))
        with averaged_weights(self.model):
            evaluation = self.evaluate()
            if math.isnan(evaluation.score):
                raise self._stopped("the development score is nan", state.step)
            better = state.best_score is None or evaluation.score > state.best_score
            if better:
                weights = model_weights(self.kept)
                self.run.save_weights({name: ops.convert_to_numpy(weight) for name, weight in weights.items()})
        if better:
            state.best_score, state.best_step, state.epochs_since_best = float(evaluation.score), state.step, 0
        else:
            state.epochs_since_best += 1
            if self.schedule == "plateau":
                state.rate_factor /= 2
        state.scores.append(float(evaluation.score))
        earlier = state.scores[: -STALLED - 1]
        if self.schedule == "averaging" and earlier and evaluation.score < max(earlier):
            optimizer: AveragedSGD = self.model.optimizer
            optimizer.begin_averaging()
        seconds = time.monotonic() - began
        row = {
            "epoch": len(state.history) + 1,
            "perplexity": round(perplexity, 3),
            **{name: round(float(value), 4) for name, value in evaluation.metrics.items()},
            "learning_rate": self.rate(state.step),
            "minutes": round((state.seconds + seconds) / 60, 2),
        }
        state.history.append(row)
        state.epoch, state.batch, state.nats, state.tokens = state.epoch + 1, 0, 0.0, 0
        self._report(row, evaluation, better)
        self.run.save_history(state.history)
        self._save(seconds)

    def _report(self, row: dict[str, Any], evaluation: Evaluation, better: bool) -> None:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        last = len(self.state.history) - self.state.epoch + self.epochs
        self.console.print(f"epoch {row['epoch']}/{last}  {numbers}{'  *' if better else ''}")
        for output, reference in evaluation.samples:
            self.console.print(f"    {output}\n      ~ {reference}")
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name, value, row["epoch"])
            self.writer.flush()

    def _save(self, seconds: float) -> None:
        """Writes a checkpoint; after a signal, leaves."""
        self._require_finite_weights()
        self.state.seconds += seconds
        tensors = {name: ops.convert_to_numpy(value) for name, value in _variables(self.model).items()}
        self.checkpoints.save(self.state.step, tensors, asdict(self.state), self.state.best_step)
        self._saved_at = time.monotonic()
        if self._signal:
            self.console.print(f"saved at step {self.state.step}; the same command resumes")
            raise Interrupted(128 + self._signal)

    def _restore(self) -> None:
        """Goes on from the newest checkpoint, if there is one, with the training step compiled."""
        variables, tensors = _variables(self.model), {}
        found = self.checkpoints.latest(self.console.print)
        if found is not None:
            tensors, saved = found
            shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
            found_shapes = {name: tensor.shape for name, tensor in tensors.items()}
            if found_shapes != shapes or asdict(self.state).keys() - saved.keys():
                raise RunError(
                    f"{self.run.path}: its checkpoint is of another model or version; choose another --run name"
                )
            self.state = State(**{name: saved[name] for name in asdict(self.state)})
        if not self._is_finished:
            if found is not None:
                self.console.print(f"resuming {self.run.path} at epoch {self.state.epoch + 1}, step {self.state.step}")
            self._compile_for_all_sizes()
        for name, tensor in tensors.items():
            variables[name].assign(tensor)

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """A first Ctrl-C or SIGTERM is noted and acted on between two steps; a second one ends the process at once."""

        def note(number, _frame):
            self._signal = number
            signal.signal(number, before[number])
            with suppress(OSError):  # `print` is not safe inside a handler
                os.write(2, b"\nsaving, then leaving; once more leaves at once\n")

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[int, str], None]]:
        columns = TextColumn("epoch {task.description}"), BarColumn(), TextColumn("{task.fields[speed]}")
        with Progress(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, disable=not self.console.is_terminal
        ) as bar:
            task = bar.add_task(str(self.state.epoch + 1), total=len(self.batches), speed="")
            yield lambda done, speed: bar.update(task, completed=done, speed=speed)


def _merged(*shapes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """What the shapes have in common, None where they differ."""
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))


def _summary_writer(run: Run):
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise TrainingError("--tensorboard needs the package tensorboard: pip install '.[tensorboard]'") from None
    return Writer(str(run.path / "tensorboard"))
