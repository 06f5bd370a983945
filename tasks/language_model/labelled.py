"""Texts with labels -> batches for a classifier.

    text        A fine film .        It never ends .
    label       positive             negative

    token_ids   `(batch, time)`      </s> a fine film .  |  </s> it never ends .      padded with 0
    lengths     `(batch,)`           5  5
    label_ids   `(batch,)`           1  0                 the targets are these plus 1, since 0 is padding

A text of more than `LONGEST` tokens keeps its first and last ones in training (Sun et al. 2019, "How to Fine-Tune BERT
for Text Classification?", section 5.3.1); a trained model reads texts of any length.
"""

import functools
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import datasets
from datasets.labelled_texts import SPLITS, Labelled, fingerprint_of, read_all, read_splits
from shared.batching import BucketedBatches
from shared.errors import UserError
from shared.packing import pad
from shared.runs import Run
from shared.vocabulary import SPECIALS, SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.language_model.config import Config
from tasks.language_model.plain_words import as_read, spaced

CORPORA = ("sst2",)
HEAD, TAIL = 128, 384  # tokens of a long text that training keeps
LONGEST = HEAD + TAIL
MOST = 20  # labels that a message names


class Texts(NamedTuple):
    """The texts of a split, and their labels."""

    texts: list[str]
    labels: list[str]


def load_texts(config: Config, split: str, data_dir: Path | None = None) -> Texts:
    """Loads train, dev or test, or all of a table or folder of one's own.

    Raises:
        UserError: the corpus does not exist or cannot be read, has one label, or has no text for this split.
    """
    rows = read_all(_path(config)) if split == "all" else _splits(config, data_dir)[split]
    if not rows:
        raise UserError(f"corpus {config.corpus}: too few texts for a {split} split; --{split}-corpus names others")
    return Texts([row.text for row in rows], [row.label for row in rows])


def _splits(config: Config, data_dir: Path | None) -> dict[str, list[Labelled]]:
    own = tuple((name, path) for name in ("dev", "test") if (path := getattr(config, f"{name}_corpus")))
    if config.corpus in CORPORA:
        loaded = {split: datasets.load(config.corpus, split, data_dir) for split in SPLITS}
        splits = {split: [Labelled(row["text"], row["label"]) for row in records] for split, records in loaded.items()}
        return splits | {name: read_all(Path(path)) for name, path in own}
    if data_dir:
        raise UserError(f"--data-dir {data_dir}: the corpus {config.corpus} is a path itself")
    paths = _path(config), *(Path(path) for _, path in own)
    return _read(config.corpus, own, tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths))


def _path(config: Config) -> Path:
    if not config.corpus.strip():  # which is the current folder to `Path`
        raise UserError(f"--corpus {config.corpus!r}: {', '.join(CORPORA)}, a table or a folder was expected")
    return Path(config.corpus)


@functools.lru_cache(1)
def _read(corpus: str, own: tuple[tuple[str, str], ...], times: tuple[int, ...]) -> dict[str, list[Labelled]]:
    del times  # a file that has changed is read again
    return read_splits(Path(corpus), {name: Path(path) for name, path in own})


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """The corpus and a hash of its texts and labels, which a run records."""
    return {config.corpus: fingerprint_of(_splits(config, data_dir))}


def check_corpus(run: Run, config: Config, data_dir: Path | None = None) -> None:
    """Raises UserError when the texts at the path of a run's corpus are not those that it was trained on."""
    recorded = run.config.get("data")
    if not isinstance(recorded, dict) or not fingerprint(config, data_dir).items() <= recorded.items():
        raise UserError(f"{data_dir or config.corpus}: not the texts that {run.path} was trained on; see --corpus")


def check_labels(corpus: str, found: Iterable[str], expected: Collection[str]) -> None:
    """Raises UserError if no text of a corpus has one of the labels that are expected."""
    if not {*found} & {*expected}:
        raise UserError(f"{corpus}: its labels are {listed(found)}; {listed(expected)} were expected")


def listed(labels: Iterable[str]) -> str:
    """The first labels by name, for a message."""
    first = sorted(set(labels))
    return ", ".join(first[:MOST]) + " ..." * (len(first) > MOST)


def build_vocabulary(config: Config, train: Texts, initial: Vocabulary | None = None) -> Vocabulary:
    """The words of the training texts, then the most frequent ones of an initial language model, or its subwords."""
    if initial is not None and not isinstance(initial, WordVocabulary):
        return initial
    if config.vocabulary == "characters":
        return SubwordVocabulary.characters(train.texts, min_count=config.min_count)
    if config.vocabulary == "subwords":
        return SubwordVocabulary.train(train.texts, config.vocabulary_size)
    size = config.vocabulary_size
    own = WordVocabulary.build(map(spaced, train.texts), min_count=config.min_count, max_size=size)
    further = (word.lower() for word in (initial.table[len(SPECIALS) :] if initial else ()))
    words = dict.fromkeys([*own.table, *(word for word in further if spaced(word) == word)])
    return WordVocabulary(list(words)[:size])


def encode(texts: Sequence[str], vocabulary: Vocabulary) -> list[list[int]]:
    """The ids of each text, after `</s>`, with which a language model begins every line."""
    return [[vocabulary.end_id, *vocabulary.encode(as_read(text, vocabulary))] for text in texts]


def shortened(ids: list[int]) -> list[int]:
    """The first and last tokens of a text that is too long to train on."""
    return ids if len(ids) <= LONGEST else ids[:HEAD] + ids[-TAIL:]


def training_batches(config: Config, train: Texts, vocabulary: Vocabulary, labels: Sequence[str]) -> BucketedBatches:
    """The batches of a training, of texts of similar length."""
    ids = [shortened(text) for text in encode(train.texts, vocabulary)]
    index_of = {label: index for index, label in enumerate(labels)}
    label_ids = np.array([index_of[label] for label in train.labels], np.int32)
    lengths = np.array([len(text) for text in ids], np.int32)

    def make_batch(indices, rngs, sizes):
        del rngs
        token_ids = pad([ids[i] for i in indices], sizes.get("text"))
        inputs = {"token_ids": token_ids, "lengths": lengths[indices], "label_ids": label_ids[indices]}
        return inputs, label_ids[indices] + 1

    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed, {"text": lengths.tolist()})
