"""The networks: a causal language model, and a bidirectional one that predicts masked words.

    x_t = E[w_t]                       embedding
    s_t = f(x_t, s_{t-1})              a stack of recurrent layers; for `vanilla` s_t = tanh(U x_t + W s_{t-1})
    p(w_{t+1}) = softmax(V s_t + b)    V = E if tied (Press & Wolf 2017)

Regularisation of AWD-LSTM (Merity et al. 2018, section 4): dropout with one mask for all steps of a batch, dropout of
whole words and of recurrent weights, penalties on the outputs and on their change.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from shared.any_size import AnySize
from shared.decoding import choose
from shared.dense import Dense, product
from shared.fine_tuning import WordWeights, transfer
from shared.gathering import take, take_each
from shared.loaded import Loaded
from shared.losses import token_nats
from shared.recurrent import Stack
from shared.runs import Run, current_fields
from shared.training import build_bounded, build_trained
from shared.vocabulary import Vocabulary
from tasks.language_model.config import Config
from tasks.language_model.tokenisation import load_without_model

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class WordDropout(keras.layers.Layer):
    """Drops the embedding of whole words, at all their positions in a batch (Gal & Ghahramani 2016, section 4.2)."""

    def __init__(self, rate: float, vocabulary_size: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.vocabulary_size = rate, vocabulary_size
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, embedded, token_ids, training=False):
        if not training or not self.rate:
            return embedded
        ones = ops.ones((self.vocabulary_size, 1), embedded.dtype)
        kept = keras.random.dropout(ones, self.rate, seed=self.seed_generator)
        return embedded * take(kept, token_ids)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "vocabulary_size": self.vocabulary_size}


class WordModel(keras.Model):
    """Base of both models: an embedding, a stack of recurrent layers, and a softmax.

    Args:
        config: a `Config` or its fields.
        vocabulary_size: width of the embedding and of the softmax.

    Raises:
        ValueError: the configuration is that of the other model.
    """

    READS: ClassVar[str]

    def __init__(self, config: Config | dict[str, Any], vocabulary_size: int, name: str = "language_model", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)  # the layers have the precision of the training
        config = Config(**current_fields(Config, config)) if isinstance(config, dict) else config
        self.config, self.vocabulary_size = config, vocabulary_size
        if config.reads != self.READS:
            raise ValueError(f"config.reads must be {self.READS!r}. Received: {config.reads!r}")
        small: Any = keras.initializers.RandomUniform(-0.1, 0.1)  # as in AWD-LSTM
        self.embedding = keras.layers.Embedding(
            vocabulary_size, config.embedding_units, embeddings_initializer=small, name="embedding"
        )
        self.word_dropout = WordDropout(config.embedding_dropout, vocabulary_size, name="word_dropout")
        self.stack = Stack(
            config.cell,
            config.widths,
            bidirectional=config.reads == "both ways",
            dropout=[config.input_dropout, *[config.layer_dropout] * (config.num_layers - 1)],
            weight_drop=config.weight_drop,
            name="stack",
        )
        self.output_dropout = keras.layers.SpatialDropout1D(config.output_dropout, name="output_dropout")
        self.projection = None if config.tied else Dense(vocabulary_size, use_bias=False, name="projection")

    def build(self, input_shape=None):
        del input_shape
        self.embedding.build((None, None))
        self.word_dropout.build((None, None, self.config.embedding_units))
        self.stack.build((None, None, self.config.embedding_units))
        if self.projection is not None:
            self.projection.build((None, None, self.config.widths[-1]))
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="bias")
        self.built = True

    def logits(self, outputs):
        """`(..., units)` -> `(..., vocab)`"""
        if self.projection is not None:
            return self.projection(outputs) + self.bias
        embeddings = ops.cast(self.embedding.embeddings, outputs.dtype)
        return product(outputs, ops.transpose(embeddings)) + self.bias

    def nats(self, outputs, inputs, training):
        """-log p of each of the `target_ids`, in nats; by sampled softmax in training if the batch has samples."""
        if training and "sampled_ids" in inputs:
            samples = inputs["sampled_ids"], inputs["sampling_probabilities"]
            return self.sampled_nats(outputs, inputs["target_ids"], *samples)
        logits = ops.cast(self.logits(outputs), "float32")
        return token_nats(inputs["target_ids"], logits)

    def sampled_nats(self, outputs, target_ids, sampled_ids, sampling_probabilities):
        """-log p of each target `(batch, time)`, with a sampled estimate of Z (Jean et al. 2015, section 3.2).

            log Z  ~  log(exp z_target + sum over sampled words except the target of exp(z_w) / P(w is sampled))

        The estimate of Z is unbiased; that of log Z is a little low, with a bias that shrinks with the sample size.

        Args:
            outputs: `(batch, time, units)`, inputs of the softmax.
            target_ids: int32 `(batch, time)`.
            sampled_ids: int32 `(words,)`, without duplicates.
            sampling_probabilities: float32 `(words,)`, the probability of each to be in the sample.
        """
        if self.projection is None:
            weights = 1.0 * ops.convert_to_tensor(self.embedding.embeddings)  # one dense gradient for both takes
        else:
            weights = ops.transpose(self.projection.kernel)
        weights, bias = ops.cast(weights, outputs.dtype), 1.0 * ops.convert_to_tensor(self.bias)
        targets = ops.sum(ops.cast(outputs * take(weights, target_ids), "float32"), axis=-1)
        targets = targets + take(bias, target_ids)
        logits = ops.cast(product(outputs, ops.transpose(take(weights, sampled_ids))), "float32")
        logits = logits + (take(bias, sampled_ids) - ops.log(sampling_probabilities))
        logits = ops.where(sampled_ids == target_ids[..., None], -1e9, logits)
        return ops.logaddexp(targets, ops.logsumexp(logits, axis=-1)) - targets

    def get_config(self):
        return {"config": vars(self.config), "vocabulary_size": self.vocabulary_size, "name": self.name}


@keras.saving.register_keras_serializable(package="quatrain")
class LanguageModel(WordModel):
    """The causal model: token ids and states -> logits of the next tokens, and new states."""

    READS = "forwards"

    def initial_state(self, batch: Any) -> list[Any]:
        """The zero state before the first token, a list of `(batch, units)`."""
        return self.stack.initial_state(batch)

    def call(self, token_ids, states, training=False):
        """Logits `(batch, time, vocab)` of the token after each input token, and the final states."""
        outputs, _, states = self.outputs(token_ids, states, training)
        return self.logits(outputs), states

    def outputs(self, token_ids, states, training=False, mask=None):
        """Inputs of the softmax `(batch, time, units)`, the same before dropout, and the final states.

        Args:
            mask: bool `(batch, time)`, True = real.
        """
        embedded = self.word_dropout(self.embedding(token_ids), token_ids, training=training)
        plain, states = self.stack(embedded, initial_state=states, mask=mask, training=training)
        return self.output_dropout(plain, training=training), plain, states


@keras.saving.register_keras_serializable(package="quatrain")
class FillModel(WordModel):
    """The bidirectional model: token ids with blanks -> logits of the words in the blanks.

    Every layer is bidirectional, so that from the second on both sides of each word are known. A blank token replaces
    the words to predict (Taylor 1953, "Cloze procedure"; context2vec of Melamud et al. 2016 has one such layer).
    """

    READS = "both ways"

    def __init__(self, config: Config | dict[str, Any], vocabulary_size: int, name: str = "fill_model", **kwargs):
        super().__init__(config, vocabulary_size, name, **kwargs)
        width = self.config.embedding_units if self.config.tied else self.config.widths[-1]
        self.head = Dense(width, activation="tanh", name="head")

    def build(self, input_shape=None):
        super().build(input_shape)
        self.head.build((None, None, 2 * self.config.widths[-1]))

    def outputs(self, token_ids, blank_indices, training=False, mask=None):
        """Inputs of the softmax at each blank, `(batch, blanks, units)`; `mask` as in the causal model."""
        embedded = self.word_dropout(self.embedding(token_ids), token_ids, training=training)
        both, _ = self.stack(embedded, mask=mask, training=training)
        at_blanks = take_each(both, blank_indices, axis=1)
        return self.output_dropout(self.head(at_blanks), training=training)

    def call(self, inputs, training=False):
        """Logits `(batch, blanks, vocab)`; inputs: `token_ids` `(batch, time)`, `blank_indices` `(batch, blanks)`."""
        return self.logits(self.outputs(inputs["token_ids"], inputs["blank_indices"], training))


class BlankReader(keras.Model):
    """The loss of the bidirectional model."""

    def __init__(self, model: FillModel, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.model = model
        self.built = True

    def call(self, inputs, training=False):
        """-log p of each of the `target_ids` in nats, `(batch, blanks)`; other inputs as in the model."""
        outputs = self.model.outputs(inputs["token_ids"], inputs["blank_indices"], training)
        return self.model.nats(outputs, inputs, training)


class StreamReader(keras.Model):
    """The loss of the causal model on consecutive batches of streams; carries the state from batch to batch.

    Truncated back-propagation through time (Williams & Peng 1990): gradients stop at the start of a batch.

    Args:
        model: the causal model.
        batch_size: number of streams.
    """

    def __init__(self, model: LanguageModel, batch_size: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.model = model
        self.carried = [
            self.add_weight(shape=tuple(state.shape), initializer="zeros", trainable=False, name=f"state_{i}")
            for i, state in enumerate(model.initial_state(batch_size))
        ]
        self.built = True

    def read(self, inputs, training=False):
        """Inputs of the softmax `(batch, time, units)`, and the same before dropout; updates the carried state.

        Args:
            inputs: `token_ids` int32 `(batch, time)`; `continues` bool `(batch,)`, False resets the state to zero.
        """
        continues = inputs["continues"][:, None]
        states = [ops.where(continues, ops.convert_to_tensor(state), 0.0) for state in self.carried]
        outputs, plain, states = self.model.outputs(inputs["token_ids"], states, training)
        for carried, state in zip(self.carried, states, strict=True):
            carried.assign(ops.cast(ops.stop_gradient(state), "float32"))
        return outputs, plain

    def call(self, inputs, training=False):
        """-log p of each of the `target_ids` in nats, `(batch, time)`; other inputs as in `read`."""
        outputs, plain = self.read(inputs, training)
        config = self.model.config
        if training and config.activation_penalty:
            self.add_loss(config.activation_penalty * ops.mean(ops.square(ops.cast(outputs, "float32"))))
        if training and config.temporal_penalty:
            self.add_loss(config.temporal_penalty * mean_square_change(plain))
        return self.model.nats(outputs, inputs, training)


def mean_square_change(x: Any) -> Any:
    """The mean square of the differences of consecutive steps of x `(batch, time, units)`; 0 for one step.

    The gradient of a shift takes a third of the time of that of two slices.
    """
    batch, time, units = ops.shape(x)
    has_previous = ops.cast(ops.arange(time) > 0, "float32")[:, None]
    change = ops.cast(x - ops.roll(x, 1, axis=1), "float32") * has_previous
    return ops.sum(ops.square(change)) / ops.cast(ops.maximum(batch * (time - 1) * units, 1), "float32")


class OutputReader(StreamReader):
    """A `StreamReader` that returns the inputs of the softmax, `(batch, time, units)`."""

    def call(self, inputs, training=False):
        return self.read(inputs, training)[0]


def read_stream(reader: StreamReader, batches: Iterable[tuple[dict[str, Any], Any]]) -> np.ndarray:
    """The outputs of a reader for all steps of an epoch, `(batch, time, ...)`."""
    return np.concatenate([reader.predict_on_batch(inputs) for inputs, _ in batches], axis=1)


class WordFunction(AnySize):
    """A function of a model for batches of any size; inputs are `token_ids` int32 `(batch, time)` and others."""

    def __init__(self, model: WordModel, **kwargs):
        super().__init__(**kwargs)
        self.model = model


class PromptReader(WordFunction):
    """The causal model's state after a prompt."""

    shortest: ClassVar = {"token_ids": 8}

    def examples(self):
        return [{**texts, "states": states} for texts, states in example_texts(self.model)]

    def call(self, inputs, training=False):
        """`token_ids`, their `lengths` `(batch,)` and `states` -> states."""
        return self.model.outputs(inputs["token_ids"], inputs["states"], training, _real(inputs))[2]


