"""The training loop of every task: resumes at any step, stops cleanly, keeps the best weights.

What happens before the first step depends only on the seed (`training_run`), and what happens between two steps only on
the checkpointed state. So a run that is killed at any moment and started again ends with the same weights, bit for bit,
as an uninterrupted one (on the same machine), whether a training prepares its corpus or finds it prepared.
"""

import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shared import distribution, runs
from shared.bounds import MAX_PARAMETERS
from shared.errors import UserError, shortened
from shared.loaded import Loaded
from shared.recipe import Recipe
from shared.recurrent import inference_in_machine_code
from shared.runs import Run, RunError, Tensors, TensorSpec
from shared.steps import Batches, steps_of, variables_of

ops: Any = keras.ops  # Keras declares no result types for its operations

CHECKPOINT_SECONDS = 120  # a kill costs at most this much work
STALLED = 5  # epochs without a better score before averaging begins
UNINFORMATIVE = 1e6  # by which the rank of an epoch with an uninformative score is below that of others
RESULTS_SECONDS = 1  # at most, between two reads of the results of steps


class TrainingError(UserError):
    """Training cannot continue; the message says where it stopped and what is kept."""


class _Console(Console):
    """A console that leaves a closed pipe to the command."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that is being handled


class Interrupted(SystemExit):
    """Ctrl-C or SIGTERM, raised after the checkpoint is saved; its code is the shell's for the signal."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation on the development split."""

    metrics: dict[str, float]
    score: float  # higher is better
    samples: list[tuple[str, str]] = field(default_factory=list)  # (output, reference)
    loss: float | None = None  # of the development split; it also ranks weak models
    is_informative: bool = True  # whether the score ranks it too; BLEU of weak models or few sentences is chance

    @property
    def rank(self) -> float:
        """Higher is better; selects the best weights, decays the rate, stops training.

        The score, if it is informative; else minus the loss, below every informative score.
        """
        return self.score if self.is_informative or self.loss is None else -self.loss - UNINFORMATIVE


def agreed_rank(evaluation: Evaluation) -> float:
    """The rank that process 0 has found; others may round differently."""
    return float(distribution.of_first([np.array(evaluation.rank)])[0])


@dataclass(kw_only=True)
class State:
    """The state of a training, apart from its tensors."""

    epoch: int = 0
    batch: int = 0  # index of the epoch's next batch
    step: int = 0  # batches since the beginning
    rate_factor: float = 1.0  # by plateau decay
    best_score: float | None = None  # the highest rank of an evaluation
    best_step: int | None = None
    epochs_since_best: int = 0
    scores: list[float] = field(default_factory=list)  # ranks of all epochs of this stage
    nats: float = 0.0  # summed over the tokens of this epoch
    tokens: int = 0
    seconds: float = 0.0  # trained so far, evaluation included
    history: list[dict[str, Any]] = field(default_factory=list)


ModelType = TypeVar("ModelType")


class OtherRun(NamedTuple):
    """A run that a training starts from, or imitates."""

    run: Run
    loaded: Loaded[Any, Any, Any]
    terms: str  # of its data, which hold for all that is trained from it


def load_initial(
    task: str,
    name: str,
    config: Recipe,
    find_run: Callable[[str], Run],
    load_model: Callable[[Run], Loaded[Any, Any, Any]],
    terms: Callable[[Run], str],
) -> OtherRun | None:
    """The run that `config.initial_run` names; None if it names none.

    Args:
        task, name: of the run that is trained.
        config: its configuration.
        find_run, load_model, terms: the task's functions.

    Raises:
        UserError: there is no such run of this task, its files are damaged, it differs from `config` in a field that
            decides weights or vocabulary, or it is the run that is trained.
    """
    if not config.initial_run:
        return None
    run = find_run(config.initial_run)
    check_is_other(run, task, name, "--from")
    config.check_inherited(run.read_config(type(config)))
    return OtherRun(run, load_model(run), terms(run))


def check_is_other(run: Run, task: str, name: str, option: str) -> None:
    """Raises RunError if `run`, which an option names, is the run of that task and name, which is trained."""
    if (runs.ROOT / task / name).resolve() == run.path.resolve():
        raise RunError(
            f"run {run.path} is the one that {option} names, and is not written to; choose another --run name"
        )


