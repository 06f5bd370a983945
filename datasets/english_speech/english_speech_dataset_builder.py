"""TFDS builder of a folder of English sounds of many people and a table of their transcripts; see README.md."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, NamedTuple

import tensorflow_datasets as tfds

from datasets import CorpusError
from datasets.builders import manual_instructions, user_folder
from datasets.cmudict import Dictionary, load_stressed, without_stress
from datasets.lines import read_text
from datasets.pronunciation import LETTERS, MAX_PRONUNCIATIONS, as_line
from datasets.records import as_int16, audio_feature, readable_records
from datasets.reductions import flapped, reduced
from shared.audio import read_sound
from shared.phones import SpokenWord
from shared.text import as_lines

TABLE = "transcripts.tsv"
COLUMNS = ("file", "speaker", "native", "sex", "split", "transcript")  # those that are read; others may be there
SPLITS = ("train", "dev", "test")
FLAPPING = re.compile(r"\b(US|CA|Canadian)\b")  # in the accent of a speaker
MAX_BAD = 0.01  # maximum fraction of unusable utterances in a split


class Utterance(NamedTuple):
    """A row of the table."""

    path: Path
    name: str  # its file within the folder, without the suffix
    source: str  # the first folder of its file
    speaker: str
    native: str
    sex: str
    text: str
    words: list[SpokenWord]


class Builder(tfds.core.GeneratorBasedBuilder):
    """English read by many people, most of them from North America, and its phones by CMUdict."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "1.1.0": "Reduced pronunciations.",
        "1.2.0": "Flaps.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("english_speech")
    skipped = 0  # number of bad records

    def _info(self) -> tfds.core.DatasetInfo:
        names = "name", "source", "speaker", "native", "sex", "text", "phones"
        texts = {name: tfds.features.Text() for name in names}
        words = tfds.features.Sequence(tfds.features.Text())
        features = tfds.features.FeaturesDict({"audio": audio_feature(), "words": words, **texts})
        return self.dataset_info_from_configs(features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        folder = user_folder(dl_manager)
        assert folder is not None  # noqa: S101 - datasets.prepare requires a copy
        splits = read_table(folder, load_stressed())
        return {split: self._generate_examples(utterances) for split, utterances in splits.items()}

    def _generate_examples(self, utterances: list[Utterance]) -> Iterator[tuple[str, dict]]:
        yield from readable_records(self, utterances, lambda utterance: utterance.name, read_utterance, MAX_BAD)


def read_table(folder: Path, dictionary: Dictionary) -> dict[str, list[Utterance]]:
    """Return the utterances of each split, in the order of the table.

    Utterances of dev and test with a word that the dictionary lacks are left out and reported; those of train are kept.

    Raises:
        CorpusError: The table cannot be read, lacks a column, has a row that is not complete, a file twice or a speaker
            in two splits, or leaves a split empty.
    """
    path = folder / TABLE
    header, *rows = [[cell.strip() for cell in line.split("\t")] for line in as_lines(read_text(path))] or [[]]
    if missing := [name for name in COLUMNS if name not in header]:
        raise CorpusError(f"{path} has no column {missing[0]!r}; columns {', '.join(COLUMNS)} were expected.")
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    left_out, names, split_of = Counter(), set(), {}
    for number, row in enumerate(rows, start=2):
        cells = dict(zip_longest(header, row[: len(header)], fillvalue=""))  # editors drop empty cells at the end
        utterance = _utterance(folder, cells, dictionary)
        is_complete = utterance.name and utterance.speaker and utterance.words and cells["split"] in SPLITS
        if not is_complete or any(row[len(header) :]):
            what = f"{len(header)} cells, a file, a speaker, a transcript and one of {', '.join(SPLITS)} were expected"
            raise CorpusError(f"{path}: line {number}: {what}.")
        if utterance.name in names:
            raise CorpusError(f"{path}: line {number}: {cells['file']} occurs twice.")
        names.add(utterance.name)
        if (other := split_of.setdefault(utterance.speaker, cells["split"])) != cells["split"]:
            problem = f"speaker {utterance.speaker} is in {cells['split']} and in {other}; one split was expected"
            raise CorpusError(f"{path}: line {number}: {problem}.")
        if cells["split"] == "train" or all(word.pronunciations for word in utterance.words):
            splits[cells["split"]].append(utterance)
        else:
            left_out[cells["split"]] += 1
    for split, utterances in splits.items():
        if left_out[split]:
            print(f"english_speech: {split}: {left_out[split]} with words that CMUdict lacks left out", file=sys.stderr)
        if not utterances:
            raise CorpusError(f"{path} has no utterance of {split}; one at least was expected.")
    return splits


def _utterance(folder: Path, cells: dict[str, str], dictionary: Dictionary) -> Utterance:
    file, text = cells.get("file", ""), " ".join(cells.get("transcript", "").split())
    speaker, native, sex = (cells.get(column, "").strip() for column in ("speaker", "native", "sex"))
    name, source = str(Path(file).with_suffix("")) if file else "", file.partition("/")[0]
    flaps = cells.get("split") == "train" and FLAPPING.search(native) is not None
    words = [SpokenWord(word, _pronunciations(word, dictionary, flaps)) for word in text.lower().split()]
    return Utterance(folder / file, name, source, speaker, native, sex, text, words)


def _pronunciations(word: str, dictionary: Dictionary, flaps: bool) -> tuple[tuple[str, ...], ...]:
    """Return those of the dictionary and how they are reduced; of a letter with a full stop, such as "a.", its name.

    `flaps` says that the speaker flaps t and d. A model without flaps would not find them, so in train there is no
    choice.
    """
    if len(word) == 2 and word.endswith(".") and word[0] in LETTERS:
        return (tuple(LETTERS[word[0]].split()),)
    stressed = [flapped(said) if flaps else said for said in dictionary.get(word, [])]
    careful = map(without_stress, stressed)
    fluent = (pronunciation for said in stressed for pronunciation in reduced(word, said, MAX_PRONUNCIATIONS))
    return tuple(dict.fromkeys([*careful, *fluent]))[:MAX_PRONUNCIATIONS]


def read_utterance(utterance: Utterance) -> dict:
    """Return the record of an utterance; raises MediaError when its sound is unreadable."""
    record = {name: getattr(utterance, name) for name in ("name", "source", "speaker", "native", "sex", "text")}
    first = [phone for word in utterance.words for said in word.pronunciations[:1] for phone in said]
    record |= {"phones": " ".join(first), "words": [as_line(word) for word in utterance.words]}
    return {"audio": as_int16(read_sound(utterance.path)), **record}
