"""From corpora to batches.

    records (datasets)   samples, phones; in some corpora first and last sample of each, or all ways to say each word
      -> Split           phones, and spans of phones where times are known; sound is read on access
      -> batch           sound, some of it augmented

A batch holds utterances of similar length, padded to the longest:

    inputs   samples        `(batch, samples)` float32, in -1..1
             lengths        `(batch,)` int32, in samples
             label_ids      `(batch, target)` int32, 0 for padding
             label_lengths  `(batch,)` int32
             frame_ids      `(batch, frames)` int32: a phone, 0 for silence, -1 for unknown
    targets  label_ids again, from which the trainer counts labels
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets.pronunciation import from_line
from datasets.sound_folder import SoundFolder
from datasets.sound_folder import fingerprint as folder_fingerprint
from shared.audio import SAMPLE_RATE, pad_samples
from shared.batching import BucketedBatches
from shared.errors import UserError
from shared.frames import HOP, WINDOW, frame_count
from shared.labels import min_frames
from shared.packing import pad
from shared.phones import SILENCE, PhoneVocabulary, SpokenWord, fold, fold_all
from shared.runs import Run
from tasks.phoneme_recognizer.augmentation import augment, crop, without_speech
from tasks.phoneme_recognizer.config import Config, split_fraction
from tasks.phoneme_recognizer.groups import groups_of
from tasks.phoneme_recognizer.spelling import Speller

CORPORA = ("spoken_scenes", "spoken_manual", "spoken_tatoeba", "speechocean762", "english_speech", "timit")
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One utterance without its sound.

    Spans are int32 `(spans, 3)`: id, first sample, sample after the last. The id is 0 for silence, -1 for a label
    outside the set.
    """

    index: int  # of its record
    length: int  # samples of its sound
    phones: tuple[str, ...]  # of the set `config.classes`, without silences
    spans: np.ndarray | None  # None if times are unknown
    reference: tuple[str, ...]  # of the 39 scored classes, with silences if the corpus has them
    words: tuple[SpokenWord, ...] = ()  # in phones of the set; none where only phones are known
    speaker: str = ""
    groups: tuple[str, ...] = ()  # see `groups_of`

    def scored(self, silence: bool = False) -> list[str]:
        """The phones of the 39 scored classes, with or without silences."""
        return [phone for phone in self.reference if silence or phone != SILENCE]


@dataclass(frozen=True)
class Split:
    """One split of one or several corpora."""

    records: Sequence[dict[str, Any]]
    utterances: list[Utterance]

    def samples(self, index: int) -> np.ndarray:
        """The sound of utterance `index`, float32 `(samples,)`."""
        return self.records[self.utterances[index].index]["audio"].astype(np.float32) / 32_768


class Joined(datasets.RecordSequence):
    """Several corpora as one: a fraction of each, evenly spaced."""

    def __init__(self, parts: Sequence[Sequence[dict[str, Any]]], fractions: Sequence[float]):
        self.origins = [
            (part, int(index))
            for part, fraction in zip(parts, fractions, strict=True)
            for index in np.linspace(0, len(part), round(fraction * len(part)), endpoint=False)
        ]

    def __len__(self) -> int:
        return len(self.origins)

    def record(self, index: int) -> dict[str, Any]:
        part, inner = self.origins[index]
        return part[inner]


def absolute(corpus: str) -> str:
    """The absolute path of a file or folder, of each of several joined by +; a name, or a path with +, as it is."""

    def of_part(part: str) -> str:
        name, fraction = split_fraction(part)
        path = Path(name)
        is_own = name.strip() and name not in CORPORA and (path.is_file() or path.is_dir())
        found = str(path.resolve()) if is_own and "+" not in str(path.resolve()) else name
        return found + part.removeprefix(name) if fraction is not None else found

    return "+".join(map(of_part, corpus.split("+")))


def open_corpus(config: Config, name: str, split: str, data_dir: Path | None = None) -> Sequence[dict[str, Any]]:
    """The records of a corpus, or of sounds with transcripts of one's own."""
    if name in CORPORA:
        return datasets.load(name, split, data_dir)
    others = (("dev", config.dev_corpus.split("+")), ("test", config.test_corpus.split("+")))
    merged = [other for other, own in others if own != [""] and name not in own]
    return SoundFolder(Path(name), split, _dictionary(config), Speller.load(), merged if name in config.corpora else ())


