"""Phones of sounds with their times, what speaks for each at every moment, and how well a known text was said."""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from shared.audio import SAMPLE_RATE
from shared.errors import UserError
from shared.phones import IPA, SpokenWord
from shared.runs import Run, RunError
from tasks.phoneme_recognizer.transcripts import parse_phones
from tasks.serve.endpoint import Encoded, Endpoint, Item, ModelName, Request, Response, Text
from tasks.serve.media import decode_sound
from tasks.serve.models import Models
from tasks.serve.shapes import Grid, as_base64, as_grid, example_sound

if TYPE_CHECKING:
    from datasets.pronunciation import Pronouncer
    from tasks.phoneme_recognizer.inference import Phone, Recognition, SoundRecognizer
    from tasks.phoneme_recognizer.pronunciation import PhoneScore

FRAME_SECONDS = 0.01  # of `shared.features`, which loads Keras
QUIETEST = 12.0  # nats below the loudest energy of a spectrogram that are shown


class RecognizeRequest(Request):
    """Phones of a sound: WAV, FLAC, Ogg, MP3, AIFF, AU, and what ffmpeg reads where it is installed."""

    model: ModelName | None = None
    sound: Encoded
    text: Text = ""
    """Words that are said, or phones in brackets: aligned with the sound, and scored."""
    posteriors: bool = False
    """Whether to return the probability of each phone at every moment."""
    spectrogram: bool = False
    """Whether to return the energies that the model reads."""
    samples: bool = False
    """Whether to return the sound as the model reads it."""


class PhoneAnswer(Response):
    """A phone, in ARPAbet and in the International Phonetic Alphabet; times in seconds."""

    phone: str
    ipa: str
    start: float
    end: float
    probability: float
    """That it and no other was said there."""
    score: float | None = None
    """Of its pronunciation: 100 is right, 50 a heavy accent, 0 wrong or missing."""
    said: str | None = None
    """What was likelier said instead, empty for nothing."""
    inserted: str | None = None
    """A phone that was said after it."""
    inserted_before: str | None = None
    """One that was said before it, for the first phone."""


class SpokenText(Response):
    """A word of the text."""

    text: str
    start: float
    end: float
    phones: list[int]
    """Indices of its phones."""
    score: float | None


class Aligned(Response):
    """The text in the sound."""

    log_prob: float
    score: float | None
    """Of the whole, 0 to 100; None for a model that does not score."""
    phones: list[PhoneAnswer]
    words: list[SpokenText]
    """None if phones were given."""
    left_out: list[str]
    """Words of which no pronunciation is known."""


class Samples(Response):
    """Little-endian samples of 16 bits, one channel."""

    rate: int
    b64: str


class Recognized(Response):
    """The phones of a sound, and silence between them."""

    model: str
    seconds: float
    log_prob: float
    phones: list[PhoneAnswer]
    aligned: Aligned | None
    symbols: list[str]
    """Of the rows of `posteriors`, in ARPAbet: silence, then the phones."""
    symbols_ipa: list[str]
    """The same in the International Phonetic Alphabet."""
    frame_seconds: float
    """Time from one column of `posteriors` and `spectrogram` to the next."""
    posteriors: Grid | None
    """Probabilities, a row for each symbol."""
    spectrogram: Grid | None
    """Logarithms of energies, a row for each mel band, the lowest first; 1 is the loudest."""
    samples: Samples | None


class ServedRecognizer:
    """A recognizer, and what scores pronunciation if its run has it."""

    def __init__(self, run: Run):
        from tasks.phoneme_recognizer.config import check_scorer
        from tasks.phoneme_recognizer.inference import SoundRecognizer
        from tasks.phoneme_recognizer.pronunciation import PronunciationScorer

        self.recognizer = SoundRecognizer.load(str(run.path))
        self.scorer: PronunciationScorer | None = None
        try:
            check_scorer(run)
            self.scorer = PronunciationScorer.of(self.recognizer, run)
        except RunError:
            pass


@cache
def pronouncer() -> "Pronouncer":
    """How words are said: CMUdict where there is a copy, else their spelling. It remembers a bounded number of them."""
    from datasets.pronunciation import Pronouncer
    from tasks.phoneme_recognizer.spelling import Speller

    return Pronouncer(None, Speller.load())


def decode(request: RecognizeRequest) -> np.ndarray:
    """The samples of the sound."""
    return decode_sound(request.sound.b64)


class RecognitionAnswers:
    """What the endpoint answers, with the models that are served."""

    def __init__(self, models: Models):
        self.models = models

    def key(self, request: RecognizeRequest) -> Hashable:
        """The run."""
        return self.models.find("phoneme_recognizer", request.model).name

    def answer(self, key: Any, items: Sequence[Item]) -> list[BaseModel | UserError]:
        """All sounds are recognized at once; texts are aligned one by one."""
        served = self.models.load(ServedRecognizer, self.models.find("phoneme_recognizer", key))
        found = served.recognizer([item.decoded for item in items])
        answers: list[BaseModel | UserError] = []
        for item, (best, *_) in zip(items, found, strict=True):
            try:
                answers.append(_response(key, served, item, best))
            except UserError as error:
                answers.append(error)
        return answers


