"""Any folder of sound files with transcripts, as a corpus.

    speech/
      a.wav  a.txt             the words of each file beside it
      b.flac b.txt
    or
      transcripts.tsv          a line per file: its path in the folder or its name, a tab, its words
      a.wav  b.flac            in subfolders, if need be

Phones are looked up in a dictionary; an utterance with a word that it lacks is left out, and the word is told.
"""

import functools
import hashlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from datasets import CorpusError
from datasets.cmudict import pronounce
from datasets.records import as_int16
from shared.audio import SOUNDS, read_sound
from shared.files import MediaError

TABLE = "transcripts.tsv"
PART = 10  # one utterance in so many is for development, another for the test
TOLD = 20  # words at most that are named
MAX_BAD = 0.01  # share of sounds that may be unreadable

Utterance = tuple[Path, str, tuple[str, ...]]  # its sound, its words, their phones


class SoundFolder(Sequence[dict[str, Any]]):
    """The utterances of one split: `audio` int16 `(samples,)`, `phones`, `text`, `name`; read when asked for.

    Args:
        folder: see the head of this file.
        split: "train", "dev" or "test", dealt out in order of name whoever speaks; or "all".

    Raises:
        CorpusError: no folder, no transcripts, or no utterance that can be read and of which all words are known.
    """

    def __init__(self, folder: Path, split: str):
        self.utterances = [
            utterance
            for number, utterance in enumerate(_usable(folder))
            if split in ("all", {PART - 1: "dev", PART - 2: "test"}.get(number % PART, "train"))
        ]
        if not self.utterances:
            raise CorpusError(f"{folder}: too few utterances for a {split} split; {PART} are needed")

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index):
        path, text, phones = self.utterances[index]
        return {"audio": as_int16(read_sound(path)), "phones": list(phones), "text": text, "name": path.stem}


def fingerprint(folder: Path) -> str:
    """A hash of the names, sizes and words of a folder's utterances."""
    told = hashlib.sha256()
    for path, text in _transcribed(folder):
        told.update(f"{path.relative_to(folder)}\t{path.stat().st_size}\t{text}\n".encode("utf-8", "surrogateescape"))
    return told.hexdigest()[:16]


def _transcribed(folder: Path) -> list[tuple[Path, str]]:
    """Sound files and their words, in order of name."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is neither a corpus nor a folder of sound files with transcripts")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS.suffixes)
    table = folder / TABLE
    if table.is_file():
        lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        texts = dict(line.split("\t", 1) for line in lines if "\t" in line)
        found = [(path, _text_of(path.relative_to(folder), texts)) for path in files]
    else:
        beside = ((path, path.with_suffix(".txt")) for path in files)
        found = [(path, text.read_text(encoding="utf-8", errors="replace")) for path, text in beside if text.is_file()]
    found = [(path, " ".join(text.split())) for path, text in found if text.strip()]
    if not found:
        raise CorpusError(
            f"{folder}: no sound file with a transcript; a .txt beside each, or {TABLE} with lines of name, tab, words,"
            " was expected"
        )
    return found


def _text_of(path: PurePath, texts: Mapping[str, str]) -> str:
    """What a table says of a file, by its path, its name or its name without what it ends in."""
    return next((texts[key] for key in (path.as_posix(), path.name, path.stem) if key in texts), "")


@functools.cache  # every split asks, and to find out is to read all sounds
def _usable(folder: Path) -> list[Utterance]:
    """Those of known words whose sound can be read; the others are told of.

    Raises:
        CorpusError: more than `MAX_BAD` of the sounds cannot be read.
    """
    known, usable = _known(folder), []
    for utterance in known:
        try:
            read_sound(utterance[0])
        except MediaError as error:
            print(f"skipped {utterance[0]}: {error}", file=sys.stderr)
        else:
            usable.append(utterance)
    if len(known) - len(usable) > MAX_BAD * len(known):
        raise CorpusError(f"{folder}: more than {MAX_BAD:.0%} of {len(known):,} sounds cannot be read")
    return usable


def _known(folder: Path) -> list[Utterance]:
    """Those utterances whose words are all known; the others are counted, and the words told."""
    utterances, lacking, left_out = [], Counter(), 0
    for path, text in _transcribed(folder):
        phones, missing = pronounce(text)
        lacking.update(missing)
        left_out += bool(missing)
        if phones and not missing:
            utterances.append((path, text, tuple(phones)))
    if lacking:
        words = ", ".join(word for word, _ in lacking.most_common(TOLD))
        more = f" and {len(lacking) - TOLD} more" if len(lacking) > TOLD else ""
        print(f"{folder}: {left_out} utterances left out, the dictionary lacks {words}{more}", file=sys.stderr)
    return utterances
