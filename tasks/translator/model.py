"""The translator: an encoder that reads in both directions, a decoder that asks it what to write next.

    source_ids (batch, source)
      -> GRU over E_s x_i, in both directions: memory H_i = (h_i->, h_i<-)                [Bahdanau et al. 2015, 3.2]
    target_ids (batch, target)
      -> conditional GRU over E_t y_t-1: state s_t, context c_t = sum_i alpha_ti H_i      [shared/recurrent/conditional]
      -> o_t = tanh(W_s s_t + W_y E_t y_t-1 + W_c c_t)                                    [Bahdanau et al. 2015, A.2.2]
      -> f_t = tanh(sum_i alpha_ti E_s x_i), l_t = f_t + tanh(W_l f_t): the words themselves    [Nguyen & Chiang 2018]
      -> logits = (W_o o_t + l_t) E_t': (batch, target, vocab)                            [tied; Press & Wolf 2017]

The decoder begins with tanh(W mean(H)). Two others stand in its place. `between`: LSTM, then attention in several hops,
then LSTM over what was found; no recurrence waits for attention, so all steps attend at once. `fixed`: an LSTM that
begins with what the encoder ended with, and never asks (Sutskever et al. 2014). The `beam` axis of a search shares the
memory of its sentence.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.any_size import AnySize
from shared.decoding import Hypotheses, Step, beam_search
from shared.losses import token_nats
from shared.recurrent import LSTM, ConditionalGRU, Stack
from shared.recurrent.conditional import FAR
from shared.runs import Run
from shared.training import load_trained
from shared.vocabulary import Vocabulary, load_vocabulary
from tasks.translator.config import Config

ops: Any = keras.ops  # Keras declares no result types for its operations


class Memory(NamedTuple):
    """What the decoder may ask of a sentence, computed once."""

    values: Any  # (batch, source, width)
    keys: Any  # what the decoder makes of the values to look at them, (batch, source, ...) each
    mask: Any  # bool (batch, source), True = real
    summary: Any  # (batch, width), the mean of the values
    words: Any  # (batch, source, embedding), 0 beyond the end


class Decoded(NamedTuple):
    """What a decoder makes of several steps."""

    outputs: Any  # (batch, target, units)
    state: Any  # a tuple of (batch, units), after the last step
    weights: Any  # (batch, target, source), where it looked


class Inside(keras.layers.Layer):
    """Attention inside the recurrence."""

    states = 1

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.gru = ConditionalGRU(units, units, name="gru")
        self.by_state = keras.layers.Dense(units, use_bias=False, name="by_state")
        self.by_token = keras.layers.Dense(units, use_bias=False, name="by_token")
        self.by_context = keras.layers.Dense(units, name="by_context")

    def build(self, inputs_shape, values_shape):
        self.gru.build(inputs_shape, values_shape)
        self.by_state.build((None, None, self.gru.units))
        self.by_token.build(inputs_shape)
        self.by_context.build(values_shape)
        self.built = True

    def keys(self, values):
        """What the attention compares; then what is made of the values, which a search adds up in their place."""
        return self.gru.keys(values), self.gru.answers(values), self.by_context(values)

    def call(self, inputs, memory: Memory, state, training=False) -> Decoded:
        """All steps of a sequence: inputs (batch, target, features), state of (batch, units)."""
        attended = self.gru(inputs, memory.values, memory.keys[0], memory.mask, state[0], training=training)
        return self._decoded(inputs, attended, self.by_context(attended.contexts), (attended.states[:, -1],))

    def step(self, inputs, memory: Memory, state) -> Decoded:
        """One step of several hypotheses: inputs (batch, beam, features), state of (batch, beam, units)."""
        keys, answers, by_context = memory.keys
        attended = self.gru.step(inputs, state[0], memory.values, keys, memory.mask, answers)
        return self._decoded(inputs, attended, ops.matmul(attended.weights, by_context), (attended.states,))

    def _decoded(self, inputs, attended, by_context, state) -> Decoded:
        outputs = self.by_state(attended.states) + self.by_token(inputs) + by_context
        return Decoded(ops.tanh(outputs), state, attended.weights)


class Between(keras.layers.Layer):
    """LSTM, attention in several hops, LSTM: x <- norm(x + W softmax(Q x . K) H), as in a Transformer."""

    states = 4

    def __init__(self, units: int, hops: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.lower, self.upper = (
            LSTM(units, return_sequences=True, return_state=True, name=name) for name in ("lower", "upper")
        )
        self.to_keys = keras.layers.Dense(units, use_bias=False, name="keys")
        self.queries = [keras.layers.Dense(units, use_bias=False, name=f"query_{i}") for i in range(hops)]
        self.answers = [keras.layers.Dense(units, name=f"answer_{i}") for i in range(hops)]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(hops)]

    def build(self, inputs_shape, values_shape):
        hidden = (None, None, self.units)
        self.lower.build(inputs_shape)
        self.upper.build(hidden)
        self.to_keys.build(values_shape)
        for query, answer, norm in zip(self.queries, self.answers, self.norms, strict=True):
            query.build(hidden)
            answer.build(values_shape)
            norm.build(hidden)
        self.built = True

    def keys(self, values):
        """What the attention compares, (batch, source, units)."""
        return self.to_keys(values)

    def call(self, inputs, memory: Memory, state, training=False) -> Decoded:
        """All steps of a sequence: inputs (batch, target, features), state of (batch, units)."""
        decoded = self._run(inputs[:, None], memory, tuple(part[:, None] for part in state), training)
        return Decoded(decoded.outputs[:, 0], tuple(part[:, 0] for part in decoded.state), decoded.weights[:, 0])

    def step(self, inputs, memory: Memory, state) -> Decoded:
        """One step of several hypotheses: inputs (batch, beam, features), state of (batch, beam, units)."""
        decoded = self._run(inputs[:, :, None], memory, state, False)
        return Decoded(decoded.outputs[:, :, 0], decoded.state, decoded.weights[:, :, 0])

    def _run(self, inputs, memory: Memory, state, training) -> Decoded:
        """Inputs (batch, beam, target, features), state of (batch, beam, units); outputs alike."""
        batch, beam, target, features = ops.shape(inputs)
        states = [ops.reshape(part, (batch * beam, self.units)) for part in state]
        flat = ops.reshape(inputs, (batch * beam, target, features))
        x, *lower = self.lower(flat, initial_state=states[:2], training=training)
        x = ops.reshape(x, (batch, beam * target, self.units))
        far = ops.where(memory.mask, 0.0, FAR)[:, None]
        weights = far
        for query, answer, norm in zip(self.queries, self.answers, self.norms, strict=True):
            scores = ops.matmul(query(x) / self.units**0.5, ops.transpose(memory.keys, (0, 2, 1)))
            weights = ops.softmax(scores + far, axis=-1)
            x = norm(x + answer(ops.matmul(weights, memory.values)))
        x = ops.reshape(x, (batch * beam, target, self.units))
        x, *upper = self.upper(x, initial_state=states[2:], training=training)
        return Decoded(
            ops.reshape(x, (batch, beam, target, self.units)),
            tuple(ops.reshape(part, (batch, beam, self.units)) for part in (*lower, *upper)),
            ops.reshape(weights, (batch, beam, target, -1)),
        )


class Fixed(keras.layers.Layer):
    """An LSTM that knows of the source what it began with, and looks nowhere."""

    states = 2

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.lstm = LSTM(units, return_sequences=True, return_state=True, name="lstm")

    def build(self, inputs_shape, values_shape):
        del values_shape
        self.lstm.build(inputs_shape)
        self.built = True

    def keys(self, values):
        """None are needed."""
        del values
        return ()

    def call(self, inputs, memory: Memory, state, training=False) -> Decoded:
        """All steps of a sequence: inputs (batch, target, features), state of (batch, units)."""
        outputs, *state = self.lstm(inputs, initial_state=list(state), training=training)
        return Decoded(outputs, tuple(state), self._nowhere(outputs, memory))

    def step(self, inputs, memory: Memory, state) -> Decoded:
        """One step of several hypotheses: inputs (batch, beam, features), state of (batch, beam, units)."""
        batch, beam, features = ops.shape(inputs)
        flat = [ops.reshape(part, (batch * beam, self.units)) for part in state]
        outputs, *state = self.lstm(ops.reshape(inputs, (batch * beam, 1, features)), initial_state=flat)
        outputs, *state = (ops.reshape(part, (batch, beam, self.units)) for part in (outputs, *state))
        return Decoded(outputs, tuple(state), self._nowhere(outputs, memory))

    def _nowhere(self, outputs, memory: Memory):
        return ops.zeros_like(outputs[:, :, :1]) * ops.cast(memory.mask[:, None], outputs.dtype)


@keras.saving.register_keras_serializable("quatrain")
class EncoderDecoder(keras.Model):
    """Sentence in, logits of the next token of its translation out.

    Args:
        config: a `Config`, or its fields.
        source_size, target_size: numbers of token ids.
    """

    def __init__(self, config: Config | dict[str, Any], source_size: int, target_size: int, **kwargs):
        super().__init__(**kwargs)
        self.config = config = Config(**config) if isinstance(config, dict) else config
        self.source_size, self.target_size = source_size, target_size

        def embedding(size: int, name: str):
            # Small: tied to it, the softmax begins even.
            initializer: Any = keras.initializers.RandomNormal(stddev=config.embedding_units**-0.5)
            return keras.layers.Embedding(size, config.embedding_units, embeddings_initializer=initializer, name=name)

        self.target_embedding = embedding(target_size, "target_embedding")
        self.source_embedding = self.target_embedding if config.joint else embedding(source_size, "source_embedding")
        self.embedding_dropout = keras.layers.SpatialDropout1D(config.embedding_dropout, name="embedding_dropout")
        self.encoder = Stack("gru", config.units, config.num_layers, bidirectional=True, residual=True, name="encoder")
        self.memory_dropout = keras.layers.SpatialDropout1D(config.memory_dropout, name="memory_dropout")
        self.decoder: Any = {
            "inside": lambda: Inside(config.units, name="decoder"),
            "between": lambda: Between(config.units, config.hops, name="decoder"),
            "fixed": lambda: Fixed(config.units, name="decoder"),
        }[config.decoder]()
        self.first_state = keras.layers.Dense(self.decoder.states * config.units, activation="tanh", name="first_state")
        self.to_embedding = keras.layers.Dense(config.embedding_units, name="to_embedding")
        # From the words looked at to their translations, past all that is known of them; it draws attention to them.
        self.lexicon = (
            None
            if config.decoder == "fixed"
            else keras.layers.Dense(config.embedding_units, activation="tanh", name="lexicon")
        )
        self.output_dropout = keras.layers.SpatialDropout1D(config.output_dropout, name="output_dropout")
        self.bias = self.add_weight(shape=(target_size,), initializer="zeros", name="bias")
        self.kernel = (
            None
            if config.tied
            else self.add_weight(
                shape=(config.embedding_units, target_size), initializer="glorot_uniform", name="kernel"
            )
        )

    def build(self, input_shape=None):
        del input_shape
        config = self.config
        features, width = (None, None, config.embedding_units), (None, None, 2 * config.units)
        self.target_embedding.build((None, None))
        if self.source_embedding is not self.target_embedding:
            self.source_embedding.build((None, None))
        self.encoder.build(features)
        self.decoder.build(features, width)
        self.first_state.build((None, 2 * config.units))
        self.to_embedding.build((None, None, config.units))
        if self.lexicon is not None:
            self.lexicon.build(features)
        self.built = True

    def read(self, source_ids, training=False) -> Memory:
        """A memory of sentences (batch, source), whole ones: with their end, then padding."""
        mask = ops.not_equal(source_ids, Vocabulary.pad_id)
        inputs = self.embedding_dropout(self.source_embedding(source_ids), training=training)
        values, states = self.encoder(inputs, mask=mask, training=training)
        real = ops.cast(mask, values.dtype)[:, :, None]
        values = self.memory_dropout(values * real, training=training)
        if self.config.decoder == "fixed":
            summary = ops.concatenate(states[-2:], axis=-1)  # what either direction ended with
        else:
            summary = ops.sum(values, axis=1) / ops.sum(real, axis=1)
        return Memory(values, self.decoder.keys(values), mask, summary, inputs * real)

    def begin(self, memory: Memory):
        """The decoder's state before the first token."""
        return tuple(ops.split(self.first_state(memory.summary), self.decoder.states, axis=-1))

    def output_kernel(self):
        """What the logits are a product with, (embedding_units, vocab)."""
        return ops.transpose(self.target_embedding.embeddings) if self.kernel is None else self.kernel

    def logits(self, decoded: Decoded, memory: Memory, kernel, training=False):
        """Of the tokens of the target, (..., vocab), from what the decoder made of a memory; `output_kernel` given."""
        outputs = self.to_embedding(decoded.outputs)
        if self.lexicon is not None:
            looked_at = ops.tanh(ops.matmul(decoded.weights, memory.words))
            outputs = outputs + looked_at + self.lexicon(looked_at)
        outputs = self.output_dropout(outputs, training=training)
        return ops.matmul(outputs, kernel) + self.bias

    def call(self, inputs, training=False):
        """Logits (batch, target, vocab) for teacher forcing; inputs as in `data`."""
        logits, weights = self.follow(inputs["source_ids"], inputs["target_ids"], training)
        if training and "alignment" in inputs:
            aligned = inputs["alignment"]
            nats = -ops.sum(aligned * ops.log(ops.maximum(weights, 1e-6)))
            self.add_loss(self.config.guidance * nats / ops.maximum(ops.sum(aligned), 1.0))
        return logits

    def follow(self, source_ids, target_ids, training=False):
        """Logits (batch, target, vocab) of what comes after each token, and where the model looks meanwhile."""
        memory = self.read(source_ids, training)
        tokens = self.embedding_dropout(self.target_embedding(target_ids), training=training)
        decoded = self.decoder(tokens, memory, self.begin(memory), training=training)
        return self.logits(decoded, memory, self.output_kernel(), training), decoded.weights

    def step(self, memory: Memory) -> Step:
        """The step of a search, see `shared.decoding`; its extras are where it looked."""
        kernel = self.output_kernel()  # turned around once, not at every step

        def step(token_ids, state):
            decoded = self.decoder.step(self.target_embedding(token_ids), memory, state)
            return ops.log_softmax(self.logits(decoded, memory, kernel), axis=-1), decoded.state, decoded.weights

        return step

    def search_space(self, memory: Memory, max_length: int) -> dict[str, Any]:
        """What any search of `shared.decoding` asks for, of at most so many tokens, the end among them."""
        return {
            "step": self.step(memory),
            "initial_state": self.begin(memory),
            "batch_size": ops.shape(memory.mask)[0],
            "start_id": Vocabulary.start_id,
            "end_id": Vocabulary.end_id,
            "pad_id": Vocabulary.pad_id,
            "max_length": max_length,
        }

    def get_config(self):
        from dataclasses import asdict

        return {
            **super().get_config(),
            "config": asdict(self.config),
            "source_size": self.source_size,
            "target_size": self.target_size,
        }


