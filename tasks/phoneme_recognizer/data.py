"""From corpora to batches.

    records (datasets)   samples, phones, and in some corpora from when to when each phone lasts
      -> Split           ids of phones, ids of 10 ms frames where times are known; the sound stays where it is
      -> batch           sound, some of it made noisy, faster or slower

A batch holds utterances of about the same length, padded to the longest:

    inputs   samples        (batch, samples) float32, in -1..1
             lengths        (batch,) int32, samples that are real
             label_ids      (batch, labels) int32, 0 where there are no more
             label_lengths  (batch,) int32
             frame_ids      (batch, frames) int32: a phone, 0 silence, -1 not known
    targets  label_ids once more, by which labels are counted
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets.sound_folder import SoundFolder
from datasets.sound_folder import fingerprint as folder_fingerprint
from shared.audio import SAMPLE_RATE
from shared.batching import BucketedBatches, pad
from shared.ctc import frames_needed
from shared.features import HOP, WINDOW, frame_count
from shared.phones import fold, fold_all
from tasks.phoneme_recognizer.config import Config

CORPORA = ("spoken_scenes", "spoken_manual", "spoken_tatoeba", "speechocean762", "timit")
UNKNOWN = -1
NOISE_RANGE = 25.0  # decibels


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One utterance without its sound.

    Attributes:
        place: which of the records it is.
        length: samples of its sound.
        label_ids: its phones, silences left out.
        spans: (phones and silences, 3) int32: id, first sample, sample after the last; None where times are unknown.
            The id is 0 for silence, -1 for what is none of the phones.
        phones: the 39 classes that are scored, silences among them where they are known.
    """

    place: int
    length: int
    label_ids: np.ndarray
    spans: np.ndarray | None
    phones: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.length / SAMPLE_RATE


@dataclass(frozen=True)
class Split:
    """One split of one or several corpora, ready for the model."""

    records: Sequence[dict[str, Any]]
    utterances: list[Utterance]

    def samples(self, number: int) -> np.ndarray:
        """The sound of an utterance, float32 `(samples,)`."""
        return self.records[self.utterances[number].place]["audio"].astype(np.float32) / 32_768


class Joined(Sequence[dict[str, Any]]):
    """Several corpora as one: the first whole, and a share of each of the others, from everywhere in it."""

    def __init__(self, parts: Sequence[Sequence[dict[str, Any]]], share: float = 1.0):
        taken = [np.linspace(0, len(part), round(share * len(part)), endpoint=False) for part in parts[1:]]
        chosen = [range(len(parts[0])), *(places.astype(int).tolist() for places in taken)]
        self.records = [(part, place) for part, places in zip(parts, chosen, strict=True) for place in places]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index):
        part, place = self.records[index]
        return part[place]


def open_corpus(name: str, split: str, data_dir: Path | None = None) -> Sequence[dict[str, Any]]:
    """The records of a corpus by its name, or of a folder of the user's."""
    return datasets.load(name, split, data_dir) if name in CORPORA else SoundFolder(Path(name), split)


def fingerprint(name: str, data_dir: Path | None = None) -> str:
    """A hash by which the same data are known again."""
    return datasets.fingerprint(name, data_dir) if name in CORPORA else folder_fingerprint(Path(name))


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """A split: all corpora to train on, the first one alone to measure on.

    Args:
        data_dir: the user's copy of the first corpus.
    """
    names = config.corpora if split == "train" else config.corpora[:1]
    parts = [open_corpus(name, split, data_dir if name == config.corpora[0] else None) for name in names]
    found = read_split(config, Joined(parts, config.beside) if len(parts) > 1 else parts[0])
    return fitting(config, found) if split == "train" else found


def read_split(config: Config, records: Sequence[dict[str, Any]]) -> Split:
    """The utterances of records."""
    return Split(records, [_read(config, record, place) for place, record in enumerate(records)])


