"""The captioner: an LSTM decoder with adaptive attention to the grid of an image, and optionally a second LSTM.

    grid a `(batch, rows, columns, channels)`, from the image encoder
      -> memory V `(batch, positions, units)`        v_i = relu(W_a a_i)          [Lu et al. 2017, eq. 16]
      -> summary v `(batch, units)`                  v = relu(W_b mean(a))        [Lu et al., eq. 17]
    token_ids `(batch, captions, target)`
      -> LSTM over x_t = (E w_t, v)                  h_t, m_t                     [Lu et al., eq. 4]
      -> sentinel s_t = sigmoid(W_x x_t + W_h h_t-1) * tanh(m_t)                  [Lu et al., eq. 9 and 10]
      -> attention of h_t over V and s_t: context c_t                             [Lu et al., eq. 11 to 13]
      -> logits = W_p (h_t + c_t): `(batch, captions, target, vocab)`             [Lu et al., eq. 13]

The LSTM does not take the context as input, so no recurrence waits for the attention and training consists of matrix
products over whole sequences. Captions that relate objects to each other need a second LSTM, the language LSTM over
(h_t, c_t), whose output g_t replaces h_t in the logits (after Anderson et al. 2018, section 3.2.2). Without it, the
captioner of scenes learns the objects long before their relations; photos do not need it.
The `captions` axis is the beam in decoding: the grid of an image is projected once for all of its hypotheses.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from shared.any_size import AnySize
from shared.attention import AdaptiveAttention
from shared.bounds import check_product
from shared.decoding import SearchSpace, beam_search
from shared.dense import Dense
from shared.fine_tuning import WordWeights, transfer
from shared.loaded import Loaded
from shared.recurrent import LSTM
from shared.repeats import Repeats
from shared.runs import Run, current_fields
from shared.training import build_bounded, build_trained
from shared.vocabulary import Vocabulary, WordVocabulary, load_vocabulary
from tasks.captioner.config import Config
from tasks.captioner.encoder import example_images, grid_shape
from tasks.captioner.finder import Finder
from tasks.captioner.ranking import Ranking

ops: Any = keras.ops  # Keras declares no result types for its operations

MAX_SCORES = 4_000_000  # of an image at each step of a search; about 50 images are searched at once
JOINTS = "and", "or", ",", "&", "und", "oder", "et", "ou", "y"  # join two phrases that should differ


class Memory(NamedTuple):
    """The projections of an image's grid, computed once per image."""

    values: Any  # `(batch, positions, units)`
    summary: Any  # `(batch, units)`


State = tuple[Any, ...]  # hidden and cell state of each LSTM, `(batch, captions, units)`


