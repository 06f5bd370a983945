"""Hostile sounds. The known number of samples shows whether an answer lacks some."""

import functools
import io
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.audio import SAMPLE_RATE, read_sound
from tests.robustness.cases import Case, choose, never
from tests.robustness.images import WHOLE
from tests.robustness.mutations import EXTREMES, Mutated, mutate

SAMPLES = 6_000  # of each seed
OGG_SAMPLES = 60_000  # of Ogg, enough for several pages
# Formats that say how long they are, or where they end; a cut of any other is a shorter file, as good as the whole.
SIZED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG", "CAF", "MP3")
COMMON = ("PCM_16", "PCM_24", "PCM_32", "PCM_U8", "PCM_S8", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS")
READ = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "FLAC", "OGG")  # whole files of these must be read


class Seed(NamedTuple):
    """An intact sound file."""

    content: bytes
    samples: int  # at `SAMPLE_RATE`
    shows_cut: bool  # a cut file differs from a shorter one
    must_be_read: bool


def signal(channels: int, samples: int = SAMPLES) -> np.ndarray:
    """A rising tone in each channel and little noise, float64 `(samples, channels)`."""
    time = np.arange(samples)[:, None] / SAMPLE_RATE
    tone = 0.4 * np.sin(2 * np.pi * (200 + 3000 * time) * time * np.arange(1, channels + 1))
    return tone + 0.01 * np.random.default_rng(1).normal(size=tone.shape)


def encode(form: str, subtype: str, channels: int = 1, **options: object) -> bytes:
    """A sound file in memory."""
    import soundfile

    with io.BytesIO() as file:
        samples = signal(channels, OGG_SAMPLES if form == "OGG" else SAMPLES)
        soundfile.write(file, samples, SAMPLE_RATE, format=form, subtype=subtype, **options)
        return file.getvalue()


@functools.cache
def seeds() -> dict[str, Seed]:
    """A sound of every format and subtype that libsndfile writes, and others that it only reads."""
    import soundfile

    made = {}
    for form in sorted(soundfile.available_formats().keys() - {"SD2"}):  # it writes a second file, named "._"
        for index, subtype in enumerate(soundfile.available_subtypes(form)):
            channels = 1 + index % 2
            if not soundfile.check_format(form, subtype):
                continue
            try:
                content = encode(form, subtype, channels)
            except soundfile.LibsndfileError:  # of one channel only, or of other rates
                try:
                    content = encode(form, subtype)
                except soundfile.LibsndfileError:
                    continue
            is_common = subtype in COMMON and form in READ
            made[f"{form} {subtype}"] = Seed(
                content, OGG_SAMPLES if form == "OGG" else SAMPLES, form in SIZED, is_common
            )
    wav, ogg, flac = (made[name].content for name in ("WAV PCM_16", "OGG VORBIS", "FLAC PCM_16"))
    title = b"LIST" + struct.pack("<I", 26) + b"INFOINAM" + struct.pack("<I", 14) + b"a title, long\0"
    made["WAV with 100 LIST chunks"] = Seed(_resized(wav[:36] + 100 * title + wav[36:]), SAMPLES, True, True)
    made["WAV with a LIST chunk behind"] = Seed(_resized(wav + title), SAMPLES, True, True)
    unknown = wav[:4] + b"\xff" * 4 + wav[8:40] + b"\xff" * 4 + wav[44:]
    made["WAV of unknown length"] = Seed(unknown, SAMPLES, False, True)
    made["Ogg chained"] = Seed(ogg + _renumbered(ogg), 2 * OGG_SAMPLES, True, False)
    made["FLAC doubled"] = Seed(flac + flac, 2 * SAMPLES, True, False)
    for mode in ("CONSTANT", "VARIABLE"):
        mp3 = encode("MP3", "MPEG_LAYER_III", bitrate_mode=mode)
        made[f"MP3 {mode.lower()} rate"] = Seed(mp3, SAMPLES, True, True)
        made[f"MP3 {mode.lower()} rate without header"] = Seed(_without_xing(mp3), SAMPLES, False, True)
    return made


