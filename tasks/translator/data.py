"""Sentence pairs to batches.

    records (datasets)  a sentence in each language
      -> Split          pairs; neither side is empty
      -> augmented      with synthetic, joined and noisy pairs, if the configuration has some
      -> token ids      source: a dog runs </s>     target: <s> ein Hund läuft </s>

A batch holds pairs of similar length, padded to the longest:

    inputs   source_ids  (batch, source)    a   dog  runs </s>
             target_ids  (batch, target)    <s> ein  Hund läuft
             alignment   (batch, target, source) float32, if alignment_weight is not 0: the source token of each target
                         token, as probabilities; unaligned tokens and the end are aligned with the source's end
    targets              (batch, target)    ein Hund läuft </s>
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets.aligned_files import fingerprint as files_fingerprint
from datasets.aligned_files import read_pairs, read_split
from datasets.lines import read_lines
from shared.batching import BucketedBatches
from shared.errors import UserError
from shared.fine_tuning import extended
from shared.languages import language_code, primary_language
from shared.packing import pad
from shared.runs import Run
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.translator.aligner import align
from tasks.translator.config import MULTI30K, Config
from tasks.translator.noise import joined_pairs, noisy_pairs
from tasks.translator.resegmentation import Row, most_tokens, resegmented
from tasks.translator.synthetic import synthetic_pairs
from tasks.translator.text import clean
from tasks.translator.vocabularies import Vocabularies

LANGUAGES = {"scenes": {"en": "captions_en", "de": "captions_de"}}  # fields of records that hold several sentences
CORPORA = ("scenes", "multi30k", "tatoeba", "everyday")

TOO_FEW = 1000  # pairs below which little can be learned
STEPS = 120  # of an epoch, at least, unless batches would be smaller than `LEAST_BATCH`
LEAST_BATCH = 8
RATE = 3e-3  # learning rate: with that of the presets, 2,000 pairs of Tatoeba came to BLEU 2.5 in 15 epochs
WORDS_PER_TOKEN = 32  # running words of both languages for each token of the vocabulary
LEAST_VOCABULARY = 500  # of which 260 are reserved

DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True)
class Split:
    """Sentences and their translations."""

    sources: list[str]
    targets: list[str]


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """Clean pairs of a split without an empty side, once each in training.

    Raises CorpusError if the corpus or a language is missing.
    """
    name = f"{config.corpus}: no pairs of {config.source} and {config.target} in {split}"
    return _cleaned(_read(config, split, data_dir), name, is_training=split == "train")


def load_files(files: tuple[Path, ...], config: Config) -> Split:
    """All clean pairs of the user's files, see `own_files`, without an empty side; CorpusError if there are none."""
    return _cleaned(read_pairs(files, (config.source, config.target)), f"{files[0]}: no sentences with translations")


def load_outputs(
    path: Path, config: Config, split: str, data_dir: Path | None = None, files: tuple[Path, ...] = ()
) -> tuple[Split, list[str]]:
    """The pairs of the user's files, else of a split, and the translations of a file, one a line; all are clean.

    Pairs with an empty side are left out, and so are their translations. Raises UserError if there is not one
    translation for each pair, empty ones included; CorpusError if no pair is left.
    """
    pairs = read_pairs(files, (config.source, config.target)) if files else _read(config, split, data_dir)
    outputs = read_lines(path)
    if len(outputs) != len(pairs):
        expected = f"{len(pairs):,} were expected, one for each reference"
        raise UserError(f"--outputs {path}: has {len(outputs):,} lines; {expected}")
    written = [_clean_pair(pair) for pair in pairs]
    kept = [clean(output) for pair, output in zip(written, outputs, strict=True) if _is_whole(pair)]
    return _cleaned(written, f"{path}: no references"), kept


def _clean_pair(pair: tuple[str, str]) -> tuple[str, str]:
    return clean(pair[0]), clean(pair[1])


def _is_whole(pair: tuple[str, str]) -> bool:
    """Whether both sides are more than white space."""
    return all(side.strip() for side in pair)


def _cleaned(pairs: Sequence[tuple[str, str]], problem: str, is_training: bool = False) -> Split:
    pairs = list(filter(_is_whole, map(_clean_pair, pairs)))
    if is_training:
        pairs = list(dict.fromkeys(pairs))  # a fifth of the pairs of scenes are repetitions
    if not pairs:
        raise datasets.CorpusError(problem)
    return Split(*(list(side) for side in zip(*pairs, strict=True)))


