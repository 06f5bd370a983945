"""Reads untrusted sound files as mono samples at one rate; a truncated file is an error."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.files import FileKind, MediaError

SAMPLE_RATE = 16_000  # Hz
MAX_SECONDS = 4 * 60 * 60  # 920 MB of samples
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "MP3")  # libsndfile's names
SOUNDS = FileKind(
    name="a sound file",
    suffixes=frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".nist"}),
    max_bytes=2 * 1024**3,
    remedy="cut it into parts first",
)


def read_sound(source: Path | bytes) -> np.ndarray:
    """Return the samples of a sound file, given by path or content, at `SAMPLE_RATE`: float32 `(samples,)` in -1..1.

    The format (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU, NIST SPHERE) is detected from the content, not the name.
    Channels are averaged. Other sample rates are resampled (soxr, high quality).

    Raises:
        MediaError: the file is missing, a folder, unreadable, empty, not a sound file, damaged, shorter than its header
            says, longer than `MAX_SECONDS`, or holds values that are not finite.
    """
    import soundfile

    content = source if isinstance(source, bytes) else SOUNDS.read(Path(source))
    if not content:
        raise MediaError("is empty (0 bytes); a sound file was expected")
    try:
        with soundfile.SoundFile(_Seekable(content)) as file:
            if file.format not in FORMATS:
                raise MediaError(f"is a {file.format} file; one of {', '.join(FORMATS)} was expected")
            rate, expected = file.samplerate, _expected_samples(file, content)
            if expected > MAX_SECONDS * rate:
                hours = expected / rate / 3600
                raise MediaError(f"lasts {hours:.1f} hours, the limit is {MAX_SECONDS // 3600}; {SOUNDS.remedy}")
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"is not a sound file that can be read ({_reason(error)})") from None
    if len(samples) < expected:
        raise MediaError(f"is cut short: {len(samples):,} of {expected:,} samples; a complete file was expected")
    if not len(samples):
        raise MediaError("holds no samples; a sound file was expected")
    return resampled(samples.mean(axis=1), rate)


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample float32 `(samples,)` from `rate` Hz to `SAMPLE_RATE`.

    Raises:
        MediaError: a value is not finite.
    """
    if not np.isfinite(samples).all():
        index = int(np.argmin(np.isfinite(samples)))
        raise MediaError(f"holds {samples[index]} at {index / rate:.3f} s; finite samples were expected")
    if rate == SAMPLE_RATE:
        return samples
    import soxr

    return soxr.resample(samples, rate, SAMPLE_RATE)


def pad_samples(sounds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Zero-pad sounds `(samples,)` to float32 `(batch, samples)`; also return their lengths, int32 `(batch,)`."""
    lengths = np.array([len(sound) for sound in sounds], np.int32)
    samples = np.zeros((len(sounds), int(lengths.max())), np.float32)
    for row, sound in zip(samples, sounds, strict=True):
        row[: len(sound)] = sound
    return samples, lengths


class _Seekable(io.BytesIO):
    """Bytes as a file. libsndfile's MP3 reader seeks to negative positions; they are clipped to 0."""

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self.tell(), 2: len(self.getbuffer())}[whence]
        return super().seek(max(0, base + offset))


_TRUNCATED_CHUNK = re.compile(r": (\d+) \(should be (\d+)\)")  # in libsndfile's log: "data : 32000 (should be 15978)"
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's length of a FLAC stream whose header has none
_UNKNOWN_BYTES = 0x7FFF_0000  # a chunk size of at least this marks a stream of unknown length


def _expected_samples(file: Any, content: bytes) -> int:
    """The samples per channel that the header announces; `file.frames` counts only those that are present."""
    if file.frames == _UNKNOWN_FRAMES:
        raise MediaError("is FLAC without a length, as written to a pipe; write FLAC to a file, or pipe WAV")
    if file.format == "NIST":
        header = re.search(rb"sample_count -i (\d+)", content[:1024])
        return max(file.frames, int(header[1])) if header else file.frames
    expected = [file.frames]
    for announced, present in (map(int, sizes) for sizes in _TRUNCATED_CHUNK.findall(file.extra_info)):
        if 0 < present < announced < _UNKNOWN_BYTES:
            expected.append(max(file.frames + 1, file.frames * announced // present))
    return max(expected)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".") or type(error).__name__
