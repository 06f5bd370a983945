"""Captions of images: where each word is, what else it might have been, and how the search found it."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from shared.errors import UserError
from shared.media import prepared
from shared.runs import Run
from tasks.captioner.config import Config, has_finder
from tasks.serve.endpoint import Encoded, Endpoint, Item, ModelName, Response
from tasks.serve.media import decode_image
from tasks.serve.models import Models
from tasks.serve.searches import Searches, SearchRequest
from tasks.serve.shapes import Grid, TreeNode, as_grid, as_tree, example_image, rounded

if TYPE_CHECKING:
    from tasks.captioner.finding import FoundWord, PhotoFinder
    from tasks.captioner.inference import Caption


class CaptionRequest(SearchRequest):
    """Captions of an image: JPEG, PNG, WebP, BMP, GIF, TIFF or AVIF."""

    model: ModelName | None = None
    image: Encoded
    regions: bool = False
    """Whether to find where in the image each word is."""


class Region(Response):
    """Where a word is found in an image."""

    box: list[float]
    """Top, left, bottom, right, as fractions of the image."""
    fit: Grid
    """How well the word fits each cell, relative to the best one."""


class CaptionWord(Response):
    """A word of a caption."""

    text: str
    probability: float
    """Given the image and the words before it."""
    confidence: float | None
    """Calibrated probability that people would use the word for the image."""
    attention: list[list[float]]
    """Weights of the cells of the image, by row."""
    sentinel: float
    """The weight of the words before it."""
    region: Region | None = None


class CaptionText(Response):
    """A caption."""

    text: str
    log_prob: float
    score: float
    confidence: float | None
    """Calibrated probability that it is right."""
    words: list[CaptionWord]


class CaptionAlternative(Response):
    """A word that may follow the prefix."""

    word: str
    """Empty for the end."""
    probability: float
    text: str
    """The best caption with it."""


class Captions(Response):
    """The captions of an image, best first."""

    model: str
    width: int
    height: int
    prefix: list[str]
    """The words of the prefix, as the model reads them."""
    captions: list[CaptionText]
    alternatives: list[CaptionAlternative]
    tree: list[TreeNode]


class ServedCaptioner:
    """A captioner, its searches, and the finder of its run."""

    def __init__(self, run: Run):
        from tasks.captioner.explanation import CaptionExplainer
        from tasks.captioner.inference import ImageCaptioner

        self.run, self.captioner = run, ImageCaptioner.load(str(run.path))
        loaded, encoder, finder = self.captioner.loaded, self.captioner.encoder, self.captioner.finder
        confidence = self.captioner.confidence
        self.searches: Searches[ImageCaptioner, CaptionExplainer] = Searches(
            self.captioner,
            self.captioner.config.beam,
            lambda beam: ImageCaptioner(loaded, encoder, beam, confidence=confidence, finder=finder),
            CaptionExplainer,
        )
        self._finder: PhotoFinder | None = None

    @property
    def finder(self) -> "PhotoFinder | None":
        """What finds words in images; None if the run has none."""
        from tasks.captioner.caption import finder_of

        if self._finder is None and has_finder(self.run):
            self._finder = finder_of(self.captioner, self.run)
        return self._finder


def image_size(run: Run) -> int:
    """The width and height that the encoder of a run takes."""
    return run.read_config(Config).image_size


def decode(request: CaptionRequest, size: int) -> dict[str, np.ndarray]:
    """The pixels of the image, scaled down to the size of an encoder unless they are needed as they are, and its shape.

    The shape is `(2,)`: height and width.
    """
    image = decode_image(request.image.b64)
    pixels = image if request.regions else prepared(image, size).astype(np.uint8)
    return {"image": pixels, "shape": np.array(image.shape[:2])}


class CaptionAnswers:
    """What the endpoint answers, with the models that are served."""

    def __init__(self, models: Models):
        self.models = models

    def key(self, request: CaptionRequest) -> Hashable:
        """The run and the width of the beam."""
        return self.models.find("captioner", request.model).name, request.beam

    def decode_options(self, request: CaptionRequest) -> dict[str, int]:
        """The size of the run's images."""
        return {"size": self.models.load(image_size, self.models.find("captioner", request.model))}

    def answer(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """Captions of images; those that are to be explained one by one."""
        name, beam = key
        served = self.models.load(ServedCaptioner, self.models.find("captioner", name))
        plain = [i for i, item in enumerate(items) if not item.request.is_explained]
        captions = served.searches.search(beam)([items[i].decoded["image"] for i in plain]) if plain else []
        found = dict(zip(plain, captions, strict=True))
        answers: list[BaseModel | UserError] = []
        for i, item in enumerate(items):
            try:
                answers.append(self._response(name, served, beam, item, found.get(i)))
            except UserError as error:
                answers.append(error)
        return answers

    def _response(
        self, name: str, served: ServedCaptioner, beam: int | None, item: Item, captions: "list[Caption] | None"
    ) -> Captions:
        request, image = item.request, item.decoded["image"]
        height, width = item.decoded["shape"].tolist()
        tree: list[TreeNode] = []
        prefix, alternatives = [], []
        if captions is None:
            explain = served.searches.explainer(beam)
            prefix, explained = explain.words(request.prefix), explain(image, request.prefix)
            captions, tree = explained.captions, as_tree(explained.tree, explain.vocabulary, prefix)
            if request.alternatives:
                alternatives = explain.alternatives(image, request.prefix, request.alternatives)
        return Captions(
            model=name,
            height=height,
            width=width,
            prefix=prefix,
            captions=_texts(image, captions[: request.n_best], served.finder if request.regions else None),
            alternatives=[
                CaptionAlternative(word=one.word, probability=round(one.probability, 6), text=one.caption.text)
                for one in alternatives
            ],
            tree=tree if request.tree else [],
        )


def _texts(image: np.ndarray, captions: "Sequence[Caption]", finder: "PhotoFinder | None") -> list[CaptionText]:
    """The captions, with the regions of their words where there is a finder and it knows a word of each."""
    regions: dict[int, list[Region]] = {}
    if finder:
        known = [i for i, caption in enumerate(captions) if _is_known(finder, caption)]
        matches = finder.match(image, [" ".join(captions[i].tokens) for i in known]) if known else []
        for i, match in zip(known, matches, strict=True):
            regions[i] = [region_of(word) for word in match.words]
    return [
        CaptionText(
            text=caption.text,
            log_prob=round(caption.log_prob, 4),
            score=round(caption.score, 4),
            confidence=None if caption.confidence is None else round(caption.confidence, 4),
            words=[
                CaptionWord(
                    text=token,
                    probability=round(float(caption.probabilities[t]), 4),
                    confidence=None
                    if caption.word_confidences is None
                    else round(float(caption.word_confidences[t]), 4),
                    attention=rounded(caption.attention[t]),
                    sentinel=round(float(caption.sentinel[t]), 4),
                    region=regions[i][t] if i in regions and t < len(regions[i]) else None,
                )
                for t, token in enumerate(caption.tokens)
            ],
        )
        for i, caption in enumerate(captions)
    ]


def _is_known(finder: "PhotoFinder", caption: "Caption") -> bool:
    try:
        finder.encode(" ".join(caption.tokens))
    except UserError:
        return False
    return True


def region_of(word: "FoundWord") -> Region:
    """Where a word is found."""
    relative = np.maximum(word.fit, 0) / max(float(word.fit.max()), 1e-9)
    return Region(box=rounded(word.region), fit=as_grid(relative))


def endpoints(models: Models) -> list[Endpoint]:
    """Those of this module."""
    answers = CaptionAnswers(models)
    return [
        Endpoint(
            path="/api/caption",
            task="captioner",
            request=CaptionRequest,
            response=Captions,
            example=CaptionRequest(image=example_image(), prefix="a", alternatives=2, regions=True, tree=True),
            key=answers.key,
            decode=decode,
            decode_options=answers.decode_options,
            answer=answers.answer,
            max_batch=8,  # the encoder takes 18 MB for each image, and 8 at a time take 6 % longer than 32
            is_alone=lambda request: request.is_explained,
        )
    ]
