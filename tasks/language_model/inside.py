"""What a causal model with one recurrent layer computes at each token of a text, and how far back it learns from it.

inside = Inside(load_model(find_run("letters_lstm")))
seen = inside(["the cat sat"])[0]
seen.values.gates["f"]          # (time, units): the forget gate at each step
seen.reach.inputs[7]            # log10 of the gradients of the loss of step 7 for the token that each step reads

read      </s>   _   t   h   e        one step each; a text begins after the end of another one
predict   _      t   h   e   </s>
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from shared.packing import pad
from shared.recurrent.gates import Trace, trace
from shared.recurrent.reach import Reach, reach
from shared.runs import Run
from shared.training import Loaded
from tasks.language_model.config import Config
from tasks.language_model.model import LanguageModel, WordFunction, build_model, load_model

ops: Any = keras.ops  # Keras declares no result types for its operations

GUESSES = 5


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A text as a model reads it, one step for each token and one for `</s>` before them.

    Attributes:
        read: the token that each step reads.
        predicted: the token after it, `</s>` at the end.
        nats: the loss of each step, -log p of the token after it, float32 `(time,)`.
        guesses: the most probable tokens after each step, with their probabilities.
        values: states and gates, each `(time, units)`.
        reach: how far back the loss of each step reaches, each `(time, time)`.
    """

    read: list[str]
    predicted: list[str]
    nats: np.ndarray
    guesses: list[list[tuple[str, float]]]
    values: Trace
    reach: Reach


class InsideReader(WordFunction):
    """States, gates, losses and guesses of a causal model with one layer, for texts after a zero state."""

    shortest: ClassVar = {"token_ids": 16, "target_ids": 16}

    def call(self, inputs, training=False):
        """`token_ids`, `target_ids` -> trace, -log p of the targets, dL/dh of each step, ids and p of the guesses."""
        model: Any = self.model
        values = trace(model.stack.layers[0], model.embedding(inputs["token_ids"]))
        probabilities = ops.softmax(ops.cast(model.logits(values.states["h"]), "float32"))
        targets = ops.one_hot(inputs["target_ids"], model.vocabulary_size)
        nats = -ops.log(ops.sum(probabilities * targets, axis=-1) + 1e-30)
        tied = model.projection is None
        softmax_weights = model.embedding.embeddings if tied else ops.transpose(model.projection.kernel)
        d_outputs = ops.matmul(probabilities - targets, softmax_weights)
        best = ops.top_k(probabilities, min(GUESSES, model.vocabulary_size))
        return values, nats, d_outputs, best[1], best[0]


class Inside:
    """Looks inside a model while it reads texts.

    Args:
        loaded: a model whose configuration `has_one_layer`.
    """

    def __init__(self, loaded: Loaded[Config, Any, LanguageModel]):
        self.config, self.vocabulary, self.model = loaded
        self.layer: Any = self.model.stack.layers[0]
        self.reader = InsideReader(self.model)
        self(["a"])  # compiles

    @classmethod
    def load(cls, run: Run) -> "Inside":
        """Of a trained run."""
        return cls(load_model(run))

    @classmethod
    def load_untrained(cls, run: Run) -> "Inside":
        """Of a model with the sizes of a run, and weights as they are before a training."""
        config, vocabulary, _ = load_model(run)
        keras.utils.set_random_seed(config.seed)
        return cls(Loaded(config, vocabulary, build_model(config, vocabulary)))

    def count_steps(self, text: str) -> int:
        """The number of steps in which a text is read."""
        return len(self.vocabulary.encode(text)) + 1

    def __call__(self, texts: Sequence[str]) -> list[Seen]:
        """What is seen for each text."""
        if not texts:
            return []
        end = self.vocabulary.end_id
        ids = [self.vocabulary.encode(text) for text in texts]
        inputs = {
            "token_ids": pad([[end, *of_text] for of_text in ids]),
            "target_ids": pad([[*of_text, end] for of_text in ids]),
        }
        outputs = self.reader.predict_on_batch(inputs)
        return [self._seen(of_text, outputs, row) for row, of_text in enumerate(ids)]

    def _seen(self, ids: list[int], outputs: Any, row: int) -> Seen:
        """What is seen of the text in a row of the reader's outputs."""
        end, table, time = self.vocabulary.end_id, self.vocabulary.table, len(ids) + 1
        of_row: Any = keras.tree.map_structure(lambda x: x[row, :time], outputs)
        values, nats, d_outputs, guess_ids, probabilities = of_row
        return Seen(
            read=[table[index] for index in (end, *ids)],
            predicted=[table[index] for index in (*ids, end)],
            nats=nats,
            guesses=[
                [(table[index], float(p)) for index, p in zip(*step, strict=True)]
                for step in zip(guess_ids, probabilities, strict=True)
            ],
            values=values,
            reach=reach(self.layer, values, d_outputs),
        )
