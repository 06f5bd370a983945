"""A folder of sound files with transcripts, as a corpus.

    speech/
      a.wav  a.txt             each transcript in a text file of the same name
      b.flac b.txt
    or
      transcripts.tsv          one line per file: its name or its path in the folder, a tab, the transcript
      a.wav  b.flac            optionally in subfolders

Phones are looked up in a dictionary. An utterance with a word that is not in it is skipped, and the word is reported.
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
PERIOD = 10  # of 10 utterances in a row, one is in dev and one in test
MAX_NAMED = 20  # maximum number of missing words in a report
MAX_BAD = 0.01  # maximum fraction of unreadable sounds

Utterance = tuple[Path, str, tuple[str, ...]]  # sound file, transcript, phones


class SoundFolder(Sequence[dict[str, Any]]):
    """Records of one split, read on access: `audio`, int16 `(samples,)` at 16 kHz, `phones` (a list), `text`, `name`.

    Args:
        folder: Sound files and transcripts, as shown at the top of this file.
        split: "train", "dev" or "test", assigned by file order and not by speaker; or "all".

    Raises:
        CorpusError: The folder or its transcripts do not exist, or the split has no usable utterance.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.utterances = [
            utterance
            for index, utterance in enumerate(_usable(folder))
            if split in ("all", {PERIOD - 1: "dev", PERIOD - 2: "test"}.get(index % PERIOD, "train"))
        ]
        if not self.utterances:
            raise CorpusError(f"{folder}: too few utterances for a {split} split; expected at least {PERIOD}")

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path, text, phones = self.utterances[index]
        return {"audio": as_int16(read_sound(path)), "phones": list(phones), "text": text, "name": path.stem}


def fingerprint(folder: Path) -> str:
    """Return a hash of the file names, file sizes and transcripts of a folder."""
    digest = hashlib.sha256()
    for path, text in _transcribed(folder):
        digest.update(f"{path.relative_to(folder)}\t{path.stat().st_size}\t{text}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _transcribed(folder: Path) -> list[tuple[Path, str]]:
    """Return the sound files that have a transcript, and the transcripts, in order of path."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is neither a corpus nor a folder of sound files with transcripts")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS.suffixes)
    table = folder / TABLE
    if table.is_file():
        lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        texts = dict(line.split("\t", 1) for line in lines if "\t" in line)
        pairs = [(path, _text_of(path.relative_to(folder), texts)) for path in files]
    else:
        sides = ((path, path.with_suffix(".txt")) for path in files)
        pairs = [(path, file.read_text(encoding="utf-8", errors="replace")) for path, file in sides if file.is_file()]
    pairs = [(path, " ".join(text.split())) for path, text in pairs if text.strip()]
    if not pairs:
        raise CorpusError(
            f"{folder}: no sound file with a transcript; expected a .txt beside each, or a {TABLE}: name, tab, text"
        )
    return pairs


def _text_of(path: PurePath, texts: Mapping[str, str]) -> str:
    """Return the transcript that the table has for the path, the name or the stem of a file; "" if none."""
    return next((texts[key] for key in (path.as_posix(), path.name, path.stem) if key in texts), "")


@functools.cache  # each split needs it, and it reads all sounds
def _usable(folder: Path) -> list[Utterance]:
    """Return the utterances whose words are in the dictionary and whose sound is readable; report the others.

    Raises:
        CorpusError: More than `MAX_BAD` of the sounds are unreadable.
    """
    pronounced, usable = _pronounced(folder), []
    for utterance in pronounced:
        try:
            read_sound(utterance[0])
        except MediaError as error:
            print(f"skipped {utterance[0]}: {error}", file=sys.stderr)
        else:
            usable.append(utterance)
    if len(pronounced) - len(usable) > MAX_BAD * len(pronounced):
        raise CorpusError(f"{folder}: more than {MAX_BAD:.0%} of {len(pronounced):,} sounds are unreadable")
    return usable


def _pronounced(folder: Path) -> list[Utterance]:
    """Return the utterances whose words are all in the dictionary; count the others and report their missing words."""
    utterances, counts, skipped = [], Counter(), 0
    for path, text in _transcribed(folder):
        phones, missing = pronounce(text)
        counts.update(missing)
        skipped += bool(missing)
        if phones and not missing:
            utterances.append((path, text, tuple(phones)))
    if counts:
        words = ", ".join(word for word, _ in counts.most_common(MAX_NAMED))
        more = f" and {len(counts) - MAX_NAMED} more" if len(counts) > MAX_NAMED else ""
        print(f"{folder}: skipped {skipped} utterances; not in the dictionary: {words}{more}", file=sys.stderr)
    return utterances
