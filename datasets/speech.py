"""A speaker: espeak-ng, loaded when it is asked for, says a text and tells what it said when.

The engine is an optional package of its own (the extra `speech-synthesis`), under the GPL: it is called, never copied.
It keeps noise and phase from one sentence to the next, so the same sentence sounds otherwise the second time: whoever
wants the same bytes again says the same sentences in the same order in a fresh process (`say_all`).
"""

import ctypes
import multiprocessing
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from datasets import CorpusError
from datasets.records import as_int16
from shared.audio import SAMPLE_RATE, resampled
from shared.phones import SILENCE

ENGINE = "espeakng-loader 0.2.4"  # another version speaks otherwise

# Voices of the engine: how English is spoken where, and who speaks.
ACCENTS = ("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
SPEAKERS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Jacky", "Lee", "Marco", "Mario",
    "Michael", "Mike", "Nguyen", "Reed", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "david",
    "ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave", "ian", "iven", "john", "klatt",
    "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert",
    "sandro", "shelby", "steph", "travis", "victor", "whisper", "whisperf", "zac",
)  # fmt: skip

# The engine's names of phonemes in ours.
PHONES = {
    **{name: (name,) for name in ("p", "b", "t", "d", "k", "g", "f", "v", "s", "z", "m", "n", "l", "r", "w")},
    "t#": ("dx",), "t2": ("t",), "t[": ("t",), "w#": ("w",), "tS": ("ch",), "dZ": ("jh",),
    "S": ("sh",), "Z": ("zh",), "T": ("th",), "D": ("dh",), "h": ("hh",), "N": ("ng",), "j": ("y",), "x": ("k",),
    "r-": ("r",), "n-": ("n",),
    "i": ("iy",), "i:": ("iy",), "I": ("ih",), "I2": ("ih",), "I#": ("ih",), "E": ("eh",), "a": ("ae",), "aa": ("ae",),
    "0": ("aa",), "A:": ("aa",), "O:": ("ao",), "O2": ("ao",), "O": ("ao",), "V": ("ah",), "@": ("ah",), "a#": ("ah",),
    "@-": ("ah",), "@2": ("ah",), "@5": ("ah",), "U": ("uh",), "u": ("uw",), "u:": ("uw",), "3": ("er",), "3:": ("er",),
    "eI": ("ey",), "aI": ("ay",), "aI2": ("ay",), "OI": ("oy",), "aU": ("aw",), "oU": ("ow",),
    "A@": ("aa", "r"), "O@": ("ao", "r"), "o@": ("ao", "r"), "e@": ("eh", "r"), "i@3": ("ih", "r"), "U@": ("uh", "r"),
    "IR": ("ih", "r"), "VR": ("ah", "r"), "i@": ("iy", "ah"), "aI3": ("ay", "er"), "aI@": ("ay", "ah"),
    "@L": ("ah", "l"),
}  # fmt: skip
FIRST_SHARE = 0.6  # of the time of two phones that the engine has times for together
CLOSURE = 0.015  # seconds of perfect silence within a phoneme that are the closure of the stop that follows

_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1  # of the engine's speak_lib.h
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_LIST, _PHONEME = 0, 7
_UNSTRESSED = re.compile("[;',%]")  # marks of stress, and of a palate


class Request(NamedTuple):
    """What to say and how."""

    text: str
    voice: str  # an accent, +, a speaker
    rate: int  # words a minute
    pitch: int  # 0 to 100, as is the next
    range: int


class Speech(NamedTuple):
    """What was said: int16 samples at `SAMPLE_RATE`, and phones, silences among them, from sample to sample."""

    samples: np.ndarray
    phones: list[str]
    starts: list[int]
    ends: list[int]


