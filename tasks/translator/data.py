"""Sentence pairs to batches.

    records (datasets)  a sentence in each language
      -> Split          pairs; neither side is empty
      -> token ids      source: a dog runs </s>     target: <s> ein Hund läuft </s>

A batch holds pairs of similar length, padded to the longest:

    inputs   source_ids  (batch, source)    a   dog  runs </s>
             target_ids  (batch, target)    <s> ein  Hund läuft
             alignment   (batch, target, source) float32, if alignment_weight is not 0: the source token of each target
                         token, as probabilities; unaligned tokens and the end are aligned with the source's end
    targets              (batch, target)    ein Hund läuft </s>
"""

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
from shared.batching import BucketedBatches, pad
from shared.errors import UserError
from shared.fine_tuning import extended
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.translator.aligner import align
from tasks.translator.config import MULTI30K, Config
from tasks.translator.model import Vocabularies
from tasks.translator.text import clean

LANGUAGES = {"scenes": {"en": "captions_en", "de": "captions_de"}}  # fields of records that hold several sentences
CORPORA = ("scenes", "multi30k", "tatoeba")

TOO_FEW = 1000  # pairs below which little can be learned
STEPS = 120  # of an epoch, at least, unless batches would be smaller than `LEAST_BATCH`
LEAST_BATCH = 8
RATE = 3e-3  # learning rate: with that of the presets, 2,000 pairs of Tatoeba came to BLEU 2.5 in 15 epochs
WORDS_PER_TOKEN = 32  # running words of both languages for each token of the vocabulary
LEAST_VOCABULARY = 500  # of which 260 are reserved


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
    for language in (config.source, config.target):
        if language not in fields:
            raise datasets.CorpusError(f"{config.corpus} has no language {language}; expected {', '.join(fields)}")
    pairs = [(record[fields[config.source]], record[fields[config.target]]) for record in records]
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


def _corpus_name(config: Config) -> str:
    """The corpus's name in `datasets`; the captions of scenes alone, which need no rendered images."""
    return "scenes/captions" if config.corpus == "scenes" else config.corpus


def build_vocabulary(config: Config, train: Split, initial: Vocabularies | None = None) -> Vocabularies:
    """The vocabularies of source and target, built from the training split, or those of the initial run, extended."""

    def build(texts: Sequence[str], before: Vocabulary | None) -> Vocabulary:
        if before is not None:
            return extended(before, texts, config.min_count, config.vocabulary_size)
        if config.vocabulary == "subwords":
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
    encoded = [
        ([*source.encode(text), source.end_id], [target.start_id, *target.encode(translation), target.end_id])
        for text, translation in zip(train.sources, train.targets, strict=True)
    ]
    pairs = [pair for pair in encoded if max(map(len, pair)) <= config.max_length + 1]
    if left_out := len(encoded) - len(pairs):
        print(f"{left_out} pairs of more than {config.max_length} tokens are left out", file=sys.stderr)
    if not pairs:
        raise datasets.CorpusError(f"{config.corpus}: all pairs have more than {config.max_length} tokens")

    words = [ids[:-1] for ids, _ in pairs], [ids[1:-1] for _, ids in pairs]
    alignments = align(*words) if config.alignment_weight else []

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]):
        sources, targets = zip(*(pairs[i] for i in indices), strict=True)
        source_ids, target_ids = pad(sources, sizes.get("source")), pad(targets, sizes.get("target"))
        inputs = {"source_ids": source_ids, "target_ids": target_ids[:, :-1]}
        if config.word_dropout:
            inputs = {name: _drop_words(ids, config.word_dropout, rngs) for name, ids in inputs.items()}
        if config.alignment_weight:
            inputs["alignment"] = _pad_alignments([alignments[i] for i in indices], *inputs.values())
        return inputs, target_ids[:, 1:]

    sources, targets = ([len(ids) for ids in side] for side in zip(*pairs, strict=True))
    lengths, sizes = np.add(sources, targets), {"source": sources, "target": targets}
    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed, sizes)


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
