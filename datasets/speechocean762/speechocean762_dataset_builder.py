"""TFDS builder of speechocean762 (Zhang et al. 2021), from its archive or the extracted folder."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets import CorpusError
from datasets.builders import corpus_folder, manual_instructions
from datasets.records import as_int16, audio_feature, readable_records
from datasets.speechocean762.expert_scores import MAX_OTHER, MAX_PHONE, read_expert_scores
from shared.audio import read_sound
from shared.files import MediaError
from shared.text import as_lines

EXPECTED = {"train": (2_500,), "test": (2_500, 1_260)}  # utterances; some copies have half of the test speakers
DEV_PERIOD = 10  # every tenth speaker of train, in order of number, is moved to dev
MAX_BAD = 0.01  # maximum fraction of unusable utterances in a split
UNKNOWN = -1  # score
TEXTS = ("name", "speaker", "text", "phones", "sex", "native")


@dataclass(frozen=True)
class Utterance:
    """An entry of a split's lists; `phones` are separated by spaces, `path` is the sound file."""

    name: str
    speaker: str
    text: str
    phones: str
    path: Path
    sex: str  # "f" or "m"
    age: int
    accuracy: float  # the experts' score, 0 to 10
    phone_score: float  # the mean of their scores of its phones, 0 to 2
    native: str = "zh"


class Builder(tfds.core.GeneratorBasedBuilder):
    """English sentences and their phones, read by native speakers of Mandarin, half of them children."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.2.0": "Speakers' age and sex, and experts' scores.",
        "1.1.0": "Samples are stored as bytes.",
        "1.0.0": "First release.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("speechocean762")
    skipped = 0  # number of bad records

    def _info(self) -> tfds.core.DatasetInfo:
        features = {name: tfds.features.Text() for name in TEXTS} | {"audio": audio_feature(), "age": np.int32}
        features |= dict.fromkeys(("accuracy", "phone_score"), np.float32)
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = corpus_folder(dl_manager, "speechocean762")
        root = next((path.parent for path in sorted(folder.rglob("train")) if path.is_dir()), folder)
        train, test = (read_split(root, split) for split in ("train", "test"))
        dev_speakers = set(sorted({utterance.speaker for utterance in train})[DEV_PERIOD - 1 :: DEV_PERIOD])
        splits = {
            "train": [utterance for utterance in train if utterance.speaker not in dev_speakers],
            "dev": [utterance for utterance in train if utterance.speaker in dev_speakers],
            "test": test,
        }
        return {split: self._generate_examples(utterances) for split, utterances in splits.items()}

    def _generate_examples(self, utterances: list[Utterance]) -> Iterator[tuple[str, dict]]:
        yield from readable_records(self, utterances, lambda utterance: utterance.name, read_utterance, MAX_BAD)


def read_utterance(utterance: Utterance) -> dict:
    """Return the record of an utterance; raises MediaError when it has no phones or its sound is unreadable."""
    if not utterance.phones:
        raise MediaError("has no phones")
    record = {name: getattr(utterance, name) for name in (*TEXTS, "age", "accuracy", "phone_score")}
    return {"audio": as_int16(read_sound(utterance.path)), **record}


def read_split(root: Path, split: str) -> list[Utterance]:
    """Return the utterances listed for a split, in order of their names.

    Raises:
        CorpusError: A list is missing, the number of utterances is not the expected one, or the scores are damaged.
    """
    phones: dict[str, list[str]] = {}
    for key, pronunciation in _table(root / "resource" / "text-phone").items():
        name = key.rpartition(".")[0]  # the key is utterance.word
        phones.setdefault(name, []).extend(re.sub(r"\d*(_[BIES])?$", "", phone) for phone in pronunciation.split())
    texts, speakers, paths = (_table(root / split / name) for name in ("text", "utt2spk", "wav.scp"))
    sexes, ages = (_table(root / split / name, is_optional=True) for name in ("spk2gender", "spk2age"))
    scores = read_expert_scores(root)
    if len(paths) not in EXPECTED[split]:
        expected = " or ".join(f"{count:,}" for count in EXPECTED[split])
        raise CorpusError(f"speechocean762: {split}/wav.scp has {len(paths):,} utterances, expected {expected}.")
    utterances = []
    for name, path in sorted(paths.items()):
        speaker, own = speakers.get(name, ""), scores.get(name)
        utterances.append(
            Utterance(
                name=name,
                speaker=speaker,
                text=texts.get(name, ""),
                phones=" ".join(phones.get(name, [])),
                path=root / path,
                sex=sexes.get(speaker, ""),
                age=int(age) if (age := ages.get(speaker, "")).isdecimal() else 0,
                accuracy=own.of_utterance * MAX_OTHER / MAX_PHONE if own and not own.are_derived else UNKNOWN,
                phone_score=float(own.of_phones.mean()) if own else UNKNOWN,
            )
        )
    return utterances


def _table(path: Path, is_optional: bool = False) -> dict[str, str]:
    """Return the lines of a file as a mapping from their first word to the rest, none if an optional one is missing."""
    try:
        lines = as_lines(path.read_bytes().decode())
    except FileNotFoundError:
        if is_optional:
            return {}
        raise CorpusError(f"speechocean762: {path} does not exist.") from None
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {key: rest[0].strip() if rest else "" for key, *rest in pairs}
