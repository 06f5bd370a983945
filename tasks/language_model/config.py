"""The configuration of a run: every number with its reason."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

from shared.bounds import (
    MAX_PARAMETERS,
    MAX_VOCABULARY,
    Bounds,
    Count,
    CountOrZero,
    DropoutRate,
    Fraction,
    Layers,
    Units,
    VocabularySize,
    Weight,
    check_product,
    check_recurrence,
)
from shared.errors import FieldError, UserError
from shared.recipe import Recipe
from shared.runs import Run, RunError
from shared.vocabulary import SubwordVocabulary

TASK = "language_model"
Reads = Literal["forwards", "both ways", "for a label"]
Form = Literal["auto", "text", "tokens"]
Punctuation = Literal["attached", "apart"]
Temperature = Annotated[float, Bounds(0.001, 1000)]
TopK = Annotated[int, Bounds(0, MAX_VOCABULARY)]
TopP = Annotated[float, Bounds(0, 1, above=True)]
MinP = Fraction
LETTERS_RUNS = ("letters_lstm", "letters_gru", "letters_simple_rnn")  # models of one layer, for the tab Inside
RELEASED: dict[Reads, tuple[str, ...]] = {  # the default of --model: the first of them that there is
    "forwards": ("english", "wikitext2", *LETTERS_RUNS),
    "both ways": ("wikitext2_fill",),
    "for a label": ("sst2",),
}
KINDS: dict[Reads, tuple[str, str]] = {  # the kind of model, and the verbs it is for
    "forwards": ("causal model", "score and generate"),
    "both ways": ("bidirectional model", "fill"),
    "for a label": ("classifier", "classify"),
}
RELEASED_FILES = ("vocabulary.json", "labels.json", "weights.safetensors")
CAUSAL = "activation_penalty", "temporal_penalty", "random_length", "state_reset_probability"  # of causal models alone


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """The configuration of a training; the defaults are the preset `python_manual`."""

    corpus: str = "python_manual"
    """python_manual, penn_treebank, wikitext2, english_text, or the path of a text file or of a folder with .txt files.
    Of a classifier: sst2, a table of texts and labels (tab-separated, CSV, JSON lines), or a folder with one for each
    label."""
    dev_corpus: str = ""
    """File or folder of the development split, as for `corpus`; default: 5 % of the corpus."""
    test_corpus: str = ""
    """File or folder of the test split; default: 5 % of the corpus."""
    split_by: Literal["lines", "paragraphs", "tokens"] = "lines"
    """What a text of one's own consists of. `lines`: sentences or paragraphs, one a line. `paragraphs`: paragraphs
    broken into lines, with blank lines between them; their lines are joined. `tokens`: few long lines, which splits may
    cut."""
    vocabulary: Literal["words", "subwords", "characters"] = "words"
    """Tokens; subwords and characters encode any text without unknown tokens."""
    vocabulary_size: VocabularySize = 8000
    """Maximum size of a subword vocabulary, and of a classifier's words."""
    min_count: Count = 2
    """Rarer words become unknown, rarer characters are spelt in bytes; the public corpora contain <unk> already."""

    reads: Reads = "forwards"
    """`forwards`: a causal model, for `score` and `generate`; `both ways`: a bidirectional one, for `fill`;
    `for a label`: a classifier of texts, for `classify`."""
    blank_fraction: Fraction = 0.2
    """Fraction of the words that is masked in the training of a bidirectional model."""
    cell: Literal["simple_rnn", "lstm", "gru", "mogrifier_lstm"] = "lstm"
    """Recurrent cell of all layers."""
    units: Units = 256
    """Width of the recurrent layers, of each direction if bidirectional."""
    num_layers: Layers = 1
    """Number of recurrent layers."""
    embedding_units: Units = 256
    """Width of the word embedding."""
    tied: bool = True
    """Tie the softmax weights to the embedding (Press & Wolf 2017); a causal model's last layer then has its width."""

    sampled_softmax_size: Annotated[int, Bounds(0, MAX_VOCABULARY)] = 0
    """Number of words sampled for the training softmax of a batch, frequent ones more often; 0: the full softmax."""

    embedding_dropout: DropoutRate = 0.1
    """Fraction of the vocabulary whose embedding is dropped for a whole batch (Gal & Ghahramani 2016)."""
    input_dropout: DropoutRate = 0.3
    """Dropout of the embedding units; one mask for all steps, as in the two below."""
    layer_dropout: DropoutRate = 0.2
    """Dropout of the units between layers."""
    output_dropout: DropoutRate = 0.3
    """Dropout of the units before the softmax."""
    weight_drop: DropoutRate = 0.0
    """Dropout of the recurrent weights, one mask per batch (Merity et al. 2018, section 2)."""
    activation_penalty: Weight = 0.0
    """Weight of AR, the mean square of the outputs after dropout (Merity et al. 2018, section 4.6)."""
    temporal_penalty: Weight = 0.0
    """Weight of TAR, the mean squared difference of consecutive outputs before dropout (same section)."""

    batch_size: int = 16
    """Number of parallel streams; of segments if bidirectional."""
    sequence_length: Annotated[int, Bounds(1, 10_000)] = 35
    """Steps of truncated back-propagation through time; length of a segment if bidirectional."""
    random_length: bool = False
    """Draw the length of each batch near `sequence_length` and scale the learning rate with it, so that batch
    boundaries differ between epochs."""
    state_reset_probability: DropoutRate = 0.0
    """Probability that a stream starts a batch with a zero state, to learn starts of texts (Melis et al. 2020)."""
    epochs: int = 9
    learning_rate: float = 5e-3
    warmup_steps: int = 50

    text_epochs: CountOrZero = 0
    """Epochs in which a classifier's network is a language model of the texts (Howard & Ruder 2018, section 3.2)."""
    head_units: Units = 50
    """Width of a classifier's hidden layer between the recurrent ones and the labels."""
    layer_rate_ratio: Annotated[float, Bounds(1, 100)] = 2.6
    """Learning rate of a layer of a classifier, divided by that of the layer below (same paper, section 3.2)."""
    consistency_weight: Weight = 0.0
    """Weight of the divergence between two views of each text of a classifier, which differ in dropout (R-Drop; Liang
    et al. 2021). Above 0, a step does twice the work."""

    RENAMED: ClassVar[dict[str, str]] = {
        "blanks": "blank_fraction",
        "sampled_words": "sampled_softmax_size",
        "change_penalty": "temporal_penalty",
        "length": "sequence_length",
        "reset_chance": "state_reset_probability",
    }
    """Former names of fields, found in the config.json of older runs, and their current names."""

    @property
    def inherited(self) -> tuple[str, ...]:
        names = "vocabulary", "reads", "cell", "units", "num_layers", "embedding_units", "tied"
        fixed = () if self.vocabulary == "words" else ("vocabulary_size", "min_count")
        unsupported = ("weight_drop",) if self.cell == "mogrifier_lstm" else ()
        return (*names, *fixed, *unsupported, *(CAUSAL if self.reads == "both ways" else ()))

    def starting_from(self, initial: Self) -> Self:
        started = super().starting_from(initial)
        return replace(started, reads=self.reads) if self.reads == "for a label" else started

    def check_inherited(self, initial: Self) -> None:
        if self.reads != "for a label":
            super().check_inherited(initial)
        elif initial.reads == "both ways":
            raise FieldError("initial_run", self.initial_run, "a causal model or a classifier was expected")
        else:  # a causal model too is what a classifier may start from
            super(Config, replace(self, reads=initial.reads)).check_inherited(initial)

    def __post_init__(self):
        super().__post_init__()
        if self.vocabulary == "subwords":
            SubwordVocabulary.check_size(self.vocabulary_size)
        check_recurrence(self.num_layers, self.units)
        embedding = ("vocabulary_size", self.vocabulary_size), ("embedding_units", self.embedding_units)
        check_product("parameters of the embedding", MAX_PARAMETERS, *embedding)
        batch = ("batch_size", self.batch_size), ("sequence_length", self.sequence_length)
        check_product("tokens of a batch", 100_000, *batch)
        if self.reads == "both ways":
            self._check_bidirectional()
        if self.reads == "for a label" and self.optimizer != "adam":
            raise FieldError("optimizer", self.optimizer, "adam was expected for a classifier")
        if self.weight_drop and self.cell == "mogrifier_lstm":
            raise FieldError("cell", self.cell, f"does not support weight_drop {self.weight_drop}; 0 was expected")

    def _check_bidirectional(self) -> None:
        if self.vocabulary != "words" or not 0 < self.blank_fraction < 1:
            raise UserError("reads both ways needs vocabulary words and a blank_fraction between 0 and 1")
        for name in CAUSAL:
            if getattr(self, name):
                raise UserError(f"reads both ways does not support {name} {getattr(self, name)}")

    @property
    def has_one_layer(self) -> bool:
        """Whether it is a causal model of one layer with a cell of Keras, which `inside.py` can look into."""
        return self.reads == "forwards" and self.num_layers == 1 and self.cell in ("simple_rnn", "lstm", "gru")

    @property
    def widths(self) -> list[int]:
        """Units of each recurrent layer."""
        is_narrowed = self.tied and self.reads != "both ways"
        return [self.units] * (self.num_layers - 1) + [self.embedding_units if is_narrowed else self.units]

    @property
    def state_sizes(self) -> list[int]:
        """Units of each state of a causal model: h of each layer, and c of an LSTM."""
        states = 2 if self.cell in ("lstm", "mogrifier_lstm") else 1
        return [units for units in self.widths for _ in range(states)]


