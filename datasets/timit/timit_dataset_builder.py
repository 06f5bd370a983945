"""TFDS builder of TIMIT (Garofolo et al. 1993), from a copy in one of four layouts."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets import CorpusError
from datasets.builders import manual_instructions, user_folder
from datasets.records import readable_records, timed_speech_features
from datasets.timit.repair import repair
from shared.audio import read_sound
from shared.files import MediaError
from shared.phones import PHONES_61
from shared.text import as_lines

EXPECTED = {"train": 3_696, "dev": 400, "test": 192}
MAX_BAD = 0.01  # maximum fraction of unusable utterances in a split
CORE_TEST = {  # speakers
    "mdab0", "mwbt0", "felc0", "mtas1", "mwew0", "fpas0", "mjmp0", "mlnt0", "fpkt0", "mlll0", "mtls0", "fjlm0",
    "mbpm0", "mklt0", "fnlp0", "mcmj0", "mjdh0", "fmgd0", "mgrt0", "mnjm0", "fdhc0", "mjln0", "mpam0", "fmld0",
}  # fmt: skip
DEV = {  # speakers
    "faks0", "fdac1", "fjem0", "mgwt0", "mjar0", "mmdb1", "mmdm2", "mpdf0", "fcmh0", "fkms0", "mbdg0", "mbwm0",
    "mcsh0", "fadg0", "fdms0", "fedw0", "mgjf0", "mglb0", "mrtk0", "mtaa0", "mtdt0", "mthc0", "mwjg0", "fnmr0",
    "frew0", "fsem0", "mbns0", "mmjr0", "mdls0", "mdlf0", "mdvc0", "mers0", "fmah0", "fdrw0", "mrcs0", "mrjm4",
    "fcal1", "mmwh0", "fjsj0", "majc0", "mjsw0", "mreb0", "fgjd0", "fjmg0", "mroa0", "mteb0", "mjfc0", "mrjr0",
    "fmml0", "mrws1",
}  # fmt: skip


@dataclass(frozen=True)
class Utterance:
    """A transcription file and its sound and text files in the same folder."""

    transcription: Path
    split: str

    @property
    def sentence(self) -> str:
        return self.transcription.stem.lower()

    @property
    def speaker(self) -> str:
        return self.transcription.parent.name.lower().rpartition("-")[-1]

    @property
    def name(self) -> str:
        return f"{self.speaker}-{self.sentence}"

    def beside(self, *suffixes: str) -> Path:
        """Return the file of this utterance with the first suffix that exists, in upper or lower case.

        Raises:
            MediaError: No such file exists.
        """
        files = {path.name.lower(): path for path in self.transcription.parent.iterdir()}
        for suffix in suffixes:
            if self.sentence + suffix in files:
                return files[self.sentence + suffix]
        raise MediaError(f"has no {suffixes[-1]} file beside it")


class Builder(tfds.core.GeneratorBasedBuilder):
    """English sentences read by 630 speakers, with hand-labelled phone times."""

    VERSION = tfds.core.Version("1.3.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.3.0": "Speakers' sex.",
        "1.2.0": "Recordings damaged by a newline conversion are repaired.",
        "1.1.0": "Samples are stored as bytes.",
        "1.0.0": "First release.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("timit")
    skipped = 0  # number of bad records

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=timed_speech_features("sex"), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = user_folder(dl_manager)
        assert folder is not None  # noqa: S101 - datasets.prepare requires a copy
        splits = find_utterances(folder)
        return {split: self._generate_examples(utterances) for split, utterances in splits.items()}

    def _generate_examples(self, utterances: list[Utterance]) -> Iterator[tuple[str, dict]]:
        yield from readable_records(self, utterances, lambda utterance: utterance.name, read_utterance, MAX_BAD)


def find_utterances(folder: Path) -> dict[str, list[Utterance]]:
    """Return the utterances of each split in order of path, without the sentences that all speakers read (SA1, SA2).

    Raises:
        CorpusError: The numbers of utterances are not those of the corpus.
    """
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    is_sample = True
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() != ".phn" or path.name.lower().startswith("sa"):
            continue
        parts = {part.lower() for part in path.relative_to(folder).parts[:-1]}
        if "train" in parts:
            split = "train"
        elif "test" in parts:
            speaker = Utterance(path, "").speaker
            split = "dev" if speaker in DEV else "test" if speaker in CORE_TEST else ""
        else:
            splits["test"].append(Utterance(path, "test"))
            continue
        is_sample = False
        if split:
            splits[split].append(Utterance(path, split))
    counts = {split: len(utterances) for split, utterances in splits.items()}
    if is_sample and counts["test"]:
        return {"test": splits["test"]}
    if counts != EXPECTED:
        actual, expected = (", ".join(f"{split} {n:,}" for split, n in c.items()) for c in (counts, EXPECTED))
        raise CorpusError(f"timit: {folder} has the utterances {actual}; expected {expected}.")
    return splits


def read_utterance(utterance: Utterance) -> dict:
    """Return the record of an utterance; reports a recording that needed repair.

    Raises:
        MediaError: A file is missing or damaged, a label is unknown, or the times are not in order.
    """
    samples = np.round(read_sound(utterance.beside(".wav.wav", ".wav")) * 32_768).clip(-32_768, 32_767)
    samples, restored = repair(samples.astype(np.int16))
    if restored:
        print(f"timit: {utterance.name}: repaired a newline conversion, {restored} bytes restored", file=sys.stderr)
    lines = [line.split() for line in as_lines(utterance.transcription.read_bytes().decode()) if line.strip()]
    try:
        starts, ends, phones = zip(*((int(start), int(end), phone) for start, end, phone in lines), strict=True)
    except ValueError:
        raise MediaError("has a transcription whose lines are not: start end label") from None
    unknown = sorted(set(phones) - set(PHONES_61))
    if unknown:
        raise MediaError(f"has the label {unknown[0]!r}, which is not one of the 61")
    times = np.array([starts, ends], np.int32)
    if (times[0] >= times[1]).any() or (times[0, 1:] < times[1, :-1]).any() or times[0, -1] >= len(samples):
        raise MediaError("has times that are not in order")
    text = utterance.beside(".txt").read_text().split(maxsplit=2)[2].strip()  # the first two words are times
    return {
        "audio": samples,
        "phones": list(phones),
        "starts": times[0],
        "ends": times[1].clip(max=len(samples)),
        "text": text,
        "speaker": utterance.speaker,
        "sex": utterance.speaker[0],
        "name": utterance.name,
    }