def draw(rng: np.random.Generator, folder: Path) -> Case:
    """A mutation of a seed, of its bytes or of its header."""
    name = choose(rng, sorted(seeds()))
    if rng.random() < 0.6:
        name = choose(rng, sorted(name for name, seed in seeds().items() if seed.must_be_read or "Ogg" in name))
    seed, whole = seeds()[name], rng.random() < WHOLE
    if whole:
        mutated = Mutated("intact", seed.content, is_cut=True)
    elif rng.random() < 0.15:
        mutated = edit_header(rng)
        name = "WAV"
    else:
        mutated = mutate(rng, seed.content)

    def missing(samples: np.ndarray) -> str:
        return "" if len(samples) >= seed.samples else f"{seed.samples - len(samples)} of {seed.samples} samples"

    return Case(
        description=f"{name}: {mutated.description}",
        read=lambda: _plain(read_sound(mutated.content)),
        missing=missing if mutated.is_cut and (seed.shows_cut or whole) else never,
        is_whole=whole and seed.must_be_read,
    )


def edit_header(rng: np.random.Generator) -> Mutated:
    """A WAV file whose rate, channels, width or lengths are lies, or whose samples are extreme."""
    values = rng.uniform(-1, 1, 500) * float(choose(rng, (1, 1e29, 3e38, np.nan, np.inf)))
    width = int(choose(rng, (16, 32, 64)))
    data = (
        values.astype({32: "<f4", 64: "<f8"}[width]).tobytes() if width > 16 else (values > 0).astype("<i2").tobytes()
    )
    fields = {
        "format": 3 if width > 16 else 1, "channels": 1, "rate": SAMPLE_RATE, "bytes a second": 2 * SAMPLE_RATE,
        "block": width // 8, "width": width, "data": len(data),
    }  # fmt: skip
    lies = [str(lie) for lie in rng.choice(list(fields), int(rng.integers(1, 3)), replace=False)]
    sizes = dict(zip(fields, (16, 16, 32, 32, 16, 16, 32), strict=True))
    fields |= {lie: int(choose(rng, EXTREMES)) % 2 ** sizes[lie] for lie in lies}
    *form, length = fields.values()
    content = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *form)
    named = ", ".join(f"{lie} {fields[lie]}" for lie in lies)
    return Mutated(f"{width} bits, {named}", content + b"data" + struct.pack("<I", length) + data)


def _plain(samples: np.ndarray) -> np.ndarray:
    if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
        raise AssertionError(f"{samples.dtype} {samples.shape}: finite float32 (samples,) was expected")
    return samples


def _resized(wav: bytes) -> bytes:
    """A RIFF file with the right size in its header."""
    return wav[:4] + struct.pack("<I", len(wav) - 8) + wav[8:]


def _without_xing(mp3: bytes) -> bytes:
    """An MP3 without its first frame, if that is the header that a variable rate needs."""
    tag = max(mp3[:300].find(b"Xing"), mp3[:300].find(b"Info"))
    return mp3 if tag < 0 else mp3[mp3.index(mp3[:2], tag) :]


def _renumbered(ogg: bytes) -> bytes:
    """The same Ogg stream with another serial number, so that it may follow the first in one file."""
    table = np.arange(256, dtype=np.uint32) << np.uint32(24)
    for _ in range(8):
        table = np.where(table >> np.uint32(31), (table << np.uint32(1)) ^ np.uint32(0x04C11DB7), table << np.uint32(1))
    pages = []
    for page in ogg.split(b"OggS")[1:]:
        page = bytearray(b"OggS" + page)
        page[14:18], page[22:26] = b"next", bytes(4)
        checksum = 0
        for byte in page:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ int(table[checksum >> 24 ^ byte])
        page[22:26] = struct.pack("<I", checksum)
        pages.append(bytes(page))
    return b"".join(pages)
