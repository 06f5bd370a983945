"""Speech of a text by espeak-ng, where the extra `speech-synthesis` is installed; synthesized in a worker process."""

import base64
import functools
import io
import wave
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, StringConstraints

from shared.audio import SAMPLE_RATE, duration
from shared.errors import UserError
from tasks.serve.endpoint import Endpoint, Item, Request, Response
from tasks.serve.limits import MAX_SECONDS
from tasks.serve.models import Models

TASK = "phoneme_recognizer"  # it recognizes what is spoken
MAX_CHARACTERS = 300
VOICES = {"en": "en-us", "de": "de", "fr": "fr"}


class SpeakRequest(Request):
    """A text to speak, in its language."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]
    language: Literal["en", "de", "fr"] = "en"
    rate: Annotated[int, Field(ge=80, le=300)] = 150
    """Words per minute."""


class SpeakResponse(Response):
    b64: str
    """A WAV file of one channel, 16 bits, 16,000 Hz."""
    seconds: float


@functools.cache
def synthesizer() -> Any:
    """The engine of this process; raises UserError where it is not installed."""
    from datasets.speech import Synthesizer

    return Synthesizer()


def synthesize(request: SpeakRequest) -> np.ndarray:
    """The samples of a request, int16 `(samples,)`; raises UserError if there are none, or too many."""
    from datasets.speech import Request as Utterance

    voice = VOICES[request.language]
    samples = synthesizer().say(Utterance(request.text, voice, rate=request.rate, pitch=50, range=50))
    if not samples.any():
        raise UserError("text: nothing that can be spoken; words were expected")
    if len(samples) > MAX_SECONDS * SAMPLE_RATE:
        seconds = duration(len(samples) / SAMPLE_RATE)
        raise UserError(f"text: its speech lasts {seconds}, the limit is {duration(MAX_SECONDS)}")
    return samples


def wav(samples: np.ndarray) -> bytes:
    """A WAV file of int16 samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def endpoints(models: Models) -> list[Endpoint]:
    """The endpoint of speech; none where the engine is not installed."""
    del models
    from datasets.speech import CorpusError, check_engine

    try:
        check_engine()
    except CorpusError:
        return []
    return of_engine()


def of_engine() -> list[Endpoint]:
    """The endpoint, whether or not the engine is installed."""

    def answer(key: None, items: Sequence[Item]) -> list[SpeakResponse]:
        del key
        sounds = [item.decoded for item in items]
        return [SpeakResponse(b64=base64.b64encode(wav(x)).decode(), seconds=len(x) / SAMPLE_RATE) for x in sounds]

    return [
        Endpoint(
            path="/api/speak",
            task=TASK,
            request=SpeakRequest,
            response=SpeakResponse,
            example=SpeakRequest(text="A dog."),
            decode=synthesize,
            answer=answer,
        )
    ]
