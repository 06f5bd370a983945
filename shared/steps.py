"""Training steps of a compiled model: one call a step on TensorFlow, several steps a call on JAX.

The loop of `shared.training` runs steps and reads their results later, so that on an accelerator the next steps are
ready before the last ones are done. Between two reads the current weights are here, not in the variables of the model.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from shared import distribution
from shared.batching import Part

ops: Any = keras.ops  # Keras declares no result types for its operations

SIZES_TRIED = 8  # batches, from the longest to the shortest, that show which sizes vary
STEPS_PER_CALL = 10  # on an accelerator; a checkpoint falls between two calls
CALLS_AHEAD = 3  # calls that wait for an accelerator, with their batches


class Result(NamedTuple):
    """The result of a step."""

    loss: float
    nats: float  # per token, without penalties and label smoothing
    tokens: int  # of the targets, without padding


class Batches(Protocol):
    """The batches of a training: `BucketedBatches`, or others that are identified by epoch and index."""

    @property
    def epoch(self) -> int: ...
    @epoch.setter
    def epoch(self, epoch: int) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...
    def by_length(self) -> list[int]: ...  # the indices of the epoch's batches, shortest first
    def rate_scale(self, index: int) -> float: ...  # learning-rate factor of a batch
    def limit_sizes(self, run: int) -> None: ...  # from now on batches have one of a few sizes, in runs if possible
    def size(self, index: int) -> Any: ...  # of a batch: equal sizes, equal shapes

    part: Part  # the rows that this process makes
    multiple: int  # the number of rows of all parts together is a multiple of it

    @property
    def without_rows(self) -> tuple[str, ...]: ...  # names of inputs that have no rows


class Steps(Protocol):
    """The training steps of a model; see `steps_of`."""

    compilations: int  # so far
    seconds: float  # that they took

    def prepare(self, batches: Batches) -> None:
        """Called once, before the variables are restored: they may change here."""

    def count(self, batches: Batches, index: int) -> int:
        """The number of batches from `index` on that the next call takes; it depends on their sizes alone."""
        ...

    def load(self, batches: Sequence[Any]) -> Any:
        """The batches of a call where the device finds them; may run in another thread."""

    def run(self, loaded: Any, rates: Sequence[float]) -> None:
        """A step on each batch of a call, with these learning rates."""

    def read(self) -> list[Result]:
        """The results of all steps since the last read, in order; waits for them."""
        ...

    def synchronize(self) -> None:
        """Sets the model's variables to their current values."""


def steps_of(model: keras.Model) -> Steps:
    """The steps of a model that is compiled with a loss and the metric `nats_per_token`."""
    if keras.backend.backend() == "jax":
        return JAXSteps(model)
    return TensorFlowSteps(model)


def variables_of(model: keras.Model) -> dict[str, Any]:
    """All variables of a training step: weights, seed generators, optimizer slots and averages."""
    return {f"model/{i}": variable for i, variable in enumerate(model.variables)} | {
        f"optimizer/{i}": variable for i, variable in enumerate(model.optimizer.variables)
    }


