"""From pairs of sentences to batches.

    records (datasets)  a sentence in each language
      -> Split          pairs; neither side empty
      -> token ids      source: a dog runs </s>     target: <s> ein Hund läuft </s>

A batch holds pairs of about the same length, padded to the longest:

    inputs   source_ids  (batch, source)    a   dog  runs </s>
             target_ids  (batch, target)    <s> ein  Hund läuft
             alignment   (batch, target, source) float32, where each target comes from, if attention is guided; what
                         comes from no word, and the end, from the source's end
    targets              (batch, target)    ein Hund läuft </s>
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import datasets
from datasets.aligned_files import AlignedFiles
from datasets.aligned_files import fingerprint as files_fingerprint
from shared.batching import BucketedBatches, pad
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.translator.aligner import align
from tasks.translator.config import Config

LANGUAGES = {"scenes": {"en": "captions_en", "de": "captions_de"}}  # fields of records that hold several sentences
SPACE = r"[ \t\n\r\f\v]+"  # what is between words, as vocabularies see it
CORPORA = ("scenes", "multi30k", "tatoeba")


@dataclass(frozen=True)
class Split:
    """Sentences and their translations."""

    sources: list[str]
    targets: list[str]


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """The pairs of a split with something on either side; to train on, each of them once.

    Raises:
        CorpusError: the corpus cannot be had, or has no such languages.
    """
    pairs = [(source, target) for source, target in _read(config, split, data_dir) if tidy(source) and tidy(target)]
    if split == "train":
        pairs = list(dict.fromkeys(pairs))  # a fifth of those of scenes are there already
    if not pairs:
        raise datasets.CorpusError(f"{config.corpus}: no pairs of {config.source} and {config.target} in {split}")
    return Split(*(list(side) for side in zip(*pairs, strict=True)))


def _read(config: Config, split: str, data_dir: Path | None) -> list[tuple[str, str]]:
    if config.corpus == "files":
        return AlignedFiles(Path(config.source_file), Path(config.target_file), split).pairs
    if config.corpus.partition("/")[0] not in CORPORA:
        raise datasets.CorpusError(f"{config.corpus} is no corpus of pairs; there are {', '.join(CORPORA)} and files")
    records = datasets.load(corpus_name(config), split, data_dir)
    fields = LANGUAGES.get(config.corpus, {})
    names = [fields.get(language, language) for language in (config.source, config.target)]
    for language, name in zip((config.source, config.target), names, strict=True):
        if name not in records[0]:
            known = fields or {key: key for key, value in records[0].items() if isinstance(value, str)}
            raise datasets.CorpusError(f"{config.corpus} has no {language}; there are {', '.join(known)}")
    if not fields:
        return [(record[names[0]], record[names[1]]) for record in records]
    return [pair for record in records for pair in zip(record[names[0]], record[names[1]], strict=True)]


def fingerprint(config: Config, data_dir: Path | None = None) -> str:
    """A hash by which the same data are known again."""
    if config.corpus == "files":
        return files_fingerprint(Path(config.source_file), Path(config.target_file))
    return datasets.fingerprint(corpus_name(config), data_dir)


def corpus_name(config: Config) -> str:
    """By which `datasets` has it: of scenes the captions alone, for which no picture need be drawn."""
    return "scenes/captions" if config.corpus == "scenes" else config.corpus


def build_vocabularies(config: Config, train: Split) -> tuple[Vocabulary, Vocabulary]:
    """Those of source and target, or one for both."""

    def build(texts: Sequence[str]) -> Vocabulary:
        if config.vocabulary == "subwords":
            return SubwordVocabulary.train(texts, config.vocabulary_size)
        return WordVocabulary.build(texts, min_count=config.min_count, max_size=config.vocabulary_size)

    if config.joint:
        both = build([*train.sources, *train.targets])
        return both, both
    return build(train.sources), build(train.targets)


def training_batches(config: Config, train: Split, source: Vocabulary, target: Vocabulary) -> BucketedBatches:
    """Batches of pairs; an epoch shows every pair once, but those that are too long, which are told of."""
    encoded = [
        ([*source.encode(ours), source.end_id], [target.start_id, *target.encode(theirs), target.end_id])
        for ours, theirs in zip(train.sources, train.targets, strict=True)
    ]
    pairs = [pair for pair in encoded if max(map(len, pair)) <= config.max_length + 1]
    if left_out := len(encoded) - len(pairs):
        print(f"{left_out} pairs of more than {config.max_length} tokens are left out", file=sys.stderr)
    if not pairs:
        raise datasets.CorpusError(f"{config.corpus}: all pairs have more than {config.max_length} tokens")

    aligned = align([ours[:-1] for ours, _ in pairs], [theirs[1:-1] for _, theirs in pairs]) if config.guidance else []

    def make_batch(places: np.ndarray, rng: np.random.Generator):
        sources, targets = (pad(list(side)) for side in zip(*(pairs[place] for place in places), strict=True))
        inputs = {"source_ids": sources, "target_ids": targets[:, :-1]}
        if config.word_dropout:
            inputs = {name: _unknown(ids, config.word_dropout, rng) for name, ids in inputs.items()}
        if config.guidance:
            inputs["alignment"] = _as_batch([aligned[place] for place in places], *inputs.values())
        return inputs, targets[:, 1:]

    lengths = [len(ours) + len(theirs) for ours, theirs in pairs]
    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed)


def _as_batch(aligned: Sequence[np.ndarray], source_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray:
    """Alignments of several pairs, and their ends with one another."""
    batch = np.zeros((*target_ids.shape, source_ids.shape[1]), np.float32)
    for row, weights in enumerate(aligned):
        target, source = weights.shape
        batch[row, :target, :source] = weights
        batch[row, target, source - 1] = 1
    return batch


def _unknown(ids: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Ids of which a share is unknown, none of the specials."""
    return np.where((rng.random(ids.shape) < share) & (ids > Vocabulary.unknown_id), Vocabulary.unknown_id, ids)


def tidy(sentence: str) -> str:
    """The sentence with one space between words: tabs and line ends within it are spaces."""
    return re.sub(SPACE, " ", sentence).strip(" ")


def source_batch(sentences: Sequence[Sequence[int]]) -> np.ndarray:
    """Ids of sentences as the encoder reads them, `(batch, source)` int32."""
    return pad([[*ids, Vocabulary.end_id] for ids in sentences])
