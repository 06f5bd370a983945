"""Sound files: equal samples from all formats; cut and damaged files are refused; samples without a header."""

import contextlib
import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from shared import audio
from shared.audio import ENCODINGS, SAMPLE_RATE, SOUNDS, Headerless, Mono, pad_samples, read_sound
from shared.files import MediaError
from shared.inputs import find_inputs

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


@pytest.mark.parametrize("kind", [("GSM610", "WAV"), ("G721_32", "AU"), ("G723_24", "AU"), ("NMS_ADPCM_16", "WAV")])
def test_formats_without_seeking_are_read(kind):
    subtype, name = kind
    samples = read_sound(encoded(kind=(name, subtype), rate=SAMPLE_RATE))
    assert len(TONE) <= len(samples) <= len(TONE) + 320  # whole blocks
    assert np.argmax(np.abs(np.fft.rfft(samples[: len(TONE)]))) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2_000_000_000])
def test_rates_that_no_sound_has_are_refused(rate):
    content = bytearray(encoded())
    content[24:28] = rate.to_bytes(4, "little")
    with pytest.raises(MediaError, match=rf"has a sample rate of {rate:,} Hz; 1,000 to 768,000 Hz was expected"):
        read_sound(bytes(content))


def test_a_header_that_announces_gigabytes_is_refused():
    content = bytearray(encoded(np.stack([TONE] * 8, axis=1), kind=("FLAC", "PCM_16")))
    content[18:26] = ((655_350 << 44) | (7 << 41) | (15 << 36) | (3 * 3600 * 655_350)).to_bytes(8, "big")
    with pytest.raises(
        MediaError, match=r"has 7,077,780,000 samples in 8 channels, the limit is 2,147,483,648; cut it"
    ):
        read_sound(bytes(content))


def test_memory_is_bounded_by_samples_and_not_by_the_header(monkeypatch):
    content = bytearray(encoded())
    content[40:44] = (0xFFFF_FFFF).to_bytes(4, "little")  # of unknown length, so it is known only after reading
    monkeypatch.setattr(audio, "MAX_VALUES", 15_999)
    with pytest.raises(MediaError, match="has 16,000 samples in 1 channels, the limit is 15,999"):
        read_sound(bytes(content))


@pytest.mark.parametrize(("value", "is_read"), [(1.5, True), (99.0, True), (101.0, False), (-1e29, False)])
def test_values_far_above_full_scale_are_refused(value, is_read):
    loud = TONE.copy()
    loud[8_000] = value
    content = encoded(loud, kind=("WAV", "FLOAT"))
    if is_read:
        np.testing.assert_array_equal(read_sound(content), loud)
    else:
        with pytest.raises(
            MediaError, match=r"holds (101|-1e\+29) at 0\.500 s; samples from -1 to 1 were expected, 100 at most"
        ):
            read_sound(content)


def test_one_channel_and_channels_that_cancel_out():
    both = np.stack([TONE, -TONE, 0.5 * TONE], axis=1)
    np.testing.assert_allclose(read_sound(encoded(both), channel=3), TONE / 2, atol=1 / 2**15)
    np.testing.assert_allclose(read_sound(encoded(both[:, :2]), channel=2), -TONE, atol=1 / 2**15)
    with pytest.raises(
        MediaError, match=r"has channels of opposite phase, which cancel out.*; choose one, as with --ch"
    ):
        read_sound(encoded(both[:, :2] + np.float32([0, 0.05])))
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(16_000, 5)).astype(np.float32) / 8
    np.testing.assert_allclose(read_sound(encoded(independent)), independent.mean(axis=1), atol=1e-4)
    with pytest.raises(MediaError, match="has 2 channels, so there is no channel 3"):
        read_sound(encoded(both[:, :2]), channel=3)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_samples_without_a_header(name):
    subtype, endian, size = ENCODINGS[name]
    both = np.stack([TONE[:7_000], TONE[:7_000] / 3], axis=1)
    file = io.BytesIO()
    soundfile.write(file, both, 8_000, format="RAW", subtype=subtype, endian=endian)
    content = file.getvalue()
    assert len(content) == 7_000 * 2 * size
    headerless = Headerless(8_000, 2, name)
    samples = read_sound(content, 2, headerless)
    assert len(samples) == 14_000
    np.testing.assert_allclose(samples[200:-200:2], both[100:-100, 1], atol=0.02)
    np.testing.assert_allclose(headerless.decode(content[: -2 * size + 1]), both[:-1], atol=0.02)
    if size > 1:
        with pytest.raises(MediaError, match=rf", 1 behind the last whole sample; a multiple of {2 * size} bytes"):
            read_sound(content[: -2 * size + 1], headerless=headerless)


def test_a_header_and_the_option_for_files_without_exclude_each_other():
    with pytest.raises(MediaError, match="has a header that says how it is encoded; --rate is for files without"):
        read_sound(encoded(), headerless=Headerless(8_000))
    with pytest.raises(
        MediaError, match=r"is not a sound file that can be read; .*--rate for samples without a header"
    ):
        read_sound(b"\1\2" * 100)


def test_a_stream_gives_the_samples_of_the_whole():
    rng = np.random.default_rng(1)
    both = rng.normal(size=(44_100, 2)).astype(np.float32) / 8
    whole = Mono(44_100, 2).feed(both, is_last=True)
    mono = Mono(44_100, 2)
    edges = [0, 1, 2, 500, 30_000, 44_100]
    pieces = [mono.feed(both[a:b]) for a, b in pairwise(edges)]
    pieces.append(mono.feed(both[:0], is_last=True))
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert len(whole) == SAMPLE_RATE


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
    with pytest.raises(MediaError, match="lasts 1 s, the limit is 0 ms; cut it into parts first"):
        read_sound(encoded())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0364, "36 ms"), (2, "2 s"), (2.34, "2.3 s"), (59.4, "59 s"), (60, "1 minute"),
        (750, "12.5 minutes"), (3600, "1 hour"), (5400, "1.5 hours"), (14_400, "4 hours"),
    ],
)  # fmt: skip
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert audio.duration(seconds) == text


def test_a_header_that_says_what_no_sound_has_is_called_damaged():
    with pytest.raises(MediaError, match=r"has a header that says 9,000,000,000,000 samples, more than a sound has"):
        audio._check_length(9_000_000_000_000, 16_000)
    with pytest.raises(MediaError, match=r"lasts 14,400\.6 s, the limit is 4 hours"):
        audio._check_length(14_400 * 16_000 + 10_000, 16_000)


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
    assert [path.name for _, path, _ in find_inputs(SOUNDS, [str(tmp_path)]) if path] == ["a.opus", "b.WAV"]
    (tmp_path / "empty").mkdir()
    ((_, _, error),) = find_inputs(SOUNDS, [str(tmp_path / "empty")])
    assert "is a folder without sound files (.aac .aif" in str(error)
