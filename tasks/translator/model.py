"""The network of the translator: a bidirectional encoder, a decoder with attention, and their beam search.

    source_ids (batch, source)
      -> GRU over E_s x_i, in both directions: memory H_i = (h_i->, h_i<-)                [Bahdanau et al. 2015, 3.2]
    target_ids (batch, target)
      -> conditional GRU over E_t y_t-1: state s_t, context c_t = sum_i alpha_ti H_i      [shared/recurrent/conditional]
      -> o_t = tanh(W_s s_t + W_y E_t y_t-1 + W_c c_t)                                    [Bahdanau et al. 2015, A.2.2]
      -> f_t = tanh(sum_i alpha_ti E_s x_i), l_t = f_t + tanh(W_l f_t): the lexical path       [Nguyen & Chiang 2018]
      -> logits = (W_o o_t + l_t) E_t': (batch, target, vocab)                            [tied; Press & Wolf 2017]

The decoder's initial state is tanh(W mean(H)). `decoders` has two others, for comparison.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import keras
import numpy as np

from shared.any_size import AnySize
from shared.decoding import Hypotheses, SearchSpace, Step, beam_search
from shared.dense import Dense, product
from shared.fine_tuning import WordWeights, transfer
from shared.gathering import take, take_each
from shared.loaded import Loaded
from shared.losses import token_nats
from shared.recurrent import Stack
from shared.repeats import Repeats
from shared.runs import Run, current_fields
from shared.training import build_bounded, build_trained
from shared.vocabulary import Vocabulary
from tasks.translator.config import MAX_SCORES, Config
from tasks.translator.decoders import BetweenDecoder, Decoded, FixedDecoder, InsideDecoder, Memory
from tasks.translator.vocabularies import Vocabularies, load_vocabularies, source_batch

ops: Any = keras.ops  # Keras declares no result types for its operations

AFTER_PREFIX = 8  # tokens that a translation may have after the prefix that it is given, at least


@keras.saving.register_keras_serializable("quatrain")
class EncoderDecoder(keras.Model):
    """Source sentences and the tokens so far -> logits of the next token.

    Args:
        config: a `Config`, or its fields under current or former names.
        source_size, target_size: number of token ids of each language.
    """

    def __init__(self, config: Config | dict[str, Any], source_size: int, target_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config = Config(**current_fields(Config, config)) if isinstance(config, dict) else config
        self.source_size, self.target_size = source_size, target_size

        def embedding(size: int, name: str):
            # Small values: the softmax is tied to the embedding and starts almost uniform.
            initializer: Any = keras.initializers.RandomNormal(stddev=config.embedding_units**-0.5)
            return keras.layers.Embedding(size, config.embedding_units, embeddings_initializer=initializer, name=name)

        self.target_embedding = self.source_embedding = embedding(target_size, "target_embedding")
        if not config.joint_vocabulary:
            self.source_embedding = embedding(source_size, "source_embedding")
        self.embedding_dropout = keras.layers.SpatialDropout1D(config.embedding_dropout, name="embedding_dropout")
        self.encoder = Stack("gru", config.units, config.num_layers, bidirectional=True, residual=True, name="encoder")
        self.memory_dropout = keras.layers.SpatialDropout1D(config.memory_dropout, name="memory_dropout")
        kind: Any = {"inside": InsideDecoder, "between": BetweenDecoder, "fixed": FixedDecoder}[config.decoder]
        hops = {"hops": config.attention_hops} if config.decoder == "between" else {}
        self.decoder = kind(config.units, **hops, name="decoder")
        self.first_state = Dense(kind.num_states * config.units, activation="tanh", name="first_state")
        self.to_embedding = Dense(config.embedding_units, name="to_embedding")
        # W_l: from the embeddings of the attended words to the output, past the encoder; it guides attention too.
        self.lexicon = None
        if config.decoder != "fixed":
            self.lexicon = Dense(config.embedding_units, activation="tanh", name="lexicon")
        self.output_dropout = keras.layers.SpatialDropout1D(config.output_dropout, name="output_dropout")
        self.bias = self.add_weight(shape=(target_size,), initializer="zeros", name="bias")
        shape = config.embedding_units, target_size
        self.kernel = None if config.tied else self.add_weight(shape, "glorot_uniform", name="kernel")

    def build(self, input_shape: Any = None) -> None:
        units, features = self.config.units, (None, None, self.config.embedding_units)
        self.target_embedding.build((None, None))
        if not self.config.joint_vocabulary:
            self.source_embedding.build((None, None))
        self.encoder.build(features)
        self.decoder.build(features, (None, None, 2 * units))
        self.first_state.build((None, 2 * units))
        self.to_embedding.build((None, None, units))
        if self.lexicon is not None:
            self.lexicon.build(features)
        self.built = True

    def encode(self, source_ids: Any, training: bool = False) -> Memory:
        """The memory of sentences `(batch, source)`, each with its end token, then padding."""
        mask = ops.not_equal(source_ids, Vocabulary.pad_id)
        inputs = self.embedding_dropout(self.source_embedding(source_ids), training=training)
        values, states = self.encoder(inputs, mask=mask, training=training)
        real = ops.cast(mask, values.dtype)[:, :, None]
        values = self.memory_dropout(values * real, training=training)
        summary = ops.concatenate(states[-2:], axis=-1)  # final states of both directions
        if self.config.decoder != "fixed":
            summary = ops.sum(values, axis=1) / ops.sum(real, axis=1)
        return Memory(values, self.decoder.precompute(values), mask, summary, inputs * real)

    def initial_state(self, memory: Memory) -> tuple[Any, ...]:
        """The decoder's state before the first token, a tuple of `(batch, units)`."""
        return tuple(ops.split(self.first_state(memory.summary), self.decoder.num_states, axis=-1))

    def output_kernel(self) -> Any:
        """The kernel of the softmax, `(embedding_units, vocab)`."""
        return ops.transpose(self.target_embedding.embeddings) if self.kernel is None else self.kernel

    def logits(self, decoded: Decoded, memory: Memory, kernel: Any, training: bool = False) -> Any:
        """Logits `(..., vocab)` of the result of a decoder; `kernel` is the `output_kernel`."""
        outputs = self.to_embedding(decoded.outputs)
        if self.lexicon is not None:
            lexical = ops.tanh(ops.matmul(decoded.attention, memory.embeddings))
            outputs = outputs + lexical + self.lexicon(lexical)
        outputs = self.output_dropout(outputs, training=training)
        return product(outputs, kernel) + self.bias

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Logits `(batch, target, vocab)` by teacher forcing; inputs as described in `data`."""
        logits, attention = self.logits_and_attention(inputs["source_ids"], inputs["target_ids"], training)
        if training and "alignment" in inputs:
            alignment, attention = (ops.cast(x, "float32") for x in (inputs["alignment"], attention))
            nats = -ops.sum(alignment * ops.log(ops.maximum(attention, 1e-6)))
            self.add_loss(self.config.alignment_weight * nats / ops.maximum(ops.sum(alignment), 1.0))
        return logits

    def logits_and_attention(self, source_ids: Any, target_ids: Any, training: bool = False) -> tuple[Any, Any]:
        """Logits `(batch, target, vocab)` after each token of `target_ids`, attention `(batch, target, source)`."""
        memory = self.encode(source_ids, training)
        tokens = self.embedding_dropout(self.target_embedding(target_ids), training=training)
        decoded = self.decoder(tokens, memory, self.initial_state(memory), training=training)
        return self.logits(decoded, memory, self.output_kernel(), training), decoded.attention

    def step(self, memory: Memory) -> Step:
        """The step of a search, see `shared.decoding`; its extras are the attention."""
        kernel = self.output_kernel()  # transposed once, not at every step

        def step(token_ids, state):
            decoded = self.decoder.step(self.target_embedding(token_ids), memory, state)
            return ops.log_softmax(self.logits(decoded, memory, kernel), axis=-1), decoded.state, decoded.attention

        return step

    def get_config(self) -> dict[str, Any]:
        sizes = {"source_size": self.source_size, "target_size": self.target_size}
        return {**super().get_config(), "config": asdict(self.config), **sizes}


def build_model(config: Config, vocabulary: Vocabularies) -> EncoderDecoder:
    """An untrained model; raises UserError if it would be too large."""

    def build() -> EncoderDecoder:
        model = EncoderDecoder(config, len(vocabulary.source), len(vocabulary.target), name="translator")
        model.build()
        return model

    return build_bounded(build)


def load_model(run: Run) -> Loaded[Config, Vocabularies, EncoderDecoder]:
    """Loads a run; raises RunError if its files are missing, damaged or do not fit together."""
    config = run.read_config(Config)
    vocabulary = load_vocabularies(run, config)
    model = build_trained(run, lambda: build_model(config, vocabulary))
    return Loaded(config, vocabulary, model)


def start_from(
    initial: Loaded[Config, Vocabularies, EncoderDecoder], model: EncoderDecoder, after: Vocabularies
) -> None:
    """Gives a model with the vocabularies `after` the weights of a run with vocabularies that they extend."""
    before = initial.vocabulary
    source = WordWeights({"source_embedding/embeddings": 0}, before.source, after.source)
    target = WordWeights({"target_embedding/embeddings": 0, "kernel": 1, "bias": 0}, before.target, after.target)
    transfer(initial.model, model, source, target)


def translate(models: Sequence[EncoderDecoder], source_ids: Any, config: Config) -> Hypotheses:
    """The best translations of sentences `(batch, source)`, by beam search with the settings of `config`.

    Several models form an ensemble, see `ensemble_step`. `extras` is the attention `(batch, beam, target, source)`.
    """
    space, options, step_for_subset = search_space(models, source_ids, config)
    return beam_search(space, **options, num_exact=1, step_for_subset=step_for_subset)


def search_space(
    models: Sequence[EncoderDecoder], source_ids: Any, config: Config, prefix_ids: Any = None
) -> tuple[SearchSpace, dict[str, Any], Callable[[Any], Step]]:
    """The search space of the translations of sentences, the options of its beam search, and its `step_for_subset`.

    Args:
        models: several form an ensemble.
        source_ids: `(batch, source)`.
        config: the settings.
        prefix_ids: `(batch, prefix)`, the first tokens of the translations; see `SearchSpace`.
    """

    def limit(length: Any, minimum: Callable[[Any, Any], Any]) -> Any:
        # A translation is rarely longer than 1.5 times its source; hypotheses that stay open longer cost time.
        return minimum(3 * length // 2 + 8, 2 * config.max_length) + 1  # and the end token

    def count(ids: Any) -> Any:
        return ops.sum(ops.cast(ids != Vocabulary.pad_id, "int32"), axis=1)

    max_lengths = limit(count(source_ids), ops.minimum)
    batch, width = ops.shape(source_ids)
    longest = limit(width, min) if isinstance(width, int) else ops.max(max_lengths)
    if prefix_ids is not None:
        max_lengths = ops.maximum(max_lengths, count(prefix_ids) + 1 + AFTER_PREFIX)
        of_prefix = prefix_ids.shape[1] if isinstance(longest, int) else ops.max(max_lengths)
        longest = max(longest, of_prefix + 1 + AFTER_PREFIX) if isinstance(longest, int) else of_prefix
    memories = [model.encode(source_ids) for model in models]
    states = tuple(model.initial_state(memory) for model, memory in zip(models, memories, strict=True))

    def step(memories: Any) -> Step:
        return ensemble_step([model.step(memory) for model, memory in zip(models, memories, strict=True)])

    def step_for_subset(indices) -> Step:
        return step(keras.tree.map_structure(lambda x: take(x, indices), memories))

    forbidden_ids = [Vocabulary.pad_id, Vocabulary.start_id]
    if config.vocabulary == "subwords":  # any text has a spelling
        forbidden_ids.append(Vocabulary.unknown_id)
    special_ids = Vocabulary.start_id, Vocabulary.end_id, Vocabulary.pad_id
    space = SearchSpace(step(memories), states, batch, *special_ids, longest, forbidden_ids, prefix_ids)
    options: dict[str, Any] = {"beam": config.beam, "length_penalty": config.length_penalty, "max_lengths": max_lengths}
    if config.refuse_repeats:
        options["repeats"] = Repeats(shortest=1 if config.vocabulary == "words" else 4)
    return space, options, step_for_subset


def ensemble_step(steps: Sequence[Step]) -> Step:
    """The step of several models: the mean of their probabilities and of their attention."""

    def step(token_ids, states):
        results = (step(token_ids, state) for step, state in zip(steps, states, strict=True))
        log_probs, states, attention = zip(*results, strict=True)
        if len(steps) == 1:  # without another pass over the logits
            return log_probs[0], states, attention[0]
        mean = ops.logsumexp(ops.stack(log_probs), axis=0) - np.log(len(steps))
        return mean, states, sum(attention) / len(steps)

    return step


def copied_indices(hypotheses: Hypotheses, source_ids: Any) -> Any:
    """The index of the source token that replaces each target token, int32 `(batch, beam, target)`; -1 for none.

    An unknown target token is replaced by the source word with the most attention (Luong et al. 2015, 4.2). An unknown
    source word replaces the target token with the most attention to it, if that attends to no other word more.
    """
    is_word = (source_ids > Vocabulary.end_id)[:, None, None]
    attention = ops.where(is_word, hypotheses.extras, 0.0)
    source = ops.cast(ops.argmax(attention, axis=-1), "int32")  # of each target token, (batch, beam, target)
    target = ops.cast(ops.argmax(attention, axis=-2), "int32")  # of each source token, (batch, beam, source)
    is_mutual = take_each(target, source) == ops.arange(ops.shape(source)[-1])
    unknown = ops.cast(source_ids == Vocabulary.unknown_id, "int32")[:, None] * ops.ones_like(target)
    of_unknown = (take_each(unknown, source) > 0) & (hypotheses.token_ids > Vocabulary.unknown_id)
    is_copied = (hypotheses.token_ids == Vocabulary.unknown_id) | (of_unknown & is_mutual)
    return ops.where(is_copied & (ops.max(attention, axis=-1) > 0), source, -1)


def example_sentences(model: EncoderDecoder) -> list[dict[str, Any]]:
    """Inputs of random tokens, in batches of two sizes, with sentences of different lengths."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(Vocabulary.unknown_id, model.source_size, (3, 9)).tolist()
    return [{"source_ids": source_batch(batch)} for batch in ([tokens[0], tokens[1][:4]], [tokens[2][:6]])]


