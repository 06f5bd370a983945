"""The configuration of the translator, with a reason beside each number."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from shared.errors import UserError, expect
from shared.recipe import Recipe
from shared.runs import Run

TASK = "translator"
RELEASED = "multi30k-de-en"  # the default model of the commands
RELEASED_FILES: tuple[str, ...] = ("vocabulary.json", "target_vocabulary.json", "weights.safetensors")


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """The configuration of a run; the defaults are those of `scenes`."""

    corpus: str = "scenes"
    """Corpus of sentence pairs: scenes, multi30k, tatoeba, tatoeba/LANGUAGE such as tatoeba/fra, or files."""
    source_file: str = ""
    """With the corpus files: the source sentences, one a line."""
    target_file: str = ""
    """With the corpus files: their translations, line by line."""
    source: str = "en"
    """Source language, as the corpus names it."""
    target: str = "de"
    """Target language, as the corpus names it."""

    vocabulary: Literal["words", "subwords"] = "words"
    """Kind of tokens; subwords have no unknown text."""
    vocabulary_size: int = 8000
    """Maximum number of tokens of each language, or of both together with a joint vocabulary."""
    joint_vocabulary: bool = False
    """One vocabulary and one embedding for both languages: names, digits and cognates have the same spelling."""
    min_count: int = 1
    """Words with fewer occurrences are unknown."""
    max_length: int = 80
    """Maximum number of tokens: longer pairs are left out of training, and translations end there."""

    decoder: Literal["inside", "between", "fixed"] = "inside"
    """Position of attention: inside the recurrence (a conditional GRU); between two LSTMs, so that no recurrence waits
    for it; or none, with the source as one fixed vector (Sutskever et al. 2014)."""
    attention_hops: int = 2
    """Number of attention layers of the decoder `between`."""
    embedding_units: int = 96
    """Width of the embeddings."""
    units: int = 96
    """Width of the decoder, and of each direction of the encoder."""
    num_layers: int = 1
    """Layers of the encoder."""
    tied: bool = True
    """Use the target embedding as the kernel of the softmax (Press & Wolf 2017)."""

    embedding_dropout: float = 0.0
    """Dropout of the embeddings; all dropouts use one mask for all steps of a sentence."""
    memory_dropout: float = 0.0
    """Dropout of the encoder's output."""
    output_dropout: float = 0.0
    """Dropout of the input of the softmax."""
    word_dropout: float = 0.05
    """Fraction of the input tokens of both languages replaced by the unknown token in training."""
    label_smoothing: float = 0.0
    """Probability spread over all tokens."""
    alignment_weight: float = 0.5
    """Weight of the attention loss: cross-entropy against a word alignment (Chen et al. 2016); 0 for none."""

    learning_rate: float = 6e-3
    weight_average: float = 0.99

    beam: int = 5
    """Beam width."""
    length_penalty: float = 1.0
    """Exponent of the length penalty of the search (Wu et al. 2016, section 7); larger values favour longer output."""

    RENAMED: ClassVar[dict[str, str]] = {
        "guidance": "alignment_weight",
        "hops": "attention_hops",
        "joint": "joint_vocabulary",
    }
    """Former name -> current name of fields in the config.json of older runs."""

    def __post_init__(self):
        super().__post_init__()
        expect("at least 1", self, "vocabulary_size min_count max_length beam")
        expect("at least 1", self, "attention_hops embedding_units units num_layers")
        expect("from 0 to below 1", self, "embedding_dropout memory_dropout output_dropout word_dropout")
        expect("from 0 to below 1", self, "label_smoothing")
        expect("0 or more", self, "length_penalty alignment_weight")
        if self.alignment_weight and self.decoder == "fixed":
            weight = self.alignment_weight
            raise UserError(f"alignment_weight {weight}: the decoder fixed has no attention; 0 was expected")
        if self.source == self.target:
            raise UserError(f"source and target are both {self.source}; two languages were expected")
        files = self.source_file, self.target_file
        if (self.corpus == "files") != all(files) or any(files) != all(files):
            raise UserError("--corpus files, --source-file and --target-file were expected together, or none of them")


SCENES = Config()

# The published models for English to German have about 5 M parameters (LIUM-CVC; Caglayan et al. 2017).
MULTI30K = replace(
    SCENES, corpus="multi30k", vocabulary="subwords", vocabulary_size=5000, joint_vocabulary=True, embedding_units=256,
    units=256, embedding_dropout=0.3, memory_dropout=0.5, output_dropout=0.5, word_dropout=0.0, label_smoothing=0.1,
    epochs=15, learning_rate=1e-3, warmup_steps=200, weight_average=0.998,
)  # fmt: skip

PRESETS = {
    "scenes": SCENES,
    "multi30k-en-de": MULTI30K,
    "multi30k-de-en": replace(MULTI30K, source="de", target="en"),
    "multi30k-en-fr": replace(MULTI30K, target="fr"),
    "tatoeba": replace(MULTI30K, corpus="tatoeba", source="deu", target="eng", memory_dropout=0.2, output_dropout=0.3),
    # `scenes` without attention, for comparison.
    "sutskever": replace(SCENES, decoder="fixed", alignment_weight=0.0),
}


def find_run(model: str | None = None) -> Run:
    """The run that `--model` names, by default the released one, else the newest; RunError if there is none."""
    return Run.find(model, TASK, RELEASED)
