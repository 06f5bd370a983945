"""Adaptive evaluation of a trained model on a new text; the settings are chosen on the development split.

    temperature   p(w) = softmax(logits / T), one T for all tokens
    cache         p(w) = (1 - share) p_model(w) + share p_cache(w): words recur, most often where the model was in a
                  similar state before (Grave et al. 2017, "Improving neural language models with a continuous cache")
    dynamic       after each segment a step of gradient descent on it, and decay to the trained weights (Krause et al.
                  2018, "Dynamic evaluation of neural sequence models")

A cache and dynamic evaluation go together: the cache then has the states of the model as it learns. Every token is
predicted before it is used for adaptation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from shared.gathering import take_each
from shared.losses import mean_nats
from shared.vocabulary import Vocabulary
from tasks.language_model.config import Config
from tasks.language_model.data import StreamBatches
from tasks.language_model.model import LanguageModel, OutputReader, StreamReader, build_model, read_stream

ops: Any = keras.ops  # Keras declares no result types for its operations

READ, SCORED = 200, 500  # tokens per call, large enough that the overhead of a call does not matter


def read_outputs(model: LanguageModel, stream: np.ndarray, start_id: int) -> np.ndarray:
    """The inputs of the softmax for each token of a stream, `(tokens, units)`.

    The stream is read as one row: a model that was trained without state resets adapts slowly to a zero state in the
    middle of a text.
    """
    return read_stream(OutputReader(model, 1), StreamBatches(stream, 1, READ, start_id))[0]


def token_nats(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """-log p of each target, `(tokens,)`, from the result of `read_outputs`."""
    parts = [
        ops.sparse_categorical_crossentropy(part_targets, logits / temperature, from_logits=True)
        for logits, part_targets in _logits(model, outputs, targets)
    ]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def stream_nats(model: LanguageModel, stream: np.ndarray, start_id: int) -> np.ndarray:
    """-log p of each token of a stream, `(tokens,)`: the two functions above in one, with little memory."""
    return read_stream(StreamReader(model, 1), StreamBatches(stream, 1, READ, start_id))[0]


def _logits(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield logits `(tokens, vocab)` and targets `(tokens,)` of `SCORED` tokens."""
    for first in range(0, len(targets), SCORED):
        part = slice(first, first + SCORED)
        yield ops.cast(model.logits(outputs[part]), "float32"), targets[part]


# --- temperature ---------------------------------------------------------------------------------------------------

NEWTON_STEPS = 5