def _read(config: Config, split: str, data_dir: Path | None) -> list[tuple[str, str]]:
    if config.corpus == "files":
        return read_split(config.files, split, (config.source, config.target))
    if config.corpus.partition("/")[0] not in CORPORA:
        name = config.corpus if config.corpus.strip() else f"--corpus {config.corpus!r}"
        raise datasets.CorpusError(f"{name} is not a corpus of pairs; expected {', '.join(CORPORA)} or files")
    records = datasets.load(_corpus_name(config), split, data_dir)
    texts = {name: name for name, value in records[0].items() if isinstance(value, str)}
    fields = LANGUAGES.get(config.corpus, texts)
    of_code = {primary_language(name): field for name, field in fields.items()}
    for language in (config.source, config.target):
        if primary_language(language) not in of_code:
            raise datasets.CorpusError(f"{config.corpus} has no language {language}; expected {', '.join(fields)}")
    first, second = (of_code[primary_language(language)] for language in (config.source, config.target))
    pairs = [(record[first], record[second]) for record in records]
    return [pair for sides in pairs for pair in zip(*sides, strict=True)] if config.corpus in LANGUAGES else pairs


def load_alignments(config: Config, split: str, data_dir: Path | None = None) -> list[set[tuple[int, int]]]:
    """The true word alignment of each pair of a split of scenes: pairs of source and target index."""
    records = datasets.load(_corpus_name(config), split, data_dir)
    step = 1 if config.source == "en" else -1  # records hold pairs of English and German index
    alignments = (links for record in records for links in record["alignments"])
    return [{(int(i), int(j)) for i, j in (link[::step] for link in links)} for links in alignments]


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """Corpus name -> hash of its contents."""
    if config.corpus == "files":
        return {config.corpus: files_fingerprint(config.files, (config.source, config.target))}
    return {config.corpus: datasets.fingerprint(_corpus_name(config), data_dir)}


def check_corpus(run: Run, config: Config) -> None:
    """Raises UserError when the pairs in a run's files are not those that it was trained on."""
    if config.corpus == "files" and not run.was_trained_on(fingerprint(config)):
        files = ", ".join(map(str, config.files["train"]))
        raise UserError(
            f"{files}: not the pairs that {run.path} was trained on; --source-file and --target-file measure others"
        )


def _corpus_name(config: Config) -> str:
    """The corpus's name in `datasets`: of scenes the captions alone, which need no rendered images; of Tatoeba the
    variant of the languages, unless one is named."""
    if config.corpus == "scenes":
        return "scenes/captions"
    if config.corpus not in ("tatoeba", "everyday"):
        return config.corpus
    codes = {code if len(code) == 3 else language_code(code) for code in (config.source, config.target)}
    others = codes - {"eng"}
    if len(others) != 1:
        found = f"from {config.source} to {config.target}"
        raise datasets.CorpusError(f"{config.corpus} has no pairs {found}; English and another language were expected")
    return f"tatoeba/{others.pop()}"


def augmented(config: Config, train: Split) -> Split:
    """The training pairs with the synthetic, joined and noisy ones that the configuration asks for.

    Their number is a fraction of the pairs of the corpus. Synthetic pairs may be joined, and joined ones noisy.
    """
    pairs = list(zip(train.sources, train.targets, strict=True))
    languages, count = (config.source, config.target), len(pairs)
    pairs += synthetic_pairs(pairs, *languages, round(config.synthetic_pairs * count), config.seed)
    pairs += joined_pairs(pairs, round(config.joined_pairs * count), config.seed)
    pairs += noisy_pairs(pairs, *languages, round(config.noisy_pairs * count), config.seed)
    pairs[count:] = [_clean_pair(pair) for pair in pairs[count:]]
    return Split(*(list(side) for side in zip(*pairs, strict=True)))


def build_vocabulary(config: Config, train: Split, initial: Vocabularies | None = None) -> Vocabularies:
    """The vocabularies of source and target, built from the training split, or those of the initial run, extended."""

    def build(texts: Sequence[str], before: Vocabulary | None) -> Vocabulary:
        if before is not None:
            return extended(before, texts, config.min_count, config.vocabulary_size)
        if config.vocabulary == "subwords":
            if config.single_digits:  # no piece has a digit beside anything but a space
                texts = [DIGIT.sub(r" \g<0> ", text) for text in texts]
            return SubwordVocabulary.train(texts, config.vocabulary_size)
        return WordVocabulary.build(texts, min_count=config.min_count, max_size=config.vocabulary_size)

    source, target = initial or (None, None)
    if config.joint_vocabulary:
        joint = build([*train.sources, *train.targets], source)
        return Vocabularies(joint, joint)
    return Vocabularies(build(train.sources, source), build(train.targets, target))


