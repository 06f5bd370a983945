"""Speech synthesis with espeak-ng: the samples of a text and the start and end of each phone.

The engine is an optional package (the extra `speech-synthesis`) under the GPL; it is called, never copied. It carries
noise and phase over to the next sentence, so a repeated sentence has other samples. A new process that synthesizes the
same sentences in the same order gives the same samples: the noise of breathy voices, which the engine seeds with the
time, is seeded with the request.
"""

import ctypes
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from datasets import CorpusError
from datasets.processes import process_pool
from datasets.records import as_int16
from shared.audio import SAMPLE_RATE, resampled
from shared.phones import SILENCE

ENGINE = "espeakng-loader 0.2.4"  # other versions produce other samples

# Voices of the engine: an accent of English and a speaker.
ACCENTS = ("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
SPEAKERS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Jacky", "Lee", "Marco", "Mario",
    "Michael", "Mike", "Nguyen", "Reed", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "david",
    "ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave", "ian", "iven", "john", "klatt",
    "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert",
    "sandro", "shelby", "steph", "travis", "victor", "whisper", "whisperf", "zac",
)  # fmt: skip

# The engine's phoneme names -> ARPAbet phones.
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
FIRST_FRACTION = 0.6  # of the duration of two phones that the engine times as one phoneme, that of the first
MIN_CLOSURE = 0.015  # minimum seconds of zero samples that are the closure of the next stop; shorter ones join a phone

_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1  # from espeak-ng's speak_lib.h
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_LIST, _PHONEME = 0, 7
_MARKS = re.compile("[;',%]")  # marks of stress and palatalization


class Request(NamedTuple):
    """A text to synthesize and its voice."""

    text: str
    voice: str  # "accent+speaker"
    rate: int  # words per minute
    pitch: int  # 0 to 100
    range: int  # of the pitch, 0 to 100


class Speech(NamedTuple):
    """A synthesized utterance."""

    samples: np.ndarray  # int16 `(samples,)` at SAMPLE_RATE
    phones: list[str]  # silences included
    starts: list[int]  # in samples, one per phone
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


class Synthesizer:
    """The engine, one per process; raises CorpusError if it is missing, of another version or does not start."""

    def __init__(self) -> None:
        check_engine()
        import espeakng_loader

        self._engine = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._engine.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if self._rate <= 0:
            raise CorpusError(f"espeak-ng does not start; its data path may be too long: {data.decode()}")
        self._pieces: list[np.ndarray] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)  # the engine holds no reference that Python counts
        self._engine.espeak_SetSynthCallback(self._callback)
        self._engine.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in events or ():
            if event.type == _END_OF_LIST:
                break
            name = _MARKS.sub("", event.id.string.split(b"\0")[0].decode("utf-8", "replace"))
            if event.type == _PHONEME and name not in ("", "?"):  # a lone mark or glottal stop prolongs the phone
                self._events.append((event.sample, name))
        return 0

    def synthesize(self, request: Request) -> Speech:
        """Synthesize a text; raises CorpusError for an unknown voice and for a phoneme that is not in `PHONES`."""
        self._speak(request)
        return align_phones(np.concatenate(self._pieces), self._events, self._rate)

    def say(self, request: Request) -> np.ndarray:
        """The samples alone, int16 `(samples,)` at SAMPLE_RATE, in any language; raises CorpusError as `synthesize`."""
        self._speak(request)
        samples = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        return as_int16(resampled(samples.astype(np.float32) / 32_768, self._rate))

    def _speak(self, request: Request) -> None:
        if self._engine.espeak_SetVoiceByName(request.voice.encode()):
            raise CorpusError(f"espeak-ng has no voice {request.voice}")
        for parameter, value in ((_RATE, request.rate), (_PITCH, request.pitch), (_RANGE, request.range)):
            self._engine.espeak_SetParameter(parameter, value, 0)
        self._engine.espeak_ng_SetRandSeed(zlib.crc32(repr(request).encode()))
        self._pieces, self._events = [], []
        text = request.text.encode()
        self._engine.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        self._engine.espeak_Synchronize()


def check_engine() -> None:
    """Raise CorpusError, with the command that installs the engine, unless its expected version is installed."""
    from importlib.metadata import PackageNotFoundError, version

    package, expected = ENGINE.split()
    try:
        installed = version(package)
    except PackageNotFoundError:
        installed = "none"
    if installed != expected:
        raise CorpusError(f"speech needs {ENGINE}, installed: {installed}; run: pip install -e '.[speech-synthesis]'")


def align_phones(samples: np.ndarray, events: Sequence[tuple[int, str]], rate: int) -> Speech:
    """Resample an utterance to SAMPLE_RATE and derive its phones from the engine's events.

    Args:
        samples: int16 `(samples,)` at `rate` Hz.
        events: Start of each phoneme, in samples, and the engine's name of it.
        rate: Sample rate in Hz.

    Returns:
        Contiguous phones from the first sample to the last. A phoneme ends where the next one starts; zero samples at
        its end are silence: a pause, or the closure of the next phone. A phoneme of zero samples alone, such as the "l"
        of "small", takes the end of the phone before it. Consecutive silences are merged.
    """
    spans: list[tuple[str, int, int]] = []
    for (start, name), (end, _) in zip([(0, "_"), *events], [*events, (len(samples), "_")], strict=True):
        nonzero = np.flatnonzero(samples[start:end])
        begin, sound_end = start, start + (int(nonzero[-1]) + 1 if len(nonzero) else 0)
        phones = _phones(name)
        if phones and sound_end == start and len(spans) > 1:
            spans.pop()  # the silence after the phone before
            previous, begin, sound_end = spans.pop()
            phones = (previous, *phones[:1])
        edges = [begin, sound_end]
        if len(phones) > 1:
            edges.insert(1, begin + round(FIRST_FRACTION * (sound_end - begin)))
        spans += zip(phones or (SILENCE,), edges, edges[1:], strict=False)
        spans.append((SILENCE, sound_end, end))
    merged: list[tuple[str, int, int]] = []
    for phone, start, end in spans:
        is_short = phone == SILENCE and end - start < MIN_CLOSURE * rate and end < len(samples)
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
    """Return the phones of an engine's phoneme name; none for a pause."""
    if name.startswith("_"):
        return ()
    if name not in PHONES:
        raise CorpusError(f"espeak-ng phoneme {name!r} has no ARPAbet phone in datasets.speech.PHONES")
    return PHONES[name]


def synthesize_all(requests: Iterable[Sequence[Request]]) -> Iterable[list[Speech]]:
    """Yield the utterances of each list of requests, in order; each list is synthesized in a process of its own."""
    check_engine()
    with process_pool(2, max_tasks_per_child=1) as pool:
        yield from pool.map(_synthesize, requests)


def _synthesize(requests: Sequence[Request]) -> list[Speech]:
    synthesizer = Synthesizer()
    return [synthesizer.synthesize(request) for request in requests]