@keras.saving.register_keras_serializable("quatrain")
class Captioner(keras.Model):
    """Grids and token ids -> logits of the next words.

    `vocab_size` is the number of token ids; the other arguments are the fields of `Config` with these names.
    """

    def __init__(
        self,
        vocab_size: int,
        units: int,
        embedding_stddev: float = 1.0,
        sum_pooling: bool = False,
        language_lstm: bool = False,
        dropout: float = 0.0,
        **keras_options,
    ):
        super().__init__(**keras_options)
        self.vocab_size, self.units, self.embedding_stddev = vocab_size, units, embedding_stddev
        self.sum_pooling, self.dropout = sum_pooling, dropout
        self.disable_dropout = False  # if True, training computes the same function as inference
        self.values = Dense(units, activation="relu", name="values")
        self.summary = Dense(units, activation="relu", name="summary")
        initializer: Any = keras.initializers.RandomNormal(stddev=embedding_stddev)
        self.embedding = keras.layers.Embedding(vocab_size, units, embeddings_initializer=initializer, name="embedding")
        self.lstm = LSTM(units, return_sequences=True, return_state=True, return_cells=True, name="lstm")
        self.sentinel_gate = Dense(units, activation="sigmoid", name="sentinel_gate")
        self.attention = AdaptiveAttention(units, name="attention")
        self.language_lstm = (
            LSTM(units, return_sequences=True, return_state=True, name="language_lstm") if language_lstm else None
        )
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout")
        self.output_projection = Dense(vocab_size, name="output")

    def build(self, input_shape):
        """Build every layer, which names its weights; `input_shape` has the keys of `call`'s inputs."""
        width, double = (None, None, self.units), (None, None, 2 * self.units)
        channels = input_shape["grid"][-1]
        self.values.build((None, None, channels))
        self.summary.build((None, channels))
        self.embedding.build((None, None))
        self.lstm.build(double)
        self.sentinel_gate.build((None, None, 3 * self.units))
        self.attention.build(width, width, width)
        if self.language_lstm is not None:
            self.language_lstm.build(double)
        self.output_projection.build(width)
        self.built = True

    def encode(self, grid: Any) -> Memory:
        """Project grids `(batch, rows, columns, channels)`."""
        batch, rows, columns, channels = ops.shape(grid)
        positions = ops.reshape(grid, (batch, rows * columns, channels))
        values = self.values(positions)
        pooled = ops.mean(positions, axis=1)
        if self.sum_pooling:
            pooled *= ops.sqrt(ops.cast(rows * columns, pooled.dtype))  # the sum, scaled to the size of one position
        return Memory(values, self.summary(pooled))

    def initial_state(self, batch: Any, captions: Any) -> State:
        """The state before the first word: zeros `(batch, captions, units)`."""
        zeros = ops.zeros((batch, captions, self.units), self.compute_dtype)
        return (zeros,) * (2 if self.language_lstm is None else 4)

    def decode(
        self, memory: Memory, token_ids: Any, state: State | None = None, training: bool = False
    ) -> tuple[Any, State, Any]:
        """Logits of the next word for every prefix of the captions.

        Args:
            memory: the result of `encode`.
            token_ids: `(batch, captions, target)`.
            state: the state that the captions continue; default: the initial state.

        Returns:
            Logits `(batch, captions, target, vocab)`, the state after the last token, and the attention weights
            `(batch, captions, target, positions + 1)`, the sentinel's in the last column.
        """
        batch, captions, target = ops.shape(token_ids)
        sequences = batch * captions

        summary = ops.broadcast_to(memory.summary[:, None, None, :], (batch, captions, target, self.units))
        inputs = ops.concatenate([self.embedding(token_ids), summary], axis=-1)
        inputs = ops.reshape(inputs, (sequences, target, 2 * self.units))
        state = self.initial_state(batch, captions) if state is None else state
        first_hidden, first_cell, *language = (ops.reshape(part, (sequences, self.units)) for part in state)
        hidden, cells, *last = self.lstm(inputs, initial_state=[first_hidden, first_cell])

        previous = ops.concatenate([first_hidden[:, None], hidden[:, :-1]], axis=1)
        sentinels = self.sentinel_gate(ops.concatenate([inputs, previous], axis=-1)) * ops.tanh(cells)

        per_image = (batch, captions * target, self.units)  # all captions of an image query one memory
        queries, sentinels = ops.reshape(hidden, per_image), ops.reshape(sentinels, per_image)
        contexts, attention = self.attention(queries, memory.values, sentinels)
        contexts = ops.reshape(contexts, (sequences, target, self.units))

        if self.language_lstm is not None:
            attended = ops.concatenate([hidden, contexts], axis=-1)
            hidden, *language = self.language_lstm(attended, initial_state=language)
        logits = self.output_projection(self.output_dropout(hidden + contexts, training=training))
        return (
            ops.reshape(logits, (batch, captions, target, self.vocab_size)),
            tuple(ops.reshape(part, (batch, captions, self.units)) for part in (*last, *language)),
            ops.reshape(attention, (batch, captions, target, -1)),
        )

    def call(self, inputs, training=False):
        """Logits for teacher forcing; `inputs` has `grid` and `token_ids`."""
        training = training and not self.disable_dropout
        logits, _, _ = self.decode(self.encode(inputs["grid"]), inputs["token_ids"], training=training)
        return logits

    def search_space(self, grid: Any, max_length: int, forbidden_ids: Sequence[int]) -> SearchSpace:
        """The search space of captions of at most `max_length` words.

        The extras of the step are the attention weights `(batch, beam, positions + 1)`.
        """
        memory = self.encode(grid)
        batch_size = ops.shape(grid)[0]

        def step(token_ids, state):
            logits, state, attention = self.decode(memory, token_ids[:, :, None], state)
            return ops.log_softmax(logits[:, :, 0], axis=-1), state, attention[:, :, 0]

        initial_state = tuple(part[:, 0] for part in self.initial_state(batch_size, 1))
        special_ids = Vocabulary.start_id, Vocabulary.end_id, Vocabulary.pad_id
        return SearchSpace(step, initial_state, batch_size, *special_ids, max_length + 1, forbidden_ids)

    def get_config(self):
        names = ("vocab_size", "units", "embedding_stddev", "sum_pooling", "language_lstm", "dropout")
        fields = {name: getattr(self, name) for name in names}
        return super().get_config() | fields | {"language_lstm": self.language_lstm is not None}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The captioner of a config; those of older `model.keras` files have former names of arguments."""
        return super().from_config(current_fields(Config, config), custom_objects)


class CaptionSearch(AnySize):
    """Beam search from images or, if `encoder` is None, from grids; call `predict_on_batch` with NumPy arrays.

    `config` has beam width, maximum length, length penalty, whether repeats are refused, the shape of the grid, and the
    weights by which the captions found are ordered, by `finder` if the run has one.
    Raises UserError if the beam is too wide for the vocabulary.
    """

    def __init__(
        self,
        captioner: Captioner,
        encoder: keras.Model | None,
        config: Config,
        vocabulary: WordVocabulary,
        finder: Finder | None = None,
    ):
        super().__init__()
        self.captioner, self.encoder, self.config, self.finder = captioner, encoder, config, finder
        self.ranking = Ranking(config, captioner.vocab_size, finder)
        joint_ids = [vocabulary.table.index(word) for word in JOINTS if word in vocabulary.table]
        self.repeats = Repeats(joint_ids) if config.refuse_repeats else None
        sizes = ("beam", config.beam), ("words known", captioner.vocab_size)
        check_product("scores of an image", MAX_SCORES, *sizes)

    def examples(self):
        images = example_images(self.config.image_size)
        return [images[:2], images[2:]]

    def call(self, inputs):
        """Images in 0..255 or grids -> the fields of Hypotheses.

        `extras` are the attention weights `(batch, beam, target, positions + 1)`.
        """
        grid = inputs if self.encoder is None else self.encoder(inputs)
        space, options = self.space(grid)
        return self.ranking(grid, beam_search(space, **options))._asdict()

    def space(self, grid: Any) -> tuple[SearchSpace, dict[str, Any]]:
        """The search space of grids, and the options of its beam search."""
        config, forbidden_ids = self.config, (Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.unknown_id)
        widths = {"beam": config.beam, "kept": self.ranking.kept}
        options = {**widths, "length_penalty": config.length_penalty, "repeats": self.repeats}
        return self.captioner.search_space(grid, config.max_length, forbidden_ids), options


def build_model(config: Config, vocabulary: WordVocabulary) -> Captioner:
    """An untrained captioner for the grids of the configured encoder; raises UserError if it would be too large."""
    options = {name: getattr(config, name) for name in ("embedding_stddev", "sum_pooling", "language_lstm", "dropout")}
    shapes = {"grid": (None, None, None, grid_shape(config)[-1]), "token_ids": (None, None, None)}

    def build() -> Captioner:
        model = Captioner(len(vocabulary), config.units, **options, name="captioner")
        model.build(shapes)
        return model

    return build_bounded(build)


LoadedCaptioner = Loaded[Config, WordVocabulary, Captioner]


def start_from(initial: LoadedCaptioner, model: Captioner, after: WordVocabulary) -> None:
    """Gives a captioner with the vocabulary `after` the weights of a run with a vocabulary that it extends."""
    axes = {"embedding/embeddings": 0, "output/kernel": 1, "output/bias": 0}
    transfer(initial.model, model, WordWeights(axes, initial.vocabulary, after))


def load_model(run: Run) -> LoadedCaptioner:
    """The configuration, vocabulary and trained model of a run; raises RunError if they do not fit together."""
    config = run.read_config(Config)
    vocabulary = load_vocabulary(run, WordVocabulary)
    model = build_trained(run, lambda: build_model(config, vocabulary))
    return Loaded(config, vocabulary, model)
