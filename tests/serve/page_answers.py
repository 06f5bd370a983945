"""Endpoints of the page with small answers made by hand, and what the page has asked them."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shared.errors import UserError
from tasks.serve import captions, finds, recognitions, speech, texts, translations
from tasks.serve.endpoint import Endpoint, Item
from tasks.serve.models import Models
from tasks.serve.shapes import SavedState, TreeNode, as_base64, as_grid

WORDS = {"a": (0.9, 0.0, 0.0), "dog": (0.8, 0.25, 0.25), "cat": (0.1, 0.0, 0.5), "runs": (0.5, 0.5, 0.0)}
"""Of captions: probability, and top and left of a region of half the height and the width."""


BROKEN = b"no photo"
"""The file of a photo that cannot be read."""


class Asked(list[Any]):
    """The requests so far."""

    def of(self, kind: type) -> list[Any]:
        return [request for request in self if isinstance(request, kind)]


def caption(tokens: Sequence[str], score: float) -> captions.CaptionText:
    def region(top: float, left: float) -> captions.Region:
        fit = np.zeros((4, 4))
        fit[int(4 * top) : int(4 * top) + 2, int(4 * left) : int(4 * left) + 2] = 1
        return captions.Region(box=[top, left, top + 0.5, left + 0.5], fit=as_grid(fit))

    words = [
        captions.CaptionWord(
            text=token,
            probability=WORDS.get(token, (0.2, 0, 0))[0],
            confidence=None,
            attention=[[0.25, 0.5], [0.125, 0.125]],
            sentinel=0.0,
            region=region(*WORDS[token][1:]) if token in WORDS else None,
        )
        for token in tokens
    ]
    return captions.CaptionText(text=" ".join(tokens), log_prob=-2.0, score=score, confidence=0.5, words=words)


def tree(first: Sequence[str], second: Sequence[str]) -> list[TreeNode]:
    """Two results that share their first word, and a beginning that was dropped."""

    def node(text: str, parent: int, ranks: list[int]) -> TreeNode:
        return TreeNode(
            text=text, is_end=not text, begins_word=True, parent=parent, probability=0.5, log_prob=-1.0, ranks=ranks
        )

    nodes = [node(first[0], -1, [0, 1])]
    for rank, tokens in enumerate((first, second)):
        parent = 0
        for token in [*tokens[1:], ""]:
            nodes.append(node(token, parent, [rank]))
            parent = len(nodes) - 1
    return [*nodes, node("two", -1, [])]


def answer_caption(request: captions.CaptionRequest) -> captions.Captions:
    if request.image.b64 == BROKEN:
        raise UserError("an image file was expected")
    given = request.prefix.split()
    tokens = [*given, *["a", "dog", "runs"][len(given) :]]
    others = [*given, *["a", "cat"][len(given) :]]
    return captions.Captions(
        model="tiny",
        width=40,
        height=30,
        prefix=given,
        captions=[caption(tokens, -1.0), caption(others, -2.0)][: request.n_best],
        alternatives=[
            captions.CaptionAlternative(word="dog", probability=0.75, text=" ".join([*given, "dog runs"])),
            captions.CaptionAlternative(word="cat", probability=0.25, text=" ".join([*given, "cat sleeps"])),
            captions.CaptionAlternative(word="", probability=0.01, text=" ".join(given)),
        ][: request.alternatives],
        tree=tree(tokens, others),
    )


def answer_find(request: finds.FindRequest) -> finds.Found:
    """The vector of a photo depends on its size, so that the sentence "small" finds the smallest."""
    if request.image is not None and request.image.b64 == BROKEN:
        raise UserError("an image file was expected")
    size = 0.0 if request.image is None else len(request.image.b64) / 1e6
    return finds.Found(
        model="tiny",
        photo=None if request.image is None else [1 - size, size],
        sentence=None if request.sentence is None else ([1.0, 0.0] if "small" in request.sentence else [0.0, 1.0]),
        unknown=["zyx"] if request.sentence and "zyx" in request.sentence else [],
        score=None,
        words=[],
    )


def answer_translate(request: translations.TranslateRequest) -> translations.Translations:
    if "zu lang" in request.text:
        raise UserError("the text has 999 tokens; split it")
    given = request.prefix.split()
    words = [*given, *["a", "dog", "runs"][len(given) :]]
    name = request.model or "de-en"

    def part(source: str) -> translations.TranslatedPart:
        sources = source.split()
        attention = np.eye(len(words), len(sources) + 1).tolist()
        best = [
            translations.TranslationText(
                text=" ".join(tokens),
                log_prob=-1.0,
                score=score,
                words=[translations.TargetWord(text=word, probability=0.75) for word in tokens],
                attention=attention[: len(tokens)],
                alignment=[(i, i) for i in range(min(len(tokens), len(sources)))],
                kept=[],
                unknown=[],
                is_complete=True,
            )
            for tokens, score in ((words, -1.0), (words[:2], -2.0))
        ]
        return translations.TranslatedPart(
            source=source, source_words=sources, translations=best[: request.n_best], tree=tree(words, words[:2])
        )

    parts = [part(sentence.strip()) for sentence in request.text.split(".") if sentence.strip()]
    others = [
        translations.TranslationAlternative(word=word, probability=p, text=" ".join([*given, word, "on"]))
        for word, p in (("sleeps", 0.5), ("runs", 0.25))
    ]
    return translations.Translations(
        model=name,
        source="de",
        target="en",
        text=" ".join(words),
        parts=parts,
        alternatives=others[: request.alternatives],
    )


def answer_directions(request: translations.DirectionsRequest) -> translations.Directions:
    del request
    names = {"de": "German", "en": "English", "fr": "French"}
    pairs = [("de-en", "de", "en"), ("other-de-en", "de", "en"), ("en-de", "en", "de"), ("en-fr", "en", "fr")]
    return translations.Directions(
        directions=[
            translations.Direction(
                model=name, source=source, target=target, source_name=names[source], target_name=names[target]
            )
            for name, source, target in pairs
        ]
    )


def answer_recognize(request: recognitions.RecognizeRequest) -> recognitions.Recognized:
    seconds, phones = 1.0, [("d", "d", 0.1, 0.2, 0.9), ("ao", "ɔ", 0.2, 0.5, 0.5), ("ng", "ŋ", 0.6, 0.9, 0.7)]
    answers = [
        recognitions.PhoneAnswer(phone=phone, ipa=ipa, start=start, end=end, probability=p)
        for phone, ipa, start, end, p in phones
    ]
    scores = [one.model_copy(update={"score": score}) for one, score in zip(answers, (100.0, 80.0, 20.0), strict=True)]
    scores[2] = scores[2].model_copy(update={"said": "k"})
    aligned = recognitions.Aligned(
        log_prob=-1.0,
        score=67.0,
        phones=scores,
        words=[recognitions.SpokenText(text=request.text, start=0.1, end=0.9, phones=[0, 1, 2], score=67.0)],
        left_out=["zyx"] if "zyx" in request.text else [],
    )
    posteriors = np.zeros((4, 100))
    for row, (_, _, start, end, p) in enumerate(phones, 1):
        posteriors[row, int(100 * start) : int(100 * end)] = p
    sound = (8000 * np.sin(np.arange(16000) / 10)).astype("<i2")
    return recognitions.Recognized(
        model="tiny",
        seconds=seconds,
        log_prob=-3.0,
        phones=answers,
        aligned=aligned if request.text else None,
        symbols=["sil", "d", "ao", "ng"],
        symbols_ipa=["", "d", "ɔ", "ŋ"],
        frame_seconds=0.01,
        posteriors=as_grid(posteriors),
        spectrogram=as_grid(np.linspace(0, 1, 800).reshape(8, 100)),
        samples=recognitions.Samples(rate=16000, b64=as_base64(sound.tobytes())),
    )


def answer_score(request: texts.ScoreRequest) -> texts.Scored:
    after = base64.b64decode(base64.b64encode(request.state.b64)).decode() if request.state else ""
    words = request.text.split()
    return texts.Scored(
        model="tiny",
        words=[texts.ScoredWord(text=word, bits=float(len(word)), unknown=word == "zyx") for word in words],
        end_bits=3.0,
        log_prob=-4.0,
        perplexity=20.0 if words else None,
        next=[
            texts.NextWord(word=word, text=f" {word}", probability=p)
            for word, p in (("flows" if after else "river", 0.5), ("city", 0.25))
        ][: request.next],
        state=SavedState(b64=as_base64(f"{after}{request.text}".encode())) if request.keep else None,
    )


def answer_generate(item: Item) -> Iterator[texts.Written]:
    return (texts.Written(text=f" {word}", bits=1.0) for word in ("and", "so", f"{item.request.seed}."))


def answer_fill(request: texts.FillRequest) -> texts.Filled:
    blank = [texts.Filling(word="end", probability=0.5), texts.Filling(word="rest", probability=0.25)]
    return texts.Filled(model="tiny", blanks=[blank] * request.text.count("___"))


def answer_classify(request: texts.ClassifyRequest) -> texts.Classified:
    is_good = "warm" in request.text
    label, other = ("positive", "negative") if is_good else ("negative", "positive")
    first = request.text.split()[0]
    return texts.Classified(
        model="tiny",
        text=request.text,
        label=label,
        probability=0.75,
        probabilities={label: 0.75, other: 0.25},
        unknown=[],
        words=[texts.Contributed(word=first, start=0, end=len(first), value=-0.5)],
    )


def answer_speak(request: speech.SpeakRequest) -> speech.SpeakResponse:
    """A tone of a second, whatever the text."""
    content = speech.wav((8000 * np.sin(np.arange(16000) / 10)).astype(np.int16))
    return speech.SpeakResponse(b64=base64.b64encode(content).decode(), seconds=1.0)


ANSWERS = {
    "/api/caption": answer_caption,
    "/api/find": answer_find,
    "/api/translate": answer_translate,
    "/api/directions": answer_directions,
    "/api/recognize": answer_recognize,
    "/api/score": answer_score,
    "/api/fill": answer_fill,
    "/api/classify": answer_classify,
    "/api/speak": answer_speak,
}


def page_endpoints(asked: Asked) -> list[Endpoint]:
    """The endpoints of the page, each with an answer from above; all but those without one are of `tasks.serve`."""
    from dataclasses import replace

    class All(Models):
        """Models of which nothing is loaded."""

    models = All({})
    text_answers = texts.TextAnswers(models)
    text_answers.reads = {"tiny": "forwards", "filler": "both ways", "labels": "for a label"}
    found = [
        *captions.endpoints(models),
        *finds.of_models(models),
        *translations.endpoints(models),
        *recognitions.endpoints(models),
        *texts.of_answers(text_answers),
        *speech.of_engine(),
    ]

    def faked(endpoint: Endpoint) -> Endpoint:
        def answer(key: Any, items: Sequence[Item]) -> list[Any]:
            del key
            asked.extend(item.request for item in items)
            return [_answered(ANSWERS[endpoint.path], item.request) for item in items]

        def stream(item: Item) -> Iterator[Any]:
            asked.append(item.request)
            return answer_generate(item)

        plain = {"key": lambda request: None, "decode": None}
        return (
            replace(endpoint, stream=stream, **plain) if endpoint.stream else replace(endpoint, answer=answer, **plain)
        )

    return list(map(faked, found))


def _answered(answer: Any, request: Any) -> Any:
    try:
        return answer(request)
    except UserError as error:
        return error