def find_run(model: str | None = None, reads: Reads | None = "forwards") -> Run:
    """The run of a name or folder; default: the released one, else the newest that reads this way (None: any way).

    Raises:
        RunError: there is none, or it reads in another way.
    """

    def suits(run: Run) -> bool:
        return reads in (None, run.read_config(Config).reads)

    there = {run.name for run in Run.trained(TASK)}
    released = next(filter(there.__contains__, RELEASED[reads or "forwards"]), "")
    try:
        run = Run.find(model, TASK, released, suits=suits)
    except RunError:
        if model is not None or reads in (None, "forwards"):
            raise
        command = "fill" if reads == "both ways" else "sst2 --corpus reviews.tsv"
        raise RunError(f"no {KINDS[reads][0]}; train one with: python -m tasks.{TASK}.train {command}") from None
    if not suits(run):
        raise RunError(f"{run.path}: a {', for '.join(KINDS[run.read_config(Config).reads])}")
    return run


def find_initial(name: str) -> Run:
    """The run that --from names, whichever way it reads."""
    return find_run(name, reads=None)


PYTHON_MANUAL = Config()

# The simple recurrent network without regularisation (Elman 1990; Mikolov et al. 2010).
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

# Zaremba et al. 2014, section 4.1: two LSTMs. Departures: one dropout mask for all steps, plateau decay. Their loss is
# the sum over 35 steps, this one the mean: learning rate times 35, clipping norm divided by 35.
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

