"""What a trained model gains while it reads a new text, and by what is chosen on the development split.

    temperature   p(w) = softmax(logits / T), one T for all
    cache         p(w) = (1 - share) p_model(w) + share p_cache(w): words come back, most often where the model was in a
                  like state before (Grave et al. 2017, "Improving neural language models with a continuous cache")
    dynamic       after each segment a step of gradient descent on it, and back towards the trained weights (Krause et
                  al. 2018, "Dynamic evaluation of neural sequence models")

None of them looks at a token before it has told its probability.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from shared.losses import mean_nats
from tasks.language_model.config import Config
from tasks.language_model.data import StreamBatches
from tasks.language_model.model import LanguageModel, OutputReader, StreamReader, build_model, read_stream

ops: Any = keras.ops  # Keras declares no result types for its operations

READ, SCORED = 200, 500  # tokens at a time: enough that little time goes between them


def read_outputs(model: LanguageModel, stream: np.ndarray, start_id: int) -> np.ndarray:
    """What the softmax reads before each token of a stream, `(tokens, units)`, from its beginning to its end.

    Not in several parts side by side: a model that never began in the middle of a text may take long to find its way.
    """
    return read_stream(OutputReader(model, 1), StreamBatches(stream, 1, READ, start_id))[0]


def token_nats(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """-log p of each target, `(tokens,)`, after what `read_outputs` gives."""
    parts = [
        ops.sparse_categorical_crossentropy(of_targets, logits / temperature, from_logits=True)
        for logits, of_targets in _scored(model, outputs, targets)
    ]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def stream_nats(model: LanguageModel, stream: np.ndarray, start_id: int) -> np.ndarray:
    """-log p of each token of a stream, `(tokens,)`: what the two above tell together, in little memory."""
    return read_stream(StreamReader(model, 1), StreamBatches(stream, 1, READ, start_id))[0]


def _scored(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
    """Logits and targets, some tokens at a time."""
    for first in range(0, len(targets), SCORED):
        part = slice(first, first + SCORED)
        yield ops.cast(model.logits(outputs[part]), "float32"), targets[part]


# --- temperature ---------------------------------------------------------------------------------------------------

NEWTON_STEPS = 5


def fit_temperature(model: LanguageModel, outputs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that makes the targets most probable; between 0.1 and 10.

    With b = 1/T the cost logsumexp(b z) - b z_target is convex in b; its slope is the mean of the logits under the
    softmax less that of the target, its curvature their variance: Newton's method finds the minimum in a few passes.
    """
    inverse = 1.0
    for _ in range(NEWTON_STEPS):
        slope = curvature = 0.0
        for logits, of_targets in _scored(model, outputs, targets):
            probabilities = ops.softmax(inverse * logits)
            mean = ops.sum(probabilities * logits, axis=-1)
            variance = ops.sum(probabilities * ops.square(logits - mean[:, None]), axis=-1)
            of_target = ops.take_along_axis(logits, of_targets[:, None], axis=-1)[:, 0]
            slope += float(ops.sum(mean - of_target))
            curvature += float(ops.sum(variance))
        step = slope / max(curvature, 1e-6)
        inverse = float(np.clip(inverse - step, inverse / 2, inverse * 2))  # far from the minimum a step may be wild
        if abs(step) < 1e-4:
            break
    return float(np.clip(1 / inverse, 0.1, 10))


# --- neural cache --------------------------------------------------------------------------------------------------

FLATNESSES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
WINDOWS = (100, 500, 2000, 4000)
EM_STEPS = 30


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A neural cache's numbers, in the paper's letters theta and lambda."""

    window: int
    """Tokens that are remembered."""
    flatness: float
    """theta: 0 counts all of them alike, more counts those in like states."""
    share: float
    """lambda: how much the cache is trusted."""


def cache_probabilities(
    outputs: np.ndarray, targets: np.ndarray, windows: Iterable[int], flatnesses: Iterable[float]
) -> dict[tuple[int, float], np.ndarray]:
    """p_cache of each target, `(tokens,)`, by window and flatness: the share, among the tokens of the window before it,
    of those that equal it, each weighed with exp(flatness h_now . h_then); 0 where there is none before.
    """
    windows, flatnesses = list(windows), list(flatnesses)
    found = {(window, flatness): np.zeros(len(targets), np.float32) for window in windows for flatness in flatnesses}
    widest = max(windows)
    for first in range(0, len(targets), SCORED):
        now = np.arange(first, min(first + SCORED, len(targets)))
        then = np.arange(max(0, first - widest), now[-1])  # what the last of them may remember
        if not len(then):
            continue
        likeness = outputs[now] @ outputs[then].T
        age = now[:, None] - then
        equal = targets[now][:, None] == targets[then]
        for window in windows:
            remembered = (age > 0) & (age <= window)
            # The highest is taken away first: exp of what is left cannot overflow.
            highest = np.max(likeness, axis=1, keepdims=True, where=remembered, initial=-np.inf)
            below = np.where(remembered, likeness - highest, 0)
            for flatness in flatnesses:
                weights = np.exp(flatness * below) * remembered
                total = weights.sum(axis=1)
                found[window, flatness][now] = (weights * equal).sum(axis=1) / np.where(total > 0, total, 1)
    return found


def fit_cache(outputs: np.ndarray, targets: np.ndarray, nats: np.ndarray) -> Cache:
    """The cache that makes the targets most probable together with the model's own `nats`."""
    best, lowest = Cache(window=WINDOWS[0], flatness=FLATNESSES[0], share=0.0), float(nats.mean())
    for (window, flatness), probabilities in cache_probabilities(outputs, targets, WINDOWS, FLATNESSES).items():
        own, share = np.exp(-nats.astype(float)), 0.1
        for _ in range(EM_STEPS):  # the share's best value: how often the cache was right to be asked
            share = float(np.mean(share * probabilities / ((1 - share) * own + share * probabilities)))
        cost = float(np.mean(-np.log((1 - share) * own + share * probabilities)))
        if cost < lowest:
            best, lowest = Cache(window=window, flatness=flatness, share=share), cost
    return best