class SearchModel(AnySize):
    """`translate` for batches of any size, with the settings of `config`."""

    shortest: ClassVar = {"source_ids": 8}

    def __init__(self, models: Sequence[EncoderDecoder], config: Config):
        super().__init__()
        self.models, self.config = list(models), config
        most = MAX_SCORES // (config.beam * models[0].target_size)
        self.max_rows = 1 << max(0, min(7, most.bit_length() - 1))

    def examples(self) -> list[dict[str, Any]]:
        return example_sentences(self.models[0])

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`source_ids` `(batch, source)` -> the fields of `Hypotheses`, and `copied`, see `copied_indices`."""
        hypotheses = translate(self.models, inputs["source_ids"], self.config)
        return {**hypotheses._asdict(), "copied": copied_indices(hypotheses, inputs["source_ids"])}


class ScoringModel(AnySize):
    """Log-probabilities of given translations, for batches of any size."""

    max_rows = 128
    shortest: ClassVar = {"source_ids": 8, "target_ids": 8}

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def examples(self) -> list[dict[str, Any]]:
        rng, examples = np.random.default_rng(1), []
        for sources in example_sentences(self.model):
            rows = len(sources["source_ids"])
            tokens = rng.integers(Vocabulary.unknown_id, self.model.target_size, (rows, 5)).tolist()
            examples.append({**sources, "target_ids": source_batch([row[: 5 - i] for i, row in enumerate(tokens)])})
        return examples

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """Log-probability of each token `(batch, target)`, 0 for padding; attention `(batch, target, source)`.

        The inputs are `source_ids` `(batch, source)` and `target_ids` `(batch, target)`, with end token and padding.
        """
        target_ids = inputs["target_ids"]
        start = ops.full_like(target_ids[:, :1], Vocabulary.start_id)
        previous = ops.concatenate([start, target_ids[:, :-1]], axis=1)
        logits, attention = self.model.logits_and_attention(inputs["source_ids"], previous)
        nats = token_nats(target_ids, ops.cast(logits, "float32"))
        return ops.where(target_ids != Vocabulary.pad_id, -nats, 0.0), attention