def fitted(config: Config, train: Split) -> Config:
    """The configuration for the user's own pairs: with few of them, other sizes than the presets'.

    Many small batches make enough steps of few pairs, and few tokens are seen often enough (Sennrich and Zhang 2019).
    Values that differ from the presets' are the user's, and stay; so do all of a training that starts from a run. What
    changes is stated on standard error.
    """
    if config.corpus != "files" or config.initial_run:
        return config
    pairs, words = len(train.sources), sum(len(text.split(" ")) for text in (*train.sources, *train.targets))
    if pairs < TOO_FEW:
        expected = f"thousands were expected, {TOO_FEW:,} at least"
        print(f"{pairs:,} pairs are too few to learn to translate from: {expected}", file=sys.stderr)
    changes: dict[str, Any] = {}
    if config.batch_size == MULTI30K.batch_size and pairs < STEPS * config.batch_size:
        changes["batch_size"] = max(LEAST_BATCH, pairs // STEPS)
        if config.learning_rate == MULTI30K.learning_rate:
            changes["learning_rate"] = RATE
    own_sizes = config.vocabulary, config.vocabulary_size
    if own_sizes == (MULTI30K.vocabulary, MULTI30K.vocabulary_size):
        changes["vocabulary_size"] = min(config.vocabulary_size, max(LEAST_VOCABULARY, words // WORDS_PER_TOKEN))
    adapted = replace(config, **changes)
    if adapted != config:
        changed = {name: value for name, value in changes.items() if value != getattr(config, name)}
        options = " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in changed.items())
        print(f"{pairs:,} pairs are few, so the training is one with {options}", file=sys.stderr)
    return adapted


def unknown_words(config: Config, split: Split, vocabulary: Vocabularies) -> dict[str, float]:
    """The fraction of words of a split that the vocabulary lacks, by language; {} for subwords, which have any text."""
    if config.vocabulary != "words":
        return {}
    shares = {}
    for language, texts, side in zip(
        (config.source, config.target), (split.sources, split.targets), vocabulary, strict=True
    ):
        ids = [token_id for text in texts for token_id in side.encode(text)]
        shares[language] = ids.count(side.unknown_id) / max(1, len(ids))
    return shares


def training_batches(config: Config, train: Split, vocabulary: Vocabularies) -> BucketedBatches:
    """Batches of training pairs; pairs of more than `max_length` tokens are left out and counted on standard error.

    Raises CorpusError if no pair is left.
    """
    source, target = vocabulary
    texts, pairs, left_out = [], [], 0
    for sentence, translation in zip(train.sources, train.targets, strict=True):
        pair = source.encode(sentence), target.encode(translation)
        if max(map(len, pair)) > config.max_length:
            left_out += 1
        else:
            texts.append((sentence, translation))
            pairs.append(pair)
    if left_out:
        print(f"{left_out} pairs of more than {config.max_length} tokens are left out", file=sys.stderr)
    if not pairs:
        raise datasets.CorpusError(f"{config.corpus}: all pairs have more than {config.max_length} tokens")
    sources, targets = (list(side) for side in zip(*pairs, strict=True))
    alignments: Sequence[np.ndarray | None] = [None] * len(pairs)
    if config.alignment_weight:
        alignments = align(sources, targets)

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]):
        rows: list[Row] = [(*pairs[i], alignments[i]) for i in indices]
        if config.subword_dropout:
            rows = [
                resegmented(texts[i], row, vocabulary, config.subword_dropout, rng)
                for i, row, rng in zip(indices, rows, rngs, strict=True)
            ]
        source_ids = pad([[*row[0], source.end_id] for row in rows], sizes.get("source"))
        target_ids = pad([[target.start_id, *row[1], target.end_id] for row in rows], sizes.get("target"))
        inputs = {"source_ids": source_ids, "target_ids": target_ids[:, :-1]}
        if config.word_dropout:
            inputs = {name: _drop_words(ids, config.word_dropout, rngs) for name, ids in inputs.items()}
        if config.alignment_weight:
            inputs["alignment"] = _pad_alignments([row[2] for row in rows if row[2] is not None], *inputs.values())
        return inputs, target_ids[:, 1:]

    lengths = [[len(ids) for ids in side] for side in (sources, targets)]
    most = [[most_tokens(length) if config.subword_dropout else length for length in side] for side in lengths]
    sizes = {"source": [length + 1 for length in most[0]], "target": [length + 2 for length in most[1]]}
    return BucketedBatches(np.add(np.transpose(lengths), [1, 2]), config.batch_size, make_batch, config.seed, sizes)


def _pad_alignments(alignments: Sequence[np.ndarray], source_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray:
    """Alignments `(target, source)` of several pairs -> `(batch, target, source)`, with the ends aligned."""
    batch = np.zeros((*target_ids.shape, source_ids.shape[1]), np.float32)
    for row, weights in enumerate(alignments):
        target, source = weights.shape
        batch[row, :target, :source] = weights
        batch[row, target, source - 1] = 1
    return batch


def _drop_words(ids: np.ndarray, fraction: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Ids with a random fraction replaced by the unknown token; special tokens stay."""
    is_dropped = np.stack([rng.random(ids.shape[1]) for rng in rngs]) < fraction
    return np.where(is_dropped & (ids > Vocabulary.unknown_id), Vocabulary.unknown_id, ids)
