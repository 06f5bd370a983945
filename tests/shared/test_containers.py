"""Containers: a file that is cut anywhere gives an error or all samples; joined files are read to the end."""

import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile

from shared import audio
from shared.audio import SAMPLE_RATE, read_sound
from shared.containers import parts
from shared.files import MediaError

RNG = np.random.default_rng(0)
SOUND = (0.3 * np.sin(0.2 * np.arange(9_000)) + 0.05 * RNG.normal(size=9_000)).astype(np.float32)
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "MP3")
UNWRITABLE = {("AIFF", "DWVW_12"), ("MP3", "MPEG_LAYER_I"), ("MP3", "MPEG_LAYER_II"), ("WAV", "MPEG_LAYER_III")}
KINDS = {(name, subtype) for name in FORMATS for subtype in soundfile.available_subtypes(name)}


def encoded(samples: np.ndarray = SOUND, kind=("WAV", "PCM_16"), rate: int = SAMPLE_RATE, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind[0], subtype=kind[1], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", sorted(KINDS - UNWRITABLE))
def test_a_file_cut_anywhere_is_an_error_or_has_all_samples(kind):
    content = encoded(kind=kind)
    whole = read_sound(content)
    assert len(SOUND) <= len(whole) <= len(SOUND) + 600  # some have whole blocks
    for length in [len(content) * i // 40 for i in range(40)] + [len(content) - missing for missing in (1, 2, 5, 30)]:
        with contextlib.suppress(MediaError):
            np.testing.assert_array_equal(read_sound(content[:length])[: len(SOUND)], whole[: len(SOUND)])


def test_a_cut_behind_a_hundred_chunks_is_noticed():
    content = encoded()
    chunk = b"LIST" + struct.pack("<I", 4) + b"INFO"
    content = content[:36] + 100 * chunk + content[36:]
    np.testing.assert_array_equal(read_sound(content), read_sound(encoded()))
    with pytest.raises(MediaError, match="is cut short: 4,500 of 9,000 samples"):
        read_sound(content[:-9_000])


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (("WAV", "PCM_16"), [(4, "<I"), (40, "<I")]),
        (("AU", "PCM_16"), [(8, ">I")]),
        (("AIFF", "PCM_16"), [(4, ">I"), (42, ">I")]),
    ],
)
@pytest.mark.parametrize("size", [0, 0x7FFF_F024, 0xFFFF_FFFF])
def test_a_stream_without_a_length_is_read_to_its_end(kind, sizes, size):
    content = bytearray(encoded(kind=kind))
    for position, form in sizes:
        struct.pack_into(form, content, position, size)
    np.testing.assert_array_equal(read_sound(bytes(content)), read_sound(encoded()))


def test_a_stream_may_start_with_silence():
    silent_first = np.concatenate([np.zeros(40_000, np.float32), SOUND])
    content = encoded(silent_first)
    np.testing.assert_array_equal(read_sound(content[:40] + bytes(4) + content[44:]), read_sound(content))


def test_a_recording_without_samples_but_with_other_chunks_is_empty():
    content = encoded(SOUND[:0]) + b"LIST" + struct.pack("<I", 4) + b"INFO"
    with pytest.raises(MediaError, match="holds no samples"):
        read_sound(content)


@pytest.mark.parametrize(("kind", "position", "form"), [("WAV", 40, "<I"), ("AU", 8, ">I"), ("AIFF", 42, ">I")])
def test_a_header_that_counts_a_part_of_the_samples_is_noticed(kind, position, form):
    content = bytearray(encoded(kind=(kind, "PCM_16")))
    struct.pack_into(form, content, position, 1_000 + 8 * (kind == "AIFF"))
    with pytest.raises(MediaError, match=r"is damaged: its header counts 1,000 of 18,000 bytes of samples; a header"):
        read_sound(bytes(content))


