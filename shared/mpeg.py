"""Counts the frames of MPEG audio (versions 1, 2 and 2.5, layers I to III), which is what an MP3 file is.

Without a header frame (Xing, Info) a decoder guesses the length from the size of the first frame. Here each frame is
visited, so a file of a variable bitrate is read to its end, and a file that is cut in a frame is noticed.
"""

import re
import struct
from itertools import pairwise
from typing import NamedTuple

from shared.files import MediaError


class Part(NamedTuple):
    """One stream for the decoder, and what its container says about it."""

    content: bytes
    present: int = 1
    """Bytes of samples in the file, of which `announced` were expected."""
    announced: int = 1
    frames: int | None = None
    """Samples per channel, where the decoder would have to guess."""
    skipped: int = 0
    """Samples per channel at the start that do not belong to the sound."""


def cut_short(reason: str) -> MediaError:
    return MediaError(f"is cut short: {reason}; a complete file was expected")


_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_BITRATES = {  # kbit/s, by whether the version is 1, and by layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MAX_JUNK = 65_536  # bytes before the first frame


class _Frame(NamedTuple):
    start: int
    end: int
    kind: tuple[int, int, int]  # version, layer, rate; equal in all frames of a stream
    is_mono: bool
    samples: int  # per channel


def _frame(content: bytes, start: int, free: int | None = None) -> _Frame | None:
    """The frame at a position, by its header; `free` is the size of frames of free format, without padding."""
    header = int.from_bytes(content[start : start + 4], "big") if start + 4 <= len(content) else 0
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)  # version 3 is MPEG 1, 2 is 2, 0 is 2.5
    bitrate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate == 15 or rate == 3:
        return None
    is_first = version == 3
    hertz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = {1: 384, 2: 1152, 3: 1152 if is_first else 576}[layer]
    slot = 4 if layer == 1 else 1
    if bitrate:
        size = (samples // 8 * 1000 * _BITRATES[is_first, layer][bitrate - 1] // hertz // slot + padding) * slot
    elif free is not None:
        size = free + padding * slot
    else:
        return None
    return _Frame(start, start + size, (version, layer, hertz), header >> 6 & 3 == 3, samples)


def is_frame(content: bytes) -> bool:
    """Whether content starts like a frame of MPEG audio."""
    return _frame(content, 0, free=0) is not None


def parts(content: bytes) -> list[Part]:
    """The streams of a file: a new one starts at each header frame, and where version, layer or rate change.

    Raises:
        MediaError: the file is cut short or damaged.
    """
    position, free = _first_frame(content)
    streams: list[list[_Frame]] = [[]]
    while position < len(content):
        frame = _frame(content, position, free)
        if frame is None:
            following = after_tags(content, position)
            if following == position:
                break
            position = following
            continue
        if frame.end > len(content):
            raise cut_short("its last frame is incomplete")
        if streams[-1] and (frame.kind != streams[-1][-1].kind or _header(content, frame)):
            streams.append([])
        streams[-1].append(frame)
        position = frame.end
    rest = content[position : position + 4]
    if rest.startswith(b"\xff") and len(rest) < 4:
        raise cut_short("its last frame is incomplete")
    if rest and (found := _next_frame(content, position, free)) is not None:
        raise MediaError(f"is damaged: {found - position:,} bytes at byte {position:,} are not MPEG audio")
    return [part for frames in streams for part in _part(content, frames, free is None)]


def _first_frame(content: bytes) -> tuple[int, int | None]:
    """The position of the first frame; in free format, also the size of frames without padding."""
    position = after_tags(content, 0)
    header = _frame(content, position, free=0)
    if header and _frame(content, position) is None:  # the size is the distance to the next header
        for match in _SYNC.finditer(content, position + 24, position + _MAX_JUNK):
            free = match.start() - header.end
            frame = _frame(content, position, free)
            if frame and _is_followed(content, frame, free):
                return position, free
    if (found := _next_frame(content, position)) is None:
        raise MediaError("is not a sound file that can be read (no two frames of MPEG audio follow each other)")
    return found, None


def _next_frame(content: bytes, position: int, free: int | None = None) -> int | None:
    """The position of the first frame that is followed by another one, a tag, or the end of the file."""
    for match in _SYNC.finditer(content, position, position + _MAX_JUNK):
        frame = _frame(content, match.start(), free)
        if frame and _is_followed(content, frame, free):
            return frame.start
    return None


def _is_followed(content: bytes, frame: _Frame, free: int | None) -> bool:
    after = _frame(content, frame.end, free)
    if after is None:
        return frame.end == len(content) or after_tags(content, frame.end) > frame.end
    return after.kind == frame.kind


def after_tags(content: bytes, position: int) -> int:
    """The position after tags (ID3, APE, Lyrics3), or the same position."""
    before = -1
    while before < position < len(content):
        before = position
        if content.startswith(b"ID3", position) and position + 10 <= len(content):
            size = 0
            for byte in content[position + 6 : position + 10]:  # 7 bits each
                size = size << 7 | byte & 0x7F
            position += 10 + size + (10 if content[position + 5] & 0x10 else 0)
        elif content.startswith(b"TAG", position):
            position += 227 if content.startswith(b"TAG+", position) else 128
        elif content.startswith(b"APETAGEX", position) and position + 32 <= len(content):
            size, _, flags = struct.unpack_from("<III", content, position + 12)
            position += 32 + (size if flags & 1 << 29 else 0)  # of the header; the size counts the footer
        elif content.startswith(b"LYRICSBEGIN", position):
            end = content.find(b"LYRICS200", position, position + 2**20)  # at most 999,999 bytes
            position = end + 9 if end >= 0 else position
    return min(position, len(content))


class _Header(NamedTuple):
    name: bytes
    count: int | None  # of the frames behind it


def _header(content: bytes, frame: _Frame) -> _Header | None:
    """What a header frame says about the frames behind it; None for other frames."""
    if frame.kind[1] != 3:
        return None
    is_first = frame.kind[0] == 3
    tag = frame.start + 4 + ((17 if frame.is_mono else 32) if is_first else (9 if frame.is_mono else 17))
    if content.startswith((b"Xing", b"Info"), tag) and tag + 12 <= frame.end:
        flags, count = struct.unpack_from(">II", content, tag + 4)
        return _Header(content[tag : tag + 4], count if flags & 1 and count else None)
    if content.startswith(b"VBRI", frame.start + 36) and frame.start + 54 <= frame.end:
        return _Header(b"VBRI", int.from_bytes(content[frame.start + 50 : frame.start + 54], "big"))
    return None


def _part(content: bytes, frames: list[_Frame], is_counted: bool) -> list[Part]:
    """The part of a stream for the decoder, empty if it has no frames."""
    header = _header(content, frames[0])
    behind = frames[1:] if header else frames
    if header and header.count and header.count > len(behind) + (header.name == b"VBRI"):
        raise cut_short(f"{len(behind):,} of {header.count:,} frames")
    if not behind:
        return []
    if header and header.name != b"VBRI" and header.count == len(behind):
        return [Part(_joined(content, frames))]
    if not is_counted:
        raise MediaError("is MP3 in free format without a header frame; convert it: lame --decode FILE.mp3 FILE.wav")
    # The decoder guesses. A silent frame of the lowest bitrate in front keeps the guess from being too low.
    start = behind[0].start
    head = bytes([0xFF, content[start + 1] | 1, 0x10 | content[start + 2] & 0x0C, content[start + 3]])
    silent = _frame(head, 0)
    size = silent.end if silent else 0
    count, samples = len(behind), behind[0].samples
    return [Part(head + bytes(size - 4) + _joined(content, behind), frames=count * samples, skipped=samples)]


def _joined(content: bytes, frames: list[_Frame]) -> bytes:
    """The bytes of frames, without the tags between them."""
    if all(a.end == b.start for a, b in pairwise(frames)):
        return content[frames[0].start : frames[-1].end]
    return b"".join(content[frame.start : frame.end] for frame in frames)