class TextReader(WordFunction):
    """The causal model's log-probabilities of texts that continue a state."""

    max_rows = 128
    shortest: ClassVar = {"token_ids": 8, "target_ids": 8}

    def examples(self):
        return [
            {**texts, "target_ids": texts["token_ids"][:, ::-1].copy(), "states": states}
            for texts, states in example_texts(self.model)
        ]

    def call(self, inputs, training=False):
        """`token_ids`, `target_ids`, `lengths` `(batch,)`, `states` -> -log p of each target in nats, and states."""
        outputs, _, states = self.model.outputs(inputs["token_ids"], inputs["states"], training, _real(inputs))
        return self.model.nats(outputs, inputs, training), states


class BlankPredictor(WordFunction):
    """The bidirectional model's predictions."""

    shortest: ClassVar = {"token_ids": 16, "blank_indices": 4}

    def examples(self):
        return [
            {**texts, "blank_indices": np.array([[1, 3], [2, 1]], np.int32)[: len(texts["lengths"])]}
            for texts in example_tokens(self.model)
        ]

    def call(self, inputs, training=False):
        """`token_ids`, `blank_indices` `(batch, blanks)`, `lengths` `(batch,)` -> logits `(batch, blanks, vocab)`."""
        outputs = self.model.outputs(inputs["token_ids"], inputs["blank_indices"], training, _real(inputs))
        return self.model.logits(outputs)


