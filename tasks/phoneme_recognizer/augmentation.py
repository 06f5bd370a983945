"""What a training changes in sounds: their speed, level, room, line, noise and silence; and sounds without speech.

A sound is float32 `(samples,)` in -1..1. Its spans are int32 `(spans, 3)`, id, first sample, sample after the last, or
None if they are unknown; whatever moves the sound moves them too.
"""

import numpy as np

from shared.audio import SAMPLE_RATE
from tasks.phoneme_recognizer.config import Config

SNR_RANGE = 25.0  # dB above the minimum signal-to-noise ratio
LEVELS = -35.0, 3.0  # dB that the level of an utterance changes by: from a distant microphone to one too close
STEP = 1 / 32_768  # of samples of 16 bits
LINE = (200.0, 400.0), (3200.0, 3700.0)  # Hz; ranges of the lower and upper limit of a telephone line
DECAYS = 0.1, 0.6  # seconds until the reverberation of a room has fallen by 60 dB
DIRECT = 0.0, 15.0  # dB of the direct sound above the reverberation
FLOORS = -90.0, -45.0  # dB; level of the noise in a silence

Sound = tuple[np.ndarray, np.ndarray | None]  # samples and spans


def augment(samples: np.ndarray, spans: np.ndarray | None, config: Config, rng: np.random.Generator) -> Sound:
    """A sound with silence cropped or added, at another speed and pitch, in a room, at another level, with noise, and
    by telephone."""
    if config.max_crop and spans is not None:
        samples, spans = crop(samples, spans, *rng.uniform(0, config.max_crop, 2))
    if config.speed_range:
        samples, spans = change_speed(samples, spans, 1 + rng.uniform(-config.speed_range, config.speed_range))
    if rng.random() < config.reverberation_probability:
        samples = reverberate(samples, rng.uniform(*DECAYS), rng.uniform(*DIRECT), rng)
    # The noise goes on in a silence, or the silence is that of a device, which mutes it.
    is_muted = rng.random() < 0.5
    seconds = rng.uniform(0, config.max_silence)
    if config.max_silence and not is_muted:
        samples, spans = add_silence(samples, spans, seconds, rng)
    samples = samples * np.float32(10 ** (rng.uniform(*LEVELS) / 20))
    samples = add_noise(samples, config.min_snr_db + rng.uniform(0, SNR_RANGE), rng)
    if config.max_silence and is_muted:
        samples, spans = add_silence(samples, spans, seconds, rng)
    if rng.random() < config.telephone_probability:
        samples = telephone(samples, rng)
    return np.round(samples / STEP).astype(np.float32) * np.float32(STEP), spans