class _Value(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Value),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """The engine; one to a process."""

    def __init__(self) -> None:
        """CorpusError: the engine is not installed, is another version, or does not start."""
        check_engine()
        import espeakng_loader

        self._engine = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._engine.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if self._rate <= 0:
            raise CorpusError("espeak-ng does not start; the path of its data may be too long for it")
        self._pieces: list[np.ndarray] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)  # kept, or it would be collected while the engine holds it
        self._engine.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, count, events) -> int:
        if samples and count:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in events or ():
            if event.type == _END_OF_LIST:
                break
            name = _UNSTRESSED.sub("", event.id.string.split(b"\0")[0].decode("utf-8", "replace"))
            if event.type == _PHONEME and name not in ("", "?"):  # a mark alone, a glottal stop: what was, goes on
                self._events.append((event.sample, name))
        return 0

    def say(self, request: Request) -> Speech:
        """CorpusError: there is no such voice, or the engine says a phoneme that `PHONES` lacks."""
        if self._engine.espeak_SetVoiceByName(request.voice.encode()):
            raise CorpusError(f"espeak-ng has no voice {request.voice}")
        for parameter, value in ((_RATE, request.rate), (_PITCH, request.pitch), (_RANGE, request.range)):
            self._engine.espeak_SetParameter(parameter, value, 0)
        self._pieces, self._events = [], []
        text = request.text.encode()
        self._engine.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        self._engine.espeak_Synchronize()
        return timed(np.concatenate(self._pieces), self._events, self._rate)


def check_engine() -> None:
    """CorpusError, with the way to get it, unless the engine is there."""
    from importlib.metadata import PackageNotFoundError, version

    package, wanted = ENGINE.split()
    try:
        found = version(package)
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise CorpusError(
            f"the spoken corpora need {ENGINE} (found: {found}); get it with: pip install '.[speech-synthesis]'"
        )


def timed(samples: np.ndarray, events: Sequence[tuple[int, str]], rate: int) -> Speech:
    """The phones of an utterance from the engine's events.

    Args:
        samples: int16 `(samples,)` at `rate` Hz.
        events: when each phoneme begins, in samples, with the engine's name of it.
        rate: in Hz.

    Returns:
        Phones that follow on one another from the first sample to the last. What an event begins ends with the next
        one, or is the end of what was before, if nothing of it is heard afterwards. Perfect silence at its end is the
        closure of the next or a pause; silences in a row are one.
    """
    spans: list[tuple[str, int, int]] = []
    for (start, name), (end, _) in zip([(0, "_"), *events], [*events, (len(samples), "_")], strict=True):
        sounding = np.flatnonzero(samples[start:end])
        quiet = start + (int(sounding[-1]) + 1 if len(sounding) else 0)  # from where on it is
        phones, begin = _phones(name), start
        if phones and quiet == start and len(spans) > 1:  # it has sounded already: the "l" of "small"
            spans.pop()
            before, *turns = spans.pop()
            phones, begin, quiet = (before, *phones[:1]), *turns
        turns = [begin, quiet] if len(phones) < 2 else [begin, begin + round(FIRST_SHARE * (quiet - begin)), quiet]
        spans += zip(phones or (SILENCE,), turns, turns[1:], strict=False)
        spans.append((SILENCE, quiet, end))
    merged: list[tuple[str, int, int]] = []
    for phone, start, end in spans:
        is_short = phone == SILENCE and end - start < CLOSURE * rate and end < len(samples)
        if merged and (is_short or phone == SILENCE == merged[-1][0]):
            merged[-1] = (merged[-1][0], merged[-1][1], end)
        elif end > start:
            merged.append((phone, start, end))
    phones, starts, ends = zip(*merged, strict=True)
    scale = SAMPLE_RATE / rate
    return Speech(
        as_int16(resampled(samples.astype(np.float32) / 32_768, rate)),
        list(phones),
        [round(start * scale) for start in starts],
        [round(end * scale) for end in ends],
    )


def _phones(name: str) -> tuple[str, ...]:
    """Ours for a name of the engine's; none for a pause."""
    if name.startswith("_"):
        return ()
    if name not in PHONES:
        raise CorpusError(f"espeak-ng says {name!r}, which is no phoneme of English that is known")
    return PHONES[name]


def say_all(requests: Iterable[Sequence[Request]]) -> Iterable[list[Speech]]:
    """Speeches of each list of requests, in order, each list said in a process of its own."""
    check_engine()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=1) as pool:
        yield from pool.map(_say, requests)


def _say(requests: Sequence[Request]) -> list[Speech]:
    speaker = Speaker()
    return [speaker.say(request) for request in requests]
