"""The network of a classifier: a language model's recurrent layers, what they say of a whole text, and its label.

    x_t = E[w_t]                              embedding, of `</s>` and then of the words
    s_t = f(x_t, s_{t-1})                     the recurrent layers of the language model
    h = [s_T, max_t s_t, mean_t s_t]          concat pooling (Howard & Ruder 2018, section 3.3)
    p = softmax(V relu(U h + a) + b)

Pooling needs the last, the highest and the sum of the states so far, so a text of any length is read in parts, in
memory that does not depend on its length.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.any_size import AnySize
from shared.dense import Dense
from shared.fine_tuning import pieces
from shared.gathering import take_each
from shared.loaded import Loaded
from shared.masks import is_real
from shared.runs import Run
from shared.training import assign_weights, build_bounded, build_trained, weights_as_arrays
from shared.views import consistency, repeat_batch
from shared.vocabulary import SPECIALS, Vocabulary
from tasks.language_model.config import Config
from tasks.language_model.labels import load_labels
from tasks.language_model.model import WordModel, example_tokens
from tasks.language_model.model import load_model as load_language_model
from tasks.language_model.states import BELOW, initial_memory
from tasks.language_model.tokenisation import load_tokens

ops: Any = keras.ops  # Keras declares no result types for its operations

HEAD = "hidden/", "output/"  # of the names of its weights
WORD_AXES = {"embedding/embeddings": 0, "projection/kernel": 1, "bias": 0}


class Memory(NamedTuple):
    """What is known of texts after some of their tokens."""

    states: list[Any]
    """Recurrent states, each `(batch, units)`."""
    last: Any
    """The last output `(batch, units)`."""
    highest: Any
    """The maximum of the outputs `(batch, units)`."""
    total: Any
    """The sum of the outputs `(batch, units)`."""
    count: Any
    """Their number `(batch, 1)`."""


@keras.saving.register_keras_serializable(package="quatrain")
class Classifier(WordModel):
    """Token ids -> logits of the labels.

    Args:
        config: a `Config` or its fields.
        vocabulary_size: number of token ids.
        labels: the names of the labels.
    """

    READS = "for a label"

    def __init__(
        self,
        config: Config | dict[str, Any],
        vocabulary_size: int,
        labels: Sequence[str],
        name: str = "classifier",
        **kwargs,
    ):
        super().__init__(config, vocabulary_size, name, **kwargs)
        self.labels = list(labels)
        self.feature_dropout = keras.layers.Dropout(self.config.output_dropout, name="feature_dropout")
        self.hidden = Dense(self.config.head_units, activation="relu", name="hidden")
        self.hidden_dropout = keras.layers.Dropout(self.config.output_dropout, name="hidden_dropout")
        self.output_layer = Dense(len(self.labels), name="output")

    def build(self, input_shape=None):
        del input_shape
        units = self.config.widths[-1]
        self.embedding.build((None, None))
        self.word_dropout.build((None, None, self.config.embedding_units))
        self.stack.build((None, None, self.config.embedding_units))
        self.hidden.build((None, 3 * units))
        self.output_layer.build((None, self.config.head_units))
        self.temperature = self.add_weight(shape=(), initializer="ones", trainable=False, name="temperature")
        self.built = True

    def initial_memory(self, batch: Any) -> Memory:
        """The memory before the first token."""
        zeros = ops.zeros((batch, self.config.widths[-1]))
        return Memory(self.stack.initial_state(batch), zeros, zeros + BELOW, zeros, zeros[:, :1])

    def embed(self, token_ids, training=False):
        """`(batch, time)` -> `(batch, time, embedding units)`"""
        return self.word_dropout(self.embedding(token_ids), token_ids, training=training)

    def read(self, embedded, lengths, memory: Memory, training=False) -> Memory:
        """The memory after further tokens.

        Args:
            embedded: `(batch, time, embedding units)`.
            lengths: int32 `(batch,)`, how many of them are real, which may be none.
            memory: of the tokens before.
        """
        mask = is_real(embedded, lengths)
        outputs, states = self.stack(embedded, initial_state=memory.states, mask=mask, training=training)
        outputs, real = ops.cast(outputs, "float32"), mask[..., None]
        last = take_each(outputs, ops.maximum(lengths - 1, 0), axis=1)
        highest = ops.max(ops.where(real, outputs, BELOW), axis=1)
        return Memory(
            states,
            ops.where(lengths[:, None] > 0, last, memory.last),
            ops.maximum(memory.highest, highest),
            memory.total + ops.sum(ops.where(real, outputs, 0.0), axis=1),
            memory.count + ops.cast(lengths, "float32")[:, None],
        )

    def logits(self, memory: Memory, training=False):
        """Logits `(batch, labels)` of the texts that a memory is of."""
        mean = memory.total / ops.maximum(memory.count, 1.0)
        features = ops.concatenate([memory.last, memory.highest, mean], axis=-1)
        hidden = self.hidden(self.feature_dropout(features, training=training))
        return ops.cast(self.output_layer(self.hidden_dropout(hidden, training=training)), "float32")

    def calibrated(self, logits):
        """Logits divided by the temperature, those of the probabilities that the model states."""
        return logits / ops.convert_to_tensor(self.temperature)

    def call(self, inputs, training=False):
        """Logits `(batch, labels)`; inputs: `token_ids` int32 `(batch, time)`, `lengths` int32 `(batch,)`."""
        memory = self.initial_memory(ops.shape(inputs["token_ids"])[0])
        embedded = self.embed(inputs["token_ids"], training)
        return self.logits(self.read(embedded, inputs["lengths"], memory, training), training)

    def get_config(self):
        return {**super().get_config(), "labels": self.labels}


class LabelReader(keras.Model):
    """The loss of a classifier; in training, with `consistency_weight`, that of two views of each text."""

    def __init__(self, model: Classifier, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.model = model
        self.built = True

    def call(self, inputs, training=False):
        """-log p of each of the `label_ids` in nats, `(batch x views,)`; other inputs as in the model."""
        weight = self.model.config.consistency_weight
        views = 2 if training and weight else 1
        inputs = {name: repeat_batch(tensor, views) for name, tensor in inputs.items()}
        logits = self.model(inputs, training=training)
        if views > 1:
            self.add_loss(weight * ops.mean(consistency(logits)))
        return ops.sparse_categorical_crossentropy(inputs["label_ids"], logits, from_logits=True)


class TextPartReader(AnySize):
    """Reads a further part of each text."""

    max_rows = 64
    shortest = {"token_ids": 16}  # noqa: RUF012 - as in the base class

    def __init__(self, model: Classifier, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # the memory is not rounded in a training with bfloat16
        self.model = model

    def examples(self):
        return [
            {**texts, "memory": initial_memory(self.model.config, len(texts["lengths"]))}
            for texts in example_tokens(self.model)
        ]

    def call(self, inputs, training=False):
        """The memory after a part of each text, and what the label is if it ends there.

        Args:
            inputs: `token_ids` int32 `(batch, time)`; `lengths` int32 `(batch,)`; `memory`, a list: that of the states,
                then the other items of a `Memory`.

        Returns:
            The memory; logits `(batch, labels)`; log-probabilities `(batch, labels)`, by the model's temperature.
        """
        *states, last, highest, total, count = inputs["memory"]
        memory = Memory(states, last, highest, total, count)
        memory = self.model.read(self.model.embed(inputs["token_ids"]), inputs["lengths"], memory, training)
        logits = self.model.logits(memory, training)
        log_probs = ops.log_softmax(self.model.calibrated(logits), axis=-1)
        return [*memory.states, *memory[1:]], logits, log_probs


def build_classifier(config: Config, vocabulary: Vocabulary, labels: Sequence[str]) -> Classifier:
    """An untrained classifier; raises UserError if it would be too large."""

    def build() -> Classifier:
        model = Classifier(config, len(vocabulary), labels)
        model.build()
        return model

    return build_bounded(build)


def start_from(initial: Loaded[Config, Vocabulary, Any], model: Any, after: Vocabulary) -> None:
    """Gives a language model or a classifier the weights of another one, as far as both have them.

    A word that the other one lacks begins with the mean of its pieces, or of all words (`shared.fine_tuning`). A head
    is taken over as a whole or not at all, see `keeps_head`.
    """
    tensors, own = weights_as_arrays(initial.model), weights_as_arrays(model)
    if tuple(initial.vocabulary.table) != tuple(after.table):
        known = {word: index for index, word in enumerate(initial.vocabulary.table) if word not in SPECIALS}
        chosen = [list(range(len(SPECIALS)))[i : i + 1] for i in range(len(SPECIALS))]
        chosen += [pieces(word, known) for word in after.table[len(SPECIALS) :]]
        for name in WORD_AXES.keys() & tensors.keys():
            tensors[name] = _chosen(tensors[name], WORD_AXES[name], chosen)
    if not keeps_head(initial.model, model):
        tensors = {name: x for name, x in tensors.items() if not name.startswith(HEAD)}
    fitting = {name: x for name, x in tensors.items() if name in own and own[name].shape == x.shape}
    assign_weights(model, own | fitting)


def keeps_head(initial: Any, model: Any) -> bool:
    """Whether a model that starts from another one has its head: both are classifiers of the same labels and width."""
    if not isinstance(initial, Classifier) or not isinstance(model, Classifier):
        return False
    return (initial.labels, initial.config.head_units) == (model.labels, model.config.head_units)


def _chosen(tensor: np.ndarray, axis: int, chosen: list[list[int]]) -> np.ndarray:
    """A weight with a part along an axis for each list of ids: their mean, or that of all if there is none."""
    parts = np.moveaxis(tensor, axis, 0)
    mean = parts[len(SPECIALS) :].mean(axis=0)
    return np.moveaxis(np.stack([parts[ids].mean(axis=0) if ids else mean for ids in chosen]), 0, axis)


def load_classifier(run: Run) -> Loaded[Config, Vocabulary, Classifier]:
    """Configuration, vocabulary and classifier of a trained run; raises RunError if its files do not fit together."""
    config, labels = run.read_config(Config), load_labels(run)
    vocabulary = load_tokens(run, config.vocabulary)
    return Loaded(config, vocabulary, build_trained(run, lambda: build_classifier(config, vocabulary, labels)))


def load_initial_model(run: Run) -> Loaded[Config, Vocabulary, Any]:
    """The causal language model, or the classifier, that the training of a classifier starts from."""
    return load_classifier(run) if run.read_config(Config).reads == "for a label" else load_language_model(run)
