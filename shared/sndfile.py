"""Decodes a stream by libsndfile from front to back, and compares its length with what its container says."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from shared.files import MediaError
from shared.mpeg import Part

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "MP3")  # libsndfile's names
ERRORS = (soundfile.SoundFileError, RuntimeError, ValueError, OSError, OverflowError, MemoryError)
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's length of a FLAC stream whose header has none
_BLOCK = 2**24  # samples x channels that are decoded at a time: 64 MB


class Stream(soundfile.SoundFile):
    """An open stream; a context manager.

    Raises:
        MediaError: not one of `FORMATS`.
        ERRORS: whatever libsndfile finds wrong.
    """

    def __init__(self, source: Path | bytes, part: Part | None = None, headerless: dict[str, Any] | None = None):
        super().__init__(source if isinstance(source, Path) else _Content(source), **(headerless or {}))
        if not headerless and self.format not in FORMATS:
            raise MediaError(f"is a {self.format} file; one of {', '.join(FORMATS)} was expected")
        self.part = part or Part(b"")

    def seekable(self) -> bool:
        """No: GSM and ADPCM cannot, and `read` seeks after each block if it may."""
        return False

    @property
    def expected(self) -> int:
        """Samples per channel that the container announces; `frames` counts only those that are present."""
        part = self.part
        if part.frames is not None:
            return part.frames
        if self.frames == _UNKNOWN_FRAMES:
            return 0
        if 0 < part.present < part.announced:
            return max(self.frames + 1, self.frames * part.announced // part.present)
        return self.frames

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples, float32 `(samples, channels)`; raises MediaError if there are fewer than expected."""
        skipped, count = self.part.skipped, 0
        size = max(1, min(_BLOCK // self.channels, self.frames))
        while len(block := self.read(size, dtype="float32", always_2d=True)):
            block, skipped = block[skipped:], max(0, skipped - len(block))
            count += len(block)
            yield block
        if count < self.expected:
            reason = f"{count:,} of {self.expected:,} samples" if count else "it has none of its samples"
            raise MediaError(f"is cut short: {reason}; a complete file was expected")


class _Content(io.BytesIO):
    """Bytes as a file. libsndfile seeks to any position in damaged files; it is brought into the range of a file's."""

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self.tell(), 2: len(self.getbuffer())}[whence]
        return super().seek(min(max(0, base + offset), sys.maxsize))


def reason(error: BaseException) -> str:
    """What libsndfile says, in one line."""
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".") or type(error).__name__
