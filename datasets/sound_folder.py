"""Sounds with transcripts of one's own, as a corpus: a folder or table of any layout of `datasets.sound_layouts`.

Words are pronounced by a dictionary or, if it lacks them, by their spelling. An utterance with a word that cannot be
pronounced is skipped, and the word is reported, like sounds without a transcript, transcripts without a sound, and
names that are not unique. Hidden files are ignored.
"""

import functools
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets import CorpusError
from datasets.pronunciation import Pronouncer, Spell, as_line
from datasets.records import as_int16
from datasets.sound_layouts import Recording, find_recordings
from shared.audio import SAMPLE_RATE, read_sound
from shared.files import MediaError
from shared.phones import SpokenWord

PERIOD = 10  # of 10 utterances, or speakers, in a row, one is in dev and one in test
MAX_NAMED = 20  # maximum number of words in a report
MAX_BAD = 0.01  # maximum fraction of unreadable sounds

Utterance = tuple[Recording, list[SpokenWord]]


class SoundFolder(Sequence[dict[str, Any]]):
    """Records of one split, read on access.

    `audio`, int16 `(samples,)` at 16 kHz; `text`, `name`, `speaker`; `words`, a list of lines as `as_line` makes them;
    `phones`, a list: the first pronunciation of each.

    Args:
        source: A folder of sounds and transcripts, or a table of them.
        split: "train", "dev" or "test"; or "all". Those of the corpus, if it has them; else assigned in order, by
            speaker if there are at least `PERIOD` speakers. A split that the corpus lacks is taken from its training.
        dictionary: Pronunciations of one's own.
        spell: Pronounces words that no dictionary has.
        merged: Splits that are part of "train", because others are used for them.

    Raises:
        CorpusError: The source or its transcripts do not exist, or the split has no usable utterance.
    """

    def __init__(
        self,
        source: Path,
        split: str,
        dictionary: Path | None = None,
        spell: Spell | None = None,
        merged: Sequence[str] = (),
    ) -> None:
        self._root = source if source.is_dir() else source.parent
        utterances = _usable(source, dictionary, spell)
        assigned = assign_splits([recording for recording, _ in utterances])
        wanted = {split, *merged} if split == "train" else {split}
        self.utterances = [
            utterance for utterance, own in zip(utterances, assigned, strict=True) if split == "all" or own in wanted
        ]
        if not self.utterances:
            raise CorpusError(f"{source}: too few utterances for a {split} split; expected at least {PERIOD}")

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> dict[str, Any]:
        recording, words = self.utterances[index]
        phones = [phone for word in words for phone in word.pronunciations[0]]
        record = {name: getattr(recording, name) for name in ("text", "name", "speaker")}
        record |= {"phones": phones, "words": [as_line(word) for word in words]}
        return {"audio": as_int16(read_part(recording)), **record}

    def path_of(self, index: int) -> str:
        """The path of an utterance within the source, which ends with its name and not with the sound's suffix."""
        recording, _ = self.utterances[index]
        folder = recording.path.parent
        inside = folder.relative_to(self._root) if folder.is_relative_to(self._root) else folder
        return (inside / recording.name).as_posix()


def assign_splits(recordings: Sequence[Recording]) -> list[str]:
    """Return the split of each recording: that of the corpus, else dev for a tenth, test for a tenth, and train."""
    speakers = list(dict.fromkeys(recording.speaker for recording in recordings))
    by_speaker = len(speakers) >= PERIOD and all(speakers)
    groups = {speaker: index for index, speaker in enumerate(speakers)}
    given = {recording.split for recording in recordings}
    splits, count = [], 0
    for recording in recordings:
        if recording.split in ("dev", "test"):
            splits.append(recording.split)
            continue
        index = groups[recording.speaker] if by_speaker else count
        made = {PERIOD - 1: "dev", PERIOD - 2: "test"}.get(index % PERIOD, "train")
        splits.append("train" if made in given else made)
        count += 1
    return splits


def read_part(recording: Recording) -> np.ndarray:
    """Return the samples of a recording, float32 `(samples,)`; raises MediaError as `read_sound`, or for no samples."""
    if recording.start == 0 and recording.end is None:
        return read_sound(recording.path)
    first = round(recording.start * SAMPLE_RATE)
    last = None if recording.end is None else round(recording.end * SAMPLE_RATE)
    samples = _whole(recording.path)[first:last]
    if not len(samples):
        raise MediaError(f"ends before {recording.start:g} s, where {recording.name} was expected")
    return samples


@functools.lru_cache(2)  # utterances of a recording follow each other
def _whole(path: Path) -> np.ndarray:
    return read_sound(path)


def fingerprint(source: Path, dictionary: Path | None = None) -> str:
    """Return a hash of the names, sounds and transcripts of a corpus, and of a dictionary."""
    digest = hashlib.sha256()
    root = source if source.is_dir() else source.parent
    contents: dict[Path, str] = {}
    for name, path, text, start, end, *_ in find_recordings(source):
        if path not in contents:
            with path.open("rb") as file:
                contents[path] = hashlib.file_digest(file, "sha256").hexdigest()
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        part = "" if end is None and not start else f"\t{name}\t{start}\t{end}"
        digest.update(f"{inside}\t{contents[path]}\t{text}{part}\n".encode("utf-8", "surrogateescape"))
    if dictionary is not None:
        digest.update(dictionary.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache  # each split needs it, and it reads all sounds
def _usable(source: Path, dictionary: Path | None, spell: Spell | None) -> list[Utterance]:
    """Return the utterances whose words can be pronounced and whose sound is readable; report the others.

    Raises:
        CorpusError: More than `MAX_BAD` of the sounds are unreadable.
    """
    pronounced, usable = _pronounced(source, dictionary, spell), []
    for utterance in pronounced:
        try:
            read_part(utterance[0])
        except MediaError as error:
            print(f"skipped {utterance[0].path}: {error}", file=sys.stderr)
        else:
            usable.append(utterance)
    if len(pronounced) - len(usable) > MAX_BAD * len(pronounced):
        raise CorpusError(f"{source}: more than {MAX_BAD:.0%} of {len(pronounced):,} sounds are unreadable")
    return usable


def _pronounced(source: Path, dictionary: Path | None, spell: Spell | None) -> list[Utterance]:
    """Return the utterances whose words can all be pronounced; report the missing words, and those that are spelled."""
    recordings = find_recordings(source, lambda line: print(line, file=sys.stderr))
    pronouncer = Pronouncer(dictionary, spell)
    utterances, missing, spelled, skipped = [], Counter(), Counter(), 0
    for recording, text in zip(recordings, pronouncer.all([each.text for each in recordings]), strict=True):
        missing.update(text.missing)
        spelled.update(text.spelled)
        skipped += bool(text.missing)
        if text.words and not text.missing:
            utterances.append((recording, text.words))
    if missing:
        what = "utterance" if skipped == 1 else "utterances"
        print(f"{source}: skipped {skipped} {what}; not in the dictionary: {_named(missing)}", file=sys.stderr)
    if spelled:
        what = "word is" if len(spelled) == 1 else "words are"
        print(f"{source}: {len(spelled)} {what} pronounced as spelled: {_named(spelled)}", file=sys.stderr)
    return utterances


def _named(words: Counter[str]) -> str:
    """Return the most frequent words."""
    more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return ", ".join(word for word, _ in words.most_common(MAX_NAMED)) + more
