"""Sound files: equal samples from all formats; truncated and damaged files are refused."""

import contextlib
import io

import numpy as np
import pytest
import soundfile

from shared import audio
from shared.audio import SAMPLE_RATE, SOUNDS, pad_samples, read_sound
from shared.files import MediaError

TONE = (0.4 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype("float32")
LOSSLESS = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")]
LOSSLESS += [("AU", "PCM_16"), ("W64", "PCM_16"), ("NIST", "PCM_16")]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def encoded(samples: np.ndarray = TONE, kind=("WAV", "PCM_16"), rate: int = SAMPLE_RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind[0], subtype=kind[1])
    return file.getvalue()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_samples(kind, tmp_path):
    samples = read_sound(encoded(kind=kind))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, TONE, atol=1 / 2**15)
    (tmp_path / "tone.txt").write_bytes(encoded(kind=kind))  # the name does not decide the format
    np.testing.assert_array_equal(read_sound(tmp_path / "tone.txt"), samples)


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_give_the_tone(kind):
    samples = read_sound(encoded(kind=kind))
    assert len(samples) == len(TONE)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(440, abs=2)


def test_pad_samples():
    samples, lengths = pad_samples([TONE[:3], TONE[:0], TONE[5:10]])
    assert (samples.dtype, lengths.dtype) == (np.float32, np.int32)
    assert lengths.tolist() == [3, 0, 5]
    np.testing.assert_array_equal(samples, [[*TONE[:3], 0, 0], [0] * 5, TONE[5:10]])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_other_rates_are_resampled(rate):
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    samples = read_sound(encoded(tone, rate=rate))
    assert abs(len(samples) - SAMPLE_RATE) <= 1
    np.testing.assert_allclose(samples[500:-500], TONE[500 : len(samples) - 500], atol=2e-3)


def test_channels_are_averaged():
    both = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    np.testing.assert_allclose(read_sound(encoded(both)), TONE / 2, atol=1 / 2**15)


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("kept", [0.5, -1, 60, 30])
def test_truncated_files_are_refused(kind, kept):
    content = encoded(kind=kind)
    with pytest.raises(MediaError) as caught:
        read_sound(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert "\n" not in str(caught.value)


def test_the_error_counts_the_missing_samples():
    with pytest.raises(MediaError, match=r"cut short: 7,989 of 16,00\d samples"):
        read_sound(encoded()[: 44 + 2 * 7_989])
    with pytest.raises(MediaError, match="cut short: 8,000 of 16,000 samples"):
        read_sound(encoded(kind=("NIST", "PCM_16"))[: 1024 + 2 * 8_000])


def test_a_stream_of_unknown_length_is_complete():
    for unknown in (0xFFFF_FFFF, 0x7FFF_F024):
        content = bytearray(encoded())
        content[40:44] = unknown.to_bytes(4, "little")
        np.testing.assert_array_equal(read_sound(bytes(content)), read_sound(encoded()))


def test_flac_without_a_length_is_refused():
    content = bytearray(encoded(kind=("FLAC", "PCM_16")))
    content[21] &= 0xF0  # the 36 bits of the number of samples
    content[22:26] = bytes(4)
    with pytest.raises(MediaError, match="is FLAC without a length, as written to a pipe; write FLAC to a file"):
        read_sound(bytes(content))


def test_one_sample_and_silence_are_accepted():
    np.testing.assert_allclose(read_sound(encoded(TONE[30:31])), TONE[30:31], atol=1 / 2**15)
    assert not read_sound(encoded(np.zeros(100, np.float32))).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_time(value):
    broken = TONE.copy()
    broken[8_000] = value
    with pytest.raises(MediaError, match=rf"holds {value} at 0\.500 s"):
        read_sound(encoded(broken, kind=("WAV", "FLOAT")))


def test_files_without_sound_are_refused(tmp_path, monkeypatch):
    for content, message in {
        b"": r"is empty \(0 bytes\)",
        b"\x89PNG\r\n\x1a\n" + bytes(2000): "is not a sound file that can be read",
        b"no sound at all " * 100: "is not a sound file that can be read",
        encoded(np.zeros(0, np.float32)): "holds no samples",
    }.items():
        with pytest.raises(MediaError, match=message):
            read_sound(content)
    with pytest.raises(MediaError, match="is a folder; a sound file was expected"):
        read_sound(tmp_path)
    with pytest.raises(MediaError, match="does not exist; a sound file or a folder of them was expected"):
        read_sound(tmp_path / "missing.wav")
    monkeypatch.setattr(audio, "MAX_SECONDS", 0)
    with pytest.raises(MediaError, match=r"lasts 0\.0 hours, the limit is 0; cut it into parts first"):
        read_sound(encoded())


def test_random_damage_raises_only_media_errors():
    rng = np.random.default_rng(0)
    for kind in [*LOSSLESS, *LOSSY]:
        content = np.frombuffer(encoded(kind=kind), np.uint8)
        for _ in range(20):
            damaged = content.copy()
            damaged[rng.integers(min(200, len(damaged)), size=8)] = rng.integers(256, size=8)
            with contextlib.suppress(MediaError):
                assert np.isfinite(read_sound(damaged.tobytes())).all()


def test_a_folder_is_searched_for_sounds(tmp_path):
    for name in ("b.WAV", "a.opus", ".hidden.wav", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path, _ in SOUNDS.find([tmp_path])] == ["a.opus", "b.WAV"]
    (tmp_path / "empty").mkdir()
    ((_, error),) = SOUNDS.find([tmp_path / "empty"])
    assert "is a folder without sound files (.aif" in str(error)
