"""The configuration of the translator, with a reason beside each number."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from shared.bounds import (
    MAX_PARAMETERS,
    Beam,
    Bounds,
    Count,
    DropoutRate,
    Fraction,
    Layers,
    MaxLength,
    Units,
    VocabularySize,
    Weight,
    check_product,
    check_recurrence,
)
from shared.errors import FieldError, UserError
from shared.languages import language_name, primary_language
from shared.recipe import DistillingRecipe
from shared.runs import Run, RunError
from shared.vocabulary import SubwordVocabulary
from tasks.translator.forms import are_known

TASK = "translator"
# The released models of each direction, the default one first: of those that are there, commands use the first one.
RELEASED: dict[tuple[str, str], tuple[str, ...]] = {
    ("de", "en"): ("everyday-de-en", "multi30k-de-en"),
    ("en", "de"): ("everyday-en-de", "multi30k-en-de"),
    ("en", "fr"): ("everyday-en-fr", "multi30k-en-fr"),
    ("fr", "en"): ("everyday-fr-en",),
}
MAX_SCORES = 80_000_000  # of a batch at each step of a search
RELEASED_FILES: tuple[str, ...] = ("vocabulary.json", "target_vocabulary.json", "weights.safetensors")


@dataclass(frozen=True, kw_only=True)
class Config(DistillingRecipe):
    """The configuration of a run; the defaults are those of `scenes`."""

    corpus: str = "scenes"
    """Corpus of sentence pairs: scenes, multi30k, tatoeba, tatoeba/LANGUAGE such as tatoeba/fra, files, or everyday:
    the pairs of Tatoeba for the two languages, of which one is English."""
    source_file: str = ""
    """With the corpus files: the source sentences, one a line."""
    target_file: str = ""
    """With the corpus files: their translations, line by line."""
    pairs_file: str = ""
    """With the corpus files, instead of the two: TMX, tab-separated text, CSV or JSON lines, plain or compressed."""
    dev_source_file: str = ""
    """Your own development sentences; default: 1/50 of the pairs."""
    dev_target_file: str = ""
    """Their translations, line by line."""
    dev_pairs_file: str = ""
    """Instead of the two: one file, as for --pairs-file."""
    test_source_file: str = ""
    """Your own test sentences; default: 1/50 of the pairs."""
    test_target_file: str = ""
    """Their translations, line by line."""
    test_pairs_file: str = ""
    """Instead of the two: one file, as for --pairs-file."""
    source: str = "en"
    """Source language, as the corpus names it."""
    target: str = "de"
    """Target language, as the corpus names it."""

    vocabulary: Literal["words", "subwords"] = "words"
    """Kind of tokens; subwords have no unknown text."""
    vocabulary_size: VocabularySize = 8000
    """Maximum number of tokens of each language, or of both together with a joint vocabulary; with --from, of words of
    the new corpus."""
    joint_vocabulary: bool = False
    """One vocabulary and one embedding for both languages: names, digits and cognates have the same spelling."""
    min_count: Count = 1
    """Words with fewer occurrences are unknown."""
    single_digits: bool = False
    """Each digit is a subword: numbers are copied digit by digit."""
    subword_dropout: DropoutRate = 0.0
    """Probability of passing over a subword: each epoch has other subwords of the same words (BPE-dropout; Provilkov
    et al. 2020)."""
    max_length: MaxLength = 80
    """Maximum number of tokens: longer pairs are left out of training, and translations end there."""

    synthetic_pairs: Fraction = 0.0
    """Synthetic pairs, for each pair of the corpus: numbers, dates, names, addresses and so on, which are copied or
    written by the rules of the target language. Of English, German and French."""
    joined_pairs: Fraction = 0.0
    """Lines of two or three sentences, for each pair of the corpus."""
    noisy_pairs: Fraction = 0.0
    """Copies in other case, with other marks or without accents, for each pair of the corpus."""

    decoder: Literal["inside", "between", "fixed"] = "inside"
    """Position of attention: inside the recurrence (a conditional GRU); between two LSTMs, so that no recurrence waits
    for it; or none, with the source as one fixed vector (Sutskever et al. 2014)."""
    attention_hops: Layers = 2
    """Number of attention layers of the decoder `between`."""
    embedding_units: Units = 96
    """Width of the embeddings."""
    units: Units = 96
    """Width of the decoder, and of each direction of the encoder."""
    num_layers: Layers = 1
    """Layers of the encoder."""
    tied: bool = True
    """Use the target embedding as the kernel of the softmax (Press & Wolf 2017)."""

    embedding_dropout: DropoutRate = 0.0
    """Dropout of the embeddings; all dropouts use one mask for all steps of a sentence."""
    memory_dropout: DropoutRate = 0.0
    """Dropout of the encoder's output."""
    output_dropout: DropoutRate = 0.0
    """Dropout of the input of the softmax."""
    word_dropout: DropoutRate = 0.05
    """Fraction of the input tokens of both languages replaced by the unknown token in training."""
    label_smoothing: DropoutRate = 0.0
    """Probability spread over all tokens."""
    alignment_weight: Weight = 0.5
    """Weight of the attention loss: cross-entropy against a word alignment (Chen et al. 2016); 0 for none."""

    learning_rate: float = 6e-3
    weight_average: float = 0.99

    beam: Beam = 5
    """Beam width."""
    length_penalty: Annotated[float, Bounds(0, 100)] = 1.0
    """Exponent of the length penalty of the search (Wu et al. 2016, section 7); larger values favour longer output."""
    refuse_repeats: bool = False
    """No word or phrase directly after itself; of subwords, which spell numbers, none of four tokens or more."""

    RENAMED: ClassVar[dict[str, str]] = {
        "guidance": "alignment_weight",
        "hops": "attention_hops",
        "joint": "joint_vocabulary",
    }
    """Former name -> current name of fields in the config.json of older runs."""

    @property
    def inherited(self) -> tuple[str, ...]:
        names = "vocabulary", "joint_vocabulary", "decoder", "attention_hops", "embedding_units", "units", "num_layers"
        fixed = ("vocabulary_size", "min_count") if self.vocabulary == "subwords" else ()
        return (*names, "tied", *fixed, *(("alignment_weight",) if self.decoder == "fixed" else ()))

    def __post_init__(self):
        super().__post_init__()
        if self.vocabulary == "subwords":
            SubwordVocabulary.check_size(self.vocabulary_size)
        check_recurrence(self.num_layers, self.units)
        embedding = ("vocabulary_size", self.vocabulary_size), ("embedding_units", self.embedding_units)
        check_product("parameters of the embedding", MAX_PARAMETERS, *embedding)
        check_product("tokens of a search", 20_000, ("beam", self.beam), ("max_length", self.max_length))
        check_product("tokens of a batch", 200_000, ("batch_size", self.batch_size), ("max_length", self.max_length))
        if self.alignment_weight and self.decoder == "fixed":
            problem = "the decoder fixed has no attention; 0 was expected"
            raise FieldError("alignment_weight", self.alignment_weight, problem)
        if self.subword_dropout and self.vocabulary != "subwords":
            raise FieldError("subword_dropout", self.subword_dropout, "the tokens are words; 0 was expected")
        if self.synthetic_pairs and not are_known(self.source, self.target):
            problem = f"there are none of {self.source} and {self.target}, only of English, German and French"
            raise FieldError("synthetic_pairs", self.synthetic_pairs, f"{problem}; 0 was expected")
        if self.source == self.target:
            raise UserError(f"source and target are both {self.source}; two languages were expected")
        files = self.files
        if (self.corpus == "files") != bool(files["train"]) or (self.corpus != "files" and any(files.values())):
            raise UserError(
                "--corpus files and its files were expected together: --source-file and --target-file, or --pairs-file"
            )

    @property
    def files(self) -> dict[str, tuple[Path, ...]]:
        """The user's files of each split, see `own_files`."""
        return {
            "train": own_files(self.source_file, self.target_file, self.pairs_file),
            "dev": own_files(self.dev_source_file, self.dev_target_file, self.dev_pairs_file, "dev-"),
            "test": own_files(self.test_source_file, self.test_target_file, self.test_pairs_file, "test-"),
        }


