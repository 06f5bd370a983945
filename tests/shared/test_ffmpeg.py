"""Formats that ffmpeg decodes: read where it is installed, else a line with the command that converts them."""

import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from shared import ffmpeg
from shared.audio import SAMPLE_RATE, SOUNDS, read_sound
from shared.files import MediaError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
TONE = (0.4 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype("float32")
KINDS = {  # suffix: options of ffmpeg
    "m4a": "-c:a aac",
    "alac.m4a": "-c:a alac",
    "fast.m4a": "-c:a aac -movflags +faststart",
    "aac": "-c:a aac",
    "webm": "-c:a libopus",
    "mka": "-c:a libvorbis",
    "wma": "-c:a wmav2",
    "caf": "-c:a pcm_s16be",
    "spx": "-c:a libspeex",
}


def encoded(suffix: str, folder, samples: np.ndarray = TONE) -> bytes:
    """A file made by ffmpeg; skips the test where it lacks the encoder."""
    source, result = folder / "source.wav", folder / f"result.{suffix}"
    soundfile.write(source, samples, SAMPLE_RATE)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", source, *KINDS[suffix].split(), result]
    process = subprocess.run(command, capture_output=True, check=False)
    if process.returncode:
        pytest.skip(f"ffmpeg has no encoder for {suffix}")
    return result.read_bytes()


@needs_ffmpeg
@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_is_read_and_its_cut_is_noticed(suffix, tmp_path):
    content = encoded(suffix, tmp_path)
    assert f".{suffix.split('.')[-1]}" in SOUNDS.suffixes
    samples = read_sound(content)
    assert 0 <= len(samples) - SAMPLE_RATE + 500 < 3_000  # encoders add a delay, WMA leaves out a little
    hertz = np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples)
    assert hertz == pytest.approx(440, abs=3)
    for kept in (0.31, 0.73, 0.99):
        with pytest.raises(MediaError, match="cut short") as caught:
            read_sound(content[: int(kept * len(content))])
        assert "\n" not in str(caught.value)


@needs_ffmpeg
def test_amr_is_read():
    frame = bytes([0x3C]) + bytes(31)  # 20 ms at 12.2 kbit/s
    assert len(read_sound(b"#!AMR\n" + frame * 50)) == SAMPLE_RATE
    with pytest.raises(MediaError, match="is cut short: 1,596 of 1,606 bytes"):
        read_sound((b"#!AMR\n" + frame * 50)[:-10])


@needs_ffmpeg
def test_a_channel_is_chosen(tmp_path):
    content = encoded("alac.m4a", tmp_path, np.stack([TONE, TONE / 4], axis=1))
    np.testing.assert_allclose(read_sound(content, channel=2)[: len(TONE)], TONE / 4, atol=1e-3)


@needs_ffmpeg
def test_a_playlist_or_a_reference_to_another_file_is_not_followed(tmp_path):
    other = tmp_path / "other.wav"
    soundfile.write(other, TONE, SAMPLE_RATE)
    for content in (
        f"#EXTM3U\n#EXTINF:1,\nfile://{other}\n".encode(),
        f"ffconcat version 1.0\nfile {other}\n".encode(),
        b"\0\0\0\x18ftypM4A \0\0\0\0" + b"#EXTM3U\nfile://" + str(other).encode(),
    ):
        with pytest.raises(MediaError):
            read_sound(content)


@needs_ffmpeg
def test_a_film_without_sound_is_refused(tmp_path):
    film = tmp_path / "film.mp4"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=d=0.2:s=32x32", "-c:v", "mpeg4", film]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("ffmpeg cannot make a film")
    with pytest.raises(MediaError, match="is an MPEG-4 file without sound; a sound file was expected"):
        read_sound(film)


@needs_ffmpeg
def test_a_file_that_takes_too_long_is_refused(tmp_path, monkeypatch):
    content = encoded("m4a", tmp_path)
    monkeypatch.setattr(ffmpeg, "_MAX_SECONDS", 0)
    with pytest.raises(MediaError, match="was not decoded by ffmpeg within 0 s; convert it to WAV first"):
        read_sound(content)


def test_without_ffmpeg_the_line_has_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a call.m4a"
    path.write_bytes(b"\0\0\0\x18ftypM4A " + bytes(100))
    with pytest.raises(MediaError) as caught:
        read_sound(path)
    command = f"ffmpeg -i '{path}' -ar 16000 -ac 1 out.wav"
    expected = f"is an MPEG-4 file, which needs ffmpeg; install it, or convert the file elsewhere: {command}"
    assert str(caught.value) == expected


def box(name: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(payload), name) + payload


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", bytes(50)), "MPEG-4"),
        (box(b"ftyp", b"3gp4\0\0\0\0") + struct.pack(">I4sQ", 1, b"mdat", 16 + 50) + bytes(50), "MPEG-4"),
        (b"caff\0\1\0\0desc" + struct.pack(">q", 40) + bytes(40), "Core Audio"),
        (b"\xff\xf1\x50\x80\x06\x1f\xfc" + bytes(41), "AAC"),  # 48 bytes: 13 bits from the 31st
        (b"#!AMR\n" + bytes([0x3C]) + bytes(31), "AMR"),
        (b"#!AMR-WB\n" + bytes([0x44]) + bytes(60), "AMR"),
    ],
)
def test_formats_are_known_by_their_content_and_cuts_by_their_sizes(content, name):
    demuxer, found = ffmpeg.demuxer(content)
    assert name in found
    assert ffmpeg.expected_bytes(content, demuxer) == len(content)
    for missing in (1, 40):
        assert ffmpeg.expected_bytes(content[:-missing], demuxer) > len(content) - missing
