"""The language model's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import UserError, expect
from shared.runs import Run, RunError
from shared.vocabulary import SubwordVocabulary

TASK = "language_model"
Reads = Literal["forwards", "both ways"]
RELEASED: dict[Reads, str] = {"forwards": "wikitext2", "both ways": "wikitext2_fill"}  # what commands use by default


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of the language model; the defaults are those of `python_manual`."""

    corpus: str = "python_manual"
    """What to train on: python_manual, penn_treebank, wikitext2, or the path of a text file or of a folder of .txt."""
    vocabulary: Literal["words", "subwords", "characters"] = "words"
    """What the model reads; no text is unknown to one of subwords or characters."""
    vocabulary_size: int = 8000
    """Of subwords, at most."""
    min_count: int = 2
    """Words seen less often are unknown, characters spelt in bytes; the public corpora have done that themselves."""

    reads: Reads = "forwards"
    """From where a word is told: from those before it (`score`, `generate`), or from both sides of it (`fill`)."""
    blanks: float = 0.2
    """Share of words that are blank in training, if it reads both ways."""
    cell: Literal["simple_rnn", "lstm", "gru", "mogrifier_lstm"] = "lstm"
    """What the layers are made of."""
    units: int = 256
    """Width of the layers, but the last if the embedding is tied; of one direction, if it reads both ways."""
    num_layers: int = 1
    """Layers one above the other."""
    embedding_units: int = 256
    """Width of the word embedding."""
    tied: bool = True
    """The softmax takes the embedding for its weights, and the last layer its width (Press & Wolf 2017)."""

    sampled_words: int = 0
    """In training the softmax is over so many words drawn for each batch, the frequent ones rather; 0: over all."""

    embedding_dropout: float = 0.1
    """Share of words whose embedding is dropped wherever they stand in a batch (Gal & Ghahramani 2016)."""
    input_dropout: float = 0.3
    """Of the embeddings' units; one mask for all steps, as in the two below."""
    layer_dropout: float = 0.2
    """Of the units between layers."""
    output_dropout: float = 0.3
    """Of the units before the softmax."""
    weight_drop: float = 0.0
    """Share of the recurrent weights dropped, once for a batch (Merity et al. 2018, section 2)."""
    activation_penalty: float = 0.0
    """AR: times the mean square of the last layer's dropped outputs (Merity et al. 2018, section 4.6)."""
    change_penalty: float = 0.0
    """TAR: times the mean square of the change of its outputs from step to step, before dropout."""

    batch_size: int = 16
    """Streams, or lines of text, read side by side."""
    length: int = 35
    """Steps through which errors are propagated back; forwards, the state is carried from there to the next."""
    random_length: bool = False
    """Draw each length about that one and scale the rate with it, so that batches end at other words each epoch."""
    reset_chance: float = 0.0
    """Share of streams that begin a batch with an empty state: beginnings are to be learned too (Melis et al. 2020)."""
    epochs: int = 9
    """At most."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam is there sooner; plain gradient descent, averaged in the end, is what the records were set with."""
    learning_rate: float = 5e-3
    """The highest."""
    warmup_steps: int = 50
    """Steps in which the rate rises."""
    schedule: Literal["cosine", "plateau", "averaging"] = "cosine"
    """`cosine` spends all epochs; `plateau` halves the rate when development stalls; `averaging` keeps the rate, and
    from then on averages the weights (NT-ASGD; Merity et al. 2018, section 3)."""
    weight_average: float = 0.0
    """Momentum of the moving average of weights that is evaluated and kept; not with `averaging`."""
    patience: int = 5
    """Epochs without a better development perplexity after which training stops."""
    clip_norm: float = 1.0
    """Global norm to which gradients are clipped."""
    weight_decay: float = 0.0
    """Share of every weight taken away at each step, times the rate."""
    seed: int = 1
    """Decides weights, dropout, and whatever else is drawn."""

    def __post_init__(self):
        expect("at least 1", self, "vocabulary_size min_count units num_layers embedding_units batch_size length")
        expect("at least 1", self, "epochs patience")
        expect("0 or more", self, "sampled_words activation_penalty change_penalty warmup_steps weight_decay seed")
        expect("above 0", self, "learning_rate clip_norm")
        expect("from 0 to below 1", self, "embedding_dropout input_dropout layer_dropout output_dropout weight_drop")
        expect("from 0 to below 1", self, "weight_average reset_chance")
        if self.vocabulary == "subwords" and self.vocabulary_size <= len(SubwordVocabulary.reserved):
            raise UserError(
                f"vocabulary_size {self.vocabulary_size}: above {len(SubwordVocabulary.reserved)} was expected"
            )
        if self.reads == "both ways" and (self.vocabulary != "words" or not 0 < self.blanks < 1):
            raise UserError("a model that reads both ways fills words: vocabulary words, blanks between 0 and 1")
        carried = ("activation_penalty", "change_penalty", "random_length", "reset_chance")
        if self.reads == "both ways" and any(getattr(self, name) for name in carried):
            raise UserError(f"a model that reads both ways has no {', '.join(carried)}")
        if self.weight_drop and self.cell == "mogrifier_lstm":
            raise UserError("cell mogrifier_lstm takes no weight_drop: 0 was expected")
        if self.schedule == "averaging" and (self.optimizer != "sgd" or self.weight_average):
            raise UserError("schedule averaging needs optimizer sgd and weight_average 0")

    @property
    def widths(self) -> list[int]:
        """Units of each layer."""
        tied = self.tied and self.reads == "forwards"
        return [self.units] * (self.num_layers - 1) + [self.embedding_units if tied else self.units]


