"""Lines of text -> one stream of tokens -> batches of parallel streams.

    lines     the cat sat | it slept
      -> ids  the cat sat </s> it slept </s>          one stream, `</s>` at the end of each line
      -> rows `(batch, steps)`, equal parts of the stream; consecutive batches hold consecutive steps of each row

    token_ids               `(batch, time)`    </s> the  cat
    target_ids              `(batch, time)`    the  cat  sat
    continues               `(batch,)`         True: start from the final state of the batch before; False: from zeros
    sampled_ids             `(words,)`         with a sampler: words of the sampled softmax, besides the targets
    sampling_probabilities  `(words,)`         probability of each to be sampled

There is no padding and no shuffling.

A bidirectional model carries no state: each epoch cuts the stream into new segments, shuffles them and masks words.

    token_ids               `(batch, time)`    the ___ sat </s> it ___
    blank_indices           `(batch, blanks)`  1  5
    target_ids              `(batch, blanks)`  cat  slept
"""

import functools
import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import datasets
from shared.batching import Part
from shared.descriptors import make_regular
from shared.errors import UserError, shortened
from shared.fine_tuning import extended
from shared.runs import Run
from shared.text import (
    corpus_files,
    join_paragraphs,
    read_corpus,
    split_inside,
    split_lines,
    unspaced_example,
    wrapped_width,
)
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.language_model.config import Config, Form
from tasks.language_model.tokenisation import Tokenisation

# By corpus; the Penn Treebank and WikiText-2 are split into words already.
NORMALISATION = {"python_manual": "words", "penn_treebank": "none", "wikitext2": "none", "english_text": "words"}

LENGTH_DEVIATION, LENGTH_STEP = 5, 10  # of random lengths


@dataclass(frozen=True)
class Split:
    """The lines of a split, in order, and their form; see `tokenisation.py`."""

    lines: list[str]
    form: Form = "auto"


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """Loads train, dev or test, or all of a text of one's own.

    Raises:
        UserError: the corpus does not exist, or has no line for this split.
    """
    if own := own_split(config, split):
        return load_split(replace(config, corpus=own, dev_corpus="", test_corpus=""), "all")
    if config.corpus in NORMALISATION:
        if split == "all":
            raise UserError(f"corpus {config.corpus}: a file or folder was expected")
        if config.split_by != "lines":
            raise UserError(f"--split-by {config.split_by}: the corpus {config.corpus} has splits of its own")
        return Split([record["text"] for record in datasets.load(config.corpus, split, data_dir)], "tokens")
    path = data_dir or corpus_path(config)
    make_regular(path)  # it is read for each split
    if not path.exists():
        names = "" if data_dir else f"none of {', '.join(NORMALISATION)}, and "
        raise UserError(f"corpus {path}: {names}no such file or folder")
    stats = ((file, file.stat()) for file in corpus_files(path))
    files = tuple((file, stat.st_size, stat.st_ctime_ns) for file, stat in stats)
    splits = _splits(path, files, config.split_by, not config.dev_corpus, not config.test_corpus)
    if not splits[split]:
        counts = ", ".join(f"{name} {len(splits[name])}" for name in ("train", "dev", "test"))
        remedy = "--split-by tokens cuts lines, --dev-corpus and --test-corpus name other texts"
        raise UserError(f"corpus {path}: too few lines to split ({counts}); {remedy}")
    return Split(splits[split])


def own_split(config: Config, split: str) -> str:
    """The file or folder of a split that is not a part of the corpus; "" if it is."""
    return {"dev": config.dev_corpus, "test": config.test_corpus}.get(split, "")


def corpus_path(config: Config) -> Path:
    """The path of a corpus that has no name; raises UserError if it is empty, which is the current folder to `Path`."""
    if not config.corpus.strip():
        raise UserError(f"--corpus {config.corpus!r}: {', '.join(NORMALISATION)}, a file or a folder was expected")
    return Path(config.corpus)


