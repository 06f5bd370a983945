"""A model that is compiled once for batches of any size, or for a few sizes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from shared.packing import packed

map_structure = keras.tree.map_structure


class AnySize(keras.Model):
    """A model for inference; call `predict_on_batch` with NumPy arrays, which have the batch axis first.

    Keras compiles for the shapes of the first batch, and again when another shape arrives. On TensorFlow this class
    compiles once for all numbers of rows and all lengths, so `call` must not depend on them. JAX compiles for each
    shape, which takes seconds; so there a batch is padded to one of few:

        lengths   to those in `shortest`, or all of them times the same power of two
        rows      a single one stays alone; others are processed `max_rows`, divided by that power, at once, the last
                  row repeated to fill up

    The outputs have the batch's rows. Along other axes they may have padding, as in a batch with a longer sequence.

    Attributes:
        max_rows: a power of two.
        shortest: the least length of each input whose second axis is a length. Padding is 0; from this or from another
            input `call` knows what is real.
    """

    max_rows: int = 32
    shortest: ClassVar[Mapping[str, int]] = {}

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True  # its parts are
        self._functions = {}

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs of `call`, a nest of NumPy arrays, for an array or a dictionary of arrays, nests or scalars."""
        if keras.backend.backend() != "tensorflow":
            return self._predict_padded(x)
        return map_structure(lambda tensor: tensor.numpy(), self._traced(x)(x))

    def examples(self) -> Sequence[Any]:
        """Inputs of `predict_on_batch`, of several sizes, for which an export must have the same outputs."""
        raise NotImplementedError(f"{type(self).__name__} has no examples")

    def compiled_for(self, x: Any) -> Any:
        """The function of TensorFlow that is compiled for all sizes of inputs like these, and can be saved."""
        from shared.recurrent import operations_only

        with operations_only():
            return self._traced(x)

    def _traced(self, x: Any) -> Any:
        import tensorflow as tf

        from shared.recurrent import infers_in_machine_code
        from shared.recurrent.layers import uses_cudnn_of_keras

        kind = infers_in_machine_code(), uses_cudnn_of_keras()
        if kind not in self._functions:
            specs = self._map(lambda a, least: tf.TensorSpec(_unknown(a.shape, least), a.dtype), x)
            function = tf.function(lambda x: self(x, training=False), [specs], autograph=False)
            # `function` itself would warn of retracing across models.
            self._functions[kind] = function.get_concrete_function()
        return self._functions[kind]

    def batches(self, lengths: Sequence[int], max_size: int) -> Iterator[list[int]]:
        """Indices of sequences in batches of similar length, the shortest first, of at most `max_size` elements.

        The lengths are those of the first input in `shortest`. On JAX `max_rows` bounds the batches, not `max_size`.
        """
        if keras.backend.backend() == "tensorflow":
            yield from packed(lengths, max_size)
            return
        least, by_size = next(iter(self.shortest.values())), defaultdict(list)
        for index in np.argsort(lengths, kind="stable").tolist():
            by_size[_doublings(lengths[index], least)].append(index)
        for doublings, indices in by_size.items():
            rows, last = self._rows(doublings), max(1, len(indices) - 1)  # a row alone would be another shape
            for start in range(0, last, rows):
                yield indices[start : start + rows] if start + rows < last else indices[start:]

    def _predict_padded(self, x: Any) -> Any:
        sizes: list[int] = []
        self._map(lambda a, least: sizes.append(_doublings(a.shape[1], least)) if least else None, x)
        doublings = max(sizes, default=0)
        count = max(a.shape[0] for a in map(np.asarray, keras.tree.flatten(x)) if a.ndim)
        rows = self._rows(doublings) if count > 1 else 1

        def part(start: int) -> Any:
            indices = np.minimum(np.arange(start, start + rows), count - 1)

            def padded(a: np.ndarray, least: int) -> np.ndarray:
                if not a.ndim:
                    return a
                missing = (least << doublings) - a.shape[1] if least else 0
                return np.pad(a[indices], [(0, 0), (0, missing), *[(0, 0)] * (a.ndim - 2)][: a.ndim])

            # Not by Keras' method, which frees the memory of the variables' values; others may share it.
            groups = self.trainable_variables, self.non_trainable_variables
            values = [[variable.value for variable in group] for group in groups]
            outputs, states = self._compiled(*values, self._map(padded, x))
            for variable, state in zip(self._seed_states(), states, strict=True):
                variable.assign(state)
            return map_structure(np.asarray, outputs)

        if not hasattr(self, "_compiled"):
            import jax

            def call(*arguments: Any) -> Any:
                results: Any = self.stateless_call(*arguments)
                outputs, states = results
                seeds = {id(variable) for variable in self._seed_states()}
                others = zip(self.non_trainable_variables, states, strict=True)
                return outputs, [state for variable, state in others if id(variable) in seeds]

            self._compiled = jax.jit(call)
        parts = [part(start) for start in range(0, count, rows)]
        return map_structure(lambda *outputs: np.concatenate(outputs)[:count], *parts)

    def _seed_states(self) -> list[Any]:
        """The states of the generators that draw masks and samples; a call advances them."""
        return [variable for variable in self.non_trainable_variables if variable.path.endswith("seed_generator_state")]

    def _rows(self, doublings: int) -> int:
        return max(1, self.max_rows >> doublings)

    def _map(self, function: Callable[[np.ndarray, int], Any], x: Any) -> Any:
        """The inputs, each array replaced by `function(array, least)`; `least` is 0 for one without a length."""
        if not isinstance(x, Mapping):
            return map_structure(lambda a: function(np.asarray(a), 0), x)
        return {
            name: map_structure(lambda a, name=name: function(np.asarray(a), self.shortest.get(name, 0)), nest)
            for name, nest in x.items()
        }


def _unknown(shape: tuple[int, ...], has_length: int) -> list[int | None]:
    """The shape for TensorFlow's compilation."""
    count = min(len(shape), 2 if has_length else 1)
    return [*[None] * count, *shape[count:]]


def _doublings(length: int, least: int) -> int:
    """How often `least` must be doubled to reach a length."""
    return max(0, (length - 1) // least).bit_length()
