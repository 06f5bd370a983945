"""How a recognizer bears what real recordings hold: silence, noise, telephones, joined sounds, and no speech at all.

    python -m tests.benchmarks.recordings [--model RUN] [--count 100] [--timit FOLDER]

Prints the PER of sounds of speechocean762's test split as they are and changed, the phones found in a minute of each
kind of sound without speech, and, on TIMIT's sample, the errors of the starts of given phones.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shared.audio import SAMPLE_RATE
from tasks.phoneme_recognizer.augmentation import coloured_noise, telephone
from tasks.phoneme_recognizer.config import Config
from tasks.phoneme_recognizer.data import Split, load_split
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.scoring import phone_error_rate

TOLERANCE = 0.020  # seconds

Sounds = Sequence[np.ndarray]


def quiet(seconds: float, level: float = -np.inf) -> np.ndarray:
    """White noise of a level in dB of full scale; zeros by default."""
    noise = np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE), np.float32)
    return noise * np.float32(10 ** (level / 20))


def around(before: np.ndarray, after: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sound: np.concatenate([before, sound, after])


def fan(sound: np.ndarray) -> np.ndarray:
    """Too quiet by 30 dB, with pauses, beside a fan 15 dB below the speech."""
    longer = np.concatenate([quiet(1.5), sound, quiet(1.5)])
    noise = coloured_noise(len(longer), np.random.default_rng(1))
    noise *= np.sqrt(np.mean(np.square(sound)) / np.mean(np.square(noise))) * 10 ** (-15 / 20)
    return np.round((longer + noise) * 10 ** (-30 / 20) * 32_768).astype(np.float32) / 32_768


CHANGES = {
    "as they are": lambda sound: sound,
    "3 s of zeros at both ends": around(quiet(3), quiet(3)),
    "3 s of noise at -80 dB at both ends": around(quiet(3, -80), quiet(3, -80)),
    "10 s of zeros before": around(quiet(10), quiet(0)),
    "by telephone": lambda sound: telephone(sound, np.random.default_rng(0)),
    "30 dB too quiet, beside a fan": fan,
}


def music(seconds: int) -> np.ndarray:
    """A melody of plucked strings (Karplus and Strong 1983) over a bass, with no sound that the training has."""
    rng, total = np.random.default_rng(5), np.zeros(seconds * SAMPLE_RATE, np.float32)
    for start in range(0, len(total), SAMPLE_RATE // 4):
        for hertz in 110 * 2 ** (rng.choice([0, 3, 5, 7, 10, 12, 15], 2) / 12):
            period = int(SAMPLE_RATE / hertz)
            string = [rng.uniform(-1, 1, period)]
            while len(string) * period < SAMPLE_RATE:
                string.append(0.498 * (string[-1] + np.roll(string[-1], 1)))
            note = np.concatenate(string)[: len(total) - start]
            total[start : start + len(note)] += 0.2 * note.astype(np.float32)
    return total


def without_speech() -> dict[str, np.ndarray]:
    """A minute of each."""
    times, rng = np.arange(60 * SAMPLE_RATE) / SAMPLE_RATE, np.random.default_rng(3)
    hum = sum(np.sin(2 * np.pi * 50 * partial * times) / partial for partial in range(1, 20))
    clicks = np.zeros(len(times), np.float32)
    clicks[rng.integers(0, len(times), 100)] = 0.8
    return {
        "zeros": quiet(60),
        "white noise at -20 dB": quiet(60, -20),
        "white noise at -70 dB": quiet(60, -70),
        "brown noise": 0.1 * np.cumsum(rng.standard_normal(len(times))).astype(np.float32) / 500,
        "a hum of 50 Hz": (0.05 * hum).astype(np.float32),
        "clicks": clicks,
        "a sweep": (0.2 * np.sin(2 * np.pi * (50 * times + 30 * times**2))).astype(np.float32),
        "music": music(60),
    }


def error_rate(recognizer: SoundRecognizer, split: Split, indices: Sequence[int], sounds: Sounds) -> float:
    hypotheses = [best[0].scored() for best in recognizer(sounds)]
    return phone_error_rate([split.utterances[i].scored() for i in indices], hypotheses)


def alignment_errors(recognizer: SoundRecognizer, split: Split) -> np.ndarray:
    """Seconds between the found and the true start of every phone."""
    errors = []
    for index, utterance in enumerate(split.utterances):
        assert utterance.spans is not None
        spans = utterance.spans[utterance.spans[:, 0] > 0]
        found = recognizer.align(split.samples(index), recognizer.vocabulary.decode(spans[:, 0])).phones
        errors += [phone.start - start / SAMPLE_RATE for phone, (_, start, _) in zip(found, spans, strict=True)]
    return np.array(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="run; default: the released one")
    parser.add_argument("--count", type=int, default=100, help="sounds of speechocean762's test split")
    parser.add_argument("--timit", type=Path, help="folder of TIMIT or its sample")
    options = parser.parse_args()
    recognizer = SoundRecognizer.load(options.model)
    split = load_split(Config(corpus="speechocean762"), "test")
    indices = np.linspace(0, len(split.utterances) - 1, options.count).astype(int).tolist()
    sounds = [split.samples(i) for i in indices]
    for name, change in CHANGES.items():
        print(f"PER {error_rate(recognizer, split, indices, [change(x) for x in sounds]):6.1%}  {name}", flush=True)
    (joined,) = (best[0].scored() for best in recognizer([np.concatenate(sounds)]))
    references = [phone for i in indices for phone in split.utterances[i].scored()]
    print(
        f"PER {phone_error_rate([references], [joined]):6.1%}  joined to one of {sum(map(len, sounds)) / 16_000:.0f} s"
    )
    for name, sound in without_speech().items():
        print(f"{len(recognizer([sound])[0][0].phones):4} phones in a minute of {name}", flush=True)
    if options.timit:
        split = load_split(Config(corpus="timit"), "test", options.timit)
        errors = alignment_errors(recognizer, split)
        print(
            f"starts of {len(errors):,} given phones: median error {1000 * np.median(np.abs(errors)):.1f} ms,"
            f" {np.mean(np.abs(errors) <= TOLERANCE):.1%} within 20 ms, median {1000 * np.median(errors):+.1f} ms"
        )


if __name__ == "__main__":
    main()