@functools.lru_cache(3)  # train, dev and test may be files of their own
def _splits(
    path: Path, files: tuple[tuple[Path, int, int], ...], split_by: str, has_dev: bool, has_test: bool
) -> dict[str, list[str]]:
    del files  # with their sizes and times: a text that has changed is read again
    lines = read_corpus(path)
    if split_by == "lines" and (width := wrapped_width(lines)):
        message = f"{path}: its lines seem to break paragraphs at {width} characters; --split-by paragraphs joins them"
        print(message, file=sys.stderr)
    if split_by == "paragraphs":
        lines = join_paragraphs(lines)
    split = split_inside if split_by == "tokens" else split_lines
    return {**split(lines, has_dev, has_test), "all": lines}


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """The corpus and a hash of its content, which a run records; the same for splits that are texts of their own."""
    prints = {}
    if config.corpus in NORMALISATION:
        prints[config.corpus] = datasets.fingerprint(config.corpus, data_dir)
    else:
        parts = [name for name in ("train", "dev", "test") if not own_split(config, name)]
        prints[config.corpus] = _hash(load_split(config, part, data_dir) for part in parts)
    own = [(path, name) for name in ("dev", "test") if (path := own_split(config, name))]
    return prints | {path: _hash([load_split(config, name)]) for path, name in own}


def _hash(splits: Iterable[Split]) -> str:
    text = "\n".join(line for split in splits for line in split.lines)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def check_corpus(run: Run, config: Config, data_dir: Path | None = None) -> None:
    """Raises UserError when the text at the path of a run's corpus is not the text it was trained on."""
    is_own = config.corpus not in NORMALISATION or config.dev_corpus or config.test_corpus
    if not run.was_trained_on(fingerprint(config, data_dir) if is_own else {}):
        raise UserError(f"{data_dir or config.corpus}: not the text that {run.path} was trained on; see --data-dir")


def build_vocabulary(config: Config, train: Split, initial: Vocabulary | None = None) -> Vocabulary:
    """The vocabulary of the training lines, or that of the initial run, extended by them."""
    if initial is not None:
        return extended(initial, in_tokens(train.lines, initial, train.form), config.min_count)
    if config.vocabulary == "words":
        normalisation = NORMALISATION.get(config.corpus, "words")
        if example := unspaced_example(train.lines):
            expected = "--vocabulary characters or subwords, or " * (config.reads == "forwards")
            raise UserError(
                f"corpus {config.corpus}: no spaces between the words of its language, as in {shortened(example, 20)};"
                f" {expected}words separated by spaces were expected"
            )
        return WordVocabulary.build(train.lines, min_count=config.min_count, normalisation=normalisation)
    if config.vocabulary == "characters":
        return SubwordVocabulary.characters(train.lines, min_count=config.min_count)
    return SubwordVocabulary.train(train.lines, config.vocabulary_size)


def to_stream(lines: Iterable[str], vocabulary: Vocabulary, form: Form = "tokens") -> np.ndarray:
    """The ids of all lines, int32 `(tokens,)`, with `</s>` at the end of each line."""
    tokenised = in_tokens(lines, vocabulary, form)
    return np.array([token for line in tokenised for token in (*vocabulary.encode(line), vocabulary.end_id)], np.int32)


def in_tokens(lines: Iterable[str], vocabulary: Vocabulary, form: Form) -> Iterable[str]:
    """Lines in the notation of a vocabulary, if it has one: its tokens with spaces between them."""
    tokenisation = Tokenisation(vocabulary)
    if form == "tokens" or tokenisation.notation is None:
        return lines
    return (" ".join(tokenisation.read(line, form).tokens) for line in lines)


class WordSampler:
    """Samples words without replacement, with known inclusion probabilities, for a sampled softmax.

    Args:
        counts: count of each word in the training text, `(vocab,)`.
        size: number of words to sample.

    Attributes:
        probabilities: inclusion probability of each word, float32 `(vocab,)`: proportional to its count to the power
            of 3/4, at most 1; they sum to `size`.
    """

    INPUTS = "sampled_ids", "sampling_probabilities"
    POWER = 0.75  # as in the noise distribution of word2vec (Mikolov et al. 2013, section 2.2)

    def __init__(self, counts: np.ndarray, size: int):
        if not 0 < size <= len(counts):
            raise ValueError(f"size must be from 1 to {len(counts)}. Received: {size}")
        weights = np.maximum(counts, 1.0) ** self.POWER
        probabilities, certain = np.zeros(len(counts)), np.zeros(len(counts), bool)
        while True:  # a probability above 1 becomes 1, and the remaining words divide the remaining size
            rest = (size - certain.sum()) * weights / max(weights[~certain].sum(), 1e-30)
            probabilities = np.where(certain, 1.0, rest)
            if (probabilities <= 1).all():
                break
            certain |= probabilities > 1
        self.size, self.probabilities = size, probabilities.astype(np.float32)
        self._ends = np.cumsum(probabilities) * (size / probabilities.sum())

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Ids, int32 `(size,)`, by systematic sampling: points at distance 1 on the cumulative probabilities."""
        points = rng.random() + np.arange(self.size)
        return np.minimum(np.searchsorted(self._ends, points, side="right"), len(self._ends) - 1).astype(np.int32)

    def inputs(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The sample as entries of a batch."""
        sampled = self.draw(rng)
        return dict(zip(self.INPUTS, (sampled, self.probabilities[sampled]), strict=True))