# AWD-LSTM (Merity et al. 2018) with the numbers of the authors' command for the Penn Treebank.
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
    temporal_penalty=1.0,
    sequence_length=70,
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

# AWD scaled to four hours on two cores: a quarter of its recurrent weights, a softmax over a fifth of the words, larger
# batches, Adam with cosine decay, and dropout for a tenth of its epochs. The rate decays to zero and a moving average
# covers two epochs, in place of the authors' second training with averaged weights.
PENN_TREEBANK = replace(
    AWD,
    units=800,
    num_layers=2,
    sampled_softmax_size=2000,
    layer_dropout=0.3,
    weight_drop=0.4,
    activation_penalty=1.0,
    batch_size=32,
    sequence_length=60,
    state_reset_probability=0.01,
    epochs=52,
    optimizer="adam",
    learning_rate=3e-3,
    warmup_steps=400,
    schedule="cosine",
    weight_average=0.999,
    clip_norm=1.0,
    weight_decay=0.01,
    patience=12,
)

# Three times as many words as the Penn Treebank and twice as many tokens: more sampled words, more and longer streams,
# and less dropout, since the same time has a third of the epochs. With eight bits it has 19 MB.
WIKITEXT2 = replace(
    PENN_TREEBANK,
    corpus="wikitext2",
    sampled_softmax_size=4000,
    input_dropout=0.3,
    layer_dropout=0.2,
    output_dropout=0.35,
    weight_drop=0.3,
    batch_size=40,
    sequence_length=70,
    epochs=20,
)