@contextmanager
def training_run(
    task: str,
    name: str,
    config: Recipe,
    data: Mapping[str, str],
    initial: OtherRun | None = None,
    teachers: Sequence[OtherRun] = (),
) -> Iterator[Run]:
    """Creates the run of a training, or opens it to resume; within the block it is locked and its seed is set.

    What is prepared once and then cached, such as a corpus, belongs before the block: it may use global random numbers,
    and the block starts from the seed whether it did or not.

    Args:
        task, name: the run's.
        config: the task's `Recipe`; models that are built within the block have its precision.
        data: the fingerprint of each corpus, by its name.
        initial: the run that the training starts from.
        teachers: the runs that it imitates.

    Raises:
        RunError: as `Run.create`; another process trains this run; or it is the one that the training starts from.
        UserError: the devices cannot have equal parts of a batch, or the processes of this training have other
            arguments or data.
    """
    distribution.check_batch_size(config.batch_size)
    before = keras.config.dtype_policy()
    with distribution.folder_of_runs() as folder:
        arguments = {option: str(value) for option, value in asdict(config).items()}
        data = {**data, "begin": initial.run.weights_fingerprint} if initial else dict(data)
        data |= {f"teacher {teacher.run.name}": teacher.run.weights_fingerprint for teacher in teachers}
        terms = "\n\n".join(dict.fromkeys(other.terms for other in (*([initial] if initial else []), *teachers)))
        distribution.check_agreement({"run": f"{task}/{name}", **arguments, **data})
        run = Run.create(task, name, config, data, folder, terms or None)
        with run.training():
            distribution.share_files(run.path)
            keras.utils.set_random_seed(config.seed)
            keras.config.set_dtype_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[config.precision])
            try:
                yield run
            finally:
                keras.config.set_dtype_policy(before)


def model_weights(model: keras.Model) -> dict[str, Any]:
    """The weights by their path below the model, e.g. `lstm/lstm_cell/kernel`, the same in every process."""
    named = {weight.path.removeprefix(f"{model.name}/"): weight for weight in model.weights}
    if len(named) != len(model.weights):
        raise ValueError("two weights of the model have the same path; name its layers")
    return named


def weights_as_arrays(model: keras.Model) -> Tensors:
    """The weights by their path, as NumPy arrays."""
    return {name: ops.convert_to_numpy(weight) for name, weight in model_weights(model).items()}


def assign_weights(model: keras.Model, tensors: Tensors) -> None:
    """Sets the model's weights; raises RunError naming a weight that does not fit."""
    weights = model_weights(model)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    _check_fit(shapes, {name: tensor.shape for name, tensor in tensors.items()})
    for name, weight in weights.items():
        weight.assign(tensors[name])


def _check_fit(expected: Mapping[str, tuple[int, ...]], received: Mapping[str, tuple[int, ...]]) -> None:
    """Raises RunError naming a weight whose shape is another than that of the model."""
    misfits = sorted(expected.keys() ^ received.keys())
    if misfits:
        raise RunError(f"the weights do not fit the model: {shortened(misfits[0])} is in one of the two only")
    for name, shape in expected.items():
        if received[name] != shape:
            found = shortened(str(received[name]))
            raise RunError(f"the weights do not fit the model: {name} has shape {found}, not {shape}")


KerasModel = TypeVar("KerasModel", bound=keras.Model)


