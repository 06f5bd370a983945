"""Captions of images from Python: load a model once, caption many images; Keras is imported when it is needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import check_list
from shared.kept import Runtime, kept_function, runs_on_keras
from shared.loaded import Loaded
from shared.media import prepared
from shared.runs import Run
from shared.vocabulary import WordVocabulary, load_vocabulary
from tasks.captioner.confidence import Calibration, log_odds
from tasks.captioner.config import Config, find_run, has_finder
from tasks.captioner.spelling import readable

if TYPE_CHECKING:
    import keras

    from tasks.captioner.finder import Finder
    from tasks.captioner.model import CaptionSearch, LoadedCaptioner


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One caption of an image."""

    text: str  # in ordinary spelling
    tokens: list[str]  # its words
    log_prob: float  # natural logarithm of its probability, end token included
    score: float  # of the search, by which the captions of an image are ordered
    confidence: float | None  # calibrated probability that it is right, see `confidence.py`; None if not calibrated
    probabilities: np.ndarray  # `(target,)`, of each word, given those before it
    word_confidences: np.ndarray | None  # `(target,)`, calibrated probabilities that each word is right; or None
    attention: np.ndarray  # `(target, rows, columns)`, the attention weights over the grid for each word
    sentinel: np.ndarray  # `(target,)`, the attention weight of the sentinel, which stands for the previous words


def read_captions(
    result: dict[str, Any], vocabulary: WordVocabulary, grid: tuple[int, int], confidence: Calibration | None = None
) -> list[list[Caption]]:
    """The captions of each image, best first, from the output of `CaptionSearch` and the rows and columns of the grid.

    Hypotheses of length 0, which fill up the beam, are left out.
    """
    arrays = {name: np.asarray(value) for name, value in result.items()}
    images = range(len(arrays["lengths"]))
    lengths = arrays["lengths"]
    if confidence is not None:
        arrays["confidences"] = confidence.caption(np.where(lengths > 0, arrays["scores"], 0.0))
        if confidence.word is not None:
            arrays["word_confidences"] = confidence.word(log_odds(arrays["token_log_probs"]))
    best = [[{name: value[i, j] for name, value in arrays.items()} for j in np.flatnonzero(lengths[i])] for i in images]
    return [[_caption(found, vocabulary, grid) for found in image] for image in best]


def _caption(found: dict[str, Any], vocabulary: WordVocabulary, grid: tuple[int, int]) -> Caption:
    token_ids = [int(i) for i in found["token_ids"][: found["lengths"]] if i != vocabulary.end_id]
    tokens, weights = vocabulary.tokens(token_ids), found["extras"][: len(token_ids)]
    word_confidences = found.get("word_confidences")
    return Caption(
        text=readable(" ".join(tokens)),
        tokens=tokens,
        log_prob=float(found["log_probs"]),
        score=float(found["scores"]),
        confidence=float(found["confidences"]) if "confidences" in found else None,
        probabilities=np.exp(found["token_log_probs"][: len(token_ids)]),
        word_confidences=None if word_confidences is None else word_confidences[: len(token_ids)],
        attention=weights[:, :-1].reshape(-1, *grid),
        sentinel=weights[:, -1],
    )


class ImageCaptioner:
    """A trained captioner for images of any size.

    >>> captioner = ImageCaptioner.load("flickr8k")
    >>> captioner([read_image(Path("photo.jpg"))])[0][0].text
    """

    def __init__(
        self,
        loaded: "LoadedCaptioner | Loaded[Config, WordVocabulary, None]",
        encoder: "keras.Model | None",
        beam: int | None = None,
        n_best: int = 1,
        confidence: Calibration | None = None,
        search: Any = None,
        finder: "Finder | None" = None,
    ):
        """Takes the results of `load_model`, `load_encoder` and `Calibration.load`; `beam`, `n_best` as in `load`.

        With a `search` of that beam from `shared.kept`, model, encoder and finder are None. A `finder`, the result of
        `load_finder`, takes part in the order of the captions if the configuration says so.
        """
        self.config = _searching(loaded.config, beam, n_best)
        self.loaded, self.vocabulary, self.encoder, self.confidence = loaded, loaded.vocabulary, encoder, confidence
        self.finder = finder
        self.search: Any = search or _search(loaded, encoder, self.config, finder)

    @classmethod
    def load(
        cls, model: str | None = None, beam: int | None = None, n_best: int = 1, runtime: Runtime = "keras"
    ) -> "ImageCaptioner":
        """Load a run by name or folder; default: the released run, else the newest.

        The default beam is the value in the run's config, at least `n_best`, the number of captions needed per image.
        The runtimes `graph` and `onnx` need no Keras after the first use of a run with a beam, see `shared.kept`.

        Raises:
            UserError: there is no such run, or its files do not fit together.
        """
        run = find_run(model)
        if not runs_on_keras(runtime):
            return cls._without_keras(run, beam, n_best, runtime)
        from tasks.captioner.encoder import load_encoder
        from tasks.captioner.finder import load_finder
        from tasks.captioner.model import load_model

        config, vocabulary, _ = loaded = load_model(run)
        finder = load_finder(run, config, vocabulary) if config.finder_weight and has_finder(run) else None
        return cls(loaded, load_encoder(run, config), beam, n_best, Calibration.load(run), finder=finder)

    @classmethod
    def _without_keras(cls, run: Run, beam: int | None, n_best: int, runtime: Runtime) -> "ImageCaptioner":
        config, vocabulary = run.read_config(Config), load_vocabulary(run, WordVocabulary)
        beam = _searching(config, beam, n_best).beam
        search = kept_function(run, "caption", {"beam": beam}, lambda: cls.load(str(run.path), beam).search, runtime)
        return cls(Loaded(config, vocabulary, None), None, beam, n_best, Calibration.load(run), search)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Caption]]:
        """The captions, best first, of each image, uint8 `(height, width, 3)`; ListError for one image."""
        check_list(images, "images", axes=3)
        if not len(images):
            return []
        batch = np.stack([prepared(image, self.config.image_size) for image in images])
        return read_captions(self.search.predict_on_batch(batch), self.vocabulary, self.config.grid, self.confidence)


def _search(loaded: Any, encoder: Any, config: Config, finder: Any) -> "CaptionSearch":
    from tasks.captioner.model import CaptionSearch

    return CaptionSearch(loaded.model, encoder, config, loaded.vocabulary, finder)


def _searching(config: Config, beam: int | None, n_best: int) -> Config:
    """The configuration with the beam of a search."""
    return replace(config, beam=beam or max(config.beam, n_best))
