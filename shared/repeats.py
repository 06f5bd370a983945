"""Phrases that a beam search refuses to say twice in a row, as in "in a red and blue and red and blue shirt"."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.gathering import take

ops: Any = keras.ops  # Keras declares no result types for its operations

MAX_TOKENS = 12  # of a phrase


class Repeats(NamedTuple):
    """The repeats that are refused: phrases of `shortest` to `MAX_TOKENS` tokens, directly after themselves.

    Also after themselves and one of the tokens `joint_ids`, such as "and".
    """

    joint_ids: Sequence[int] = ()
    shortest: int = 1


class Recent(NamedTuple):
    """What repeats are recognized by, int32 `(batch, beam, 1 + MAX_TOKENS)`; entry d - 1 is of the distance d.

    A phrase of n tokens is repeated at distance n, or with one token between at distance n + 1.
    """

    tokens: Any  # the d-th last token; -1 before the first one
    runs: Any  # how many of the last tokens equal, one by one, those at distance d before them

    @classmethod
    def of_start(cls, shape: tuple[Any, Any]) -> "Recent":
        """Without any token; `shape` is (batch, beam)."""
        shape_of_each = *shape, 1 + MAX_TOKENS
        return cls(ops.full(shape_of_each, -1, "int32"), ops.zeros(shape_of_each, "int32"))

    def after(self, tokens: Any) -> "Recent":
        """With one more token of each hypothesis, `(batch, beam)`."""
        tokens = ops.cast(tokens, "int32")[:, :, None]
        runs = ops.where(self.tokens == tokens, self.runs + 1, 0)
        return Recent(ops.concatenate([tokens, self.tokens[:, :, :-1]], axis=-1), runs)

    def penalties(self, repeats: Repeats, vocab: int) -> Any:
        """-inf for the tokens that would complete a repeat, 0 for all others, float32 `(batch, beam, vocab)`."""
        distances = np.arange(1, 2 + MAX_TOKENS, dtype="int32")
        is_phrase = (distances >= repeats.shortest) & (distances <= MAX_TOKENS)
        is_direct = ops.logical_and(self.runs >= distances - 1, is_phrase)  # all of the phrase but its last token
        between = ops.concatenate([ops.full_like(self.tokens[:, :, :1], -1), self.tokens[:, :, :-1]], axis=-1)
        joints = np.isin(np.arange(-1, vocab), list(repeats.joint_ids))
        is_joint = ops.logical_and(take(joints, between + 1), distances > repeats.shortest)
        is_joined = ops.logical_and(self.runs >= distances - 2, is_joint)
        completes = ops.logical_and(ops.logical_or(is_direct, is_joined), self.tokens >= 0)

        batch, beam, width = ops.shape(self.tokens)
        rows = ops.reshape(ops.arange(batch * beam, dtype="int32"), (batch, beam, 1))
        indices = ops.reshape(rows * vocab + ops.maximum(self.tokens, 0), (batch * beam * width, 1))
        values = ops.where(ops.reshape(completes, (batch * beam * width,)), -np.inf, 0.0)
        penalties = ops.scatter(indices, ops.cast(values, "float32"), (batch * beam * vocab,))  # adds
        return ops.reshape(penalties, (batch, beam, vocab))