def crop(samples: np.ndarray, spans: np.ndarray, before: float, after: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut the fraction `before` of the silence before the first phone, and `after` of that after the last."""
    phones = spans[spans[:, 0] != 0]
    if not len(phones):
        return samples, spans
    first = int(before * phones[0, 1])
    last = len(samples) - int(after * (len(samples) - phones[-1, 2]))
    times = np.clip(spans[:, 1:], first, last) - first
    return samples[first:last], np.concatenate([spans[:, :1], times], axis=1)


def change_speed(samples: np.ndarray, spans: np.ndarray | None, speed: float) -> Sound:
    """Resample the sound so that it is `speed` times as fast; its pitch changes too."""
    import soxr

    resampled = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ")
    if spans is not None:
        spans = np.concatenate([spans[:, :1], np.round(spans[:, 1:] / speed)], axis=1).astype(np.int32)
    return resampled, spans


def reverberate(samples: np.ndarray, decay: float, direct: float, rng: np.random.Generator) -> np.ndarray:
    """The sound in a room whose reverberation falls by 60 dB in `decay` seconds and begins `direct` dB below the sound.

    The response of the room is the sound itself and exponentially decaying noise (Polack 1988).
    """
    times = np.arange(1, int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay)
    tail *= 10 ** (-direct / 20) / np.sqrt(np.square(tail).sum())
    length = fast_length(len(samples) + len(tail))
    response = np.fft.rfft(np.concatenate([[1.0], tail]), length)
    return np.fft.irfft(np.fft.rfft(samples, length) * response, length)[: len(samples)].astype(np.float32)


def add_silence(samples: np.ndarray, spans: np.ndarray | None, seconds: float, rng: np.random.Generator) -> Sound:
    """Silence of `seconds` in all, with a low noise or none: before, after and, if times are known, at one pause.

    The pause is a silence between two phones if there is one, else any boundary of two phones.
    """
    before, after, inside = (rng.dirichlet([1, 1, 1]) * seconds * SAMPLE_RATE).astype(int)
    level = 0.0 if rng.random() < 0.3 else 10 ** (rng.uniform(*FLOORS) / 20)  # digital silence, or a quiet room

    def silence(length: int) -> np.ndarray:
        return rng.standard_normal(length, np.float32) * np.float32(level)

    if spans is not None and len(spans) > 1:
        pauses = np.flatnonzero(spans[1:-1, 0] == 0) + 1
        index = int(rng.choice(pauses)) if len(pauses) else int(rng.integers(1, len(spans)))
        at = int(spans[index, 1:].mean()) if len(pauses) else int(spans[index, 1])
        samples = np.concatenate([samples[:at], silence(inside), samples[at:]])
        pause = [[0, at, at + inside]]
        left, right = spans[spans[:, 1] < at], spans[spans[:, 2] > at]
        left, right = left.copy(), right.copy()
        left[:, 2] = np.minimum(left[:, 2], at)
        right[:, 1:] = np.maximum(right[:, 1:], at) + inside
        spans = np.concatenate([left, pause, right])
    length = before + len(samples)
    samples = np.concatenate([silence(before), samples, silence(after)])
    if spans is not None:
        moved = spans + np.array([0, before, before])
        spans = np.concatenate([[[0, 0, before]], moved, [[0, length, len(samples)]]]).astype(np.int32)
    return samples, spans


def telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sound as a telephone line of 8,000 Hz carries it: without low and high frequencies, in 8 bits of mu-law."""
    length = fast_length(len(samples))
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    low, high = (rng.uniform(*limits) for limits in LINE)
    # Of first order below and steep above, as the filters of a line are.
    gain = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1)) ** 4) * (hertz < high)
    samples = np.fft.irfft(np.fft.rfft(samples, length) * gain, length)[: len(samples)]
    companded = np.sign(samples) * np.log1p(255 * np.minimum(np.abs(samples), 1)) / np.log(256)  # ITU-T G.711
    companded = np.round(companded * 127) / 127
    return (np.sign(companded) * np.expm1(np.abs(companded) * np.log(256)) / 255).astype(np.float32)