class StreamBatches(keras.utils.PyDataset):
    """Consecutive batches of parallel streams, for the causal model; set `epoch` before each pass.

    Args:
        stream: int32 `(tokens,)`.
        batch_size: number of rows, equal parts of the stream; the tokens left over at its end are dropped.
        length: steps of a batch; the last one may be shorter.
        start_id: input before the first token.
        seed: with the epoch determines everything random.
        random_length: draw the length of each batch: near `length`, for one in twenty near half of it (Merity et al.
            2018, section 4.1). A compiler meets six lengths: these two, and 10 steps more or less. The tokens left over
            at the end of an epoch are dropped.
        sampler: samples words for each batch.
        state_reset_probability: probability that a row starts a batch with a zero state.

    Attributes:
        part: the rows of each batch that this process makes.
        multiple: the number of rows, `batch_size`, is expected to be one of it.
        without_rows: names of inputs that have no rows.

    Raises:
        ValueError: the stream has fewer tokens than rows.
    """

    without_rows = WordSampler.INPUTS

    def __init__(
        self,
        stream: np.ndarray,
        batch_size: int,
        length: int,
        start_id: int,
        seed: int = 0,
        *,
        random_length: bool = False,
        sampler: WordSampler | None = None,
        state_reset_probability: float = 0.0,
    ):
        super().__init__()
        steps = len(stream) // batch_size
        if steps < 1:
            raise ValueError(f"{len(stream)} tokens are too few for {batch_size} streams")
        self.targets = stream[: steps * batch_size].reshape(batch_size, steps)
        before = np.concatenate([[start_id], self.targets[:-1, -1]])  # a row continues the one above it
        self.inputs = np.concatenate([before[:, None], self.targets[:, :-1]], axis=1).astype(np.int32)
        self.stream, self.length, self.seed, self.random_length = stream, length, seed, random_length
        self.sampler, self.state_reset_probability = sampler, state_reset_probability
        self.part, self.multiple = Part(), 1
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int):
        self._epoch = epoch
        steps, ends = self.targets.shape[1], [0]
        rng = np.random.default_rng([self.seed, epoch])
        while ends[-1] < steps:
            ends.append(min(steps, ends[-1] + self._draw_length(rng)))
        if self.random_length and len(ends) > 2:
            ends.pop()
        self._ends = ends

    def _draw_length(self, rng: np.random.Generator) -> int:
        if not self.random_length:
            return self.length
        mean = self.length if rng.random() < 0.95 else self.length // 2
        return max(5, mean + LENGTH_STEP * int(np.clip(round(rng.normal(0, LENGTH_DEVIATION) / LENGTH_STEP), -1, 1)))

    def limit_sizes(self, run: int) -> None:
        """Nothing: there are few lengths, and the order is that of the stream."""

    def size(self, index: int) -> int:
        """The length of a batch."""
        return self._ends[index + 1] - self._ends[index]

    def by_length(self) -> list[int]:
        """The indices of the epoch's batches, shortest first."""
        return np.argsort(np.diff(self._ends), kind="stable").tolist()

    def rate_scale(self, index: int) -> float:
        """Learning-rate factor of a batch: its length divided by the mean length."""
        return 1.0 if not self.random_length else self.size(index) / self.length

    def __len__(self):
        return len(self._ends) - 1

    def __getitem__(self, index) -> tuple[dict[str, Any], np.ndarray]:
        steps = slice(self._ends[index], self._ends[index + 1])
        rng = np.random.default_rng([self.seed, self.epoch, index + 1])  # [seed, epoch, 0] would equal [seed, epoch]
        targets = self.part.of(self.targets)[:, steps]
        continues = (rng.random(len(self.targets)) >= self.state_reset_probability) & (index > 0)
        inputs = {
            "token_ids": self.part.of(self.inputs)[:, steps],
            "target_ids": targets,
            "continues": self.part.of(continues),
        }
        if self.sampler is not None:
            inputs |= self.sampler.inputs(rng)
        return inputs, targets


