"""MPEG audio: frames are counted, so that files without a header frame are read to their end and cuts are noticed."""

import io
import struct

import numpy as np
import pytest
import soundfile

from shared import mpeg
from shared.audio import SAMPLE_RATE, read_sound
from shared.files import MediaError

SECONDS = 3
# Loud noise behind silence: with a variable bitrate the first frames are much smaller than the others.
SOUND = np.random.default_rng(0).normal(size=SECONDS * SAMPLE_RATE).astype(np.float32) / 5
SOUND[: SAMPLE_RATE // 2] = 0


def encoded(mode: str, samples: np.ndarray = SOUND, rate: int = SAMPLE_RATE) -> bytes:
    """An MP3 file of a constant or variable bitrate with a header frame (Xing or Info)."""
    file = io.BytesIO()
    options = {"bitrate_mode": mode, "compression_level": 0.5}
    soundfile.write(file, samples, rate, format="MP3", subtype="MPEG_LAYER_III", **options)
    return file.getvalue()


def edges(content: bytes) -> list[int]:
    """Starts of the frames, and the end of the last, by the sizes in Layer III's table for MPEG 2."""
    found = [0]
    rates = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    while found[-1] < len(content):
        header = content[found[-1] + 2]
        found.append(found[-1] + 72_000 * rates[(header >> 4) - 1] // SAMPLE_RATE + (header >> 1 & 1))
    return found


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_a_file_without_a_header_frame_is_read_to_its_end(mode):
    content = encoded(mode)
    _, start, *_ = edges(content)
    frames = len(edges(content)) - 2
    samples = read_sound(content[start:])
    assert len(samples) == 576 * frames > len(SOUND)  # the header frame counts those that are padding
    delay = len(samples) - len(SOUND)
    at = max(range(delay), key=lambda i: float(np.dot(samples[i : i + 40_000], SOUND[:40_000])))
    assert np.corrcoef(samples[at : at + 40_000], SOUND[:40_000])[0, 1] > 0.8
    np.testing.assert_allclose(samples[at : at + 40_000], read_sound(content)[:40_000], atol=1e-4)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_a_cut_within_a_frame_is_noticed(mode):
    content = encoded(mode)
    start = edges(content)[1]
    for whole in (content, content[start:]):
        for length in [len(whole) * i // 40 + 1 for i in range(40)] + [len(whole) - 1, len(whole) - 4]:
            with pytest.raises(MediaError):
                read_sound(whole[:length])
    *_, last, _ = edges(content)
    with pytest.raises(
        MediaError, match=rf"is cut short: {len(edges(content)) - 3} of {len(edges(content)) - 2} frames"
    ):
        read_sound(content[:last])


def test_tags_before_between_and_behind_are_skipped():
    content = encoded("VARIABLE")
    id3 = b"ID3\3\0\x10\0\0\1\2" + bytes(130) + b"3DI\3\0\x10\0\0\1\2"  # 130 bytes and a footer
    ape = b"APETAGEX" + struct.pack("<IIIIQ", 2000, 32 + 5, 1, 1 << 31 | 1 << 29, 0) + bytes(5)
    ape += b"APETAGEX" + struct.pack("<IIIIQ", 2000, 32 + 5, 1, 1 << 31, 0)
    lyrics = b"LYRICSBEGININD0000200000017LYRICS200"
    tail = ape + lyrics + b"TAG".ljust(128, b"x")
    expected = read_sound(content)
    np.testing.assert_array_equal(read_sound(id3 + content + tail), expected)
    np.testing.assert_array_equal(read_sound(content + id3 + content + tail), np.tile(expected, 2))
    np.testing.assert_array_equal(read_sound(content + bytes(1000)), expected)  # some writers fill blocks


def test_bytes_between_frames_that_are_no_frames_are_damage():
    content = encoded("CONSTANT")
    middle = edges(content)[20]
    with pytest.raises(MediaError, match=rf"is damaged: 9 bytes at byte {middle:,} are not MPEG audio"):
        read_sound(content[:middle] + bytes(9) + content[middle:])


@pytest.mark.parametrize(
    ("header", "size", "samples"),
    [
        ("fffb9064", 417, 1152),  # MPEG 1, layer III, 128 kbit/s, 44,100 Hz: 144 x 128,000 / 44,100
        ("fffb9264", 418, 1152),  # with padding
        ("fff384c4", 192, 576),  # MPEG 2, layer III, 64 kbit/s, 24,000 Hz: 72 x 64,000 / 24,000
        ("ffe318c4", 72, 576),  # MPEG 2.5, layer III, 8 kbit/s, 8,000 Hz
        ("fffd8404", 384, 1152),  # MPEG 1, layer II, 128 kbit/s, 48,000 Hz: 144 x 128,000 / 48,000
        ("ffff9604", 292, 384),  # MPEG 1, layer I, 288 kbit/s, 48,000 Hz: 4 x (12 x 288,000 / 48,000 + padding)
    ],
)
def test_sizes_of_frames(header, size, samples):
    frame = bytes.fromhex(header) + bytes(size - 4)
    (part,) = mpeg.parts(frame * 3)
    assert part.frames == 3 * samples
    assert part.skipped == samples  # of the silent frame in front
    assert part.content.endswith(frame * 3)
    with pytest.raises(MediaError, match="is cut short: its last frame is incomplete"):
        mpeg.parts((frame * 3)[:-1])


def test_free_format_needs_a_header_frame():
    header = bytes.fromhex("fffb0064")
    frame = header + bytes(600 - 4)
    with pytest.raises(MediaError, match=r"is MP3 in free format without a header frame; convert it: lame --decode"):
        read_sound(frame * 5)
    assert mpeg.is_frame(frame)
