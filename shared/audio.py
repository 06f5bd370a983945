"""Sound from files that nobody vouches for, as samples of one rate, one channel, nothing cut short in silence."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from shared.files import Kind, MediaError

SAMPLE_RATE = 16_000  # Hz
MAX_SECONDS = 4 * 60 * 60  # 920 MB of samples
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "MP3")  # libsndfile's names
SOUNDS = Kind(
    name="a sound file",
    suffixes=frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".nist"}),
    max_bytes=2 * 1024**3,
    remedy="cut it into parts first",
)


def read_sound(source: Path | bytes) -> np.ndarray:
    """The samples of a sound file, or of the bytes of one: float32 `(samples,)` in -1..1, 16,000 a second.

    The content decides the format (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU, NIST SPHERE), never the name.
    Channels are averaged; other rates are resampled (soxr, high quality).

    Raises:
        MediaError: missing, a folder, unreadable, empty, no sound, damaged, shorter than its header says, longer than
            `MAX_SECONDS`, or holding values that are no numbers.
    """
    import soundfile

    content = source if isinstance(source, bytes) else SOUNDS.read(Path(source))
    if not content:
        raise MediaError("is empty (0 bytes); a sound file was expected")
    try:
        with soundfile.SoundFile(_Seekable(content)) as file:
            if file.format not in FORMATS:
                raise MediaError(f"is a {file.format} file; one of {', '.join(FORMATS)} was expected")
            rate, promised = file.samplerate, _promised(file, content)
            if promised > MAX_SECONDS * rate:
                hours = promised / rate / 3600
                raise MediaError(f"lasts {hours:.1f} hours, the limit is {MAX_SECONDS // 3600}; {SOUNDS.remedy}")
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"is not a sound file that can be read ({_reason(error)})") from None
    if len(samples) < promised:
        raise MediaError(f"is cut short: {len(samples):,} of {promised:,} samples; a complete file is needed")
    if not len(samples):
        raise MediaError("holds no samples; a sound file was expected")
    return resampled(samples.mean(axis=1), rate)


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples float32 `(any,)` of some rate in Hz, at `SAMPLE_RATE`.

    Raises:
        MediaError: a value is not finite.
    """
    if not np.isfinite(samples).all():
        place = int(np.argmin(np.isfinite(samples)))
        raise MediaError(f"holds {samples[place]} at {place / rate:.3f} s; finite samples were expected")
    if rate == SAMPLE_RATE:
        return samples
    import soxr

    return soxr.resample(samples, rate, SAMPLE_RATE)


class _Seekable(io.BytesIO):
    """Bytes as a file; libsndfile's reader of MP3 asks for places before the beginning, and goes on when told no."""

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self.tell(), 2: len(self.getbuffer())}[whence]
        return super().seek(max(0, base + offset))


# What libsndfile notes of a chunk that ends early: "data : 32000 (should be 15978)".
_CUT_CHUNK = re.compile(r": (\d+) \(should be (\d+)\)")
_UNCOUNTED = 2**63 - 1  # samples: what libsndfile says of a FLAC stream whose length was not known when it began
_UNKNOWN = 0x7FFF_0000  # bytes: so many, or more, stand for a length that was not known when a stream began


def _promised(file: Any, content: bytes) -> int:
    """How many samples of each channel the header tells of; libsndfile itself is content with those that are there."""
    if file.frames == _UNCOUNTED:
        raise MediaError("does not say how long it is, as FLAC from a pipe; let its encoder write a file, or pipe WAV")
    if file.format == "NIST":
        told = re.search(rb"sample_count -i (\d+)", content[:1024])
        return max(file.frames, int(told[1])) if told else file.frames
    promised = [file.frames]
    for told, there in (map(int, sizes) for sizes in _CUT_CHUNK.findall(file.extra_info)):
        if 0 < there < told < _UNKNOWN:
            promised.append(max(file.frames + 1, file.frames * told // there))
    return max(promised)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".") or type(error).__name__
