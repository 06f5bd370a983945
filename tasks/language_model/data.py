"""From lines of text to streams, read side by side.

    lines     the cat sat | it slept
      -> ids  the cat sat </s> it slept </s>          one long stream, `</s>` at each line's end
      -> (batch, steps), each row a part of the stream; the next batch goes on where this one ends

    token_ids   (batch, time)    </s> the  cat        what the model reads
    target_ids  (batch, time)    the  cat  sat        what it should say
    goes_on     (batch,)         whether the state is that of the batch before, or zeros
    drawn       (words,)         with a sampler: words that the softmax is over, besides the targets
    chances     (words,)         of each to be drawn

Nothing is padded, nothing shuffled within a stream.

A model that reads both ways carries no state: the stream is cut into rows anew each epoch, and some words are blank.

    token_ids   (batch, time)    the ___ sat </s> it ___
    places      (batch, blanks)  1  5
    target_ids  (batch, blanks)  cat  slept
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import datasets
from shared.errors import UserError
from shared.runs import Run
from shared.text import read_corpus, split_lines
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tasks.language_model.config import Config

# The public corpora are made of words already.
NORMALISATION = {"python_manual": "words", "penn_treebank": "none", "wikitext2": "none"}


def read_lines(config: Config, split: str, data_dir: Path | None = None) -> list[str]:
    """The lines of a split, in order.

    Raises:
        UserError: there is no such corpus, file or folder, or no line of it for this split.
    """
    if config.corpus in NORMALISATION:
        return [record["text"] for record in datasets.load(config.corpus, split, data_dir)]
    path = data_dir or Path(config.corpus)
    if not path.exists():
        names = "" if data_dir else f"none of {', '.join(NORMALISATION)}, and "
        raise UserError(f"corpus {path}: {names}no such file or folder")
    splits = _splits(path)
    if not splits[split]:
        counts = ", ".join(f"{name} {len(lines)}" for name, lines in splits.items())
        raise UserError(f"corpus {path}: too few lines to split ({counts})")
    return splits[split]


@functools.lru_cache(1)
def _splits(path: Path) -> dict[str, list[str]]:
    return split_lines(read_corpus(path))


def fingerprint(config: Config, data_dir: Path | None = None) -> str:
    """A hash of the corpus, to be kept with a run that learned from it."""
    if config.corpus in NORMALISATION:
        return datasets.fingerprint(config.corpus, data_dir)
    text = "\n".join(line for split in ("train", "dev", "test") for line in read_lines(config, split, data_dir))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def check_corpus(run: Run, config: Config, data_dir: Path | None = None) -> None:
    """UserError when a run was trained on another text than lies where its corpus is looked for now."""
    trained = run.config.get("data", {}).get(config.corpus)
    if config.corpus not in NORMALISATION and trained != fingerprint(config, data_dir):
        raise UserError(f"{data_dir or config.corpus}: not the text that {run.path} was trained on; see --data-dir")


def build_vocabulary(config: Config, lines: Iterable[str]) -> Vocabulary:
    """What the training lines are made of; subwords and characters spell any text, words need signs apart."""
    if config.vocabulary == "words":
        normalisation = NORMALISATION.get(config.corpus, "words")
        return WordVocabulary.build(lines, min_count=config.min_count, normalisation=normalisation)
    if config.vocabulary == "characters":
        return SubwordVocabulary.characters(lines, min_count=config.min_count)
    return SubwordVocabulary.train(list(lines), config.vocabulary_size)


def to_stream(lines: Iterable[str], vocabulary: Vocabulary) -> np.ndarray:
    """The ids of all lines, int32 `(tokens,)`, `</s>` at the end of each."""
    return np.array([token for line in lines for token in (*vocabulary.encode(line), vocabulary.end_id)], np.int32)


class WordSampler:
    """Draws words without replacement for a sampled softmax, each with a chance that is known.

    Args:
        counts: how often each word occurs, `(vocab,)`.
        size: how many words to draw.

    Attributes:
        chances: of each word to be among those drawn, float32 `(vocab,)`: in proportion to its count to the power of
            3/4, as far as that is below 1; they add up to `size`.
    """

    POWER = 0.75  # as noise is drawn for word vectors (Mikolov et al. 2013, section 2.2)

    def __init__(self, counts: np.ndarray, size: int):
        if not 0 < size <= len(counts):
            raise ValueError(f"size must be from 1 to {len(counts)}. Received: {size}")
        weights = np.maximum(counts, 1.0) ** self.POWER
        chances, certain = np.zeros(len(counts)), np.zeros(len(counts), bool)
        while True:  # whatever would have a chance over 1 is certain, and the others share what is left
            chances = np.where(certain, 1.0, (size - certain.sum()) * weights / max(weights[~certain].sum(), 1e-30))
            if (chances <= 1).all():
                break
            certain |= chances > 1
        self.size, self.chances = size, chances.astype(np.float32)
        self._ends = np.cumsum(chances) * (size / chances.sum())

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Ids, int32 `(size,)`, by systematic sampling: points one apart, on the chances laid end to end."""
        points = rng.random() + np.arange(self.size)
        return np.minimum(np.searchsorted(self._ends, points, side="right"), len(self._ends) - 1).astype(np.int32)

    def inputs(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What a batch holds of them."""
        drawn = self.draw(rng)
        return {"drawn": drawn, "chances": self.chances[drawn]}


class StreamBatches(keras.utils.PyDataset):
    """A stream cut into rows and those into batches, in order; set `epoch` before each pass.

    Args:
        stream: int32 `(tokens,)`.
        batch_size: rows, each of them an equal part of the stream; the few tokens left over at its end go unread.
        length: steps of a batch; the last may have fewer.
        start_id: what stands before the first token.
        seed: with the epoch decides all that is drawn.
        random_length: draw lengths: about `length`, one in twenty about half of it, none below 5 (Merity et al. 2018,
            section 4.1).
        sampler: draws words for each batch.
        reset_chance: share of rows that begin a batch with an empty state.

    Raises:
        ValueError: the stream has no token for some row.
    """

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
        reset_chance: float = 0.0,
    ):
        super().__init__()
        steps = len(stream) // batch_size
        if steps < 1:
            raise ValueError(f"{len(stream)} tokens are too few for {batch_size} streams")
        self.targets = stream[: steps * batch_size].reshape(batch_size, steps)
        before = np.concatenate([[start_id], self.targets[:-1, -1]])  # a row goes on where the one above it ends
        self.inputs = np.concatenate([before[:, None], self.targets[:, :-1]], axis=1).astype(np.int32)
        self.length, self.seed, self.random_length = length, seed, random_length
        self.sampler, self.reset_chance = sampler, reset_chance
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
            ends.append(min(steps, ends[-1] + self._draw(rng)))
        self._ends = ends

    def _draw(self, rng: np.random.Generator) -> int:
        if not self.random_length:
            return self.length
        about = self.length if rng.random() < 0.95 else self.length / 2
        return max(5, int(rng.normal(about, 5)))

    def by_length(self) -> list[int]:
        """The numbers of the epoch's batches, shortest first."""
        return sorted(range(len(self)), key=lambda number: self._ends[number + 1] - self._ends[number])

    def share(self, number: int) -> float:
        """The length of a batch over the usual one: what its step should be scaled by."""
        return 1.0 if not self.random_length else (self._ends[number + 1] - self._ends[number]) / self.length

    def __len__(self):
        return len(self._ends) - 1

    def __getitem__(self, index) -> tuple[dict[str, Any], np.ndarray]:
        part = slice(self._ends[index], self._ends[index + 1])
        rng = np.random.default_rng([self.seed, self.epoch, index + 1])  # without the 1, the first would draw as above
        targets = self.targets[:, part]
        goes_on = (rng.random(len(targets)) >= self.reset_chance) & (index > 0)
        inputs = {"token_ids": self.inputs[:, part], "target_ids": targets, "goes_on": goes_on}
        if self.sampler is not None:
            inputs |= self.sampler.inputs(rng)
        return inputs, targets


class BlankBatches(keras.utils.PyDataset):
    """A stream cut into rows, in an order and with blanks decided by `seed` and `epoch`; set `epoch` before each pass.

    Args:
        stream: int32 `(tokens,)`.
        batch_size: rows.
        length: steps of a row; of the whole stream, if that is shorter. What is left over at either end goes unread.
        blank_id: what stands for a blank.
        end_id: what is blank only where a row has too few other tokens.
        blanks: share of the tokens of a row that are blank, one at least.
        seed: see above.
        sampler: draws words for each batch.
    """

    def __init__(
        self,
        stream: np.ndarray,
        batch_size: int,
        length: int,
        blank_id: int,
        end_id: int,
        blanks: float,
        seed: int,
        sampler: WordSampler | None = None,
    ):
        super().__init__()
        self.stream, self.batch_size, self.length = stream, batch_size, min(length, len(stream))
        self.blank_id, self.end_id, self.seed, self.sampler = blank_id, end_id, seed, sampler
        self.blanks = max(1, round(blanks * self.length))
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int):
        self._epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        begin = int(rng.integers(min(self.length, len(self.stream) - self.length + 1)))
        rows = (len(self.stream) - begin) // self.length
        self._rows = rng.permutation(self.stream[begin : begin + rows * self.length].reshape(rows, self.length))

    def by_length(self) -> list[int]:
        """The numbers of the epoch's batches, shortest first: the last may have fewer rows."""
        return list(range(len(self)))[::-1]

    def share(self, number: int) -> float:
        """What the rate of a batch is multiplied with."""
        del number
        return 1.0

    def __len__(self):
        return -(-len(self._rows) // self.batch_size)

    def __getitem__(self, index) -> tuple[dict[str, Any], np.ndarray]:
        rows = self._rows[index * self.batch_size : (index + 1) * self.batch_size].copy()
        rng = np.random.default_rng([self.seed, self.epoch, index + 1])
        order = np.argsort(rng.random(rows.shape) + (rows == self.end_id), axis=1)
        places = np.sort(order[:, : self.blanks], axis=1).astype(np.int32)
        targets = np.take_along_axis(rows, places, axis=1)
        np.put_along_axis(rows, places, self.blank_id, axis=1)
        inputs = {"token_ids": rows, "places": places, "target_ids": targets}
        if self.sampler is not None:
            inputs |= self.sampler.inputs(rng)
        return inputs, targets