class BlankBatches(keras.utils.PyDataset):
    """Shuffled segments of a stream with masked words, for the bidirectional model; set `epoch` before each pass.

    Args:
        stream: int32 `(tokens,)`.
        batch_size: number of segments.
        length: steps of a segment, at most those of the stream; the tokens left over at both ends are dropped.
        vocabulary: its `<s>`, which no stream contains, replaces masked words; `</s>` is masked only in segments with
            too few other tokens.
        blank_fraction: fraction of the tokens of a segment that is masked, at least one token.
        seed: with the epoch determines segments, order and masks.
        sampler: samples words for each batch.

    Attributes:
        part: the rows of each batch that this process makes.
        multiple: the number of rows is a multiple of it; the rows that the last batch lacks repeat its first ones.
        without_rows: names of inputs that have no rows.
    """

    without_rows = WordSampler.INPUTS

    def __init__(
        self,
        stream: np.ndarray,
        batch_size: int,
        length: int,
        vocabulary: Vocabulary,
        blank_fraction: float,
        seed: int,
        sampler: WordSampler | None = None,
    ):
        super().__init__()
        self.stream, self.batch_size, self.length = stream, batch_size, min(length, len(stream))
        self.blank_id, self.end_id = vocabulary.start_id, vocabulary.end_id
        self.seed, self.sampler = seed, sampler
        self.blanks = max(1, round(blank_fraction * self.length))
        self.part, self.multiple = Part(), 1
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int):
        self._epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        start = int(rng.integers(min(self.length, len(self.stream) - self.length + 1)))
        rows = (len(self.stream) - start) // self.length
        self._rows = rng.permutation(self.stream[start : start + rows * self.length].reshape(rows, self.length))

    def by_length(self) -> list[int]:
        """The indices of the epoch's batches, smallest first: the last one may have fewer rows."""
        return list(range(len(self)))[::-1]

    def limit_sizes(self, run: int) -> None:
        """Nothing: all batches but the last have one size."""

    def size(self, index: int) -> int:
        """The number of segments of a batch."""
        return min(self.batch_size, len(self._rows) - index * self.batch_size)

    def rate_scale(self, index: int) -> float:
        """Learning-rate factor of a batch."""
        del index
        return 1.0

    def __len__(self):
        return -(-len(self._rows) // self.batch_size)

    def __getitem__(self, index) -> tuple[dict[str, Any], np.ndarray]:
        rows = self._rows[index * self.batch_size : (index + 1) * self.batch_size]
        rows = np.resize(rows, (len(rows) + -len(rows) % self.multiple, self.length))
        rng = np.random.default_rng([self.seed, self.epoch, index + 1])
        order = np.argsort(rng.random(rows.shape) + (rows == self.end_id), axis=1)
        blanks = np.sort(order[:, : self.blanks], axis=1).astype(np.int32)
        targets = np.take_along_axis(rows, blanks, axis=1)
        np.put_along_axis(rows, blanks, self.blank_id, axis=1)
        rows, blanks, targets = (self.part.of(x) for x in (rows, blanks, targets))
        inputs = {"token_ids": rows, "blank_indices": blanks, "target_ids": targets}
        if self.sampler is not None:
            inputs |= self.sampler.inputs(rng)
        return inputs, targets


def training_batches(config: Config, train: Split, vocabulary: Vocabulary) -> StreamBatches | BlankBatches:
    """The batches of a training: streams for a causal model, masked segments for a bidirectional one.

    Raises:
        UserError: the split has fewer tokens than a batch has rows.
    """
    stream = to_stream(train.lines, vocabulary, train.form)
    if len(stream) < config.batch_size:
        raise UserError(
            f"corpus {config.corpus}: {len(stream)} tokens are too few for {config.batch_size} streams;"
            " use a smaller --batch-size"
        )
    return batches_of(config, stream, vocabulary)


def batches_of(config: Config, stream: np.ndarray, vocabulary: Vocabulary) -> StreamBatches | BlankBatches:
    """The batches of a training on a stream, int32 `(tokens,)`."""
    sampler = None
    if config.sampled_softmax_size:
        counts = np.bincount(stream, minlength=len(vocabulary))
        sampler = WordSampler(counts, min(config.sampled_softmax_size, len(counts)))
    if config.reads == "both ways":
        sizes = config.batch_size, config.sequence_length
        return BlankBatches(stream, *sizes, vocabulary, config.blank_fraction, config.seed, sampler)
    return StreamBatches(
        stream,
        config.batch_size,
        config.sequence_length,
        vocabulary.end_id,
        config.seed,
        random_length=config.random_length,
        sampler=sampler,
        state_reset_probability=config.state_reset_probability,
    )
