"""TFDS builder of speechocean762 (Zhang et al. 2021), from its archive or the folder that comes out of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from datasets import CORPORA, CorpusError
from datasets.lines import instructions, own_folder
from datasets.records import as_int16, sound, usable
from shared.audio import read_sound
from shared.files import MediaError

EXPECTED = {"train": (2_500,), "test": (2_500, 1_260)}  # utterances; some copies hold half of the test speakers
DEV_SPEAKERS = 10  # one in so many of train, by number, is kept for development
MAX_BAD = 0.01  # share of a split's utterances that may be unusable


@dataclass(frozen=True)
class Utterance:
    name: str
    speaker: str
    text: str
    phones: str
    path: Path


class Builder(tfds.core.GeneratorBasedBuilder):
    """English sentences read aloud by speakers of Mandarin, half of them children, with the phones of each."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.1.0": "Samples are kept as bytes.", "1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions("speechocean762")
    skipped = 0  # bad records left out, counted while preparing

    def _info(self) -> tfds.core.DatasetInfo:
        texts = {name: tfds.features.Text() for name in ("name", "speaker", "text", "phones")}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"audio": sound(), **texts}), disable_shuffling=True
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = own_folder(dl_manager)
        if folder is None:
            (url,) = CORPORA["speechocean762"].urls
            folder = Path(dl_manager.download_and_extract(url))
        root = next((path.parent for path in sorted(folder.rglob("train")) if path.is_dir()), folder)
        train, test = (read_split(root, split) for split in ("train", "test"))
        kept = set(sorted({utterance.speaker for utterance in train})[DEV_SPEAKERS - 1 :: DEV_SPEAKERS])
        splits = {
            "train": [utterance for utterance in train if utterance.speaker not in kept],
            "dev": [utterance for utterance in train if utterance.speaker in kept],
            "test": test,
        }
        return {split: self._generate_examples(utterances) for split, utterances in splits.items()}

    def _generate_examples(self, utterances: list[Utterance]) -> Iterator[tuple[str, dict]]:
        yield from usable(self, utterances, lambda utterance: utterance.name, read_utterance, MAX_BAD)


def read_utterance(utterance: Utterance) -> dict:
    """A record; MediaError when it has no phones, or no sound that can be read."""
    if not utterance.phones:
        raise MediaError("has no phones")
    record = {name: getattr(utterance, name) for name in ("name", "speaker", "text", "phones")}
    return {"audio": as_int16(read_sound(utterance.path)), **record}


def read_split(root: Path, split: str) -> list[Utterance]:
    """The utterances that a split lists, in order of their numbers.

    Raises:
        CorpusError: a list is missing, or names another number of utterances than expected.
    """
    phones: dict[str, list[str]] = {}
    for place, of_word in _table(root / "resource" / "text-phone").items():
        name = place.rpartition(".")[0]
        phones.setdefault(name, []).extend(re.sub(r"\d*(_[BIES])?$", "", phone) for phone in of_word.split())
    texts, speakers, paths = (_table(root / split / name) for name in ("text", "utt2spk", "wav.scp"))
    if len(paths) not in EXPECTED[split]:
        wanted = " or ".join(f"{count:,}" for count in EXPECTED[split])
        raise CorpusError(f"speechocean762: {split}/wav.scp names {len(paths):,} utterances, not {wanted}.")
    return [
        Utterance(name, speakers.get(name, ""), texts.get(name, ""), " ".join(phones.get(name, [])), root / path)
        for name, path in sorted(paths.items())
    ]


def _table(path: Path) -> dict[str, str]:
    """The lines of a file, by what stands before the first white space."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"speechocean762: {path} is not there.") from None
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {key: rest[0].strip() if rest else "" for key, *rest in pairs}
