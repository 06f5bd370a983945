"""Photos found by a sentence: the vectors of both, whose product is the score, and where each word is."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from shared.errors import UserError
from tasks.captioner.config import has_finder
from tasks.serve.captions import Region, ServedCaptioner, region_of
from tasks.serve.endpoint import Encoded, Endpoint, Item, ModelName, Request, Response, Text
from tasks.serve.media import decode_image
from tasks.serve.models import Models
from tasks.serve.shapes import example_image, rounded

if TYPE_CHECKING:
    from tasks.captioner.finding import PhotoFinder


class FindRequest(Request):
    """A photo, a sentence, or both. A client that keeps the vectors of photos finds them without sending them again."""

    model: ModelName | None = None
    image: Encoded | None = None
    sentence: Text | None = None


class FoundText(Response):
    """A word of the sentence, in the photo."""

    word: str
    is_known: bool
    score: float
    """Its share of the score."""
    region: Region


class Found(Response):
    """What is known of the photo, of the sentence, and of both."""

    model: str
    photo: list[float] | None
    """The vector of the photo, of length 1."""
    sentence: list[float] | None
    """The vector of the sentence, of length 1."""
    unknown: list[str]
    """Words of the sentence that the model does not know."""
    score: float | None
    """The product of both vectors, from -1 to 1; it orders photos and is no probability."""
    words: list[FoundText]


def decode(request: FindRequest) -> np.ndarray | None:
    """The pixels of the photo, if there is one."""
    return None if request.image is None else decode_image(request.image.b64)


class FindAnswers:
    """What the endpoint answers, with the models that are served."""

    def __init__(self, models: Models):
        self.models = models

    def key(self, request: FindRequest) -> Hashable:
        """The run."""
        if request.image is None and request.sentence is None:
            raise UserError("neither image nor sentence; at least one of them was expected")
        return self.models.find("captioner", request.model, has_finder).name

    def answer(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """The vectors of all photos at once; sentences are cheap."""
        finder: Any = self.models.load(ServedCaptioner, self.models.find("captioner", key)).finder
        images = [item.decoded for item in items if item.decoded is not None]
        vectors = iter(finder.of_images(images))
        answers: list[BaseModel | UserError] = []
        for item in items:
            photo = None if item.decoded is None else next(vectors)
            try:
                answers.append(_response(key, finder, item, photo))
            except UserError as error:
                answers.append(error)
        return answers


def _response(name: str, finder: "PhotoFinder", item: Item, photo: np.ndarray | None) -> Found:
    sentence = item.request.sentence
    vector = None if sentence is None else finder.of_texts([sentence])[0]
    words, unknown = [], []
    if sentence is not None:
        pairs = zip(finder.vocabulary.words(sentence), finder.encode(sentence), strict=True)
        unknown = list(dict.fromkeys(word for word, i in pairs if i == finder.vocabulary.unknown_id))
    if sentence is not None and photo is not None:
        words = [
            FoundText(
                word=word.word,
                is_known=word.is_known,
                score=round(word.score, 4),
                region=region_of(word),
            )
            for word in finder.match(item.decoded, [sentence])[0].words
        ]
    return Found(
        model=name,
        photo=None if photo is None else rounded(photo, 5),
        sentence=None if vector is None else rounded(vector, 5),
        unknown=unknown,
        score=None if vector is None or photo is None else round(float(vector @ photo), 5),
        words=words,
    )


def endpoints(models: Models) -> list[Endpoint]:
    """Those of this module; none without a finder."""
    return of_models(models) if "captioner" in models.refused or models.runs("captioner", has_finder) else []


def of_models(models: Models) -> list[Endpoint]:
    """The endpoint, whether or not a model for it is served."""
    answers = FindAnswers(models)
    return [
        Endpoint(
            path="/api/find",
            task="captioner",
            request=FindRequest,
            response=Found,
            example=FindRequest(image=example_image(), sentence="a green field"),
            key=answers.key,
            decode=decode,
            answer=answers.answer,
            max_batch=8,  # as for captions
        )
    ]
