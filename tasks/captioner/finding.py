"""Photos found by sentences, and sentences by photos, from Python: load a model once, answer many."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from shared.errors import UserError, check_list, shortened
from shared.media import prepare
from shared.packing import pad
from shared.training import weights_as_arrays
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config, find_run
from tasks.captioner.encoder import load_encoder, load_fine_encoder
from tasks.captioner.finder import WIDTH, Finder, ImageFunction, TextFunction, load_finder
from tasks.captioner.model import load_model

MAX_WORDS = 200  # of a sentence
BATCH = 32  # images, or sentences, at a time
NONE = np.zeros((0, WIDTH), np.float32)  # the vectors of nothing
IN_REGION = 0.5  # of the maximum of a word's fit, at least, in every cell of its region
SHORTEST = 0.25  # of the longest vector of a photo's cells; shorter ones, of which little is known, count less


@dataclass(frozen=True, kw_only=True)
class FoundWord:
    """A word of a sentence, in a photo."""

    word: str
    is_known: bool  # to the model, which takes all other words as one
    score: float  # its share of the score of sentence and photo
    relevance: np.ndarray  # `(rows, columns)`, the share of each cell of the grid in that; its sum is `score`
    fit: np.ndarray  # `(rows, columns)`, how well it fits each cell of a finer grid; see `fit_of`

    @property
    def region(self) -> tuple[float, float, float, float]:
        """Where the word is: top, left, bottom, right as fractions of the photo.

        The box of the cells around that of the maximum, connected with it, that have at least half of its fit; of the
        maximum alone, if that is negative.
        """
        top, left = np.unravel_index(np.argmax(self.fit), self.fit.shape)
        maximum = self.fit[top, left]
        is_fit = self.fit >= min(maximum, IN_REGION * maximum)
        region = np.zeros_like(is_fit)
        region[top, left] = True
        for _ in range(region.size):
            padded = np.pad(region, 1)
            grown = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | region
            grown &= is_fit
            if (grown == region).all():
                break
            region = grown
        (rows, columns), (height, width) = np.nonzero(region), region.shape
        edges = rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width
        return float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3])


@dataclass(frozen=True, kw_only=True)
class Match:
    """A sentence and a photo."""

    sentence: str  # as it was given
    score: float  # -1 to 1, by which matches are ordered
    words: list[FoundWord]

    @property
    def telling(self) -> list[FoundWord]:
        """The words that have at least an equal share of the score, and find something."""
        share = max(0.0, self.score) / len(self.words)
        return [word for word in self.words if word.score >= share and word.relevance.max() > 0]


class PhotoFinder:
    """A trained finder for images and sentences.

    >>> finder = PhotoFinder.load("flickr8k")
    >>> finder.of_images(images) @ finder.of_texts(["a dog runs through the snow"])[0]    # the score of each image
    >>> finder.match(images[0], ["a dog runs through the snow"])[0].words[1].region
    """

    def __init__(
        self,
        finder: Finder,
        encoder: keras.Model,
        config: Config,
        vocabulary: WordVocabulary,
        fine: keras.Model | None = None,
    ):
        """Takes the results of `load_finder` and `load_encoder`, and the configuration and vocabulary of their run.

        `fine` is the result of `load_fine_encoder`, for better regions.
        """
        self.vocabulary, self.image_size = vocabulary, config.image_size
        self.fingerprint = _fingerprint(weights_as_arrays(finder) | weights_as_arrays(encoder.layers[-1]))
        self.image_function, self.text_function = ImageFunction(finder, encoder), TextFunction(finder)
        self.fine_function, self.fine_size = ImageFunction(finder, fine or encoder), (fine or encoder).input_shape[1]

    @classmethod
    def load(cls, model: str | None = None) -> "PhotoFinder":
        """Load a run by name or folder; default: the released run, else the newest.

        Raises:
            UserError: there is no such run, it has no finder, or its files do not fit together.
        """
        run = find_run(model)
        config, vocabulary, _ = load_model(run)
        finder, encoder = load_finder(run, config, vocabulary), load_encoder(run, config)
        return cls(finder, encoder, config, vocabulary, load_fine_encoder(run, config, encoder))

    def of_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The vectors of images, uint8 `(height, width, 3)`: float32 `(images, width)`, of length 1."""
        check_list(images, "images", axes=3)
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([NONE, *(self._found(batch)["photo"] for batch in batches)])

    def of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """The vectors of sentences: float32 `(sentences, width)`, of length 1.

        Raises:
            UserError: a sentence has no word that the model knows, or more than `MAX_WORDS` words.
        """
        check_list(sentences, "sentences")
        batches = (sentences[start : start + BATCH] for start in range(0, len(sentences), BATCH))
        return np.concatenate([NONE, *(self._vectors(batch)["sentence"] for batch in batches)])

    def match(self, image: np.ndarray, sentences: Sequence[str]) -> list[Match]:
        """An image, uint8 `(height, width, 3)`, with each sentence, word by word; raises UserError as `of_texts`."""
        check_list(sentences, "sentences")
        photo, found = self._found([image]), self._vectors(sentences)
        fine = self.fine_function.predict_on_batch(prepare(image[None], self.fine_size))["cells"][0]
        scores = (found["sentence"] @ photo["photo"][0]).tolist()
        parts = zip(sentences, found["words"], strict=True)
        words = [self._found_words(sentence, vectors, photo["cells"][0], fine) for sentence, vectors in parts]
        matches = zip(sentences, scores, words, strict=True)
        return [Match(sentence=sentence, score=score, words=of_sentence) for sentence, score, of_sentence in matches]

    def _found_words(self, sentence: str, vectors: np.ndarray, cells: np.ndarray, fine: np.ndarray) -> list[FoundWord]:
        """The words of a sentence, with vectors `(target, width)`, in an image with those of cells of both grids."""
        words = zip(self.vocabulary.words(sentence), self.vocabulary.encode(sentence), strict=True)
        maps = zip(np.einsum("rcw,tw->trc", cells, vectors), fit_of(vectors, fine), strict=True)
        return [
            FoundWord(
                word=word,
                is_known=i != self.vocabulary.unknown_id,
                score=float(relevance.sum()),
                relevance=relevance,
                fit=fit,
            )
            for (word, i), (relevance, fit) in zip(words, maps, strict=False)
        ]

    def _found(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        prepared = np.concatenate([prepare(image[None], self.image_size) for image in images])
        return self.image_function.predict_on_batch(prepared)

    def _vectors(self, sentences: Sequence[str]) -> dict[str, np.ndarray]:
        return self.text_function.predict_on_batch({"token_ids": pad([self.encode(text) for text in sentences])})

    def encode(self, sentence: str) -> list[int]:
        """The ids of the words of a sentence; raises UserError as `of_texts`."""
        ids = self.vocabulary.encode(sentence)
        if len(ids) > MAX_WORDS:
            raise UserError(f"{shortened(sentence)!r} has {len(ids)} words; at most {MAX_WORDS} were expected")
        if not set(ids) - {self.vocabulary.unknown_id}:
            problem = "has no word that the model knows" if ids else "has no word"
            raise UserError(f"{shortened(sentence)!r} {problem}; a sentence like a caption was expected")
        return ids


def fit_of(words: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """How well words fit the cells of a photo, `(target, rows, columns)`.

    By the direction of a cell alone, as in the loss by parts of the training (`finder_training.py`), not by its length,
    which says how much it counts in the photo. Of pairs of photos, this finds the right one for more words.

    Args:
        words: `(target, width)`.
        cells: `(rows, columns, width)`.
    """
    lengths = np.linalg.norm(cells, axis=-1, keepdims=True)
    return np.einsum("tw,rcw->trc", words, cells / np.maximum(lengths, max(SHORTEST * lengths.max(), 1e-9)))


def _fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """A hash of the weights that vectors depend on."""
    parts = (part for name in sorted(weights) for part in (name.encode(), weights[name].tobytes()))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
