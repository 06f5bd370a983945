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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import datasets
from datasets.aligned_files import AlignedFiles
from datasets.aligned_files import fingerprint as files_fingerprint
from shared.batching import BucketedBatches, pad
from shared.fine_tuning import extended
from shared.text import tidy
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.translator.aligner import align
from tasks.translator.config import Config
from tasks.translator.model import Vocabularies

LANGUAGES = {"scenes": {"en": "captions_en", "de": "captions_de"}}  # fields of records that hold several sentences
CORPORA = ("scenes", "multi30k", "tatoeba")


@dataclass(frozen=True)
class Split:
    """Sentences and their translations."""

    sources: list[str]
    targets: list[str]


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """Pairs of a split without an empty side, once each in training; CorpusError if corpus or language is missing."""
    pairs = [(source, target) for source, target in _read(config, split, data_dir) if tidy(source) and tidy(target)]
    if split == "train":
        pairs = list(dict.fromkeys(pairs))  # a fifth of the pairs of scenes are repetitions
    if not pairs:
        raise datasets.CorpusError(f"{config.corpus}: no pairs of {config.source} and {config.target} in {split}")
    return Split(*(list(side) for side in zip(*pairs, strict=True)))


def _read(config: Config, split: str, data_dir: Path | None) -> list[tuple[str, str]]:
    if config.corpus == "files":
        return AlignedFiles(Path(config.source_file), Path(config.target_file), split).pairs
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
        return {config.corpus: files_fingerprint(Path(config.source_file), Path(config.target_file))}
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
