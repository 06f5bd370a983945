"""Translations: what each word goes back to, how sure it is, what else it might have been, and how the search went."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from shared.errors import UserError
from shared.languages import is_known, language_name, primary_language
from shared.runs import Run
from tasks.serve.endpoint import Endpoint, Item, ModelName, Request, Response, Text
from tasks.serve.models import Models
from tasks.serve.searches import Searches, SearchRequest
from tasks.serve.shapes import TreeNode, as_tree, rounded
from tasks.translator.config import Config

if TYPE_CHECKING:
    from tasks.translator.inference import Translator
    from tasks.translator.translation import Translation

Language = Annotated[str, Field(min_length=1, max_length=40)]  # code or name in English


class TranslateRequest(SearchRequest):
    """Translations of a text, by a model or in a direction; default: the first model that is served.

    `n_best` counts those of each sentence. A prefix is for a single sentence; its last word may go on.
    """

    model: ModelName | None = None
    source: Language | None = None
    target: Language | None = None
    text: Text


class TargetWord(Response):
    """A word of a translation."""

    text: str
    probability: float
    """Given the sentence and the words before it."""


class KeptText(Response):
    """A number, name or address that the translation has as the sentence has it."""

    text: str
    source: int
    target: int
    by: str


class TranslationText(Response):
    """A translation of a sentence."""

    text: str
    log_prob: float
    score: float
    words: list[TargetWord]
    attention: list[list[float]]
    """Of each word to each word of the sentence, and to its end."""
    alignment: list[tuple[int, int]]
    """Pairs of source and target word."""
    kept: list[KeptText]
    unknown: list[str]
    """Words of the sentence that the model does not know."""
    is_complete: bool


class TranslatedPart(Response):
    """A sentence, or a clause of a long one."""

    source: str
    source_words: list[str]
    translations: list[TranslationText]
    tree: list[TreeNode]


class TranslationAlternative(Response):
    """What may follow the prefix."""

    word: str
    """Up to white space; empty for the end."""
    probability: float
    text: str
    """The best translation with it."""


class Translations(Response):
    """The translation of a text, and those of its parts, best first."""

    model: str
    source: str
    target: str
    text: str
    parts: list[TranslatedPart]
    alternatives: list[TranslationAlternative]


class DirectionsRequest(Request):
    """The models that translate between languages."""


class Direction(Response):
    """A model, and its languages: codes, and names in English."""

    model: str
    source: str
    target: str
    source_name: str
    target_name: str


class Directions(Response):
    """The models, the default first."""

    directions: list[Direction]


class ServedTranslator:
    """A translator and its searches."""

    def __init__(self, run: Run):
        from tasks.translator.explanation import TranslationExplainer
        from tasks.translator.inference import Translator

        self.translator = Translator.load(str(run.path))
        loaded = self.translator.loaded
        self.searches: Searches[Translator, TranslationExplainer] = Searches(
            self.translator,
            self.translator.config.beam,
            lambda beam: Translator(*loaded, beam=beam),
            TranslationExplainer,
        )


class TranslationAnswers:
    """What the endpoints answer, with the models that are served."""

    def __init__(self, models: Models):
        self.models = models
        configs = {run.name: run.read_config(Config) for run in models.runs("translator")}
        self.languages = {name: (config.source, config.target) for name, config in configs.items()}

    def key(self, request: TranslateRequest) -> Hashable:
        """The run and the width of the beam."""
        wanted = [code and primary_language(code) for code in (request.source, request.target)]

        def suits(run: Run) -> bool:
            pairs = zip(wanted, map(primary_language, self.languages[run.name]), strict=True)
            return all(code in (None, own) for code, own in pairs)

        if any(wanted) and request.model is None and not self.models.runs("translator", suits):
            pairs = zip(("from", "to"), wanted, strict=True)
            described = " ".join(f"{word} {language_name(code)}" for word, code in pairs if code)
            raise UserError(f"no model that is served here translates {described}")
        return self.models.find("translator", request.model, suits).name, request.beam

    def answer(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """Translations of texts; those that are to be explained one by one."""
        name, beam = key
        served = self.models.load(ServedTranslator, self.models.find("translator", name))
        translate = served.searches.search(beam)
        refused = {i: reason for i, item in enumerate(items) if (reason := translate.refusal(item.request.text))}
        plain = [i for i, item in enumerate(items) if i not in refused and not item.request.is_explained]
        found = dict(zip(plain, translate.by_part([items[i].request.text for i in plain]), strict=True))
        answers: list[BaseModel | UserError] = []
        for i, item in enumerate(items):
            try:
                if i in refused:
                    raise UserError(f"the text {refused[i]}")
                if i in found:
                    parts = [_part(source, best[: item.request.n_best]) for source, best in found[i]]
                    answers.append(_response(name, translate, parts, translate.whole([best for _, best in found[i]])))
                else:
                    answers.append(_explained(name, served, beam, item.request))
            except UserError as error:
                answers.append(error)
        return answers

    def directions(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """The models and their languages."""
        del key
        self.models.find("translator")
        directions = [
            Direction(
                model=name,
                source=source,
                target=target,
                source_name=language_name(source),
                target_name=language_name(target),
            )
            for name, (source, target) in self.languages.items()
            if is_known(source) and is_known(target)  # not letters and phones
        ]
        return [Directions(directions=directions) for _ in items]


def _explained(name: str, served: ServedTranslator, beam: int | None, request: TranslateRequest) -> Translations:
    explain = served.searches.explainer(beam)
    translate, target = explain.translator, explain.vocabulary.target
    if request.prefix.strip() or request.alternatives:
        explained = [(request.text, explain(request.text, request.prefix))]
    else:
        explained = explain.by_part(request.text)
    parts = [_part(source, one.translations[: request.n_best], as_tree(one.tree, target)) for source, one in explained]
    whole = translate.whole([one.translations for _, one in explained])
    found = explain.alternatives(request.text, request.prefix, request.alternatives) if request.alternatives else []
    alternatives = [
        TranslationAlternative(word=one.word, probability=round(one.probability, 6), text=one.translation.text)
        for one in found
    ]
    return _response(
        name, translate, parts if request.tree else [_without_tree(part) for part in parts], whole, alternatives
    )


def _response(
    name: str,
    translate: "Translator",
    parts: list[TranslatedPart],
    whole: "Sequence[Translation]",
    alternatives: list[TranslationAlternative] | None = None,
) -> Translations:
    return Translations(
        model=name,
        source=translate.config.source,
        target=translate.config.target,
        text=whole[0].text if whole else "",
        parts=parts,
        alternatives=alternatives or [],
    )


def _without_tree(part: TranslatedPart) -> TranslatedPart:
    return part.model_copy(update={"tree": []})


def _part(source: str, translations: "Sequence[Translation]", tree: list[TreeNode] | None = None) -> TranslatedPart:
    return TranslatedPart(
        source=source,
        source_words=translations[0].source_words if translations else [],
        translations=[_text(one) for one in translations],
        tree=tree or [],
    )


def _text(translation: "Translation") -> TranslationText:
    probabilities = rounded(translation.probabilities)
    return TranslationText(
        text=translation.text,
        log_prob=round(translation.log_prob, 4),
        score=round(translation.score, 4),
        words=[
            TargetWord(text=word, probability=probability)
            for word, probability in zip(translation.words, probabilities, strict=True)
        ],
        attention=rounded(translation.attention),
        alignment=translation.alignment,
        kept=[KeptText(text=one.text, source=one.source, target=one.target, by=one.by) for one in translation.kept],
        unknown=translation.unknown,
        is_complete=translation.is_complete,
    )


def endpoints(models: Models) -> list[Endpoint]:
    """Those of this module."""
    answers = TranslationAnswers(models)
    return [
        Endpoint(
            path="/api/translate",
            task="translator",
            request=TranslateRequest,
            response=Translations,
            example=TranslateRequest(text="Ein Hund.", prefix="A", alternatives=2, tree=True),
            key=answers.key,
            answer=answers.answer,
            is_alone=lambda request: request.is_explained,
        ),
        Endpoint(
            path="/api/directions",
            task="translator",
            request=DirectionsRequest,
            response=Directions,
            example=DirectionsRequest(),
            answer=answers.directions,
        ),
    ]
