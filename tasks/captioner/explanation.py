"""How a caption came about: the beam as a tree, captions that go on from given words, and other words with theirs.

>>> explain = CaptionExplainer(ImageCaptioner.load())
>>> explain(image).captions[0].text
>>> explain(image, "two dogs").captions[0].text                           # goes on from these words
>>> [(one.word, one.probability) for one in explain.alternatives(image, "two dogs", 5)]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import keras
import numpy as np

from shared.any_size import AnySize
from shared.decoding import Hypotheses, SearchTree, beam_search, beam_search_with_tree
from shared.errors import UserError
from shared.gathering import take_each
from shared.media import prepared
from shared.packing import pad
from shared.search_trees import Node, read_tree
from shared.vocabulary import Vocabulary
from tasks.captioner.inference import Caption, ImageCaptioner, read_captions
from tasks.captioner.model import Captioner, CaptionSearch
from tasks.captioner.spelling import readable

ops: Any = keras.ops  # Keras declares no result types for its operations


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The captions of an image, best first, and all beginnings of captions that the search has kept."""

    captions: list[Caption]
    tree: list[Node]


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A word that may follow given ones, and the best caption with it."""

    word: str  # empty for the end of the caption
    probability: float  # of the word, given those before it
    caption: Caption


class GridFunction(AnySize):
    """The grids of images in 0..255."""

    def __init__(self, encoder: keras.Model):
        super().__init__()
        self.encoder = encoder

    def call(self, inputs: Any) -> Any:
        return self.encoder(inputs)


class NextWords(AnySize):
    """The log-probabilities of the word after each beginning of a caption."""

    shortest: ClassVar = {"token_ids": 8}

    def __init__(self, captioner: Captioner):
        super().__init__()
        self.captioner = captioner

    def call(self, inputs: dict[str, Any]) -> Any:
        """`grid`, `token_ids` `(batch, tokens)` with the start token, `lengths` `(batch,)` -> `(batch, vocab)`."""
        logits, _, _ = self.captioner.decode(self.captioner.encode(inputs["grid"]), inputs["token_ids"][:, None])
        last = take_each(logits[:, 0], inputs["lengths"] - 1, axis=1)
        return ops.log_softmax(last, axis=-1)


class PrefixSearch(CaptionSearch):
    """The search of a captioner over grids, each from a prefix, with or without its tree."""

    shortest: ClassVar = {"prefix_ids": 8}

    def __init__(self, captioner: ImageCaptioner, with_tree: bool):
        model = cast(Captioner, captioner.loaded.model)
        super().__init__(model, None, captioner.config, captioner.vocabulary, captioner.finder)
        self.with_tree = with_tree

    def call(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """`grid`, `prefix_ids` `(batch, prefix)` -> the fields of `Hypotheses`; those of `SearchTree`, or none."""
        space, options = self.space(inputs["grid"])
        space = space._replace(prefix_ids=inputs["prefix_ids"])
        if not self.with_tree:
            return self.ranking(inputs["grid"], beam_search(space, **options))._asdict(), {}
        found, tree = beam_search_with_tree(space, **options)
        return self.ranking(inputs["grid"], found)._asdict(), tree._asdict()


class CaptionExplainer:
    """Explains the captions of a captioner, which it finds by the same search."""

    def __init__(self, captioner: ImageCaptioner):
        self.captioner, self.vocabulary = captioner, captioner.vocabulary
        self.image_size, self.max_length = captioner.config.image_size, captioner.config.max_length
        self.grids, self.next_words = (
            GridFunction(captioner.encoder),
            NextWords(cast(Captioner, captioner.loaded.model)),
        )
        self.search, self.search_of_many = (PrefixSearch(captioner, with_tree) for with_tree in (True, False))

    def __call__(self, image: np.ndarray, prefix: str = "") -> Explained:
        """The captions of an image, uint8 `(height, width, 3)`, that begin with a prefix, as many as the beam.

        Raises UserError for a prefix that leaves no room for another word.
        """
        words = self.words(prefix)
        inputs = {"grid": self._grid(image), "prefix_ids": self._padded([self.vocabulary.encode(prefix)])}
        found, tree = self.search.predict_on_batch(inputs)
        nodes = read_tree(SearchTree(**tree), Hypotheses(**found), 0)
        return Explained(captions=self._captions(found, [words])[0], tree=nodes)

    def alternatives(self, image: np.ndarray, prefix: str = "", count: int = 8) -> list[Alternative]:
        """The most probable words after a prefix, each with the best caption that goes on from it.

        Raises UserError as a call does.
        """
        words, ids, grid = self.words(prefix), self.vocabulary.encode(prefix), self._grid(image)
        token_ids = np.array([[Vocabulary.start_id, *ids]], np.int32)
        log_probs = self.next_words.predict_on_batch(
            {"grid": grid, "token_ids": token_ids, "lengths": np.array([len(ids) + 1], np.int32)}
        )[0]
        log_probs[[Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.unknown_id]] = -np.inf
        if not ids:
            log_probs[Vocabulary.end_id] = -np.inf  # an empty caption says nothing
        best = [int(i) for i in np.argsort(-log_probs, kind="stable")[:count] if log_probs[i] > -np.inf]
        prefixes = self._padded([[*ids, i] for i in best])  # with the end token the caption is complete
        found, _ = self.search_of_many.predict_on_batch(
            {"grid": np.repeat(grid, len(best), axis=0), "prefix_ids": prefixes}
        )
        following = ["" if i == Vocabulary.end_id else self.vocabulary.table[i] for i in best]
        captions = self._captions(found, [[*words, *filter(None, [word])] for word in following])
        return [
            Alternative(word=word, probability=float(np.exp(log_probs[i])), caption=of_word[0])
            for word, i, of_word in zip(following, best, captions, strict=True)
        ]

    def words(self, prefix: str) -> list[str]:
        """The words of a prefix as the model reads them; raises UserError if they are too many."""
        words = self.vocabulary.words(prefix)
        if len(words) >= self.max_length:
            raise UserError(f"the beginning has {len(words)} words; at most {self.max_length - 1} were expected")
        return words

    def _grid(self, image: np.ndarray) -> np.ndarray:
        """`(1, rows, columns, channels)`."""
        return self.grids.predict_on_batch(prepared(image, self.image_size)[None])

    @staticmethod
    def _padded(prefixes: Sequence[Sequence[int]]) -> np.ndarray:
        return pad(prefixes).astype(np.int32)

    def _captions(self, found: dict[str, Any], given: Sequence[Sequence[str]]) -> list[list[Caption]]:
        """The captions of each row of a search; words that were given are written so, known or not."""
        captioner = self.captioner
        rows = read_captions(found, self.vocabulary, captioner.config.grid, captioner.confidence)

        def written(caption: Caption, words: Sequence[str]) -> Caption:
            tokens = [*words, *caption.tokens[len(words) :]]
            return replace(caption, tokens=tokens, text=readable(" ".join(tokens)))

        return [[written(caption, words) for caption in row] for row, words in zip(rows, given, strict=True)]
