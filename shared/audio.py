"""Reads untrusted sound files as mono samples at one rate; a file that is cut short is an error."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shared import containers, ffmpeg, mpeg
from shared.files import FileKind, MediaError
from shared.mpeg import Part
from shared.quiet import standard_error_captured

SAMPLE_RATE = 16_000  # Hz
MAX_SECONDS = 4 * 60 * 60  # 920 MB of samples
MAX_PLAUSIBLE = 30 * 24 * 3600  # seconds; a header that says more is damaged
MAX_VALUES = 2**31  # samples x channels of a file; 4 hours at 48,000 Hz in three channels
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 1024  # libsndfile's limit
MAX_AMPLITUDE = 100.0  # 1 is full scale
CANCELLED = 0.1  # power of the mean of the channels, relative to that of channels that have nothing in common
CANCELLATION = "has channels of opposite phase, which cancel out in their mean; choose one, as with --channel 1"
SOUNDS = FileKind(
    name="a sound file",
    suffixes=frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".nist", *ffmpeg.SUFFIXES}
    ),
    max_bytes=2 * 1024**3,
    remedy="cut it into parts first",
)
HEADERLESS_SOUNDS = replace(SOUNDS, suffixes=frozenset({".raw", ".pcm", ".ul", ".al", ".ulaw", ".alaw"}))
ENCODINGS = {  # ffmpeg's name of an encoding: libsndfile's name, byte order, and bytes of a sample
    "s8": ("PCM_S8", "LITTLE", 1),
    "u8": ("PCM_U8", "LITTLE", 1),
    "s16le": ("PCM_16", "LITTLE", 2),
    "s16be": ("PCM_16", "BIG", 2),
    "s24le": ("PCM_24", "LITTLE", 3),
    "s24be": ("PCM_24", "BIG", 3),
    "s32le": ("PCM_32", "LITTLE", 4),
    "s32be": ("PCM_32", "BIG", 4),
    "f32le": ("FLOAT", "LITTLE", 4),
    "f32be": ("FLOAT", "BIG", 4),
    "f64le": ("DOUBLE", "LITTLE", 8),
    "f64be": ("DOUBLE", "BIG", 8),
    "mulaw": ("ULAW", "LITTLE", 1),
    "alaw": ("ALAW", "LITTLE", 1),
}


@dataclass(frozen=True)
class Headerless:
    """How samples without a header are encoded."""

    rate: int = SAMPLE_RATE
    """Hz."""
    channels: int = 1
    encoding: str = "s16le"
    """A key of `ENCODINGS`."""

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of each channel."""
        return self.channels * ENCODINGS[self.encoding][2]

    @property
    def in_sndfile(self) -> dict[str, Any]:
        """The same in libsndfile's words."""
        subtype, endian, _ = ENCODINGS[self.encoding]
        return {
            "format": "RAW", "subtype": subtype, "endian": endian, "samplerate": self.rate, "channels": self.channels
        }  # fmt: skip

    def decode(self, content: bytes) -> np.ndarray:
        """The samples, float32 `(samples, channels)`; an incomplete last one is left out."""
        from shared.sndfile import Stream

        whole = content[: len(content) // self.frame_size * self.frame_size]
        with Stream(whole, headerless=self.in_sndfile) as stream:
            return np.concatenate([np.zeros((0, self.channels), np.float32), *stream.blocks()])

    def check(self, content: bytes) -> None:
        """Raises MediaError for a file that has a header, or ends within a sample."""
        kind = ffmpeg.demuxer(content)
        if containers.has_header(content) or (kind and kind[0] != "aac"):  # AAC starts with bytes that samples may have
            raise MediaError("has a header that says how it is encoded; --rate is for files without")
        if rest := len(content) % self.frame_size:
            expected = f"a multiple of {self.frame_size} bytes ({self.encoding}, {self.channels} channels) was expected"
            raise MediaError(f"has {len(content):,} bytes, {rest} behind the last whole sample; {expected}")


def read_sound(source: Path | bytes, channel: int | None = None, headerless: Headerless | None = None) -> np.ndarray:
    """Return the samples of a sound file, given by path or content, at `SAMPLE_RATE`: float32 `(samples,)` in -1..1.

    The format (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU, NIST SPHERE; by `ffmpeg` MPEG-4, AAC, WebM, AMR, Windows
    Media) is detected from the content, not the name. Other sample rates are resampled (soxr, high quality).

    Args:
        channel: the channel to return, from 1; by default their mean.
        headerless: the encoding of a file that has no header.

    Raises:
        MediaError: the file is missing, a folder, unreadable, empty, not a sound file, damaged, shorter than its header
            says, longer than `MAX_SECONDS` or `MAX_VALUES`, has a rate that is not in `MIN_RATE`..`MAX_RATE`, lacks the
            channel, has channels that cancel out, or holds values that are not finite or above `MAX_AMPLITUDE`.
    """
    content = source if isinstance(source, bytes) else SOUNDS.read(Path(source))
    if not content:
        raise MediaError("is empty (0 bytes); a sound file was expected")
    kind = None if headerless else ffmpeg.demuxer(content)
    if kind:
        name = "FILE" if isinstance(source, bytes) else str(source)
        with tempfile.TemporaryDirectory(prefix="quatrain-") as folder:
            decoded = ffmpeg.decode(content, kind, name, Path(folder), 2 * MAX_VALUES, MAX_SECONDS)
            sounds = [_read(decoded, channel)]
    elif headerless:
        headerless.check(content)
        sounds = [_read(content, channel, headerless=headerless)]
    else:
        sounds = []
        for part in containers.parts(content):
            sounds.append(_read(part.content, channel, part))
            _check_length(sum(map(len, sounds)), SAMPLE_RATE)
    samples = sounds[0] if len(sounds) == 1 else np.concatenate([np.zeros(0, np.float32), *sounds])
    if not len(samples):
        raise MediaError("holds no samples; a sound file was expected")
    return samples


def _read(
    source: Path | bytes, channel: int | None, part: Part | None = None, headerless: Headerless | None = None
) -> np.ndarray:
    """Decode a stream block by block, so that memory holds the result and one block."""
    from shared import sndfile

    is_mpeg = part is not None and mpeg.is_frame(part.content)  # its decoder writes to standard error
    try:
        with (
            standard_error_captured() if is_mpeg else nullcontext([]) as lines,
            sndfile.Stream(source, part, headerless.in_sndfile if headerless else None) as stream,
        ):
            rate, channels = stream.samplerate, stream.channels
            mono = Mono(rate, channels, channel)
            _check_length(stream.expected, rate, channels)
            pieces = []
            for block in stream.blocks():
                pieces.append(mono.feed(block))
                _check_length(mono.frames, rate, channels)
    except MediaError:
        raise
    except sndfile.ERRORS as error:
        raise MediaError(f"is not a sound file that can be read ({sndfile.reason(error)})") from None
    if errors := [line for line in lines if b"error:" in line]:
        reason = errors[0].decode("utf-8", "replace").partition("error:")[2].strip()
        raise MediaError(f"is damaged ({reason}); a file without errors was expected")
    rest = mono.feed(np.zeros((0, channels), np.float32), is_last=True)
    if mono.has_cancelled:
        raise MediaError(CANCELLATION)
    return pieces[0] if len(pieces) == 1 and not len(rest) else np.concatenate([*pieces, rest])


def _check_length(frames: int, rate: int, channels: int = 1) -> None:
    if frames > MAX_SECONDS * rate:
        lasts = frames / rate
        if lasts > MAX_PLAUSIBLE:
            raise MediaError(f"has a header that says {frames:,} samples, more than a sound has; it is damaged")
        shown, limit = duration(lasts), duration(MAX_SECONDS)
        shown = shown if shown != limit else f"{lasts:,.1f} s"
        raise MediaError(f"lasts {shown}, the limit is {limit}; {SOUNDS.remedy}")
    if frames * channels > MAX_VALUES:
        raise MediaError(f"has {frames:,} samples in {channels} channels, the limit is {MAX_VALUES:,}; {SOUNDS.remedy}")


def duration(seconds: float) -> str:
    """A duration in the unit that suits it, such as 38 s, 12.5 minutes or 4 hours."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            number = f"{seconds / size:,.1f}".removesuffix(".0")
            return f"{number} {unit if number != '1' else unit[:-1]}"
    number = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0")
    return f"{number} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


class Mono:
    """Turns blocks of samples into one channel at `SAMPLE_RATE`; the size of the blocks does not change the result.

    Raises:
        MediaError: the rate is not in `MIN_RATE`..`MAX_RATE`, or there is no such channel.
    """

    def __init__(self, rate: int, channels: int = 1, channel: int | None = None):
        if not MIN_RATE <= rate <= MAX_RATE:
            raise MediaError(f"has a sample rate of {rate:,} Hz; {MIN_RATE:,} to {MAX_RATE:,} Hz was expected")
        if channel is not None and not 1 <= channel <= channels:
            has = "1 channel" if channels == 1 else f"{channels} channels"
            raise MediaError(f"has {has}, so there is no channel {channel}")
        self.rate, self.channel = rate, channel
        self.frames = 0  # so far
        self._power = self._mean_power = 0.0
        self._resampler = None
        if rate != SAMPLE_RATE:
            import soxr

            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def feed(self, block: np.ndarray, is_last: bool = False) -> np.ndarray:
        """float32 `(samples, channels)` -> float32 `(samples,)`.

        Raises:
            MediaError: a value is not finite, or is above `MAX_AMPLITUDE`.
        """
        if self.channel is not None or block.shape[1] == 1:
            samples = np.ascontiguousarray(block[:, (self.channel or 1) - 1])
            self._check(samples)
        else:
            with np.errstate(all="ignore"):
                samples = block.mean(axis=1)
                self._check(samples)
                self._power += float(np.vdot(block, block)) / block.shape[1] ** 2  # of the mean of independent channels
                self._mean_power += float(np.vdot(samples, samples))
        self.frames += len(samples)
        return samples if self._resampler is None else self._resampler.resample_chunk(samples, last=is_last)

    @property
    def has_cancelled(self) -> bool:
        """Whether the mean of the channels is much weaker than they are: one is the inverse of the other."""
        return self._mean_power < CANCELLED * self._power

    def _check(self, samples: np.ndarray) -> None:
        if not len(samples) or max(samples.max(), -samples.min()) <= MAX_AMPLITUDE:  # False for NaN
            return
        index = int(np.argmin(np.abs(samples) <= MAX_AMPLITUDE))
        value, expected = samples[index], "finite samples were expected"
        if np.isfinite(value):
            expected = f"samples from -1 to 1 were expected, {MAX_AMPLITUDE:.0f} at most; scale them first"
        raise MediaError(f"holds {value:g} at {(self.frames + index) / self.rate:.3f} s; {expected}")


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample float32 `(samples,)` from `rate` Hz to `SAMPLE_RATE`; raises MediaError as `Mono` does."""
    return Mono(rate).feed(samples[:, None], is_last=True)


def pad_samples(sounds: Sequence[np.ndarray], size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Zero-pad sounds `(samples,)` to float32 `(batch, samples)`; also return their lengths, int32 `(batch,)`.

    `size` is the number of samples of the result, by default that of the longest sound.
    """
    lengths = np.array([len(sound) for sound in sounds], np.int32)
    samples = np.zeros((len(sounds), int(lengths.max()) if size is None else size), np.float32)
    for row, sound in zip(samples, sounds, strict=True):
        row[: len(sound)] = sound
    return samples, lengths
