"""The translator's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import UserError, expect

TASK = "translator"
RELEASED = "multi30k-de-en"  # the run that the commands use unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of the translator; the defaults are those of `scenes`."""

    corpus: str = "scenes"
    """What to train on: scenes, multi30k, tatoeba, tatoeba/fra; or files, of which the next two are the names."""
    source_file: str = ""
    """Lines to translate."""
    target_file: str = ""
    """Their translations, line by line."""
    source: str = "en"
    """The language to translate from, as the corpus names it."""
    target: str = "de"
    """And the one to translate into."""

    vocabulary: Literal["words", "subwords"] = "words"
    """What is read and written; no text is unknown to subwords."""
    vocabulary_size: int = 8000
    """Of words or subwords of either language, at most, or of both together."""
    joint: bool = False
    """One vocabulary, and one embedding, for both languages: names, numbers and cognates are spelt alike."""
    min_count: int = 1
    """Words seen less often are unknown."""
    max_length: int = 80
    """Tokens; longer pairs are left out of training, and no translation is longer."""

    decoder: Literal["inside", "between", "fixed"] = "inside"
    """Where attention is: inside the recurrence (a conditional GRU), between two LSTMs, so that neither waits for it,
    or nowhere: all that is known of the source is one vector (Sutskever et al. 2014)."""
    hops: int = 2
    """Of attention, if it is between the layers."""
    embedding_units: int = 96
    """Width of embeddings."""
    units: int = 96
    """Width of the decoder, and of each direction of the encoder."""
    num_layers: int = 1
    """Of the encoder."""
    tied: bool = True
    """The softmax takes the target's embedding for its weights (Press & Wolf 2017)."""

    embedding_dropout: float = 0.0
    """Of the units of embeddings; one mask for all steps of a sentence, as in the others."""
    memory_dropout: float = 0.0
    """Of what the encoder gives."""
    output_dropout: float = 0.0
    """Of the units before the softmax."""
    word_dropout: float = 0.05
    """Share of tokens of either language that are read as unknown in training."""
    label_smoothing: float = 0.0
    """Share of the probability spread over all tokens."""
    guidance: float = 0.5
    """Of the loss that tells attention where to look, which an aligner has found in the training pairs, beside that
    of the tokens (Chen et al. 2016); 0: attention finds out by itself."""

    batch_size: int = 64
    """Pairs in a batch."""
    epochs: int = 1
    """At most."""
    learning_rate: float = 6e-3
    """Adam's, at its highest."""
    warmup_steps: int = 100
    """Steps in which the rate rises."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """`cosine` spends all epochs; `plateau` halves the rate when development BLEU stalls."""
    patience: int = 5
    """Epochs without a better development BLEU after which training stops."""
    weight_average: float = 0.99
    """Momentum of the moving average of weights that is evaluated and kept."""
    clip_norm: float = 1.0
    """Global norm to which gradients are clipped."""
    seed: int = 1
    """Decides weights, dropout and order."""

    beam: int = 5
    """Hypotheses kept in search."""
    length_penalty: float = 1.0
    """Exponent that favours longer translations in search (Wu et al. 2016, section 7)."""

    def __post_init__(self):
        expect("at least 1", self, "vocabulary_size min_count max_length hops embedding_units units num_layers")
        expect("at least 1", self, "batch_size epochs patience beam")
        expect("from 0 to below 1", self, "embedding_dropout memory_dropout output_dropout word_dropout")
        expect("from 0 to below 1", self, "label_smoothing weight_average")
        expect("above 0", self, "learning_rate clip_norm")
        expect("0 or more", self, "length_penalty guidance warmup_steps seed")
        if self.guidance and self.decoder == "fixed":
            raise UserError(f"guidance {self.guidance}: the decoder {self.decoder} has no attention to guide; take 0")
        if self.source == self.target:
            raise UserError(f"source and target are both {self.source}; two languages were expected")
        files = self.source_file, self.target_file
        if (self.corpus == "files") != all(files) or any(files) != all(files):
            raise UserError("--source-file and --target-file go together, and with --corpus files")


SCENES = Config()

# The published figures are of English to German with some 5 M parameters (LIUM-CVC; Caglayan et al. 2017).
MULTI30K = replace(
    SCENES,
    corpus="multi30k",
    vocabulary="subwords",
    vocabulary_size=5000,
    joint=True,
    embedding_units=256,
    units=256,
    embedding_dropout=0.3,
    memory_dropout=0.5,
    output_dropout=0.5,
    word_dropout=0.0,
    label_smoothing=0.1,
    epochs=15,
    learning_rate=1e-3,
    warmup_steps=200,
    weight_average=0.998,
)

PRESETS = {
    "scenes": SCENES,
    "multi30k-en-de": MULTI30K,
    "multi30k-de-en": replace(MULTI30K, source="de", target="en"),
    "multi30k-en-fr": replace(MULTI30K, target="fr"),
    "tatoeba": replace(MULTI30K, corpus="tatoeba", source="deu", target="eng", memory_dropout=0.2, output_dropout=0.3),
    # What attention adds: the same without.
    "sutskever": replace(SCENES, decoder="fixed", guidance=0.0),
}