def cached_nats(outputs: np.ndarray, targets: np.ndarray, nats: np.ndarray, cache: Cache) -> np.ndarray:
    """-log p of each target, `(tokens,)`, by model and cache."""
    found = cache_probabilities(outputs, targets, [cache.window], [cache.flatness])
    probabilities = found[cache.window, cache.flatness]
    return -np.log((1 - cache.share) * np.exp(-nats.astype(float)) + cache.share * probabilities)


# --- dynamic evaluation --------------------------------------------------------------------------------------------

SEGMENT = 20  # tokens between two steps
STATISTICS = 200  # batches of training that tell how large each weight's gradient usually is
RATES = (1e-5, 3e-5, 1e-4, 2e-4, 4e-4)
DECAYS = (1e-3, 3e-3, 1e-2, 3e-2)


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """Dynamic evaluation's numbers."""

    rate: float
    """Of the steps of gradient descent."""
    decay: float
    """How strongly weights are drawn back to the trained ones, the more so the larger their gradients usually are."""


class _GradientSquares(keras.optimizers.Optimizer):
    """Moves no weight, but sums the squares of their gradients."""

    def build(self, variables):
        super().build(variables)
        self.sums = [self.add_variable_from_reference(variable, "sum") for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        del learning_rate
        self.assign_add(self.sums[self._get_variable_index(variable)], ops.square(ops.convert_to_tensor(gradient)))


class _DynamicRule(keras.optimizers.Optimizer):
    """w <- w - rate g / (G + epsilon) + min(1, decay G / mean(G)) (w_trained - w), G the usual size of g."""

    EPSILON = 1e-5
    NAMES = ("usual_gradient", "trained", "pull")

    def __init__(self, usual: list[np.ndarray], **kwargs):
        super().__init__(0.0, **kwargs)
        self.usual = usual
        self.mean = sum(size.sum(dtype=float) for size in usual) / sum(size.size for size in usual)

    def build(self, variables):
        super().build(variables)
        made = [[self.add_variable_from_reference(variable, name) for variable in variables] for name in self.NAMES]
        self.sizes, self.trained, self.pulls = made
        for size, usual, trained, variable in zip(self.sizes, self.usual, self.trained, variables, strict=True):
            size.assign(usual + self.EPSILON)
            trained.assign(variable)

    def start(self, how: Dynamic) -> None:
        """From the trained weights on."""
        self.learning_rate = how.rate
        for variable, trained, pull, usual in zip(
            self._trainable_variables, self.trained, self.pulls, self.usual, strict=True
        ):
            variable.assign(trained)
            pull.assign(np.minimum(1, how.decay * usual / self.mean))

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        change = learning_rate * ops.convert_to_tensor(gradient) / self.sizes[i]
        self.assign_add(variable, self.pulls[i] * (self.trained[i] - variable) - change)


class DynamicReader:
    """A model that goes on learning from what it reads.

    Args:
        config, model: trained together; the model itself stays as it is.
        training: the stream that it was trained on, which tells how large its gradients usually are.
        start_id: what stands before the first token of a stream.
    """

    def __init__(self, config: Config, model: LanguageModel, training: np.ndarray, start_id: int):
        plain = {name: 0.0 for name in vars(config) if name.endswith(("dropout", "weight_drop", "penalty"))}
        self.model, self.start_id = build_model(replace(config, **plain), model.vocabulary_size), start_id
        self.model.set_weights(model.get_weights())
        squares = _GradientSquares(0.0, name="squares")
        reader = StreamReader(self.model, config.batch_size)
        reader.compile(squares, mean_nats)
        batches = StreamBatches(training, config.batch_size, SEGMENT, start_id)
        count = min(len(batches), STATISTICS)
        for number in range(count):
            reader.train_on_batch(*batches[number])
        usual = [np.sqrt(ops.convert_to_numpy(total) / count) for total in squares.sums]
        self.rule = _DynamicRule(usual, name="dynamic")
        self.reader = StreamReader(self.model, 1)
        self.reader.compile(self.rule, mean_nats)
        self.rule.build(self.reader.trainable_variables)

    def mean_nats(self, stream: np.ndarray, how: Dynamic) -> float:
        """-log p of a token of the stream on average, each segment's told before it is learned from."""
        self.rule.start(how)
        total = 0.0
        for batch, targets in StreamBatches(stream, 1, SEGMENT, self.start_id):
            total += targets.size * float(self.reader.train_on_batch(batch, targets, return_dict=True)["loss"])
        return total / len(stream)

    def fit(self, stream: np.ndarray) -> Dynamic:
        """The rate, then the decay, that make a stream most probable: each is raised as long as that helps."""
        best, lowest = Dynamic(rate=RATES[0], decay=0.0), np.inf
        for name, ladder in (("rate", RATES), ("decay", DECAYS)):
            for number in ladder:
                tried = replace(best, **{name: number})
                cost = self.mean_nats(stream, tried)
                if not cost < lowest:  # nor one that is not a number
                    break
                best, lowest = tried, cost
        return best