def own_files(
    source: str | Path | None, target: str | Path | None, pairs: str | Path | None, prefix: str = ""
) -> tuple:
    """The paths that `--source-file` and `--target-file`, or `--pairs-file`, name: two, one or none.

    Raises UserError, which names the options with their `prefix`, for one of the two, or for all three.
    """
    if bool(source) != bool(target) or (source and pairs):
        raise UserError(
            f"--{prefix}source-file and --{prefix}target-file were expected together, or --{prefix}pairs-file alone"
        )
    return tuple(Path(path) for path in (source, target, pairs) if path)


SCENES = Config()

# The published models for English to German have about 5 M parameters (LIUM-CVC; Caglayan et al. 2017).
MULTI30K = replace(
    SCENES, corpus="multi30k", vocabulary="subwords", vocabulary_size=5000, joint_vocabulary=True, embedding_units=256,
    units=256, embedding_dropout=0.3, memory_dropout=0.5, output_dropout=0.5, word_dropout=0.0, label_smoothing=0.1,
    epochs=15, learning_rate=1e-3, warmup_steps=200, weight_average=0.998,
)  # fmt: skip

# 5.8 M parameters are 12 MB in float16. Sentences are half as long as in Multi30k and six times as many, so batches are
# larger and dropouts smaller; the rate grows with the square root of the batch.
EVERYDAY = replace(
    MULTI30K, corpus="everyday", source="de", target="en", vocabulary_size=5000, single_digits=True, units=288,
    num_layers=2, subword_dropout=0.0, embedding_dropout=0.1, memory_dropout=0.2, output_dropout=0.3, max_length=100,
    synthetic_pairs=0.2, joined_pairs=0.1, noisy_pairs=0.15, batch_size=128, epochs=7, learning_rate=1.5e-3,
    warmup_steps=1000, weight_average=0.999,
)  # fmt: skip

