"""The captioner: an LSTM that writes, adaptive attention to the grid of an image, an LSTM that remembers what it saw.

    grid a (batch, rows, columns, channels), from the image encoder
      -> memory V (batch, positions, units)          v_i = relu(W_a a_i)          [Lu et al. 2017, eq. 16]
      -> summary v (batch, units)                    v = relu(W_b mean(a))        [Lu et al., eq. 17]
    token_ids (batch, captions, target)
      -> LSTM over x_t = (E w_t, v)                  h_t, m_t                     [Lu et al., eq. 4]
      -> sentinel s_t = sigmoid(W_x x_t + W_h h_t-1) * tanh(m_t)                  [Lu et al., eq. 9 and 10]
      -> attention of h_t over V and s_t: context c_t                             [Lu et al., eq. 11 to 13]
      -> logits = W_p (h_t + c_t): (batch, captions, target, vocab)               [Lu et al., eq. 13]

No recurrence waits for the attention (the LSTM is not told what was looked at), so training is whole-sequence matrix
products. Where captions tell how objects stand to each other, a second LSTM remembers what was looked at: the language
LSTM over (h_t, c_t), whose g_t takes the place of h_t in the logits (after Anderson et al. 2018, section 3.2.2).
Without it, the captioner of scenes names the objects long before it can tell their relations; photos do without.
The `captions` axis is the beam in decoding: the grid of an image is projected once for all of its hypotheses.
"""

from typing import Any, NamedTuple

import keras

from shared.attention import AdaptiveAttention
from shared.decoding import Hypotheses, beam_search
from shared.recurrent import LSTM
from shared.runs import Run
from shared.training import load_trained
from shared.vocabulary import Vocabulary, WordVocabulary, load_vocabulary
from tasks.captioner.config import Config
from tasks.captioner.encoder import grid_shape

ops: Any = keras.ops  # Keras declares no result types for its operations


class Memory(NamedTuple):
    """What the decoder needs to know of an image, computed once."""

    values: Any  # (batch, positions, units)
    keys: Any  # (batch, positions, units)
    summary: Any  # (batch, units)


State = tuple[Any, ...]  # the hidden and the cell state of each LSTM, (batch, captions, units)


