"""A folder of sound files with transcripts, as a corpus.

    speech/
      a.wav  a.txt             each transcript in a text file of the same name
      b.flac b.txt
    or
      transcripts.tsv          one line per file: its name or its path in the folder, a tab, the transcript
      a.wav  b.flac            optionally in subfolders

Phones are looked up in a dictionary. An utterance with a word that is not in it is skipped, and the word is reported,
like sounds without a transcript, transcripts without a sound, and names that are not unique. Hidden files are ignored.
"""

import functools
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from datasets import CorpusError
from datasets.cmudict import pronounce
from datasets.records import as_int16
from shared.audio import SOUNDS, read_sound
from shared.files import MediaError
from shared.text import as_lines

TABLE = "transcripts.tsv"
PERIOD = 10  # of 10 utterances in a row, one is in dev and one in test
MAX_NAMED = 20  # maximum number of missing words in a report
MAX_EXAMPLES = 5  # maximum number of files or lines in a report
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
    """Return a hash of the file names, sound files and transcripts of a folder."""
    digest = hashlib.sha256()
    for path, text in _transcribed(folder):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder)}\t{content}\t{text}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _transcribed(folder: Path, report: Callable[[str], None] = lambda _: None) -> list[tuple[Path, str]]:
    """Return the sound files that have a transcript, and the transcripts, in order of path.

    Args:
        folder: Sound files and transcripts.
        report: Called with a line for each kind of name or line that is left out, or that is not unique.

    Raises:
        CorpusError: The folder does not exist, or no sound file has a transcript.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is neither a corpus nor a folder of sound files with transcripts")
    files = [path for path in sorted(folder.rglob("*")) if not path.name.startswith(".")]
    sounds = [path for path in files if path.suffix.lower() in SOUNDS.suffixes]
    table = folder / TABLE
    if table.is_file():
        texts, problems = _read_table(table)
        names = [_names(path.relative_to(folder)) for path in sounds]
    else:
        transcripts, problems = [path for path in files if path.suffix == ".txt" and path.is_file()], {}
        texts = {str(path.relative_to(folder)): path.read_bytes().decode(errors="replace") for path in transcripts}
        names = [[str(path.relative_to(folder).with_suffix(".txt"))] for path in sounds]
    chosen = [next((name for name in own if name in texts), "") for own in names]
    pairs = [(path, " ".join(texts.get(name, "").split())) for path, name in zip(sounds, chosen, strict=True)]

    counts = Counter(name for name in chosen if name)
    known = {name for own in names for name in own}
    problems["sounds without a transcript"] = [str(path.relative_to(folder)) for path, text in pairs if not text]
    problems["transcripts without a sound"] = [name for name in texts if name not in known]
    problems["transcripts of a sound that has another one"] = [n for n in texts if n in known and n not in counts]
    problems["transcripts of several sounds"] = [name for name, count in counts.items() if count > 1]
    for problem, places in problems.items():
        if places:
            more = f" and {len(places) - MAX_EXAMPLES} more" if len(places) > MAX_EXAMPLES else ""
            report(f"{folder}: {len(places)} {problem}: {', '.join(places[:MAX_EXAMPLES])}{more}")

    pairs = [(path, text) for path, text in pairs if text]
    if not pairs:
        raise CorpusError(
            f"{folder}: no sound file with a transcript; expected a .txt beside each, or a {TABLE}: name, tab, text"
        )
    return pairs


def _read_table(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the transcripts of a table by name, the last one of each, and its bad lines by what is wrong with them."""
    texts: dict[str, str] = {}
    no_tab, repeated = [], []
    for number, line in enumerate(as_lines(path.read_bytes().decode("utf-8-sig", "replace")), start=1):
        name, tab, text = line.partition("\t")
        if tab:
            if name in texts:
                repeated.append(f"{name} in line {number}")
            texts[name] = text
        elif line.strip():
            no_tab.append(f"line {number}")
    return texts, {
        f"lines of {TABLE} without a tab": no_tab,
        f"names repeated in {TABLE}, the last line counts": repeated,
    }


def _names(path: PurePath) -> list[str]:
    """Return the names that a table may have for a file, the preferred one first: its path, its name, its stem."""
    return [path.as_posix(), path.name, path.stem]


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
    for path, text in _transcribed(folder, lambda line: print(line, file=sys.stderr)):
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
