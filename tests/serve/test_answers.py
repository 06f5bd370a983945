"""How many results of a search an answer has: the best one, or as many as the request wants."""

import io

import numpy as np
import pytest
from PIL import Image

from shared.media import prepared
from shared.runs import Run
from tasks.captioner.inference import Caption
from tasks.serve.captions import CaptionAnswers, CaptionRequest, decode
from tasks.serve.endpoint import Encoded, Item
from tasks.serve.models import Models
from tasks.serve.searches import Searches
from tasks.serve.translations import TranslateRequest, TranslationAnswers
from tasks.translator.config import PRESETS
from tasks.translator.translation import Translation

WIDTH = 3


def translation(text: str, score: float) -> Translation:
    words = text.split()
    ones = np.ones(len(words))
    return Translation(
        text=text, log_prob=score, score=score, tokens=words, token_log_probs=-ones, words=words,
        probabilities=ones / 2, source_words=["ein", "Hund"], attentions=[np.eye(len(words), 3)], unknown=[],
    )  # fmt: skip


def caption(text: str, score: float) -> Caption:
    tokens = text.split()
    ones = np.ones(len(tokens))
    return Caption(
        text=text, tokens=tokens, log_prob=score, score=score, confidence=None, probabilities=ones / 2,
        word_confidences=None, attention=np.ones((len(tokens), 4, 5)), sentinel=0 * ones,
    )  # fmt: skip


class Found:
    """What is loaded of a run: a search of width 3, whatever the beam."""

    config = PRESETS["multi30k-de-en"]
    finder = None

    @property
    def searches(self) -> Searches:
        return Searches(self, WIDTH, lambda beam: self, lambda search: None)

    def __call__(self, images):
        return [[caption(f"a dog {i}", -i - 1.0) for i in range(WIDTH)] for _ in images]

    def refusal(self, text: str) -> None:
        return None

    def by_part(self, texts):
        found = [translation("a dog", -1.0), translation("one dog", -2.0), translation("the dog runs", -3.0)]
        return [[("ein Hund", found)] for _ in texts]

    def whole(self, parts):
        return parts[0]


@pytest.fixture
def models(monkeypatch, tmp_path):
    runs = {
        "translator": [Run.create("translator", "de-en", Found.config, {}, tmp_path)],
        "captioner": [Run(tmp_path / "captioner" / "flickr8k")],
    }
    monkeypatch.setattr(Models, "load", lambda self, load, run, key=None: Found())
    return Models(runs)


@pytest.mark.parametrize(("options", "texts"), [({}, ["a dog"]), ({"n_best": 2}, ["a dog", "one dog"])])
def test_translations(models, options, texts):
    request = TranslateRequest(text="ein Hund", **options)
    answers = TranslationAnswers(models)
    (answer,) = answers.answer(answers.key(request), [Item(request, None)])
    assert answer.text == "a dog"
    assert [one.text for one in answer.parts[0].translations] == texts


@pytest.mark.parametrize(("regions", "side"), [(False, 2), (True, 4)])
def test_an_image_waits_in_the_size_of_the_encoder(regions, side):
    """Of columns 0, 40, 80, 120 the first of two is their mean with weights 3, 3, 1; regions need the whole image."""
    content, columns = io.BytesIO(), np.array([0, 40, 80, 120], np.uint8)
    Image.fromarray(np.broadcast_to(columns[:, None], (4, 4, 3)).copy()).save(content, "PNG")
    request = CaptionRequest(image=Encoded.of(content.getvalue()), regions=regions)
    decoded = decode(request, size=2)
    assert decoded["image"].dtype == np.uint8
    assert decoded["image"][..., 0].tolist() == [[29, 91] if side == 2 else columns.tolist()] * side
    assert decoded["shape"].tolist() == [4, 4]
    assert np.array_equal(prepared(decoded["image"], 2), prepared(decode(request, size=4)["image"], 2))


@pytest.mark.parametrize(("options", "count"), [({}, 1), ({"n_best": 2}, 2), ({"n_best": 10}, WIDTH)])
def test_captions(models, options, count):
    request = CaptionRequest(image=Encoded.of(b"x"), **options)
    answers = CaptionAnswers(models)
    decoded = {"image": np.zeros((8, 8, 3), np.uint8), "shape": np.array([9, 7])}
    (answer,) = answers.answer(answers.key(request), [Item(request, decoded)])
    assert (answer.height, answer.width) == (9, 7)
    assert [one.text for one in answer.captions] == ["a dog 0", "a dog 1", "a dog 2"][:count]
    assert np.shape(answer.captions[0].words[0].attention) == (4, 5)