@keras.saving.register_keras_serializable("quatrain")
class Captioner(keras.Model):
    """Grid in, next-word logits out.

    Args:
        vocab_size: number of token ids.
        units: width of embedding, LSTMs and attention alike.
        word_scale: standard deviation of the embedding at first: how loud words are beside the image.
        counts: whether the summary is the sum over the grid, by which objects can be counted, in place of the mean.
        language_lstm: whether a second LSTM remembers what was looked at.
        dropout: share of the units dropped in training before the softmax.

    Attributes:
        steady: train the very function that inference computes, with nothing dropped. False unless set.
    """

    def __init__(
        self,
        vocab_size: int,
        units: int,
        word_scale: float = 1.0,
        counts: bool = False,
        language_lstm: bool = False,
        dropout: float = 0.0,
        **keras_options,
    ):
        super().__init__(**keras_options)
        self.vocab_size, self.units, self.word_scale = vocab_size, units, word_scale
        self.counts, self.dropout = counts, dropout
        self.steady = False
        self.values = keras.layers.Dense(units, activation="relu", name="values")
        self.summary = keras.layers.Dense(units, activation="relu", name="summary")
        initializer: Any = keras.initializers.RandomNormal(stddev=word_scale)
        self.embedding = keras.layers.Embedding(vocab_size, units, embeddings_initializer=initializer, name="embedding")
        self.lstm = LSTM(units, return_sequences=True, return_state=True, return_cells=True, name="lstm")
        self.sentinel_gate = keras.layers.Dense(units, activation="sigmoid", name="sentinel_gate")
        self.attention = AdaptiveAttention(units, name="attention")
        self.language_lstm = (
            LSTM(units, return_sequences=True, return_state=True, name="language_lstm") if language_lstm else None
        )
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout")
        self.output_projection = keras.layers.Dense(vocab_size, name="output")

    def build(self, input_shape):
        """Names every weight after its layer; `input_shape` as `call`'s inputs."""
        width, double = (None, None, self.units), (None, None, 2 * self.units)
        channels = input_shape["grid"][-1]
        self.values.build((None, None, channels))
        self.summary.build((None, channels))
        self.embedding.build((None, None))
        self.lstm.build(double)
        self.sentinel_gate.build((None, None, 3 * self.units))
        self.attention.build(width, width, width, width)
        if self.language_lstm is not None:
            self.language_lstm.build(double)
        self.output_projection.build(width)
        self.built = True

    def read(self, grid) -> Memory:
        """From the encoder's grid (batch, rows, columns, channels) to the decoder's memory."""
        batch, rows, columns, channels = ops.shape(grid)
        positions = ops.reshape(grid, (batch, rows * columns, channels))
        values = self.values(positions)
        pooled = ops.mean(positions, axis=1)
        if self.counts:
            pooled *= ops.sqrt(ops.cast(rows * columns, pooled.dtype))  # the sum, kept in size like a position
        return Memory(values, self.attention.keys(values), self.summary(pooled))

    def initial_state(self, batch: Any, captions: Any) -> State:
        """The state before the first word."""
        zeros = ops.zeros((batch, captions, self.units), self.compute_dtype)
        return (zeros,) * (2 if self.language_lstm is None else 4)

    def decode(self, memory: Memory, token_ids, state: State | None = None, training=False):
        """Next-word logits for every prefix of `token_ids` (batch, captions, target), each caption continuing `state`.

        Returns:
            logits (batch, captions, target, vocab), the state after the last token, and the attention, (batch,
            captions, target, positions + 1) with the sentinel's share in the last column.
        """
        batch, captions, target = ops.shape(token_ids)
        sequences = batch * captions

        summary = ops.broadcast_to(memory.summary[:, None, None, :], (batch, captions, target, self.units))
        inputs = ops.reshape(
            ops.concatenate([self.embedding(token_ids), summary], axis=-1), (sequences, target, 2 * self.units)
        )
        state = self.initial_state(batch, captions) if state is None else state
        first_hidden, first_cell, *language = (ops.reshape(part, (sequences, self.units)) for part in state)
        hidden, cells, *last = self.lstm(inputs, initial_state=[first_hidden, first_cell])

        previous = ops.concatenate([first_hidden[:, None], hidden[:, :-1]], axis=1)
        sentinels = self.sentinel_gate(ops.concatenate([inputs, previous], axis=-1)) * ops.tanh(cells)

        per_image = (batch, captions * target, -1)  # all captions of an image query one memory
        queries, sentinels = ops.reshape(hidden, per_image), ops.reshape(sentinels, per_image)
        contexts, attention = self.attention(queries, memory.values, memory.keys, sentinels)
        contexts = ops.reshape(contexts, (sequences, target, self.units))

        if self.language_lstm is not None:
            heard = ops.concatenate([hidden, contexts], axis=-1)
            hidden, *language = self.language_lstm(heard, initial_state=language)
        logits = self.output_projection(self.output_dropout(hidden + contexts, training=training))
        return (
            ops.reshape(logits, (batch, captions, target, self.vocab_size)),
            tuple(ops.reshape(part, (batch, captions, self.units)) for part in (*last, *language)),
            ops.reshape(attention, (batch, captions, target, -1)),
        )

    def call(self, inputs, training=False):
        """Logits for teacher forcing: `inputs` holds `grid` and `token_ids`."""
        training = training and not self.steady
        logits, _, _ = self.decode(self.read(inputs["grid"]), inputs["token_ids"], training=training)
        return logits

    def search_space(self, grid, max_length: int) -> dict[str, Any]:
        """What any search of `shared.decoding` asks for, for captions of at most `max_length` words.

        The extras of its step are the attention (batch, beam, positions + 1).
        """
        memory = self.read(grid)
        batch_size = ops.shape(grid)[0]

        def step(token_ids, state):
            logits, state, attention = self.decode(memory, token_ids[:, :, None], state)
            return ops.log_softmax(logits[:, :, 0], axis=-1), state, attention[:, :, 0]

        return {
            "step": step,
            "initial_state": tuple(part[:, 0] for part in self.initial_state(batch_size, 1)),
            "batch_size": batch_size,
            "start_id": Vocabulary.start_id,
            "end_id": Vocabulary.end_id,
            "pad_id": Vocabulary.pad_id,
            "max_length": max_length + 1,  # and the end token
        }

    def describe(self, grid, *, beam: int, max_length: int, length_penalty: float) -> Hypotheses:
        """The best captions of each image, found by beam search.

        Args:
            grid: (batch, rows, columns, channels).
            beam: captions kept, and returned, per image.
            max_length: words of a caption at most.
            length_penalty: see `shared.decoding.beam_search`.

        Returns:
            `token_ids` (batch, beam, target) and so on; `extras` is the attention (batch, beam, target, positions + 1).
        """
        return beam_search(
            **self.search_space(grid, max_length),
            beam=beam,
            length_penalty=length_penalty,
            forbidden_ids=(Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.unknown_id),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "vocab_size": self.vocab_size,
            "units": self.units,
            "word_scale": self.word_scale,
            "counts": self.counts,
            "language_lstm": self.language_lstm is not None,
            "dropout": self.dropout,
        }


class Describer(keras.Model):
    """From images, or from their grids, to captions, compiled once: call `predict_on_batch` with NumPy arrays.

    Attributes:
        grid_shape: rows and columns of the grid.
    """

    def __init__(self, captioner: Captioner, encoder: keras.Model | None, config: Config):
        super().__init__()
        self.captioner, self.encoder, self.config = captioner, encoder, config
        self.grid_shape = grid_shape(config)[:2]

    def call(self, inputs):
        """Images (batch, size, size, 3) in 0..255, or grids if there is no encoder -> the fields of Hypotheses."""
        grid = inputs if self.encoder is None else self.encoder(inputs)
        options = {name: getattr(self.config, name) for name in ("beam", "max_length", "length_penalty")}
        return self.captioner.describe(grid, **options)._asdict()


def build_model(config: Config, vocab_size: int) -> Captioner:
    """An untrained captioner for the grids of the configured encoder."""
    decoder = {name: getattr(config, name) for name in ("word_scale", "counts", "language_lstm", "dropout")}
    model = Captioner(vocab_size, config.units, **decoder, name="captioner")
    model.build({"grid": (None, None, None, grid_shape(config)[-1]), "token_ids": (None, None, None)})
    return model


def load_model(run: Run) -> tuple[Config, WordVocabulary, Captioner]:
    """The configuration, vocabulary and trained model of a run; RunError when they do not fit together."""
    config = run.read_config(Config)
    vocabulary = load_vocabulary(run, WordVocabulary)
    model = build_model(config, len(vocabulary))
    load_trained(run, model)
    return config, vocabulary, model