class TensorFlowSteps:
    """One call of a compiled function a step."""

    def __init__(self, model: keras.Model):
        self.model, self.compilations, self.seconds = model, 0, 0.0
        self._step: Any = None
        self._results: list[Result] = []

    def prepare(self, batches: Batches) -> None:
        """Compiles one function for the sizes of all batches.

        A function for the sizes of one batch rounds differently; so a training that is resumed, and starts with another
        batch, would end with other bits. Runs before weights are restored, because the sizes of on-policy batches
        depend on them.
        """
        import tensorflow as tf

        variables, began = variables_of(self.model), time.monotonic()
        own = {name: ops.convert_to_numpy(variable) for name, variable in variables.items()}
        batches.epoch, by_length = 0, batches.by_length()
        count = min(SIZES_TRIED, len(by_length))
        tried = [batches[by_length[-1 - i * len(by_length) // count]] for i in range(count)]
        for name, variable in variables.items():
            variable.assign(own[name])  # on-policy batches draw seeds
        shapes = iter(map(_merged, *([x.shape for x in keras.tree.flatten(batch)] for batch in tried)))
        signature = keras.tree.map_structure(lambda x: tf.TensorSpec(next(shapes), x.dtype), tried[0])
        self._built(tried[0]).get_concrete_function(signature)
        self.compilations, self.seconds = 1, time.monotonic() - began

    def _built(self, batch: Any) -> Any:
        import tensorflow as tf

        if self._step is None:
            model: Any = self.model
            model._symbolic_build(data_batch=(*batch, None)[:3])  # creates the metrics
            self._step = tf.function(model.train_step, autograph=False, reduce_retracing=True)
        return self._step

    def count(self, batches: Batches, index: int) -> int:
        del batches, index
        return 1

    def load(self, batches: Sequence[Any]) -> Any:
        (batch,) = batches
        return batch

    def run(self, loaded: Any, rates: Sequence[float]) -> None:
        (self.model.optimizer.learning_rate,) = rates
        self.model.reset_metrics()
        logs = self._built(loaded)(loaded)
        tokens = int(np.count_nonzero(loaded[1]))
        self._results.append(Result(float(logs["loss"]), float(logs["nats_per_token"]), tokens))

    def read(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def synchronize(self) -> None:
        pass


def _merged(*shapes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The sizes that the shapes have in common; None where they differ."""
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))


class JAXSteps:
    """Steps whose state stays on the device; `steps_per_call` batches of one size are one call, any other is its own.

    A training compiles at most two functions for each size. Which batches form a call depends on the batches from its
    first one on, so a training that is resumed between two calls makes the same calls, and rounds in the same way.
    """

    def __init__(self, model: Any, steps_per_call: int | None = None):
        import jax

        self.model, self.compilations, self.seconds = model, 0, 0.0
        self.steps_per_call = steps_per_call or (1 if jax.default_backend() == "cpu" else STEPS_PER_CALL)
        optimizer = model.optimizer
        self._rate_index = next(i for i, x in enumerate(optimizer.variables) if x is optimizer.learning_rate)
        self._state: Any = None  # values of the trainable and other variables and of the optimizer's, while steps run
        self._results: list[Any] = []  # of calls, on the device
        self._without_rows: tuple[str, ...] = ()  # of the batches
        self._call: Callable | None = None
        self._compiled: set[Any] = set()  # the shapes of calls

    def prepare(self, batches: Batches) -> None:
        batches.limit_sizes(self.steps_per_call)
        batches.part, batches.multiple = Part(*distribution.part()), distribution.device_count()
        self._without_rows = batches.without_rows

    def count(self, batches: Batches, index: int) -> int:
        last = index + self.steps_per_call
        if last > len(batches) or len({batches.size(i) for i in range(index, last)}) > 1:
            return 1
        return self.steps_per_call

    def load(self, batches: Sequence[Any]) -> Any:
        stacked = keras.tree.map_structure(lambda *arrays: np.stack(arrays), *batches)
        return distribution.place(stacked, self._without_rows)

    def run(self, loaded: Any, rates: Sequence[float]) -> None:
        state = self._begin(loaded)
        if len(self._results) > CALLS_AHEAD:
            self._results[-CALLS_AHEAD - 1].loss.block_until_ready()
        shapes, began = tuple(x.shape for x in keras.tree.flatten(loaded)), time.monotonic()
        self._call = self._call or self._built()
        self._state, results = self._call(state, loaded, np.asarray(rates, np.float32))
        self._results.append(results)
        if shapes not in self._compiled:
            self._compiled.add(shapes)
            self.compilations, self.seconds = self.compilations + 1, self.seconds + time.monotonic() - began

    def _begin(self, loaded: Any) -> Any:
        """The state before a call."""
        if self._state is not None:
            return self._state
        import jax.numpy as jnp

        model: Any = self.model
        first: Any = keras.tree.map_structure(lambda x: x[0], loaded)
        model._symbolic_build(data_batch=(*first, None)[:3])  # creates the metrics
        model.reset_metrics()
        groups = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        # Copies, because a call reuses the memory of the state before it.
        return tuple([jnp.copy(variable.value) for variable in group] for group in groups)

    def _built(self) -> Callable:
        import jax

        model: Any = self.model
        metrics = [np.asarray(variable.value) for variable in model.metrics_variables]

        def step(state, at_step):
            batch, rate = at_step
            trainable, others, optimizer = state
            optimizer = [rate if i == self._rate_index else value for i, value in enumerate(optimizer)]
            logs, after = model.train_step((trainable, others, optimizer, metrics), batch)
            tokens = ops.count_nonzero(batch[1])
            return after[:3], Result(logs["loss"], logs["nats_per_token"], tokens)

        def steps(state, batches, rates):
            if len(rates) > 1:
                return jax.lax.scan(step, state, (batches, rates))
            state, result = step(state, keras.tree.map_structure(lambda x: x[0], (batches, rates)))
            return state, keras.tree.map_structure(lambda x: x[None], result)

        return jax.jit(steps, donate_argnums=0, out_shardings=distribution.replicated())

    def read(self) -> list[Result]:
        calls, self._results = self._results, []
        by_call = [zip(*(np.asarray(values) for values in results), strict=True) for results in calls]
        return [Result(float(loss), float(nats), int(tokens)) for call in by_call for loss, nats, tokens in call]

    def synchronize(self) -> None:
        if self._state is None:
            return
        model = self.model
        groups = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        state, self._state = self._state, None
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
