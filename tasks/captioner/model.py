"""The captioner: a convolutional grid, an LSTM, and adaptive attention between them.

    image (batch, height, width, 3)
      -> image encoder: grid (batch, rows, columns, channels)
      -> memory V (batch, positions, units)          v_i = relu(W_a a_i)          [Lu et al. 2017, eq. 16]
    token_ids (batch, captions, target)
      -> LSTM over x_t = E w_t + relu(W_b pool(V))   h_t, m_t                     [Lu et al., eq. 4 and 17]
      -> sentinel s_t = sigmoid(W_x x_t + W_h h_t-1) * tanh(m_t)                  [Lu et al., eq. 9 and 10]
      -> attention of h_t over V and s_t: context c_t                             [Lu et al., eq. 11 to 13]
      -> language LSTM over (h_t, c_t): g_t                                       [after Anderson et al. 2018, 3.2.2]
      -> logits = E tanh(W_p (g_t, c_t)): (batch, captions, target, vocab)        [Lu et al., eq. 5; E tied]

No recurrence waits for the attention (the first LSTM is not told what was looked at), so training is whole-sequence
matrix products. The second LSTM remembers what was looked at: without it, the captioner names the objects of a scene
long before it can tell how they stand to each other. The `captions` axis holds the references of an image in training
and the beam in decoding: its grid is projected once for all of them.

The decoder `two_looks` has no second LSTM but a second look, d_t, of the query tanh(W_u (h_t, c_t)) (Sukhbaatar et al.
2015, hops), and logits = E tanh(W_p (h_t, c_t, d_t)); its recurrent weights are half as many.
"""

from typing import Any, NamedTuple

import keras

from shared.attention import AdaptiveAttention
from shared.decoding import Hypotheses, beam_search
from shared.recurrent import LSTM
from shared.runs import Run, RunError
from shared.training import assign_weights
from shared.vocabulary import Vocabulary, WordVocabulary
from tasks.captioner.config import Config
from tasks.captioner.encoder import GRID_CHANNELS, GRID_STRIDE, build_encoder

ops: Any = keras.ops  # Keras declares no result types for its operations


class Memory(NamedTuple):
    """What the decoder needs to know of an image, computed once."""

    values: Any  # (batch, positions, units)
    keys: list[Any]  # of each hop, (batch, positions, units)
    summary: Any  # (batch, units)


LOOKS = {"two_lstms": 1, "two_looks": 2}  # at the grid, for each word

State = tuple[Any, ...]  # the hidden and the cell state of each LSTM, (batch, captions, units)


