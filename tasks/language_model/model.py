"""The language model: how probable each next token is, after all before it; or a blank, between all others.

    x_t = E[w_t]                       embedding
    s_t = f(x_t, s_{t-1})              a stack of recurrent layers; for `vanilla` s_t = tanh(U x_t + W s_{t-1})
    p(w_{t+1}) = softmax(V s_t + b)    V = E if tied (Press & Wolf 2017)

Regularised as AWD-LSTM is (Merity et al. 2018, section 4): one dropout mask for all steps of a batch, whole words of
the embedding and recurrent weights dropped, penalties on outputs and their change.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from shared.recurrent import Stack
from shared.runs import Run
from shared.training import load_trained
from shared.vocabulary import Vocabulary, WordVocabulary, load_vocabulary
from tasks.language_model.config import Config

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class WordDropout(keras.layers.Layer):
    """Drops the embedding of whole words, wherever in a batch they stand (Gal & Ghahramani 2016, section 4.2)."""

    def __init__(self, rate: float, vocabulary_size: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.vocabulary_size = rate, vocabulary_size
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, embedded, token_ids, training=False):
        if not training or not self.rate:
            return embedded
        kept = keras.random.dropout(
            ops.ones((self.vocabulary_size, 1), embedded.dtype), self.rate, seed=self.seed_generator
        )
        return embedded * ops.take(kept, token_ids, axis=0)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "vocabulary_size": self.vocabulary_size}


class WordModel(keras.Model):
    """What both models have: an embedding below, a stack of recurrent layers, a softmax above.

    Args:
        config: a `Config`, or its fields.
        vocabulary_size: width of embedding and softmax.

    Raises:
        ValueError: the configuration is of a model that reads the other way.
    """

    READS: ClassVar[str]

    def __init__(self, config: Config | dict[str, Any], vocabulary_size: int, name: str = "language_model", **kwargs):
        super().__init__(name=name, **kwargs)
        self.config = config = Config(**config) if isinstance(config, dict) else config
        self.vocabulary_size = vocabulary_size
        if config.reads != self.READS:
            raise ValueError(f"config.reads must be {self.READS!r}. Received: {config.reads!r}")
        small: Any = keras.initializers.RandomUniform(-0.1, 0.1)  # as AWD-LSTM has it
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            config.embedding_units,
            embeddings_initializer=small,
            name="embedding",
        )
        self.word_dropout = WordDropout(config.embedding_dropout, vocabulary_size, name="word_dropout")
        between = [config.layer_dropout] * (config.num_layers - 1)
        self.stack = Stack(
            config.cell,
            config.widths,
            bidirectional=config.reads == "both ways",
            dropout=[config.input_dropout, *between],
            weight_drop=config.weight_drop,
            name="stack",
        )
        self.output_dropout = keras.layers.SpatialDropout1D(config.output_dropout, name="output_dropout")
        self.projection = (
            None if config.tied else keras.layers.Dense(vocabulary_size, use_bias=False, name="projection")
        )

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
        return ops.matmul(outputs, ops.transpose(self.embedding.embeddings)) + self.bias

    def nats(self, outputs, inputs, training):
        """-log p of each of the `target_ids` in nats; over the words that were drawn alone, if some were."""
        if training and "drawn" in inputs:
            return self.sampled_nats(outputs, inputs["target_ids"], inputs["drawn"], inputs["chances"])
        logits = ops.cast(self.logits(outputs), "float32")
        return ops.sparse_categorical_crossentropy(inputs["target_ids"], logits, from_logits=True)

    def sampled_nats(self, outputs, target_ids, drawn, chances):
        """-log p of each target `(batch, time)`, its normaliser estimated from a few words (Jean et al. 2015, 3.2).

            log Z  ~  log(exp z_target + sum over drawn words but the target of exp(z_w) / chance_w)

        Z is right on average; log Z is a little low, the less so the more words there are.

        Args:
            outputs: `(batch, time, units)`, as `logits` takes them.
            target_ids: int32 `(batch, time)`.
            drawn: int32 `(words,)`, no word twice.
            chances: that each was drawn, `(words,)`.
        """
        if self.projection is None:
            weights = 1.0 * ops.convert_to_tensor(self.embedding.embeddings)  # one dense gradient for both takes
        else:
            weights = ops.transpose(self.projection.kernel)
        targets = ops.sum(outputs * ops.take(weights, target_ids, axis=0), axis=-1) + ops.take(self.bias, target_ids)
        logits = ops.matmul(outputs, ops.transpose(ops.take(weights, drawn, axis=0)))
        logits = ops.cast(logits + ops.take(self.bias, drawn), "float32") - ops.log(chances)
        logits = ops.where(drawn == target_ids[..., None], -1e9, logits)
        targets = ops.cast(targets, "float32")
        return ops.logaddexp(targets, ops.logsumexp(logits, axis=-1)) - targets

    def get_config(self):
        return {"config": vars(self.config), "vocabulary_size": self.vocabulary_size, "name": self.name}


@keras.saving.register_keras_serializable(package="quatrain")
class LanguageModel(WordModel):
    """Reads forwards: token ids and states in, logits and states out."""

    READS = "forwards"

    def initial_state(self, batch: Any) -> list[Any]:
        """Zeros, as before the first token: a list of `(batch, units)`."""
        return self.stack.initial_state(batch)

    def call(self, token_ids, states, training=False):
        """Logits `(batch, time, vocab)` of the token after each; the states after the last."""
        outputs, _, states = self.outputs(token_ids, states, training)
        return self.logits(outputs), states

    def outputs(self, token_ids, states, training=False, mask=None):
        """What the softmax reads, `(batch, time, units)`; the same before dropout; the states after the last.

        Args:
            mask: bool `(batch, time)`, False where nothing is to be read.
        """
        embedded = self.word_dropout(self.embedding(token_ids), token_ids, training=training)
        plain, states = self.stack(embedded, initial_state=states, mask=mask, training=training)
        return self.output_dropout(plain, training=training), plain, states


@keras.saving.register_keras_serializable(package="quatrain")
class FillModel(WordModel):
    """Reads both ways: token ids with blanks in, logits of what stands in the blanks out.

    Every layer is bidirectional, so that the second knows both sides of each word; a blank stands for the words that
    are asked for, lest they be read (Taylor 1953, "Cloze procedure"; Melamud et al. 2016, context2vec, with one layer).
    """

    READS = "both ways"

    def __init__(self, config: Config | dict[str, Any], vocabulary_size: int, name: str = "fill_model", **kwargs):
        super().__init__(config, vocabulary_size, name, **kwargs)
        width = self.config.embedding_units if self.config.tied else self.config.widths[-1]
        self.head = keras.layers.Dense(width, activation="tanh", name="head")

    def build(self, input_shape=None):
        super().build(input_shape)
        self.head.build((None, None, 2 * self.config.widths[-1]))

    def outputs(self, token_ids, places, training=False):
        """What the softmax reads of each place, `(batch, blanks, units)`."""
        embedded = self.word_dropout(self.embedding(token_ids), token_ids, training=training)
        both, _ = self.stack(embedded, training=training)
        asked = ops.take_along_axis(both, places[..., None], axis=1)
        return self.output_dropout(self.head(asked), training=training)

    def call(self, inputs, training=False):
        """Logits `(batch, blanks, vocab)`.

        Args:
            inputs: `token_ids` int32 `(batch, time)`, with blanks; `places` int32 `(batch, blanks)`, where they stand.
        """
        return self.logits(self.outputs(inputs["token_ids"], inputs["places"], training))


@keras.saving.register_keras_serializable(package="quatrain")
class BlankReader(keras.Model):
    """Tells what each word that was made blank cost."""

    def __init__(self, model: FillModel, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.built = True

    def call(self, inputs, training=False):
        """-log p of each target in nats, `(batch, blanks)`.

        Args:
            inputs: `token_ids` int32 `(batch, time)`, `places` and `target_ids` int32 `(batch, blanks)`; see `data`.
        """
        outputs = self.model.outputs(inputs["token_ids"], inputs["places"], training)
        return self.model.nats(outputs, inputs, training)

    def get_config(self):
        return {"model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(keras.saving.deserialize_keras_object(config["model"], custom_objects))


@keras.saving.register_keras_serializable(package="quatrain")
class StreamReader(keras.Model):
    """Reads streams batch after batch and tells what each token cost, carrying the state from one batch to the next.

    Truncated back-propagation through time (Williams & Peng 1990): errors stop where a batch begins.

    Args:
        model: what reads.
        batch_size: how many streams.
    """

    def __init__(self, model: LanguageModel, batch_size: int, **kwargs):
        super().__init__(**kwargs)
        self.model, self.batch_size = model, batch_size
        self.carried = [
            self.add_weight(shape=tuple(state.shape), initializer="zeros", trainable=False, name=f"state_{i}")
            for i, state in enumerate(model.initial_state(batch_size))
        ]
        self.built = True

    def read(self, inputs, training=False):
        """What the softmax reads, `(batch, time, units)`, and the same before dropout; the state is carried on.

        Args:
            inputs: `token_ids`, `target_ids` int32 `(batch, time)`, `goes_on` bool `(batch,)`; see `data`.
        """
        goes_on = inputs["goes_on"][:, None]
        states = [ops.where(goes_on, ops.convert_to_tensor(state), 0.0) for state in self.carried]
        outputs, plain, states = self.model.outputs(inputs["token_ids"], states, training)
        for carried, state in zip(self.carried, states, strict=True):
            carried.assign(ops.stop_gradient(state))
        return outputs, plain

    def call(self, inputs, training=False):
        """-log p of each target in nats, `(batch, time)`; inputs as in `read`."""
        outputs, plain = self.read(inputs, training)
        config = self.model.config
        if training and config.activation_penalty:
            self.add_loss(config.activation_penalty * ops.mean(ops.square(outputs)))
        if training and config.change_penalty:
            change = ops.square(plain[:, 1:] - plain[:, :-1])  # of no step, in a batch of one
            count = ops.cast(ops.maximum(ops.size(change), 1), change.dtype)
            self.add_loss(config.change_penalty * ops.sum(change) / count)
        return self.model.nats(outputs, inputs, training)

    def get_config(self):
        return {"model": keras.saving.serialize_keras_object(self.model), "batch_size": self.batch_size}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(keras.saving.deserialize_keras_object(config["model"], custom_objects), config["batch_size"])


class OutputReader(StreamReader):
    """The same, but it gives what the softmax reads, `(batch, time, units)`."""

    def call(self, inputs, training=False):
        return self.read(inputs, training)[0]


def build_model(config: Config, vocabulary_size: int) -> LanguageModel:
    """A model that reads forwards, untrained."""
    model = LanguageModel(config, vocabulary_size)
    model.build()
    return model


def build_fill_model(config: Config, vocabulary_size: int) -> FillModel:
    """A model that reads both ways, untrained."""
    model = FillModel(config, vocabulary_size)
    model.build()
    return model


def read_stream(reader: StreamReader, batches) -> np.ndarray:
    """What the reader tells of every step of an epoch of batches, `(batch, steps, ...)`."""
    return np.concatenate([reader.predict_on_batch(batch) for batch, _ in batches], axis=1)


def load_model(run: Run) -> tuple[Config, Vocabulary, LanguageModel]:
    """Configuration, vocabulary and model of a trained run.

    Raises:
        RunError: its files do not fit together.
    """
    return _loaded(run, build_model, Vocabulary)


def load_fill_model(run: Run) -> tuple[Config, WordVocabulary, FillModel]:
    """The same of a run that reads both ways."""
    return _loaded(run, build_fill_model, WordVocabulary)


Model = TypeVar("Model", bound=WordModel)
Kind = TypeVar("Kind", bound=Vocabulary)


def _loaded(run: Run, build: Callable[[Config, int], Model], kind: type[Kind]) -> tuple[Config, Kind, Model]:
    config = run.read_config(Config)
    vocabulary = load_vocabulary(run, kind)
    model = build(config, len(vocabulary))
    load_trained(run, model)
    return config, vocabulary, model
