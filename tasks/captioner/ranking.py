"""The order of the captions that a search has found.

    score = log p / penalty + w_f f + w_c c

    log p / penalty   the score of the search (`shared/decoding.py`)
    f                 the score of the photo and the caption by the finder of the run (`finder.py`), -1 to 1
    c                 what the caption has in common with the others: the expectation of the F-measure of its words and
                      those of a caption that is drawn by softmax(log p / penalty + w_f f), 0 to 1

Probability alone prefers what can be said of many photos. The finder prefers what can be said of this one. The last
term is the choice of minimum Bayes risk (Kumar and Byrne 2004): a caption that agrees with other probable ones is more
often right than the most probable one. It needs many others, so a search keeps more captions than it continues.
"""

from typing import Any

import keras

from shared.decoding import Hypotheses
from shared.gathering import ON_TENSORFLOW, take_each
from shared.vocabulary import Vocabulary
from tasks.captioner.config import Config
from tasks.captioner.finder import Finder, unit

ops: Any = keras.ops  # Keras declares no result types for its operations

KEPT = 2  # captions that are ordered, for each one that the search continues


class Ranking:
    """Orders the captions of a search by the weights of a configuration.

    Args:
        config: `finder_weight` w_f, `consensus_weight` w_c, and `beam`, the number of captions that are wanted.
        vocab_size: number of token ids.
        finder: that of the run; without it, w_f is 0.
    """

    def __init__(self, config: Config, vocab_size: int, finder: Finder | None):
        self.finder, self.vocab_size = finder, vocab_size
        self.finder_weight = config.finder_weight if finder else 0.0
        self.consensus_weight = config.consensus_weight
        self.is_by_probability = not (self.finder_weight or self.consensus_weight)
        self.count = config.beam
        self.kept = config.beam if self.is_by_probability else KEPT * config.beam  # by the search

    def __call__(self, grid: Any, found: Hypotheses) -> Hypotheses:
        """The best of the captions found for grids `(batch, rows, columns, channels)`, with their scores."""
        if self.is_by_probability:
            return found
        token_ids, scores = found.token_ids, found.scores
        if ON_TENSORFLOW:  # where lengths may depend on data: the finder reads no padding that all captions have
            token_ids = token_ids[:, :, : ops.max(found.lengths)]
        token_ids = ops.where(token_ids == Vocabulary.end_id, Vocabulary.pad_id, token_ids)
        if self.finder is not None and self.finder_weight:
            scores += self.finder_weight * fit(self.finder, grid, token_ids)
        if self.consensus_weight:
            expected = ops.matmul(agreement(token_ids, self.vocab_size), ops.softmax(scores, axis=-1)[..., None])
            scores += self.consensus_weight * expected[..., 0]
        return best(found._replace(scores=scores), self.count)


def fit(finder: Finder, grid: Any, token_ids: Any) -> Any:
    """The finder's score of each photo and each of its captions, `(batch, beam)`.

    Args:
        finder: the finder.
        grid: `(batch, rows, columns, channels)`.
        token_ids: `(batch, beam, target)`, words and padding.
    """
    batch, beam, target = ops.shape(token_ids)
    words = finder.words(ops.reshape(token_ids, (batch * beam, target)))
    sentences = ops.reshape(unit(ops.sum(words, axis=1)), (batch, beam, words.shape[-1]))
    return ops.matmul(sentences, finder.photos(grid)[..., None])[..., 0]


def agreement(token_ids: Any, vocab_size: int) -> Any:
    """The F-measure of the words of each two captions of a photo, `(batch, beam, beam)`; 0 if one has no word.

    Each word counts as often as its caption has it, if the other one has it at all.

    Args:
        token_ids: `(batch, beam, target)`, words and padding.
        vocab_size: number of token ids.
    """
    batch, beam, target = ops.shape(token_ids)
    rows = ops.reshape(ops.arange(batch * beam, dtype="int32"), (batch, beam, 1))
    indices = ops.reshape(rows * vocab_size + token_ids, (batch * beam * target, 1))
    is_word = ops.cast(ops.reshape(token_ids, (batch * beam * target,)) != Vocabulary.pad_id, "float32")
    counts = ops.reshape(ops.scatter(indices, is_word, (batch * beam * vocab_size,)), (batch, beam, vocab_size))
    shared = ops.matmul(counts, ops.transpose(ops.cast(counts > 0, "float32"), (0, 2, 1)))
    lengths = ops.sum(counts, axis=-1)
    total = lengths[:, :, None] + lengths[:, None, :]
    return (shared + ops.transpose(shared, (0, 2, 1))) / ops.maximum(total, 1.0)


def best(found: Hypotheses, count: int) -> Hypotheses:
    """The `count` hypotheses with the highest scores; those cut off by the maximum length come after complete ones."""
    kept = found.scores.shape[1]
    _, by_score = ops.top_k(found.scores, kept)
    is_complete = ops.any(take_each(found.token_ids, by_score, axis=1) == Vocabulary.end_id, axis=-1)
    key = kept * ops.cast(is_complete, "float32") - ops.arange(kept, dtype="float32")
    _, complete_first = ops.top_k(key, count)
    order = take_each(by_score, complete_first)
    fields: Any = keras.tree.map_structure(lambda x: take_each(x, order, axis=1), tuple(found))
    return Hypotheses(*fields)