def find_run(model: str | None, reads: Reads = "forwards") -> Run:
    """The run that a command means, by default the released one, else the newest that reads so.

    Raises:
        RunError: there is none, or it reads the other way.
    """
    try:
        run = Run.find(model, TASK, RELEASED[reads], suits=lambda run: run.read_config(Config).reads == reads)
    except RunError:
        if model is not None or reads == "forwards":
            raise
        raise RunError(
            "no model that reads both ways; train one with: python -m tasks.language_model.train fill"
        ) from None
    found = run.read_config(Config).reads
    if found != reads:
        verbs = "score and generate" if found == "forwards" else "fill"
        raise RunError(f"{run.path}: a model that reads {found}, for {verbs}")
    return run


PYTHON_MANUAL = Config()

# Without regularisation, the recurrent network of the equations (Elman 1990; Mikolov et al. 2010).
VANILLA = replace(
    PYTHON_MANUAL,
    corpus="penn_treebank",
    min_count=1,
    cell="simple_rnn",
    units=200,
    embedding_units=200,
    tied=False,
    embedding_dropout=0.0,
    input_dropout=0.0,
    layer_dropout=0.0,
    output_dropout=0.0,
    batch_size=20,
    learning_rate=1e-3,
    schedule="plateau",
    epochs=20,
)

# Zaremba et al. 2014, section 4.1: two LSTMs; here one dropout mask for all steps, and a rate that halves when
# development stalls. Their loss is the sum over 35 steps, ours the mean: rate times 35, norm through 35.
ZAREMBA_MEDIUM = replace(
    VANILLA,
    cell="lstm",
    units=650,
    num_layers=2,
    embedding_units=650,
    input_dropout=0.5,
    layer_dropout=0.5,
    output_dropout=0.5,
    optimizer="sgd",
    learning_rate=35.0,
    clip_norm=5 / 35,
    epochs=39,
)

# AWD-LSTM (Merity et al. 2018), with the numbers of the authors' own command for the Penn Treebank.
AWD = replace(
    VANILLA,
    cell="lstm",
    units=1150,
    num_layers=3,
    embedding_units=400,
    tied=True,
    embedding_dropout=0.1,
    input_dropout=0.4,
    layer_dropout=0.25,
    output_dropout=0.4,
    weight_drop=0.5,
    activation_penalty=2.0,
    change_penalty=1.0,
    length=70,
    random_length=True,
    epochs=500,
    optimizer="sgd",
    learning_rate=30.0,
    warmup_steps=0,
    schedule="averaging",
    patience=500,
    clip_norm=0.25,
    weight_decay=1.2e-6,
)

# What two cores reach in two hours: a sixth of AWD's recurrent weights, a softmax over a fifth of the words at a time,
# Adam, a rate that falls to zero, and no more dropped than so few epochs need.
PENN_TREEBANK = replace(
    AWD,
    units=600,
    num_layers=2,
    embedding_units=300,
    sampled_words=2000,
    embedding_dropout=0.05,
    input_dropout=0.25,
    layer_dropout=0.2,
    output_dropout=0.3,
    weight_drop=0.2,
    activation_penalty=1.0,
    length=50,
    epochs=20,
    optimizer="adam",
    learning_rate=3e-3,
    warmup_steps=200,
    schedule="cosine",
    weight_average=0.998,
    clip_norm=1.0,
    weight_decay=0.0,
    patience=10,
)

# Words told from both sides: two bidirectional layers on the manual.
FILL = replace(
    PYTHON_MANUAL,
    reads="both ways",
    units=128,
    num_layers=2,
    epochs=12,
)

PRESETS = {
    "python_manual": PYTHON_MANUAL,
    "penn_treebank": PENN_TREEBANK,
    # Three times as many words, of which a like share is drawn; twice as many tokens, read in more streams.
    "wikitext2": replace(
        PENN_TREEBANK, corpus="wikitext2", embedding_units=256, sampled_words=4000, batch_size=40, epochs=9
    ),
    "fill": FILL,
    "vanilla": VANILLA,
    "zaremba_small": replace(
        ZAREMBA_MEDIUM,
        units=200,
        embedding_units=200,
        input_dropout=0.0,
        layer_dropout=0.0,
        output_dropout=0.0,
        epochs=13,
    ),
    "zaremba_medium": ZAREMBA_MEDIUM,
    "awd": AWD,
    # Melis et al. (2020) train 24 million parameters for a thousand epochs; this is their cell in the recipe above.
    "mogrifier": replace(PENN_TREEBANK, cell="mogrifier_lstm", weight_drop=0.0, reset_chance=0.01),
}