def add_noise(samples: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise with a random spectrum between white and brown, at a signal-to-noise ratio of `snr` dB."""
    noise = coloured_noise(len(samples), rng)
    level = np.sqrt(np.mean(samples**2) / max(float(np.mean(noise**2)), 1e-20))
    return samples + np.float32(level * 10 ** (-snr / 20)) * noise


def coloured_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise `(length,)` whose power falls with frequency by a random exponent, from white to brown."""
    size = fast_length(length)
    spectrum = np.fft.rfft(rng.standard_normal(size, np.float32))
    spectrum /= np.maximum(np.arange(len(spectrum), dtype=np.float32), 1) ** np.float32(rng.uniform(0, 1))
    return np.fft.irfft(spectrum, size)[:length].astype(np.float32)


def fast_length(length: int) -> int:
    """A length of at least `length`, by at most an eighth more, with small prime factors: its transforms are fast."""
    step = 1 << max(length.bit_length() - 4, 1)
    return (length // step + 1) * step


def without_speech(length: int, rng: np.random.Generator) -> np.ndarray:
    """A sound `(length,)` that holds no speech: silence, noise, a machine, music, or clicks and beeps."""
    kind = rng.choice(["silence", "noise", "machine", "music", "signals"], p=[0.1, 0.25, 0.15, 0.35, 0.15])
    if kind == "silence":
        return np.zeros(length, np.float32)
    if kind == "noise":
        sound = coloured_noise(length, rng) * _swell(length, rng)
    elif kind == "machine":
        hum = _tones(length, float(rng.choice([50, 60, rng.uniform(40, 400)])), int(rng.integers(3, 30)), rng)
        sound = _normal(hum) * rng.uniform(0, 1) + _normal(coloured_noise(length, rng))
    elif kind == "music":
        sound = _music(length, rng)
    else:
        sound = _signals(length, rng)
    sound = _normal(sound) * 10 ** (rng.uniform(-70, -10) / 20)
    floor = rng.standard_normal(length, np.float32) * 10 ** (rng.uniform(*FLOORS) / 20) * (rng.random() < 0.7)
    return np.clip(sound + floor, -1, 1).astype(np.float32)


def _normal(sound: np.ndarray) -> np.ndarray:
    """The sound with a root mean square of 1."""
    return sound / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-9)


def _swell(length: int, rng: np.random.Generator) -> np.ndarray:
    """A level that changes slowly and smoothly, or is constant."""
    if rng.random() < 0.5:
        return np.ones(length, np.float32)
    points = rng.uniform(-25, 0, max(2, int(length / SAMPLE_RATE * rng.uniform(0.3, 4))))
    return (10 ** (np.interp(np.linspace(0, len(points) - 1, length), np.arange(len(points)), points) / 20)).astype("f")


def _tones(length: int, hertz: float, partials: int, rng: np.random.Generator) -> np.ndarray:
    """A tone of several partials with a random timbre."""
    times = np.arange(length, dtype=np.float32) / SAMPLE_RATE
    slope, sound = rng.uniform(0.3, 2), np.zeros(length, np.float32)
    for partial in range(1, partials + 1):
        if partial * hertz < SAMPLE_RATE / 2:
            level = rng.uniform(0.2, 1) / partial**slope
            sound += np.float32(level) * np.sin(np.float32(2 * np.pi * partial * hertz) * times + rng.uniform(0, 6.28))
    return sound


def _music(length: int, rng: np.random.Generator) -> np.ndarray:
    """Chords, a melody over them, and often a drum, of a random key, tempo and timbre."""
    sound = np.zeros(length, np.float32)
    beat = int(SAMPLE_RATE * rng.uniform(0.12, 0.7))
    key, scale = rng.uniform(60, 250), np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21, 23])
    voices, has_drum, fall = int(rng.integers(1, 4)), rng.random() < 0.5, rng.uniform(0.5, 8)
    for start in range(0, length, beat):
        held = min(length - start, beat * int(rng.choice([1, 1, 2, 4])))
        envelope = np.exp(-fall * np.arange(held, dtype=np.float32) / SAMPLE_RATE)
        ramp = min(held, 160)
        envelope[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
        for _ in range(voices if rng.random() < 0.85 else 0):
            pitch = key * 2 ** (int(rng.choice(scale)) / 12)
            sound[start : start + held] += envelope * _tones(held, pitch, int(rng.integers(1, 9)), rng)
        if has_drum:
            hit = min(length - start, int(SAMPLE_RATE * 0.08))
            decay = np.exp(-60 * np.arange(hit, dtype=np.float32) / SAMPLE_RATE)
            sound[start : start + hit] += rng.uniform(0, 3) * decay * rng.standard_normal(hit, np.float32)
    return sound


def _signals(length: int, rng: np.random.Generator) -> np.ndarray:
    """Clicks, knocks, beeps and sweeps, with pauses between them."""
    sound, at = np.zeros(length, np.float32), 0
    while at < length:
        size = min(length - at, int(SAMPLE_RATE * rng.uniform(0.002, 0.6)))
        times = np.arange(size, dtype=np.float32) / SAMPLE_RATE
        if rng.random() < 0.5:
            piece = rng.standard_normal(size, np.float32) * np.exp(-times * rng.uniform(20, 300))
        else:
            begin, end = rng.uniform(80, 4000, 2) if rng.random() < 0.5 else [rng.uniform(80, 4000)] * 2
            piece = np.sin(2 * np.pi * (begin * times + (end - begin) * times**2 / 2))
        sound[at : at + size] += rng.uniform(0.1, 1) * piece
        at += size + int(SAMPLE_RATE * rng.uniform(0, 1.5))
    return sound