@keras.saving.register_keras_serializable("quatrain")
class Captioner(keras.Model):
    """Grid in, next-word logits out.

    Args:
        vocab_size: number of token ids.
        units: width of embedding, LSTM, attention and output alike (the embedding is tied to the softmax).
        dropout: share of embedding and output units dropped in training.
        grid_dropout: share of the image grid's channels dropped in training.
        decoder: `two_lstms` or `two_looks`, as told above.
        encoder: turns images into a grid; None if the grids come ready-made (see `tasks.captioner.data`).

    Attributes:
        steady: train the very function that inference computes, with nothing dropped. False unless set.
    """

    def __init__(
        self,
        vocab_size: int,
        units: int,
        dropout: float = 0.0,
        grid_dropout: float = 0.0,
        decoder: str = "two_lstms",
        encoder: keras.Model | None = None,
        **keras_options,
    ):
        super().__init__(**keras_options)
        self.vocab_size, self.units = vocab_size, units
        self.dropout, self.grid_dropout = dropout, grid_dropout
        self.decoder, self.encoder = decoder, encoder
        self.steady = False
        self.channel_dropout = keras.layers.Dropout(grid_dropout, noise_shape=(None, 1, None), name="channel_dropout")
        self.values = keras.layers.Dense(units, activation="relu", name="values")
        self.summary = keras.layers.Dense(units, activation="relu", name="summary")
        self.embedding = keras.layers.Embedding(
            vocab_size, units, embeddings_initializer="glorot_uniform", name="embedding"
        )
        self.input_dropout = keras.layers.Dropout(dropout, name="input_dropout")
        self.lstm = LSTM(units, return_sequences=True, return_state=True, return_cells=True, name="lstm")
        self.sentinel_gate = keras.layers.Dense(units, activation="sigmoid", name="sentinel_gate")
        self.attention = [AdaptiveAttention(units, name=f"attention_{look}") for look in range(LOOKS[decoder])]
        if decoder == "two_lstms":
            self.language_lstm = LSTM(units, return_sequences=True, return_state=True, name="language_lstm")
        else:
            self.next_query = keras.layers.Dense(units, activation="tanh", name="next_query")
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout")
        self.output_projection = keras.layers.Dense(units, activation="tanh", name="output")

    def build(self, input_shape):
        """Names every weight after its layer; `input_shape` as `call`'s inputs."""
        channels = input_shape["grid"][-1] if self.encoder is None else self.encoder.output_shape[-1]
        width = (None, None, self.units)
        self.values.build((None, None, channels))
        self.summary.build((None, 2 * self.units))
        self.embedding.build((None, None))
        self.lstm.build(width)
        self.sentinel_gate.build((None, None, 2 * self.units))
        for attention in self.attention:
            attention.build(width, width, width, width)
        (self.language_lstm if self.decoder == "two_lstms" else self.next_query).build((None, None, 2 * self.units))
        self.output_projection.build((None, None, (1 + LOOKS[self.decoder]) * self.units))
        self.output_bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="output_bias")
        self.built = True

    def look(self, inputs):
        """From images (batch, height, width, 3) to the encoder's grid; ready-made grids, of more channels, pass."""
        return inputs if self.encoder is None or inputs.shape[-1] != 3 else self.encoder(inputs)

    def read(self, grid, training=False) -> Memory:
        """From the encoder's grid (batch, rows, columns, channels) to the decoder's memory."""
        shape = ops.shape(grid)
        positions = self.channel_dropout(ops.reshape(grid, (shape[0], -1, shape[3])), training=training)
        values = self.values(positions)
        # The maximum tells what is there, the sum how much of it: without it, how many objects is anyone's guess.
        amount = ops.mean(values, axis=1) * ops.sqrt(ops.cast(shape[1] * shape[2], values.dtype))
        pooled = ops.concatenate([ops.max(values, axis=1), amount], axis=-1)
        return Memory(values, [attention.keys(values) for attention in self.attention], self.summary(pooled))

    def initial_state(self, batch: Any, captions: Any) -> State:
        """The state before the first word."""
        zeros = ops.zeros((batch, captions, self.units), self.compute_dtype)
        return (zeros,) * (4 if self.decoder == "two_lstms" else 2)

    def decode(self, memory: Memory, token_ids, state: State | None = None, training=False):
        """Next-word logits for every prefix of `token_ids` (batch, captions, target), each caption continuing `state`.

        Returns:
            logits (batch, captions, target, vocab), the state after the last token, and the attention, the mean of
            all looks, (batch, captions, target, positions + 1) with the sentinel's share in the last column.
        """
        batch, captions, target = ops.shape(token_ids)
        sequences = batch * captions

        # Scaled as in Vaswani et al. 2017, section 3.4: tied to the softmax, the embedding is small beside the summary.
        inputs = self.units**0.5 * self.embedding(token_ids) + memory.summary[:, None, None, :]
        inputs = self.input_dropout(ops.reshape(inputs, (sequences, target, self.units)), training=training)
        state = self.initial_state(batch, captions) if state is None else state
        first_hidden, first_cell, *language = (ops.reshape(part, (sequences, self.units)) for part in state)
        hidden, cells, *last = self.lstm(inputs, initial_state=[first_hidden, first_cell])

        previous = ops.concatenate([first_hidden[:, None], hidden[:, :-1]], axis=1)
        sentinels = self.sentinel_gate(ops.concatenate([inputs, previous], axis=-1)) * ops.tanh(cells)

        per_image = (batch, captions * target, self.units)  # all captions of an image query one memory
        hidden = ops.reshape(hidden, per_image)
        sentinels = ops.reshape(sentinels, per_image)
        contexts, attention = self.attention[0](hidden, memory.values, memory.keys[0], sentinels)
        heard = ops.concatenate([hidden, contexts], axis=-1)
        if self.decoder == "two_lstms":
            heard = ops.reshape(heard, (sequences, target, 2 * self.units))
            spoken, *language = self.language_lstm(heard, initial_state=language)
            known = [ops.reshape(spoken, per_image), contexts]
        else:
            further, second = self.attention[1](self.next_query(heard), memory.values, memory.keys[1], sentinels)
            known, attention = [heard, further], (attention + second) / 2

        output = self.output_projection(self.output_dropout(ops.concatenate(known, axis=-1), training=training))
        output = self.output_dropout(output, training=training)
        logits = ops.matmul(output, ops.transpose(self.embedding.embeddings)) + self.output_bias
        return (
            ops.reshape(logits, (batch, captions, target, self.vocab_size)),
            tuple(ops.reshape(part, (batch, captions, self.units)) for part in (*last, *language)),
            ops.reshape(attention, (batch, captions, target, -1)),
        )

    def call(self, inputs, training=False):
        """Logits for teacher forcing: `inputs` holds `token_ids` and either `grid` or `image`."""
        training = training and not self.steady
        grid = self.look(inputs["grid"] if "grid" in inputs else inputs["image"])
        logits, _, _ = self.decode(self.read(grid, training=training), inputs["token_ids"], training=training)
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
            "dropout": self.dropout,
            "grid_dropout": self.grid_dropout,
            "decoder": self.decoder,
            "encoder": None if self.encoder is None else keras.saving.serialize_keras_object(self.encoder),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        encoder = config.pop("encoder")
        return cls(**config, encoder=encoder and keras.saving.deserialize_keras_object(encoder, custom_objects))