def shapes_of(build: Callable[[], keras.Model]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of the model that `build` makes; nothing is allocated for them.

    Keras keeps a list of uninitialized variables for each thread, and initializes them at the end of the thread's next
    scope. The list of a thread of its own ends with it.
    """

    def shapes() -> dict[str, tuple[int, ...]]:
        with keras.StatelessScope(initialize_variables=False):
            return {name: tuple(weight.shape) for name, weight in model_weights(build()).items()}

    state = random.getstate()  # initial weights draw their seeds from it
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(shapes).result()
    random.setstate(state)
    return found


def build_bounded(build: Callable[[], KerasModel]) -> KerasModel:
    """The model that `build` makes; raises UserError instead if it would have more than `MAX_PARAMETERS`."""
    count = sum(map(math.prod, shapes_of(build).values()))
    if count > MAX_PARAMETERS:
        raise UserError(f"the model would have {count:,} parameters; at most {MAX_PARAMETERS:,} were expected")
    return build()


def build_trained(run: Run, build: Callable[[], KerasModel]) -> KerasModel:
    """The model that `build` makes, with the weights of a run; raises RunError if they do not fit.

    Shapes and types are compared before the model or the weights take memory.
    """
    specs = run.weight_specs()
    try:
        _check_fit(shapes_of(build), {name: spec.shape for name, spec in specs.items()})
        check_types(specs)
    except UserError as error:
        raise RunError(f"{run.path}: {error}") from None
    model = build()
    load_trained(run, model)
    return model


def check_types(specs: Mapping[str, TensorSpec]) -> None:
    """Raises RunError naming a weight that is not a floating-point number of 16 or 32 bits."""
    for name, spec in specs.items():
        if spec.dtype not in ("F16", "F32"):
            raise RunError(f"{name} has the type {shortened(spec.dtype)}; F16 or F32 was expected")


def load_trained(run: Run, model: keras.Model) -> None:
    """Sets the model's weights to those of the run; raises RunError naming the run when they do not fit."""
    tensors = run.load_weights()
    try:
        assign_weights(model, tensors)
    except RunError as error:
        raise RunError(f"{run.path}: {error}") from None


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within the block the model has the moving average of its weights, if its optimizer keeps one."""
    # The public API of Keras swaps them only in a callback of `fit`.
    averages = model.optimizer._model_variables_moving_average if model.optimizer.use_ema else []
    pairs = list(zip(model.trainable_variables, averages, strict=True)) if averages else []
    own = [ops.convert_to_numpy(variable) for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(ops.copy(average))  # JAX shares the value otherwise, and Keras' `predict_on_batch` frees it
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, own, strict=True):
            variable.assign(value)


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Learning-rate factor of linear warm-up: rises to 1 over `warmup_steps`."""
    return min(1.0, (step + 1) / max(1, warmup_steps))


def cosine_factor(step: int, steps: int) -> float:
    """Learning-rate factor of cosine decay: from 1 to 0 over `steps` (Loshchilov & Hutter 2017, section 3)."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def slanted_factor(step: int, steps: int) -> float:
    """Learning-rate factor of linear decay: from 1 to 1/32 over `steps` (Howard & Ruder 2018, section 3.2)."""
    return 1 - (1 - 1 / 32) * step / steps


class Trainer:
    """Trains a compiled model; writes checkpoints, history and the best weights into its run.

    Args:
        model: built, compiled with a loss and the metric `nats_per_token`.
        batches: (inputs, targets) or (inputs, targets, weights); targets are token ids, 0 for padding.
        evaluate: measures the model on the development split after each epoch, with averaged weights if there are any.
        model_to_save: the part of the model whose weights are the run's; default: the model.
        previous_stage: the final state of an earlier stage of the run; this stage starts from its best weights and
            replaces them only by better ones.
        on_policy: the current model makes its batches, so none is prepared ahead of its step.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        run: Run,
        evaluate: Callable[[], Evaluation],
        recipe: Recipe,
        *,
        model_to_save: keras.Model | None = None,
        previous_stage: State | None = None,
        on_policy: bool = False,
        tensorboard: bool = False,
    ):
        self.model_to_save = model if model_to_save is None else model_to_save
        self.model, self.batches, self.run, self.evaluate = model, batches, run, evaluate
        self.recipe = recipe.fitted(recipe.epochs * len(batches))
        if recipe.weight_average:
            model.optimizer.ema_momentum = self.recipe.weight_average
        self.console = _Console(highlight=False, markup=False, soft_wrap=True)
        self.writer = _summary_writer(run) if tensorboard else None
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)  # a checkpoint needs its slots before the first step
        self.steps = steps_of(model)
        self.on_policy, self.state, self.checkpoints = on_policy, State(), run.checkpoints
        if previous_stage is not None:
            before = previous_stage
            self.state = State(best_score=before.best_score, history=list(before.history), seconds=before.seconds)
            self.checkpoints = run.later_checkpoints
        self._received = self._signal = 0  # a signal in this process; and in any one, as all have agreed
        self._compilations = 0  # that were reported
        self._saved_at = time.monotonic()
        self._report_shortened(recipe)

    def fit(self) -> State:
        """Trains to the end, from the run's last checkpoint if there is one; then loads the best weights.

        Raises TrainingError if the loss or a weight is not finite, the score is NaN, or the device has too little
        memory; Interrupted after SIGINT or SIGTERM; RunError if the checkpoint does not fit the model or another
        process trains this run.
        """
        with self.run.training():
            with self._signals_noted(), inference_in_machine_code():
                self._restore()
                while not self._is_finished:
                    with self._lack_of_memory_named():
                        self._train_epoch()
                    self._close_epoch()
            if self._load_best():
                self.run.save_model(self.model_to_save)
        return self.state

    def _report_shortened(self, recipe: Recipe) -> None:
        """States what differs from the configuration, because the steps are few."""
        changes = []
        if self.recipe.warmup_steps < recipe.warmup_steps:
            changes.append(f"warm-up takes {self.recipe.warmup_steps:,} instead of {recipe.warmup_steps:,}")
        if self.recipe.weight_average < recipe.weight_average:
            changes.append(f"weight_average is {self.recipe.weight_average:.4g} instead of {recipe.weight_average:.4g}")
        if changes:
            steps = recipe.epochs * len(self.batches)
            self.console.print(f"the training has at most {steps:,} steps: {', '.join(changes)}")

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        recipe, decay = self.recipe, self.state.rate_factor
        if recipe.schedule == "cosine":
            decay = cosine_factor(step, recipe.epochs * len(self.batches))
        elif recipe.schedule == "slanted":
            decay = slanted_factor(step, recipe.epochs * len(self.batches))
        return recipe.learning_rate * warmup_factor(step, recipe.warmup_steps) * decay

    @property
    def _is_finished(self) -> bool:
        return self.state.epoch >= self.recipe.epochs or self.state.epochs_since_best >= self.recipe.patience

    def _load_best(self) -> bool:
        """Sets the model to the best weights; False if no epoch has ended yet.

        They are read from a checkpoint, because a later stage may have replaced the run's weights.
        """
        if self.state.best_step is not None:
            tensors, _ = self.checkpoints.load(self.state.best_step)
            for name, variable in variables_of(self.model).items():
                variable.assign(tensors[name])
            if self.model.optimizer.use_ema:
                self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        elif self.state.best_score is not None:
            assign_weights(self.model_to_save, self.run.load_weights())  # of the previous stage
        return self.state.best_score is not None

    def _train_epoch(self) -> None:
        state = self.state
        self.batches.epoch = state.epoch
        began, before = time.monotonic(), state.tokens
        with self._progress() as show, ThreadPoolExecutor(1) as loader:
            upcoming = loader.submit(self._load, state.batch)
            read_at = time.monotonic()
            while state.batch < len(self.batches):
                count, loaded = upcoming.result()
                indices, following = range(state.batch, state.batch + count), state.batch + count
                if following < len(self.batches) and not self.on_policy:
                    upcoming = loader.submit(self._load, following)
                rates = [self.rate(state.step + i) * self.batches.rate_scale(index) for i, index in enumerate(indices)]
                self.steps.run(loaded, rates)
                state.batch, state.step = following, state.step + count
                is_due = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
                is_read = self.on_policy or time.monotonic() - read_at > RESULTS_SECONDS
                self._signal, is_due, is_read = distribution.largest(self._received, is_due, is_read)
                if self._signal or is_due or is_read:
                    self._read()
                    read_at = time.monotonic()
                    show(state.batch, f"{(state.tokens - before) / (read_at - began):,.0f} tokens/s")
                if following < len(self.batches) and self.on_policy:
                    self.steps.synchronize()
                    upcoming = loader.submit(self._load, following)
                if self._signal or is_due:
                    self._save(time.monotonic() - began)
                    began, before = time.monotonic(), state.tokens
            self._read()
            self.steps.synchronize()
        state.seconds += time.monotonic() - began

    def _load(self, index: int) -> tuple[int, Any]:
        """The batches of the call that begins with a batch: their number, and themselves on the device."""
        count = self.steps.count(self.batches, index)
        return count, self.steps.load([self.batches[i] for i in range(index, index + count)])

    def _read(self) -> None:
        """Adds the results of the latest steps to the state; raises TrainingError for a loss that is not finite."""
        results = self.steps.read()
        for i, result in enumerate(results):
            if not math.isfinite(result.loss):
                raise self._stopped(f"the loss is {result.loss}", self.state.step - len(results) + i + 1)
            self.state.nats += result.nats * result.tokens
            self.state.tokens += result.tokens

    @contextmanager
    def _lack_of_memory_named(self) -> Iterator[None]:
        """Within the block, a device without enough memory for a step raises TrainingError."""
        try:
            yield
        except Exception as error:  # of JAX a RuntimeError; of TensorFlow one of its own
            if "RESOURCE_EXHAUSTED" not in str(error) and "ResourceExhausted" not in type(error).__name__:
                raise
            raise TrainingError(
                f"the device has too little memory for a step of --batch-size {self.recipe.batch_size}; a smaller one"
                f" was expected, under another --run name; the last checkpoint is kept in {self.checkpoints.folder}"
            ) from None

    def _require_finite_weights(self) -> None:
        """Raises TrainingError for a weight that is not finite; the loss would show it only one step later."""
        for name, weight in model_weights(self.model).items():
            if weight.trainable and not np.isfinite(ops.convert_to_numpy(weight)).all():
                raise self._stopped(f"the weight {name} is not finite", self.state.step)

    def _stopped(self, reason: str, step: int) -> TrainingError:
        return TrainingError(
            f"{reason} at epoch {self.state.epoch + 1}, step {step}; the last good checkpoint is kept in "
            f"{self.checkpoints.folder}; a lower learning rate may help"
        )

    def _close_epoch(self) -> None:
        """Evaluates, saves the best weights, decays the rate and writes the history; the checkpoint comes last."""
        self._require_finite_weights()
        (self._signal,) = distribution.largest(self._received)
        if self._signal:
            self._save(0)  # evaluation may take longer than the sender of the signal waits
        state, began = self.state, time.monotonic()
        perplexity = math.exp(min(state.nats / max(1, state.tokens), 50))
        with averaged_weights(self.model):
            evaluation = self.evaluate()
            rank = agreed_rank(evaluation)
            if math.isnan(rank):
                raise self._stopped("the development score is nan", state.step)
            better = state.best_score is None or rank > state.best_score
            if better:
                self.run.save_weights(weights_as_arrays(self.model_to_save))
        if better:
            state.best_score, state.best_step, state.epochs_since_best = rank, state.step, 0
        else:
            state.epochs_since_best += 1
            if self.recipe.schedule == "plateau":
                state.rate_factor /= 2
        state.scores.append(rank)
        earlier = state.scores[: -STALLED - 1]
        if self.recipe.schedule == "averaging" and earlier and rank < max(earlier):
            self.model.optimizer.begin_averaging()  # of `AveragedSGD`
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
        if self.steps.compilations > self._compilations:
            self._compilations = self.steps.compilations
            kinds = "1 training step" if self._compilations == 1 else f"{self._compilations} training steps"
            self.console.print(f"    {kinds} compiled in {self.steps.seconds:.0f} s")
        self.run.save_history(state.history)
        (self._signal,) = distribution.largest(self._received)
        self._save(seconds)

    def _report(self, row: dict[str, Any], evaluation: Evaluation, better: bool) -> None:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        last = len(self.state.history) - self.state.epoch + self.recipe.epochs
        self.console.print(f"epoch {row['epoch']}/{last}  {numbers}{'  *' if better else ''}")
        for output, reference in evaluation.samples:
            self.console.print(f"    {output}\n      ~ {reference}")
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name, value, row["epoch"])
            self.writer.flush()

    def _save(self, seconds: float) -> None:
        """Writes a checkpoint; after a signal, raises Interrupted."""
        self.steps.synchronize()
        self._require_finite_weights()
        self.state.seconds += seconds
        tensors = {name: ops.convert_to_numpy(value) for name, value in variables_of(self.model).items()}
        self.checkpoints.save(self.state.step, tensors, asdict(self.state), self.state.best_step)
        self._saved_at = time.monotonic()
        if self._signal:
            self.console.print(f"saved at step {self.state.step}; the same command resumes")
            distribution.end_together()
            raise Interrupted(128 + self._signal)

    def _restore(self) -> None:
        """Prepares the training step and loads the newest checkpoint, if there is one."""
        variables, tensors = variables_of(self.model), {}
        found = self.checkpoints.latest(self.console.print)
        if found is not None:
            tensors, saved = found
            shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
            saved_shapes = {name: tensor.shape for name, tensor in tensors.items()}
            if saved_shapes != shapes or asdict(self.state).keys() - saved.keys():
                problem = "its checkpoint is of another model or version; choose another --run name"
                raise RunError(f"{self.run.path}: {problem}")
            self.state = State(**{name: saved[name] for name in asdict(self.state)})
        if not self._is_finished:
            if found is not None:
                self.console.print(f"resuming {self.run.path} at epoch {self.state.epoch + 1}, step {self.state.step}")
            self.steps.prepare(self.batches)
        for name, variable in variables.items() if tensors else ():
            variable.assign(tensors[name])  # in one order in all processes, which compare the values

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM takes effect between two steps; a second one ends the process at once."""

        def note(number, _frame):
            self._received = number
            signal.signal(number, before[number])
            with suppress(OSError):  # `print` is not safe inside a handler
                os.write(2, b"\nsaving, then exiting; once more exits at once\n")

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


def _summary_writer(run: Run):
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise TrainingError("--tensorboard needs the package tensorboard: pip install -e '.[tensorboard]'") from None
    return Writer(str(run.path / "tensorboard"))