def build_model(config: Config, source_size: int, target_size: int) -> EncoderDecoder:
    """An untrained translator."""
    model = EncoderDecoder(config, source_size, target_size, name="translator")
    model.build()
    return model


class Reader(AnySize):
    """What given translations cost, compiled once: call `predict_on_batch`."""

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def call(self, inputs):
        """`source_ids` (batch, source), and `target_ids` (batch, target) with their end, then padding.

        Returns:
            log p of each token (batch, target), 0 for padding; attention (batch, target, source).
        """
        target_ids = inputs["target_ids"]
        start = ops.full_like(target_ids[:, :1], Vocabulary.start_id)
        before = ops.concatenate([start, target_ids[:, :-1]], axis=1)
        logits, weights = self.model.follow(inputs["source_ids"], before)
        nats = token_nats(target_ids, ops.cast(logits, "float32"))
        return ops.where(target_ids != Vocabulary.pad_id, -nats, 0.0), weights


def translate(
    models: Sequence[EncoderDecoder], source_ids, *, beam: int, max_length: int, length_penalty: float
) -> Hypotheses:
    """The best translations of sentences (batch, source), by beam search.

    Several models search together: what follows is as probable as they say on average, and they look where they look
    on average.

    Returns:
        `token_ids` (batch, beam, target) and so on; `extras` is the attention (batch, beam, target, source).
    """
    # What is left open for long costs time. Translations are hardly longer than one and a half times their sentence.
    source = ops.sum(ops.cast(source_ids != Vocabulary.pad_id, "int32"), axis=1)
    limits = ops.minimum(3 * source // 2 + 8, max_length) + 1  # and the end token
    memories = [model.read(source_ids) for model in models]
    spaces = [model.search_space(memory, ops.max(limits)) for model, memory in zip(models, memories, strict=True)]

    def step_for(places) -> Step:
        some: Any = keras.tree.map_structure(lambda x: ops.take(x, places, axis=0), memories)
        return together([model.step(memory) for model, memory in zip(models, some, strict=True)])

    space = spaces[0] | {
        "step": together([space["step"] for space in spaces]),
        "initial_state": tuple(space["initial_state"] for space in spaces),
    }
    forbidden = {Vocabulary.pad_id, Vocabulary.start_id}
    if models[0].config.vocabulary == "subwords":  # which spell everything
        forbidden.add(Vocabulary.unknown_id)
    return beam_search(
        **space,
        beam=beam,
        length_penalty=length_penalty,
        forbidden_ids=sorted(forbidden),
        limits=limits,
        certain=1,
        step_for=step_for,
    )


def together(steps: Sequence[Step]) -> Step:
    """The step of several models: the mean of their probabilities, and of where they look."""

    def step(token_ids, states):
        found = (step(token_ids, state) for step, state in zip(steps, states, strict=True))
        log_probs, states, weights = zip(*found, strict=True)
        if len(steps) == 1:  # whose logits a mean would read for nothing
            return log_probs[0], states, weights[0]
        return ops.logsumexp(ops.stack(log_probs), axis=0) - np.log(len(steps)), states, sum(weights) / len(steps)

    return step


def copied_places(found: Hypotheses, source_ids):
    """Of each token which word of the source is to be written in its place, int32 (batch, beam, target); -1: none.

    A token that stands for all unknown words is the word that the model looked at (Luong et al. 2015, 4.2); and a
    source word that the model does not know is written where it was looked at most.
    """
    words = (source_ids > Vocabulary.end_id)[:, None, None]
    weights = ops.where(words, found.extras, 0.0)
    looked = ops.cast(ops.argmax(weights, axis=-1), "int32")  # (batch, beam, target)
    most = ops.cast(ops.argmax(weights, axis=-2), "int32")  # (batch, beam, source)
    at_most = ops.take_along_axis(most, looked, axis=-1) == ops.arange(ops.shape(looked)[-1])
    unknown = ops.cast(source_ids == Vocabulary.unknown_id, "int32")[:, None] * ops.ones_like(most)
    of_unknown = (ops.take_along_axis(unknown, looked, axis=-1) > 0) & (found.token_ids > Vocabulary.unknown_id)
    copied = (found.token_ids == Vocabulary.unknown_id) | (of_unknown & at_most)
    return ops.where(copied & (ops.max(weights, axis=-1) > 0), looked, -1)


def load_model(run: Run) -> tuple[Config, Vocabulary, Vocabulary, EncoderDecoder]:
    """A trained run: its configuration, the vocabularies of source and target, the model.

    Raises:
        RunError: the run's files are missing, damaged or do not fit together.
    """
    config = run.read_config(Config)
    source = load_vocabulary(run, Vocabulary)
    target = source if config.joint else load_vocabulary(run, Vocabulary, "target_vocabulary")
    model = build_model(config, len(source), len(target))
    load_trained(run, model)
    return config, source, target, model