def _dictionary(config: Config) -> Path | None:
    return Path(config.dictionary) if config.dictionary else None


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """A hash of each corpus of the training by its name; `data_dir` is the user's copy of the first."""
    names = dict.fromkeys([*config.corpora, *filter(None, config.dev_corpus.split("+"))])
    return {
        name: datasets.fingerprint(name, None if i else data_dir)
        if name in CORPORA
        else folder_fingerprint(Path(name), _dictionary(config))
        for i, name in enumerate(names)
    }


def check_corpus(run: Run, config: Config, corpus: str, split: str) -> None:
    """Raises UserError when a split of sounds of one's own would have some that the run was trained on.

    Splits of a folder or table depend on all of its contents, and its training has those that others are used for.
    """
    own = {"dev": config.dev_corpus, "test": config.test_corpus}.get(split, "")
    trained = [name for name in corpus.split("+") if name in config.corpora and name not in CORPORA]
    for name in trained:
        if own and name not in own.split("+"):
            raise UserError(f"{name}: {run.name} was trained on its {split} split, since it has another {split} corpus")
        if not run.was_trained_on({name: folder_fingerprint(Path(name), _dictionary(config))}):
            raise UserError(f"{name}: has changed since {run.name} was trained on it, so its splits are other ones")


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """A split of all corpora for training, of the first for evaluation; `data_dir` is the user's copy of the first.

    Development or test corpora, one or several, are taken as a whole if they are one's own and not trained on.
    """
    own = {"dev": config.dev_corpus, "test": config.test_corpus}.get(split, "")
    names = own.split("+") if own else config.corpora if split == "train" else config.corpora[:1]
    fractions = config.fractions if split == "train" else [1.0] * len(names)

    def part_of(name: str) -> str:
        return "all" if own and name not in (*CORPORA, *config.corpora) else split

    first = config.corpora[0]
    parts = [open_corpus(config, name, part_of(name), data_dir if name == first else None) for name in names]
    whole = len(parts) == 1 and fractions == [1.0]
    loaded = read_split(config, parts[0] if whole else Joined(parts, fractions))
    return trainable(config, loaded) if split == "train" else loaded


def read_split(config: Config, records: Sequence[dict[str, Any]]) -> Split:
    """The utterances of records. Words that a corpus does not pronounce are pronounced by their spelling."""
    vocabulary = PhoneVocabulary(config.classes)
    utterances = [_read(config, vocabulary, record, i) for i, record in enumerate(records)]
    if missing := sorted({word.text for each in utterances for word in each.words if not word.pronunciations}):
        utterances = _with_spelled(config, utterances, missing)
    return Split(records, utterances)


def _with_spelled(config: Config, utterances: list[Utterance], missing: list[str]) -> list[Utterance]:
    """The utterances with the missing words pronounced; those with a word that cannot be are left out and reported."""
    speller = Speller.load()
    said = zip(missing, speller(missing) if speller else [()] * len(missing), strict=True)
    spelled = {text: _folded(SpokenWord(text, tuple(pronunciations)), config) for text, pronunciations in said}
    completed = []
    for utterance in utterances:
        words = [word if word.pronunciations else spelled[word.text] for word in utterance.words]
        if all(word.pronunciations for word in words):
            completed.append(with_words(utterance, words) if words else utterance)
    silent = [word.text for word in spelled.values() if not word.pronunciations]
    print(f"words pronounced as spelled: {len(missing) - len(silent)}", file=sys.stderr)
    if left_out := len(utterances) - len(completed):
        print(
            f"utterances left out for a word without a pronunciation, such as {silent[0]}: {left_out}", file=sys.stderr
        )
    return completed


def with_words(utterance: Utterance, words: Sequence[SpokenWord]) -> Utterance:
    """The utterance with other words, and as its phones the first pronunciation of each."""
    phones = tuple(phone for word in words for phone in word.pronunciations[0])
    return replace(utterance, words=tuple(words), phones=phones, reference=tuple(fold_all(phones, 39)))


def _folded(word: SpokenWord, config: Config) -> SpokenWord:
    """A word in phones of the set, each pronunciation once."""
    folded = (tuple(fold_all(said, config.classes)) for said in word.pronunciations)
    return SpokenWord(word.text, tuple(dict.fromkeys(folded)))


def trainable(config: Config, split: Split) -> Split:
    """The utterances that CTC can learn from; those without phones, or with too few frames for them, are reported.

    Raises:
        CorpusError: no utterance is left.
    """
    fitting = [each for each in split.utterances if each.phones and fits(config, each)]
    if not fitting:
        raise datasets.CorpusError(f"{config.corpus}: no utterance has phones and is long enough for them")
    if skipped := len(split.utterances) - len(fitting):
        what = "utterance that has no phones or is" if skipped == 1 else "utterances that have no phones or are"
        print(f"skipped {skipped} {what} too short for them", file=sys.stderr)
    return Split(split.records, fitting)