PRESETS = {
    "scenes": SCENES,
    "multi30k-en-de": MULTI30K,
    "multi30k-de-en": replace(MULTI30K, source="de", target="en"),
    "multi30k-en-fr": replace(MULTI30K, target="fr"),
    "tatoeba": replace(MULTI30K, corpus="tatoeba", source="deu", target="eng", memory_dropout=0.2, output_dropout=0.3),
    "everyday": EVERYDAY,  # with --source and --target
    # `scenes` without attention, for comparison.
    "sutskever": replace(SCENES, decoder="fixed", alignment_weight=0.0),
}


def released_runs() -> dict[tuple[str, str], str]:
    """The released run of each direction that has one here, by its languages."""
    there = {run.name for run in Run.trained(TASK)}
    first = {direction: next(filter(there.__contains__, names), None) for direction, names in RELEASED.items()}
    return {direction: name for direction, name in first.items() if name}


def find_run(model: str | None = None, source: str | None = None, target: str | None = None) -> Run:
    """The run that `--model` names; by default the released one of the direction, else the newest.

    Args:
        model: run or folder.
        source, target: codes or names of languages; without them any will do, by default the first of `RELEASED`.

    Raises RunError if there is none, or if the named one translates from or to another language.
    """
    wanted = [language and primary_language(language) for language in (source, target)]

    def suits(run: Run) -> bool:
        config = run.read_config(Config)
        found = primary_language(config.source), primary_language(config.target)
        return all(code in (None, language) for code, language in zip(wanted, found, strict=True))

    released = (
        name
        for direction, name in released_runs().items()
        if all(code in (None, language) for code, language in zip(wanted, direction, strict=True))
    )
    try:
        run = Run.find(model, TASK, next(released, ""), suits=suits)
    except RunError:
        if model is not None or not any(wanted):
            raise
        raise RunError(f"no model translates {_described(source, target)}; {described_directions()}") from None
    if not suits(run):
        config = run.read_config(Config)
        found = _described(config.source, config.target)
        raise RunError(f"{run.name} translates {found}; a model {_described(source, target)} was expected")
    return run


def _described(source: str | None, target: str | None) -> str:
    parts = ("from", source), ("to", target)
    return " ".join(f"{word} {language_name(language)}" for word, language in parts if language)


def described_directions() -> str:
    """What the released models translate, for messages."""
    pairs = [f"{language_name(source)} to {language_name(target)}" for source, target in released_runs()]
    return f"there are models for {', '.join(pairs)}" if pairs else "there is no released model"