class Describer(keras.Model):
    """From images, or from their grids, to captions, compiled once: call `predict_on_batch` with NumPy arrays.

    Attributes:
        grid_shape: rows and columns of the grid.
    """

    def __init__(self, captioner: Captioner, encoder: keras.Model | None, config: Config):
        super().__init__()
        self.captioner, self.encoder, self.config = captioner, encoder, config
        side = config.image_size // GRID_STRIDE[config.encoder]
        self.grid_shape = (side, side)

    def call(self, inputs):
        """Images (batch, size, size, 3) in 0..255, or grids if there is no encoder -> the fields of Hypotheses."""
        grid = inputs if self.encoder is None else self.encoder(inputs)
        options = {name: getattr(self.config, name) for name in ("beam", "max_length", "length_penalty")}
        return self.captioner.describe(grid, **options)._asdict()


def build_model(config: Config, vocab_size: int) -> Captioner:
    """An untrained captioner; an encoder of our own is part of it, one with ImageNet weights stays outside."""
    encoder = build_encoder(config) if config.encoder == "cnn" else None
    model = Captioner(
        vocab_size, config.units, config.dropout, config.grid_dropout, config.decoder, encoder, name="captioner"
    )
    model.build({"grid": (None, None, None, GRID_CHANNELS[config.encoder]), "token_ids": (None, None, None)})
    return model


def load_model(run: Run) -> tuple[Config, WordVocabulary, Captioner]:
    """The configuration, vocabulary and trained model of a run; RunError when they do not fit together."""
    config = run.read_config(Config)
    try:
        vocabulary = WordVocabulary.load(run.path / "vocabulary.json")
    except (OSError, ValueError) as error:
        raise RunError(f"{run.path / 'vocabulary.json'}: {error}") from None
    model = build_model(config, len(vocabulary))
    try:
        assign_weights(model, run.load_weights())
    except RunError as error:
        raise RunError(f"{run.path}: {error}") from None
    return config, vocabulary, model