def fit_temperature(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature between 0.1 and 10 that maximizes the likelihood of the targets.

    With b = 1/T the cost logsumexp(b z) - b z_target is convex in b. Its derivative is the mean of the logits under the
    softmax minus the target's logit, its second derivative their variance, so Newton's method converges in a few steps.
    """
    inverse = 1.0
    for _ in range(NEWTON_STEPS):
        slope = curvature = 0.0
        for logits, part_targets in _logits(model, outputs, targets):
            probabilities = ops.softmax(inverse * logits)
            mean = ops.sum(probabilities * logits, axis=-1)
            variance = ops.sum(probabilities * ops.square(logits - mean[:, None]), axis=-1)
            target_logits = take_each(logits, part_targets)
            slope += float(ops.sum(mean - target_logits))
            curvature += float(ops.sum(variance))
        step = slope / max(curvature, 1e-6)
        inverse = float(np.clip(inverse - step, inverse / 2, inverse * 2))  # bounds steps far from the minimum
        if abs(step) < 1e-4:
            break
    return float(np.clip(1 / inverse, 0.1, 10))


# --- neural cache --------------------------------------------------------------------------------------------------

FLATNESSES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
WINDOWS = (100, 500, 2000, 4000)
EM_STEPS = 30


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The settings of a neural cache; theta and lambda are the paper's letters."""

    window: int
    """Number of previous tokens in the cache."""
    flatness: float
    """theta: 0 weights all tokens equally, larger values prefer tokens in similar states."""
    share: float
    """lambda: interpolation weight of the cache."""


def cache_probabilities(
    outputs: np.ndarray, targets: np.ndarray, windows: Iterable[int], flatnesses: Iterable[float]
) -> dict[tuple[int, float], np.ndarray]:
    """p_cache of each target, `(tokens,)`, by window and flatness; `outputs` `(tokens, units)` as from `read_outputs`.

    The weight exp(flatness h_now . h_then) of the tokens in the window that equal the target, as a fraction of the
    weight of all tokens in the window; 0 at the first token.
    """
    windows, flatnesses = list(windows), list(flatnesses)
    result = {(window, flatness): np.zeros(len(targets), np.float32) for window in windows for flatness in flatnesses}
    widest = max(windows)
    for first in range(0, len(targets), SCORED):
        now = np.arange(first, min(first + SCORED, len(targets)))
        then = np.arange(max(0, first - widest), now[-1])  # all that is in the window of any of them
        if not len(then):
            continue
        similarity = outputs[now] @ outputs[then].T
        age = now[:, None] - then
        equal = targets[now][:, None] == targets[then]
        for window in windows:
            cached = (age > 0) & (age <= window)
            highest = np.max(similarity, axis=1, keepdims=True, where=cached, initial=-np.inf)
            relative = np.where(cached, similarity - highest, 0)  # at most 0, so that exp cannot overflow
            for flatness in flatnesses:
                weights = np.exp(flatness * relative) * cached
                total = weights.sum(axis=1)
                result[window, flatness][now] = (weights * equal).sum(axis=1) / np.where(total > 0, total, 1)
    return result


def fit_cache(outputs: np.ndarray, targets: np.ndarray, nats: np.ndarray) -> Cache:
    """The cache that maximizes the likelihood of the targets; `nats` `(tokens,)` is -log p of the model alone."""
    best, lowest = Cache(window=WINDOWS[0], flatness=FLATNESSES[0], share=0.0), float(nats.mean())
    for (window, flatness), probabilities in cache_probabilities(outputs, targets, WINDOWS, FLATNESSES).items():
        model_probabilities, share = np.exp(-nats.astype(float)), 0.1
        for _ in range(EM_STEPS):  # the new weight is the mean posterior probability of the cache
            mixture = (1 - share) * model_probabilities + share * probabilities
            share = float(np.mean(share * probabilities / mixture))
        cost = float(np.mean(-np.log((1 - share) * model_probabilities + share * probabilities)))
        if cost < lowest:
            best, lowest = Cache(window=window, flatness=flatness, share=share), cost
    return best


def cached_nats(outputs: np.ndarray, targets: np.ndarray, nats: np.ndarray, cache: Cache) -> np.ndarray:
    """-log p of each target, `(tokens,)`, of the model with a cache."""
    probabilities = cache_probabilities(outputs, targets, [cache.window], [cache.flatness])
    cached = probabilities[cache.window, cache.flatness]
    return -np.log((1 - cache.share) * np.exp(-nats.astype(float)) + cache.share * cached)


# --- dynamic evaluation --------------------------------------------------------------------------------------------

SEGMENT = 20  # tokens per step of gradient descent
STATISTICS = 200  # training batches for the mean squared gradients
RATES = (1e-5, 3e-5, 1e-4, 2e-4, 4e-4)
DECAYS = (1e-3, 3e-3, 1e-2, 3e-2)


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """The settings of dynamic evaluation."""

    rate: float
    """Learning rate."""
    decay: float
    """Rate of decay to the trained weights, relative; faster for weights with larger gradients in training."""


class _GradientSquares(keras.optimizers.Optimizer):
    """Sums the squares of the gradients, and does not change the weights."""

    def build(self, variables):
        super().build(variables)
        self.sums = [self.add_variable_from_reference(variable, "sum") for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        del learning_rate
        self.assign_add(self.sums[self._get_variable_index(variable)], ops.square(ops.convert_to_tensor(gradient)))


class _DynamicRule(keras.optimizers.Optimizer):
    """w <- w - rate g / (G + epsilon) + min(1, decay G / mean(G)) (w_trained - w), G the RMS gradient in training."""

    EPSILON = 1e-5
    NAMES = ("rms_gradient", "trained", "pull")

    def __init__(self, rms: list[np.ndarray], **kwargs):
        super().__init__(0.0, **kwargs)
        self.rms = rms
        self.mean = sum(array.sum(dtype=float) for array in rms) / sum(array.size for array in rms)

    def build(self, variables):
        super().build(variables)
        slots = [[self.add_variable_from_reference(variable, name) for variable in variables] for name in self.NAMES]
        self.scales, self.trained, self.pulls = slots
        for scale, rms, trained, variable in zip(self.scales, self.rms, self.trained, variables, strict=True):
            scale.assign(rms + self.EPSILON)
            trained.assign(ops.copy(variable))  # on JAX, a training step frees the memory of the variable's value

    def start(self, settings: Dynamic) -> None:
        """Resets the weights to the trained ones."""
        self.learning_rate = settings.rate
        for variable, trained, pull, rms in zip(
            self._trainable_variables, self.trained, self.pulls, self.rms, strict=True
        ):
            variable.assign(ops.copy(trained))
            pull.assign(np.minimum(1, settings.decay * rms / self.mean))

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        change = learning_rate * ops.convert_to_tensor(gradient) / self.scales[i]
        self.assign_add(variable, self.pulls[i] * (self.trained[i] - variable) - change)


class DynamicReader:
    """A copy of a model that learns from the text it predicts.

    Args:
        config: the model's configuration.
        model: the trained model, which does not change.
        training: the stream that it was trained on, int32 `(tokens,)`, for the mean squared gradients.
        vocabulary: the model's.
    """

    def __init__(self, config: Config, model: LanguageModel, training: np.ndarray, vocabulary: Vocabulary):
        plain = {name: 0.0 for name in vars(config) if name.endswith(("dropout", "weight_drop", "penalty"))}
        self.model: Any = build_model(replace(config, **plain), vocabulary)
        self.start_id = vocabulary.end_id
        self.model.set_weights(model.get_weights())
        squares = _GradientSquares(0.0, name="squares")
        reader = StreamReader(self.model, config.batch_size)
        reader.compile(squares, mean_nats)
        batches = StreamBatches(training, config.batch_size, SEGMENT, self.start_id)
        count = min(len(batches), STATISTICS)
        for index in range(count):
            reader.train_on_batch(*batches[index])
        rms = [np.sqrt(ops.convert_to_numpy(total) / count) for total in squares.sums]
        self.rule = _DynamicRule(rms, name="dynamic")
        self.reader, self.output_reader = StreamReader(self.model, 1), OutputReader(self.model, 1)
        self.reader.compile(self.rule, mean_nats)
        self.rule.build(self.reader.trainable_variables)

    def mean_nats(self, stream: np.ndarray, settings: Dynamic) -> float:
        """The mean of -log p over the tokens of a stream; each segment is predicted before it is learned from."""
        self.rule.start(settings)
        total = 0.0
        for batch, targets in StreamBatches(stream, 1, SEGMENT, self.start_id):
            total += targets.size * float(self.reader.train_on_batch(batch, targets, return_dict=True)["loss"])
        return total / len(stream)

    def read(self, stream: np.ndarray, settings: Dynamic) -> tuple[np.ndarray, np.ndarray]:
        """The inputs of the softmax `(tokens, units)` and -log p `(tokens,)` that `mean_nats` is the mean of."""
        self.rule.start(settings)
        outputs, nats = [], []
        for batch, targets in StreamBatches(stream, 1, SEGMENT, self.start_id):
            outputs.append(self.output_reader.predict_on_batch(batch)[0])
            nats.append(token_nats(self.model, outputs[-1], targets[0]))
            self.reader.train_on_batch(batch, targets)
        return np.concatenate(outputs), np.concatenate(nats)

    def fit(self, stream: np.ndarray) -> Dynamic:
        """The best rate on a stream, then the best decay; each is raised as long as the likelihood improves."""
        best, lowest = Dynamic(rate=RATES[0], decay=0.0), np.inf
        for name, values in (("rate", RATES), ("decay", DECAYS)):
            for value in values:
                candidate = replace(best, **{name: value})
                cost = self.mean_nats(stream, candidate)
                if not cost < lowest:  # worse, or NaN
                    break
                best, lowest = candidate, cost
        return best
