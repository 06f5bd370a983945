"""The language models: how surprising each word is, what comes next, texts that go on, blanks, and labels."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, Field

from shared.errors import UserError
from shared.runs import Run
from tasks.language_model.config import Config, Reads
from tasks.serve.endpoint import Encoded, Endpoint, Item, ModelName, Request, Response, Text
from tasks.serve.models import Models
from tasks.serve.shapes import SavedState, as_base64

if TYPE_CHECKING:
    from tasks.language_model.inference import TextGenerator, TextScorer

TASK = "language_model"
MAX_WORDS = 200  # that are written on
Count = Annotated[int, Field(ge=0, le=50)]


class NextWord(Response):
    """A word that may come next."""

    word: str
    """Empty for the end of the line."""
    text: str
    """As it is written after the text, with the space before it."""
    probability: float


class ScoreRequest(Request):
    """How surprising each word of a text is, and what comes after it."""

    model: ModelName | None = None
    text: Text = ""
    state: Encoded | None = None
    """A state that was saved: the text goes on from there."""
    next: Count = 0
    """Number of words that may come next."""
    keep: bool = False
    """Whether to return the state after the text."""


class ScoredWord(Response):
    """A word as it is written, punctuation included."""

    text: str
    bits: float | None
    """-log2 of its probability, given all before it; None if the model reads nothing of it."""
    unknown: bool


class Scored(Response):
    """The words of a text."""

    model: str
    words: list[ScoredWord]
    end_bits: float
    """Of the end of the line after the text."""
    log_prob: float
    perplexity: float | None
    """Per token, without the end; None for an empty text."""
    next: list[NextWord]
    state: SavedState | None


class GenerateRequest(Request):
    """A text that goes on, word by word."""

    model: ModelName | None = None
    text: Text = ""
    state: Encoded | None = None
    """A state that was saved: the text goes on from there."""
    max_words: Annotated[int, Field(ge=1, le=MAX_WORDS)] = 40
    temperature: Annotated[float, Field(ge=0.05, le=10)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_p: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Written(Response):
    """A piece of text, with the spaces around it."""

    text: str
    bits: float | None
    """-log2 of its probability; None for a piece that was held back."""


class FillRequest(Request):
    """Words for the blanks of a text; a blank is two or more underscores."""

    model: ModelName | None = None
    text: Text
    top: Annotated[int, Field(ge=1, le=50)] = 8


class Filling(Response):
    """A word for a blank."""

    word: str
    probability: float


class Filled(Response):
    """For each blank the most probable words, best first."""

    model: str
    blanks: list[list[Filling]]


class ClassifyRequest(Request):
    """The label of a text."""

    model: ModelName | None = None
    text: Text
    explain: bool = False
    """Whether to say what each word adds to the log-odds of the label."""


class Contributed(Response):
    """A word, its characters in `text`, and what it adds to the log-odds of the label; negative if it is against it."""

    word: str
    start: int
    end: int
    value: float


class Classified(Response):
    """The label of a text, and the probability of each."""

    model: str
    text: str
    label: str
    probability: float
    probabilities: dict[str, float]
    unknown: list[str]
    words: list[Contributed]


class ServedLanguageModel:
    """A causal model, which scores, predicts and writes."""

    def __init__(self, run: Run):
        from tasks.language_model.inference import TextGenerator, TextScorer
        from tasks.language_model.model import load_model

        loaded = load_model(run)
        self.scorer, self.generator = TextScorer(loaded, carry=True), TextGenerator(loaded)
        self.lines = TextScorer(loaded, reader=self.scorer.reader)
        self._start = self.generator.position

    def begin(self, state: Encoded | None) -> "TextGenerator":
        """The generator at the start, or at a state that was saved."""
        self.generator.position = self._start
        if state is not None:
            self.generator.from_bytes(state.b64)
        return self.generator

    def scores(self, text: str, generator: "TextGenerator") -> Any:
        """The score of a line that goes on from where the generator is."""
        scorer: TextScorer = self.scorer
        scorer.states, scorer.last_id = [np.asarray(state) for state in generator.states], generator.token
        return scorer([text])[0]


class TextAnswers:
    """What the endpoints answer, with the models that are served."""

    def __init__(self, models: Models):
        self.models = models
        self.reads = {run.name: run.read_config(Config).reads for run in models.runs(TASK)}

    def find(self, name: str | None, reads: Reads) -> Run:
        """The run of a name that reads this way; UserError if none is served."""
        return self.models.find(TASK, name, lambda run: self.reads[run.name] == reads)

    def has(self, reads: Reads) -> bool:
        """Whether a run that reads this way is served, or none at all can be."""
        return reads in self.reads.values() or TASK in self.models.refused

    def causal(self, request: Any) -> Hashable:
        """The run of a causal model."""
        return self.find(request.model, "forwards").name

    def filler(self, request: Any) -> Hashable:
        """The run of a model that reads both ways."""
        return self.find(request.model, "both ways").name

    def classifier(self, request: Any) -> Hashable:
        """The run of a classifier."""
        return self.find(request.model, "for a label").name

    def score(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """Words, next words and states; all texts at once of which the words alone are asked for."""
        served = self.models.load(ServedLanguageModel, self.find(key, "forwards"))
        requests = [item.request for item in items]
        plain = [i for i, request in enumerate(requests) if not _goes_on(request) and request.state is None]
        scores = dict(zip(plain, served.lines([_line(requests[i].text) for i in plain]), strict=True))
        return [_answered(_scored, key, served, request, scores.get(i)) for i, request in enumerate(requests)]

    def generate(self, item: Item) -> Iterator[BaseModel]:
        """The pieces of a continuation."""
        request: GenerateRequest = item.request
        from tasks.language_model.inference import Sampling

        served = self.models.load(ServedLanguageModel, self.find(request.model, "forwards"))
        sampling = Sampling(request.temperature, request.top_k, request.top_p, request.min_p)
        generator = served.begin(request.state)
        generator.read(_line(request.text))
        return _written(generator, request, sampling)

    def fill(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """Words for blanks."""
        filler = self.models.load(_load_filler, self.find(key, "both ways"))

        def filled(request: FillRequest) -> BaseModel:
            filler.top = request.top
            blanks = filler(_line(request.text)).blanks
            pairs = [[Filling(word=word, probability=round(p, 6)) for word, p in blank] for blank in blanks]
            return Filled(model=key, blanks=pairs)

        return [_answered(filled, item.request) for item in items]

    def classify(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """Labels, all texts at once; explanations one by one."""
        classifier, explainer = self.models.load(_load_classifier, self.find(key, "for a label"))
        found = classifier([item.request.text for item in items])

        def classified(one: Any, request: ClassifyRequest) -> BaseModel:
            if one.label is None:
                raise UserError(f"the text: {one.error}")
            words = explainer(one).words if request.explain else []
            return Classified(
                model=key,
                text=one.text,
                label=one.label,
                probability=round(one.probability, 6),
                probabilities={label: round(p, 6) for label, p in one.probabilities.items()},
                unknown=one.unknown_words,
                words=[Contributed(word=w.word, start=w.start, end=w.end, value=round(w.value, 4)) for w in words],
            )

        return [_answered(classified, one, item.request) for one, item in zip(found, items, strict=True)]


def _answered(answer: Any, *values: Any) -> BaseModel | UserError:
    try:
        return answer(*values)
    except UserError as error:
        return error


def _line(text: str) -> str:
    """A text as one line."""
    return text.replace("\r\n", " ").replace("\n", " ")


def _goes_on(request: ScoreRequest) -> bool:
    """Whether the state after the text is needed."""
    return bool(request.next or request.keep)


def _scored(name: str, served: ServedLanguageModel, request: ScoreRequest, score: Any) -> Scored:
    """The answer to a request; `score` is that of its text, or None if it is not known yet."""
    generator = served.generator
    if score is None:
        text = _line(request.text)
        score = served.scores(text, served.begin(request.state))
        if _goes_on(request):
            generator.read(text)
    found = generator.next_words(request.next) if request.next else []
    end = generator.vocabulary.table[generator.vocabulary.end_id]
    return Scored(
        model=name,
        words=[
            ScoredWord(
                text=word.text, bits=None if word.log_prob is None else _bits(word.log_prob), unknown=word.unknown
            )
            for word in score.words()
        ],
        end_bits=_bits(float(score.log_probs[-1])),
        log_prob=round(score.log_prob, 4),
        perplexity=None if score.without_end is None else round(score.without_end, 3),
        next=[
            NextWord(word="" if one.token == end else one.token, text=one.text, probability=round(one.probability, 6))
            for one in found
        ],
        state=SavedState(b64=as_base64(generator.as_bytes())) if request.keep else None,
    )


def _bits(log_prob: float) -> float:
    return round(-log_prob / float(np.log(2)), 3)


def _written(generator: "TextGenerator", request: GenerateRequest, sampling: Any) -> Iterator[BaseModel]:
    """The pieces as they are drawn; the generator may be used for other texts meanwhile."""
    bits: list[float] = []
    drawn = generator.draw(request.max_words, 1, sampling, request.seed)
    first = next(drawn)  # before another request moves the generator

    def ids() -> Iterator[int]:
        for token_ids, log_probs in chain([first], drawn):
            bits.append(_bits(float(log_probs[0])))
            yield int(token_ids[0])

    pieces = generator.spell(ids())
    return (Written(text=piece, bits=bits[i] if i < len(bits) else None) for i, piece in enumerate(pieces))


def _load_filler(run: Run) -> Any:
    from tasks.language_model.inference import BlankFiller

    return BlankFiller.load(str(run.path))


def _load_classifier(run: Run) -> Any:
    from tasks.language_model.classification import TextClassifier
    from tasks.language_model.explanation import Explainer

    classifier = TextClassifier.load(str(run.path))
    return classifier, Explainer(classifier)


def endpoints(models: Models) -> list[Endpoint]:
    """Those of this module for which a model is served."""
    return of_answers(TextAnswers(models))


def of_answers(answers: TextAnswers) -> list[Endpoint]:
    """Those for whose way of reading there is a model."""
    found = []
    if answers.has("forwards"):
        found += [
            Endpoint(
                path="/api/score",
                task=TASK,
                request=ScoreRequest,
                response=Scored,
                example=ScoreRequest(text="the river", next=3, keep=True),
                key=answers.causal,
                answer=answers.score,
                is_alone=_goes_on,
            ),
            Endpoint(
                path="/api/generate",
                task=TASK,
                request=GenerateRequest,
                response=Written,
                example=GenerateRequest(text="The river", max_words=3),
                key=answers.causal,
                stream=answers.generate,
            ),
        ]
    if answers.has("both ways"):
        found.append(
            Endpoint(
                path="/api/fill",
                task=TASK,
                request=FillRequest,
                response=Filled,
                example=FillRequest(text="the ___ of the city", top=3),
                key=answers.filler,
                answer=answers.fill,
                max_batch=1,
            )
        )
    if answers.has("for a label"):
        found.append(
            Endpoint(
                path="/api/classify",
                task=TASK,
                request=ClassifyRequest,
                response=Classified,
                example=ClassifyRequest(text="A warm and funny film.", explain=True),
                key=answers.classifier,
                answer=answers.classify,
                is_alone=lambda request: request.explain,
            )
        )
    return found