def example_tokens(model: Any) -> list[dict[str, np.ndarray]]:
    """Random `token_ids` and their `lengths`, in batches of two sizes."""
    rng = np.random.default_rng(0)
    return [
        {
            "token_ids": rng.integers(Vocabulary.unknown_id, model.vocabulary_size, (len(lengths), 7)).astype(np.int32),
            "lengths": np.array(lengths, np.int32),
        }
        for lengths in ((7, 5), (6,))
    ]


def example_texts(model: Any) -> list[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """The same, and the state before each."""
    return [
        (texts, [np.asarray(state) for state in model.initial_state(len(texts["lengths"]))])
        for texts in example_tokens(model)
    ]


def _real(inputs):
    """The mask `(batch, time)` of the real tokens."""
    return ops.arange(ops.shape(inputs["token_ids"])[1]) < inputs["lengths"][:, None]


class NextToken(WordFunction):
    """The causal model's log-probabilities of the next token."""

    def examples(self):
        return [
            {"token_ids": texts["token_ids"][:, :1], "states": states} for texts, states in example_texts(self.model)
        ]

    def call(self, inputs, training=False):
        """`token_ids` int32 `(batch, 1)`, `states` -> `(batch, vocab)`."""
        logits, _ = self.model(inputs["token_ids"], inputs["states"], training=training)
        return ops.log_softmax(ops.cast(logits[:, 0], "float32"))


class TokenSampler(WordFunction):
    """One step of sampling with the causal model.

    Args:
        model: the causal model.
        forbidden_ids: ids that are never sampled.
    """

    max_rows = 8

    def __init__(self, model: LanguageModel, forbidden_ids: Sequence[int], **kwargs):
        super().__init__(model, **kwargs)
        self.is_forbidden = np.isin(np.arange(model.vocabulary_size), forbidden_ids)

    def examples(self):
        sampling = {"temperature": np.float32(0.7), "top_k": np.int32(5)}
        sampling |= {"top_p": np.float32(0.9), "min_p": np.float32(0.01)}
        uniform = np.array([[0.3], [0.8]], np.float32)
        return [
            {
                "token_ids": texts["token_ids"][:, :1],
                "states": states,
                "uniform": uniform[: len(states[0])],
                "sampling": sampling,
            }
            for texts, states in example_texts(self.model)
        ]

    def call(self, inputs, training=False):
        """Sampled ids `(batch,)`, their log-probabilities under the model `(batch,)`, and the new states.

        Args:
            inputs: `token_ids` int32 `(batch, 1)`, `states`, `uniform` float32 `(batch, 1)`, and `sampling`, the other
                arguments of `shared.decoding.choose`.
        """
        logits, states = self.model(inputs["token_ids"], inputs["states"], training=training)
        log_probs = ops.log_softmax(ops.cast(logits[:, 0], "float32"))
        allowed = ops.where(self.is_forbidden, -np.inf, log_probs)
        token_ids = choose(allowed, inputs["uniform"], **inputs["sampling"])
        return token_ids, take_each(log_probs, token_ids), states


def build_model(config: Config, vocabulary: Vocabulary) -> LanguageModel | FillModel:
    """An untrained model: causal, or bidirectional if the configuration reads both ways.

    Raises UserError if it would be too large.
    """

    def build() -> LanguageModel | FillModel:
        model = (LanguageModel if config.reads == "forwards" else FillModel)(config, len(vocabulary))
        model.build()
        return model

    return build_bounded(build)


def start_from(initial: Loaded[Config, Vocabulary, Any], model: LanguageModel | FillModel, after: Vocabulary) -> None:
    """Gives a model with the vocabulary `after` the weights of a run with a vocabulary that it extends."""
    axes = {"embedding/embeddings": 0, "projection/kernel": 1, "bias": 0}
    transfer(initial.model, model, WordWeights(axes, initial.vocabulary, after))


def load_model(run: Run) -> Loaded[Config, Vocabulary, Any]:
    """Configuration, vocabulary and model of a trained run; the model is of the class that `build_model` chooses.

    Raises:
        RunError: the run's files do not fit together.
    """
    config, vocabulary, _ = load_without_model(run)
    model = build_trained(run, lambda: build_model(config, vocabulary))
    return Loaded(config, vocabulary, model)