def fits(config: Config, utterance: Utterance) -> bool:
    """Whether a sound, at its shortest after augmentation, has enough steps for CTC to emit its phones."""
    length = utterance.length
    if config.max_crop and utterance.spans is not None:
        samples = np.broadcast_to(np.float32(0), length)
        length = len(crop(samples, utterance.spans, config.max_crop, config.max_crop)[0])
    frames = int(frame_count(int(length / (1 + config.speed_range))))
    return min_frames(utterance.phones) <= -(-frames // config.frames)


def _read(config: Config, vocabulary: PhoneVocabulary, record: dict[str, Any], index: int) -> Utterance:
    labels = record["phones"].split() if isinstance(record["phones"], str) else record["phones"]
    folded = [fold(label, config.classes) for label in labels]
    spans = None
    if "starts" in record:
        ids = [UNKNOWN if phone is None else vocabulary.ids.get(phone, 0) for phone in folded]
        spans = np.stack([np.array(ids, np.int32), record["starts"], record["ends"]], axis=1)
    return Utterance(
        index=index,
        length=len(record["audio"]),
        phones=tuple(phone for phone in folded if phone is not None and phone in vocabulary.ids),
        spans=spans,
        reference=tuple(fold_all(labels, 39)),
        words=tuple(_folded(from_line(line), config) for line in record.get("words", ())),
        speaker=record.get("speaker", ""),
        groups=groups_of(record),
    )


def build_vocabulary(config: Config, train: Split, initial: PhoneVocabulary | None = None) -> PhoneVocabulary:
    """The phones of the set `config.classes`, whether they occur in the training split or not."""
    del train, initial
    return PhoneVocabulary(config.classes)


def training_batches(config: Config, train: Split, vocabulary: PhoneVocabulary) -> BucketedBatches:
    """Batches in which each utterance, or in its stead a sound without speech, occurs once per epoch."""
    label_ids = [np.array(vocabulary.encode(utterance.phones), np.int32) for utterance in train.utterances]

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]):
        sounds, labels = [], []
        for i, rng in zip(indices, rngs, strict=True):
            utterance = train.utterances[i]
            if config.no_speech_fraction and rng.random() < config.no_speech_fraction:
                spans = np.array([[0, 0, utterance.length]], np.int32)
                sounds.append((without_speech(utterance.length, rng), spans))
                labels.append(label_ids[i][:0])
                continue
            samples, spans = train.samples(i), utterance.spans
            if rng.random() < config.augment_probability:
                samples, spans = augment(samples, spans, config, rng)
            sounds.append((samples, spans))
            labels.append(label_ids[i])
        return as_batch(sounds, labels, sizes)

    lengths = [utterance.length for utterance in train.utterances]
    slowest, added = 1 - config.speed_range, math.ceil(config.max_silence * SAMPLE_RATE)
    sizes = {
        "samples": [math.ceil(length / slowest) + 1 + added for length in lengths],
        "label_ids": [len(ids) for ids in label_ids],
    }
    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed, sizes)


def as_batch(
    sounds: Sequence[tuple[np.ndarray, np.ndarray | None]],
    label_ids: Sequence[np.ndarray],
    sizes: Mapping[str, int] | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs and targets from the samples and spans, and the label ids `(target,)`, of each utterance.

    `sizes` has the lengths to which `samples` and `label_ids` are padded; by default they are the longest ones.
    """
    sizes = sizes or {}
    samples, lengths = pad_samples([samples for samples, _ in sounds], sizes.get("samples"))
    frames = max((samples.shape[1] - WINDOW + HOP) // HOP, 0)
    labels = pad([ids.tolist() for ids in label_ids], sizes.get("label_ids"))
    inputs = {
        "samples": samples,
        "lengths": lengths,
        "label_ids": labels,
        "label_lengths": np.array([len(ids) for ids in label_ids], np.int32),
        "frame_ids": np.stack([frame_ids(spans, frames) for _, spans in sounds]),
    }
    return inputs, labels


def frame_ids(spans: np.ndarray | None, frames: int) -> np.ndarray:
    """The id of the span at the middle of each frame, int32 `(frames,)`."""
    middles = np.arange(frames) * HOP + WINDOW // 2
    if spans is None or not len(spans):
        return np.full(frames, UNKNOWN, np.int32)
    index = np.searchsorted(spans[:, 1], middles, side="right") - 1
    inside = (index >= 0) & (middles < spans[index, 2])
    return np.where(inside, spans[index, 0], UNKNOWN).astype(np.int32)