# Ordinary English for three hours on two cores, 8 MB with eight bits: subwords know any text and have a small softmax.
ENGLISH = replace(
    WIKITEXT2,
    corpus="english_text",
    vocabulary="subwords",
    vocabulary_size=8000,
    units=720,
    sampled_softmax_size=2000,
    embedding_dropout=0.05,
    input_dropout=0.2,
    output_dropout=0.25,
    weight_drop=0.2,
    state_reset_probability=0.05,
    epochs=16,
)

# Small enough to release (12 MB): narrow layers, an average of weights, and little dropout for 7 epochs.
WIKITEXT2_FILL = replace(
    WIKITEXT2,
    reads="both ways",
    units=192,
    embedding_units=128,
    activation_penalty=0.0,
    temporal_penalty=0.0,
    random_length=False,
    state_reset_probability=0.0,
    embedding_dropout=0.05,
    input_dropout=0.1,
    layer_dropout=0.1,
    output_dropout=0.1,
    weight_drop=0.0,
    sequence_length=60,
    epochs=7,
    warmup_steps=200,
    weight_average=0.998,
    weight_decay=0.0,
    patience=10,
)

# ULMFiT (Howard & Ruder 2018) for two cores: the released language model, with the words of the texts and its most
# frequent ones, becomes a language model of the texts, then a classifier. It has read a fiftieth of what theirs has, so
# its lower layers have more to learn, and the rates of layers differ less. Words that only the language model has are
# 2.4 % of those of dev. Two views of each text keep the network from memorising 6,920 sentences.
SST2 = replace(
    WIKITEXT2,
    reads="for a label",
    corpus="sst2",
    initial_run="wikitext2",
    units=800,  # the widths of that run
    embedding_units=400,
    min_count=2,
    vocabulary_size=20_000,
    sampled_softmax_size=4000,
    embedding_dropout=0.1,
    input_dropout=0.4,
    layer_dropout=0.3,
    output_dropout=0.4,
    weight_drop=0.3,
    sequence_length=35,
    batch_size=32,
    text_epochs=10,
    epochs=12,
    learning_rate=2e-3,
    layer_rate_ratio=1.5,
    consistency_weight=1.0,
    warmup_steps=200,
    schedule="slanted",
    state_reset_probability=0.0,
    weight_average=0.99,
    weight_decay=0.0,
    patience=10,
)

# Three cells that are compared letter by letter, in the tab Inside of `quatrain serve`: the same text, width, recipe,
# so that they differ in the cell alone. 128 units are few enough to look at each; no dropout, since an epoch is all
# that they read; small batches, for more steps in it; gradients reach back 100 letters, farther than a sentence. Rarer
# characters are spelt in bytes.
LETTERS = replace(
    PYTHON_MANUAL,
    corpus="english_text",
    vocabulary="characters",
    min_count=200,
    units=128,
    embedding_units=32,
    tied=False,
    embedding_dropout=0.0,
    input_dropout=0.0,
    layer_dropout=0.0,
    output_dropout=0.0,
    batch_size=32,
    sequence_length=100,
    epochs=1,
    learning_rate=3e-3,
    warmup_steps=100,
)

PRESETS = {
    "python_manual": PYTHON_MANUAL,
    "penn_treebank": PENN_TREEBANK,
    "wikitext2": WIKITEXT2,
    "english": ENGLISH,
    "fill": replace(PYTHON_MANUAL, reads="both ways", units=128, num_layers=2, epochs=12),  # bidirectional
    "wikitext2_fill": WIKITEXT2_FILL,
    "sst2": SST2,  # a classifier; --corpus names another table of texts and labels
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
    # Their cell (Melis et al. 2020) in the recipe of penn_treebank; they train 24 M parameters for 1,000 epochs.
    "mogrifier": replace(PENN_TREEBANK, cell="mogrifier_lstm", weight_drop=0.0),
    "letters_simple_rnn": replace(LETTERS, cell="simple_rnn"),
    "letters_gru": replace(LETTERS, cell="gru"),
    "letters_lstm": replace(LETTERS, cell="lstm"),
}