def fitting(config: Config, split: Split) -> Split:
    """What CTC can learn from; utterances whose phones need more frames than they have are told of and left out.

    Raises:
        CorpusError: nothing is left.
    """

    def fits(utterance: Utterance) -> bool:
        frames = int(frame_count(int(utterance.length / (1 + config.speed))))
        return len(utterance.label_ids) > 0 and frames_needed(utterance.label_ids) <= -(-frames // config.frames)

    kept = [utterance for utterance in split.utterances if fits(utterance)]
    if not kept:
        raise datasets.CorpusError(f"{config.corpus}: no utterance has phones and is long enough for them")
    if left_out := len(split.utterances) - len(kept):
        print(f"{left_out} utterances without phones, or too short for theirs, are left out", file=sys.stderr)
    return Split(split.records, kept)


def _read(config: Config, record: dict[str, Any], place: int) -> Utterance:
    spelt = record["phones"].split() if isinstance(record["phones"], str) else record["phones"]
    ids = {phone: number for number, phone in enumerate(config.phones, start=1)}
    folded = [fold(phone, config.classes) for phone in spelt]
    spans = None
    if "starts" in record:
        told = [UNKNOWN if phone is None else ids.get(phone, 0) for phone in folded]  # a glottal stop is no silence
        spans = np.stack([np.array(told, np.int32), record["starts"], record["ends"]], axis=1)
    return Utterance(
        place=place,
        length=len(record["audio"]),
        label_ids=np.array([ids[phone] for phone in folded if phone in ids], np.int32),
        spans=spans,
        phones=tuple(fold_all(spelt, 39)),
    )


def example_sounds(config: Config, count: int) -> list[np.ndarray]:
    """Sounds of the development split, or tones where there is no copy of the corpus."""
    name = config.corpora[0]
    try:
        if name not in CORPORA or datasets.is_at_hand(name):
            records = open_corpus(name, "dev")
            return [records[place]["audio"].astype(np.float32) / 32_768 for place in range(min(count, len(records)))]
    except datasets.CorpusError:
        pass
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return [np.float32(0.3) * np.sin(200 * (n + 1) * seconds * (4 + seconds)).astype(np.float32) for n in range(count)]


def training_batches(config: Config, split: Split) -> BucketedBatches:
    """Batches of utterances; an epoch hears every one once."""

    def make_batch(places: np.ndarray, rng: np.random.Generator):
        heard = []
        for place in places:
            samples, spans = split.samples(place), split.utterances[place].spans
            if rng.random() < config.augmented:
                samples, spans = augment(samples, spans, config, rng)
            heard.append((samples, spans))
        return as_batch(heard, [split.utterances[place].label_ids for place in places])

    lengths = [utterance.length for utterance in split.utterances]
    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed)


def as_batch(heard: Sequence[tuple[np.ndarray, np.ndarray | None]], label_ids: Sequence[np.ndarray]):
    """Inputs and targets of sounds with their spans, and their labels."""
    samples, lengths = pad_samples([samples for samples, _ in heard])
    frames = max((samples.shape[1] - WINDOW + HOP) // HOP, 0)
    labels = pad([ids.tolist() for ids in label_ids])
    inputs = {
        "samples": samples,
        "lengths": lengths,
        "label_ids": labels,
        "label_lengths": np.array([len(ids) for ids in label_ids], np.int32),
        "frame_ids": np.stack([frame_ids(spans, frames) for _, spans in heard]),
    }
    return inputs, labels


def pad_samples(sounds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sounds as float32 `(batch, samples)`, and how many samples of each are real."""
    lengths = np.array([len(sound) for sound in sounds], np.int32)
    samples = np.zeros((len(sounds), int(lengths.max())), np.float32)
    for row, sound in zip(samples, sounds, strict=True):
        row[: len(sound)] = sound
    return samples, lengths


def frame_ids(spans: np.ndarray | None, frames: int) -> np.ndarray:
    """Which phone is heard in the middle of each frame, int32 `(frames,)`."""
    middles = np.arange(frames) * HOP + WINDOW // 2
    if spans is None or not len(spans):
        return np.full(frames, UNKNOWN, np.int32)
    place = np.searchsorted(spans[:, 1], middles, side="right") - 1
    inside = (place >= 0) & (middles < spans[place, 2])
    return np.where(inside, spans[place, 0], UNKNOWN).astype(np.int32)


def augment(
    samples: np.ndarray, spans: np.ndarray | None, config: Config, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """The same utterance with less silence around it, faster or slower, pitch and all, louder or softer, in noise."""
    if config.cropped and spans is not None:
        samples, spans = crop(samples, spans, *rng.uniform(0, config.cropped, 2))
    if config.speed:
        samples, spans = at_speed(samples, spans, 1 + rng.uniform(-config.speed, config.speed))
    samples = samples * np.float32(10 ** (rng.uniform(-10, 3) / 20))
    return add_noise(samples, config.least_snr + rng.uniform(0, NOISE_RANGE), rng), spans


def crop(samples: np.ndarray, spans: np.ndarray, before: float, after: float) -> tuple[np.ndarray, np.ndarray]:
    """Without these shares of the silence before the first phone and after the last."""
    said = spans[spans[:, 0] != 0]
    if not len(said):
        return samples, spans
    first = int(before * said[0, 1])
    last = len(samples) - int(after * (len(samples) - said[-1, 2]))
    times = np.clip(spans[:, 1:], first, last) - first
    return samples[first:last], np.concatenate([spans[:, :1], times], axis=1)


def at_speed(samples: np.ndarray, spans: np.ndarray | None, speed: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Played so many times as fast."""
    import soxr

    played = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ")
    if spans is not None:
        spans = np.concatenate([spans[:, :1], np.round(spans[:, 1:] / speed)], axis=1).astype(np.int32)
    return played, spans


def add_noise(samples: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """With noise `snr` decibels below the sound, of a colour between white and brown."""
    step = 1 << max(len(samples).bit_length() - 4, 1)
    length = (len(samples) // step + 1) * step  # of which transforms are fast, for it has small factors
    spectrum = np.fft.rfft(rng.standard_normal(length, np.float32))
    spectrum /= np.maximum(np.arange(len(spectrum), dtype=np.float32), 1) ** np.float32(rng.uniform(0, 1))
    noise = np.fft.irfft(spectrum, length)[: len(samples)]
    level = np.sqrt(np.mean(samples**2) / max(float(np.mean(noise**2)), 1e-20))
    return samples + np.float32(level * 10 ** (-snr / 20)) * noise