def _response(name: str, served: ServedRecognizer, item: Item, best: "Recognition") -> Recognized:
    request, sound = item
    recognizer = served.recognizer
    return Recognized(
        model=name,
        seconds=round(best.seconds, 4),
        log_prob=round(best.log_prob, 4),
        phones=[_phone(phone) for phone in best.phones],
        aligned=_aligned(served, sound, request.text) if request.text.strip() else None,
        symbols=list(recognizer.vocabulary.table),
        symbols_ipa=[IPA.get(symbol, symbol) for symbol in recognizer.vocabulary.table],
        frame_seconds=FRAME_SECONDS,
        posteriors=as_grid(recognizer.posteriors(sound).T) if request.posteriors else None,
        spectrogram=as_grid(_spectrogram(recognizer, sound)) if request.spectrogram else None,
        samples=_samples(sound) if request.samples else None,
    )


def _phone(phone: "Phone", scored: "PhoneScore | None" = None) -> PhoneAnswer:
    of_score: dict[str, Any] = {}
    if scored is not None:
        others = {"said": scored.said, "inserted": scored.inserted, "inserted_before": scored.inserted_before}
        of_score = {"score": round(scored.score, 1), **others}
    return PhoneAnswer(
        phone=phone.phone,
        ipa=IPA.get(phone.phone, phone.phone),
        start=round(phone.start, 4),
        end=round(phone.end, 4),
        probability=round(phone.probability, 4),
        **of_score,
    )


def _aligned(served: ServedRecognizer, sound: np.ndarray, text: str) -> Aligned:
    """Where the words or phones of a text are, and how well they were said."""
    words, left_out = [], []
    if text.strip().startswith("["):
        given = parse_phones(text, served.recognizer.config.classes)
        if given.error:
            raise given.error
        found = _fitting(served.recognizer, sound, given.phones)
    else:
        pronounced = pronouncer()(text)
        words, left_out = pronounced.words, pronounced.missing
        if not words:
            raise UserError(f"the text has no word whose pronunciation is known: {', '.join(left_out) or text.strip()}")
        found = _fitting(served.recognizer, sound, words)
    scored = served.scorer(sound, found) if served.scorer else None
    scores = scored.phones if scored else [None] * len(found.phones)
    spoken, first = [], 0
    for i, word in enumerate(found.words):
        indices = list(range(first, first + len(word.phones)))
        first += len(word.phones)
        score = round(scored.words[i], 1) if scored else None
        spoken.append(
            SpokenText(text=word.word, start=round(word.start, 4), end=round(word.end, 4), phones=indices, score=score)
        )
    return Aligned(
        log_prob=round(found.log_prob, 4),
        score=round(scored.score, 1) if scored else None,
        phones=[_phone(phone, score) for phone, score in zip(found.phones, scores, strict=True)],
        words=spoken,
        left_out=left_out,
    )


def _fitting(recognizer: "SoundRecognizer", sound: np.ndarray, text: "Sequence[SpokenWord] | Sequence[str]") -> Any:
    """The alignment of words or phones; errors name the sound."""
    try:
        is_words = bool(text) and isinstance(text[0], SpokenWord)
        return recognizer.align_words(sound, text) if is_words else recognizer.align(sound, text)  # pyright: ignore
    except UserError as error:
        raise UserError(f"the sound {error}") from None


def _spectrogram(recognizer: "SoundRecognizer", sound: np.ndarray) -> np.ndarray:
    """Log-mel energies `(mels, frames)`, 0 to 1."""
    from shared.features import log_mel

    bands = np.asarray(log_mel(sound[None], recognizer.config.mels)[0]).T
    return 1 + (bands - bands.max(initial=-np.inf)) / QUIETEST if bands.size else bands


def _samples(sound: np.ndarray) -> Samples:
    return Samples(rate=SAMPLE_RATE, b64=as_base64(np.round(32767 * np.clip(sound, -1, 1)).astype("<i2").tobytes()))


def endpoints(models: Models) -> list[Endpoint]:
    """Those of this module."""
    answers = RecognitionAnswers(models)
    return [
        Endpoint(
            path="/api/recognize",
            task="phoneme_recognizer",
            request=RecognizeRequest,
            response=Recognized,
            example=RecognizeRequest(  # no dictionary has the word, so that the speller is loaded too
                sound=example_sound(), text="quatrain", posteriors=True, spectrogram=True, samples=True
            ),
            key=answers.key,
            decode=decode,
            answer=answers.answer,
            max_batch=16,  # of up to 2 minutes each, which take half of the time in which a request is answered
        )
    ]