@pytest.mark.parametrize(
    "tail", [b"LIST\4\0\0\0INFO", b"junk\3\0\0\0abc\0odd \1\0\0\0x", bytes(99), b"TAG".ljust(128, b"x")]
)
def test_chunks_and_tags_behind_the_samples_are_skipped(tail):
    np.testing.assert_array_equal(read_sound(encoded() + tail), read_sound(encoded()))


def test_compressed_sphere_names_its_tool():
    header = b"NIST_1A\n   1024\nsample_count -i 9\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    with pytest.raises(
        MediaError, match=r"is compressed SPHERE \(pcm,embedded-shorten-v2.00\); unpack it: sph2pipe -f"
    ):
        read_sound(header.ljust(1024) + bytes(100))


# FLAC


def without_length(flac: bytes) -> bytes:
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def test_flac_without_a_length_is_read_and_its_cut_is_noticed():
    content = encoded(kind=("FLAC", "PCM_16"))
    stream = without_length(content)
    np.testing.assert_array_equal(read_sound(stream), read_sound(content))
    for length in (len(stream) // 3, len(stream) // 2, len(stream) - 1):
        with pytest.raises(MediaError):
            read_sound(stream[:length])


@pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_joined_files_are_read_to_the_end(kind):
    first, second = encoded(kind=kind), encoded(SOUND[:4_000, None] * [1, 1], kind, 24_000)
    joined = read_sound(first + second)
    np.testing.assert_array_equal(joined, np.concatenate([read_sound(first), read_sound(second)]))
    assert len(parts(first + second)) == 2
    with pytest.raises(MediaError):
        read_sound(first + second[:-50])
    with pytest.raises(MediaError, match="consists of 1,001 sounds, the limit is 1,000"):
        parts(encoded(SOUND[:600], kind) * 1001)


def test_the_limit_counts_all_joined_files(monkeypatch):
    content = encoded(np.tile(SOUND, 2), ("FLAC", "PCM_16"))  # 1.1 s
    monkeypatch.setattr(audio, "MAX_SECONDS", 2)
    assert len(read_sound(content)) == 18_000
    with pytest.raises(MediaError, match=r"lasts 2\.[0-9] s, the limit is 2 s; cut it into parts first"):
        read_sound(content + content)


# Ogg


def pages(content: bytes) -> list[bytes]:
    """The pages of an Ogg file, split at their magic numbers, which other bytes of these files do not have."""
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


def test_missing_pages_and_damaged_ones_are_noticed():
    content = encoded(np.tile(SOUND, 20), ("OGG", "VORBIS"))
    found = pages(content)
    assert len(found) > 4
    with pytest.raises(MediaError, match="is cut short: its last page is missing"):
        read_sound(b"".join(found[:-1]))
    with pytest.raises(MediaError, match=r"is damaged at byte [\d,]+: pages are missing before it"):
        read_sound(b"".join(found[:-2] + found[-1:]))
    with pytest.raises(MediaError, match=r"is damaged at byte [\d,]+: the checksum of a page is wrong"):
        read_sound(content[:-60] + bytes([content[-60] ^ 1]) + content[-59:])


def test_flac_in_ogg_is_read():
    flac = encoded(kind=("FLAC", "PCM_16"))
    packets = [b"\x7fFLAC\x01\0\0\x01" + flac[:42]]
    packets += [flac[42:][i : i + 60_000] for i in range(0, len(flac) - 42, 60_000)]
    content = b"".join(ogg_page(packet, i, 4 * (i == len(packets) - 1)) for i, packet in enumerate(packets))
    np.testing.assert_array_equal(read_sound(content), read_sound(flac))


def ogg_page(payload: bytes, number: int, flags: int) -> bytes:
    """A page of one packet, with its checksum computed bit by bit (RFC 3533)."""
    lacing = bytes([255] * (len(payload) // 255) + [len(payload) % 255])
    fields = struct.pack("<4sBBqIIIB", b"OggS", 0, flags | 2 * (number == 0), 0, 7, number, 0, len(lacing))
    page = fields + lacing + payload
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C1_1DB7 if value >> 31 else 0)) & 0xFFFF_FFFF
    return page[:22] + struct.pack("<I", value) + page[26:]
