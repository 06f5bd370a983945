"""Where the transcripts of sounds are: the layouts of folders and tables that corpora come in.

    speech/
      a.wav  a.txt               a text file beside each sound, .txt or .lab
      transcripts.tsv            or a table of sounds and transcripts, whatever the folders of the sounds
      metadata.csv
      1089-134686.trans.txt      or LibriSpeech's: UTTERANCE TRANSCRIPT, beside UTTERANCE.flac; speaker-chapter-number
      train.tsv  clips/          or Common Voice's: columns path, sentence and client_id
      wav.scp  text              or Kaldi's data folder, with segments and utt2spk if there are any
      train/  dev/  test/        or several Kaldi data folders, or LibriSpeech's train-clean-100 and so on: the splits

A table is tab-separated, CSV (`,` `;` or `|`) or JSON lines. Its columns are named (a sound's `path`, `file` ..., its
`text`, `sentence` ...); without names they are sound and transcript. All may be compressed (.gz). Nothing is executed:
a command in wav.scp is refused.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from datasets import CorpusError
from datasets.lines import read_lines
from datasets.sound_tables import SOUND_COLUMNS, TEXT_COLUMNS, Row, read_table
from shared.audio import SOUNDS
from shared.inputs import list_folder

TABLE = "transcripts.tsv"
TABLES = (TABLE, "transcripts.csv", "metadata.csv", "metadata.tsv", "metadata.jsonl", "manifest.json", "manifest.jsonl")
TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl", ".json")
TEXTS = (".txt", ".lab")
LIBRISPEECH = ".trans.txt"
SPLITS = {
    "train": "train",
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    "test": "test",
    "eval": "test",
}
MAX_EXAMPLES = 5  # maximum number of files or lines in a report


class Recording(NamedTuple):
    """A sound file, or a part of one, and what is said in it."""

    name: str
    path: Path
    text: str
    start: float = 0.0  # seconds
    end: float | None = None  # None: that of the file
    speaker: str = ""  # empty: unknown
    split: str = ""  # "train", "dev" or "test" if the corpus gives it


Report = Callable[[str], None]


class NoSoundError(CorpusError):
    """A table names no sound of its folder."""


def find_recordings(source: Path, report: Report = lambda _: None) -> list[Recording]:
    """Return the sounds that have a transcript, in order of path or of the table.

    Args:
        source: A folder in one of the layouts at the top of this file, or a table.
        report: Called with a line for each kind of name or line that is left out, or that is not unique.

    Raises:
        CorpusError: `source` does not exist, is not readable or not in such a layout, or no sound has a transcript.
    """
    if source.is_file():
        files = list_folder(source.parent, recursive=True).files
        recordings = _of_table(source, source.parent, files, report, is_whole=False)
    elif not source.is_dir():
        raise CorpusError(f"{source} is neither a corpus nor a folder of sound files with transcripts")
    else:
        recordings = _of_folder(source, list_folder(source, recursive=True).files, report)
    if not recordings:
        raise CorpusError(
            f"{source}: no sound file with a transcript; expected a .txt beside each, or a {TABLE}: name, tab, text"
        )
    return recordings


def transcripts_of(sounds: Sequence[Path]) -> dict[Path, str]:
    """Return the transcripts of sound files: from the text file beside each, else from the layout of its folder.

    Raises:
        CorpusError: A table cannot be read.
    """
    found: dict[Path, str] = {}
    inside: dict[Path, list[Path]] = {}  # a table is beside the sounds or beside their folder
    for sound in map(Path.absolute, sounds):
        for folder in list(sound.parents)[:2]:
            inside.setdefault(folder, []).append(sound)
    of_folders: dict[Path, dict[Path, str]] = {}
    for sound in sounds:
        beside = next((path for path in map(sound.with_suffix, TEXTS) if path.is_file()), None)
        if beside:
            found[sound] = _text(beside)
            continue
        for folder in list(sound.absolute().parents)[:2]:
            if folder not in of_folders:
                of_folders[folder] = _by_path(folder, inside[folder])
            if text := of_folders[folder].get(sound.resolve()):
                found[sound] = text
                break
    return found


def _by_path(folder: Path, sounds: Sequence[Path]) -> dict[Path, str]:
    """Return the transcripts of whole sounds of a folder, whose other sounds in subfolders are not looked for.

    A table that names none of them is about something else, as is one that cannot be read unless its name is of a
    layout.
    """
    tables, files = _tables(folder), [path for path in folder.iterdir() if path.is_file()]
    has_layout = (folder / "wav.scp").is_file() or any(LIBRISPEECH in path.name for path in files)
    if not tables and not has_layout:
        return {}
    try:
        recordings = _of_folder(folder, list(dict.fromkeys([*files, *sounds])), lambda _: None)
    except NoSoundError:
        return {}
    except CorpusError:
        if has_layout or any(map(_is_named, tables)):
            raise
        return {}
    return {each.path.resolve(): each.text for each in recordings if not each.start and each.end is None}


# --- layouts --------------------------------------------------------------------------------------------------------


def _of_folder(folder: Path, files: Sequence[Path], report: Report) -> list[Recording]:
    if (folder / "wav.scp").is_file():
        return _of_kaldi(folder, report)
    if kaldi := [path.parent for path in files if path.name == "wav.scp" and (path.parent / "text").is_file()]:
        return [each._replace(split=_split_of(path.name)) for path in kaldi for each in _of_kaldi(path, report)]
    if lists := [path for path in files if path.name.endswith((LIBRISPEECH, f"{LIBRISPEECH}.gz"))]:
        return [each for path in lists for each in _of_librispeech(path, folder, report)]
    tables = _tables(folder)
    if not tables:
        return _beside(folder, files, report)
    try:
        return _of_tables(tables, folder, files, report)
    except CorpusError:
        lines: list[str] = []
        recordings = [] if any(map(_is_named, tables)) else _beside(folder, files, lines.append)
        if not recordings:
            raise
    for line in lines:  # the table is about something else
        report(line)
    return recordings


def _of_tables(tables: Sequence[Path], folder: Path, files: Sequence[Path], report: Report) -> list[Recording]:
    given = {path: _split_of(path.name.partition(".")[0]) for path in tables}
    if not any(given.values()):
        return _of_table(tables[0], folder, files, report, is_whole=True)
    recordings, errors = [], []
    for path, split in given.items():
        if split:  # train.tsv, dev.tsv and test.tsv; others, such as invalidated.tsv, are not for training
            try:
                found = _of_table(path, folder, files, report, is_whole=False)
                recordings += [each._replace(split=split) for each in found]
            except NoSoundError as error:
                errors.append(error)
    if errors and not recordings:
        raise errors[0]
    for error in errors:
        report(str(error))
    return recordings


def _tables(folder: Path) -> list[Path]:
    """Return the tables of a folder: one by its name, those of splits, else the only one that is there."""
    names = {path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir()) if path.is_file()}
    if named := [names[name] for name in TABLES if name in names]:
        return named[:1]
    tables = [path for name, path in names.items() if name.endswith(TABLE_SUFFIXES) and not name.startswith(".")]
    if split := [path for path in tables if _split_of(path.name.partition(".")[0])]:
        return split
    if validated := [path for path in tables if path.name.startswith("validated.")]:
        return validated
    return tables if len(tables) == 1 else []


def _is_named(table: Path) -> bool:
    """Whether the name of a table is one of a layout."""
    return table.name.removesuffix(".gz") in TABLES


def _split_of(name: str) -> str:
    """Return the split that the name of a folder or table says, such as train-clean-100; empty if it says none."""
    return SPLITS.get(re.split(r"[^a-z]", name.lower())[0], "")


def _of_kaldi(folder: Path, report: Report) -> list[Recording]:
    """Return the utterances of a Kaldi data folder."""
    sounds = {name: _kaldi_sound(folder, name, path) for name, path in _keyed(folder / "wav.scp").items()}
    texts = _keyed(folder / "text")
    speakers = _keyed(folder / "utt2spk") if _exists(folder / "utt2spk") else {}
    parts: dict[str, tuple[str, float, float | None]] = {name: (name, 0.0, None) for name in sounds}
    if _exists(folder / "segments"):
        parts = {name: _segment(folder / "segments", name, line) for name, line in _keyed(folder / "segments").items()}
    for name, (recording, *_) in parts.items():
        if recording not in sounds:
            raise CorpusError(f"{folder / 'segments'}: {name} is of {recording}, which wav.scp does not have")
    problems = {
        "utterance": ("without a transcript in text", [name for name in parts if not texts.get(name)]),
        "transcript": ("in text without a sound", [name for name in texts if name not in parts]),
    }
    for thing, (problem, names) in problems.items():
        _report(report, folder, names, thing, problem)
    return [
        Recording(name, sounds[recording], texts[name], start, end, speakers.get(name, ""))
        for name, (recording, start, end) in parts.items()
        if texts.get(name)
    ]


def _kaldi_sound(folder: Path, name: str, entry: str) -> Path:
    """Return the file of an entry of wav.scp: relative to the folder, to a folder above it, or to the current one."""
    where = f"{folder / 'wav.scp'}: {name}"
    if entry.endswith("|") or entry.startswith("|"):
        raise CorpusError(f"{where} is a command ({entry[:60]}), which is not run; the name of a file was expected")
    if re.search(r"\.ark:\d+$", entry):
        raise CorpusError(f"{where} is part of an archive ({entry[:60]}); the name of a sound file was expected")
    for parent in (folder, *folder.absolute().parents, Path()):
        if (parent / entry).is_file():
            return parent / entry
    raise CorpusError(f"{where}: there is no sound file {entry}")


def _segment(path: Path, name: str, line: str) -> tuple[str, float, float | None]:
    try:
        recording, start, end = line.split()
        times = float(start), float(end)
    except ValueError:
        raise CorpusError(f"{path}: {name}: a recording, a start and an end in seconds were expected") from None
    if not all(map(isfinite, times)) or times[0] < 0 or 0 <= times[1] <= times[0]:
        raise CorpusError(f"{path}: {name}: from {start} to {end} s; an end after the start was expected")
    return recording, times[0], times[1] if times[1] >= 0 else None


def _of_librispeech(path: Path, root: Path, report: Report) -> list[Recording]:
    """Return the utterances of a chapter; LibriSpeech's names begin with the speaker."""
    sounds = {sound.stem: sound for sound in path.parent.iterdir() if sound.suffix.lower() in SOUNDS.suffixes}
    texts = _keyed(path)
    _report(report, path, [name for name in texts if name not in sounds], "transcript", "without a sound")
    _report(report, path, [name for name in sounds if not texts.get(name)], "sound", "without a transcript")
    folders = path.parent.relative_to(root).parts
    split = next(filter(None, map(_split_of, folders)), "")
    return [
        Recording(name, sounds[name], text, speaker=name.partition("-")[0], split=split)
        for name, text in texts.items()
        if name in sounds and text
    ]


def _beside(folder: Path, files: Sequence[Path], report: Report) -> list[Recording]:
    """Return the sounds that have a text file of the same name beside them."""
    sounds = _sounds(files)
    texts = {path.with_suffix(""): path for suffix in reversed(TEXTS) for path in files if path.suffix == suffix}
    found = [(sound, _text(texts[sound.with_suffix("")])) for sound in sounds if sound.with_suffix("") in texts]
    stems = Counter(sound.with_suffix("") for sound in sounds)
    named = {sound for sound, text in found if text}

    def names(paths: Iterable[Path]) -> list[str]:
        return [str(path.relative_to(folder)) for path in paths]

    _report(report, folder, names(sound for sound in sounds if sound not in named), "sound", "without a transcript")
    alone = names(path for stem, path in texts.items() if stem not in stems)
    _report(report, folder, alone, "transcript", "without a sound")
    _report(
        report,
        folder,
        names(texts[s] for s, n in stems.items() if n > 1 and s in texts),
        "transcript",
        "of several sounds",
    )
    return [Recording(sound.stem, sound, text) for sound, text in found if text]


# --- tables ---------------------------------------------------------------------------------------------------------


def _of_table(path: Path, folder: Path, files: Sequence[Path], report: Report, is_whole: bool) -> list[Recording]:
    """Return those of the files in a table; `is_whole` says that it is meant to have all sounds of the folder.

    The rows of a sound are its parts if one of them starts within it; else the last row is that of the whole sound.
    """
    rows, bad = read_table(path)
    sounds = _sounds(files)
    rows = [row._replace(sound=_tidy_name(row.sound, folder)) for row in rows]
    cut = {row.sound for row in rows if row.start}
    by_name: dict[str, list[Row]] = {}
    repeated = []
    for row in rows:
        if row.sound in cut:
            by_name.setdefault(row.sound, []).append(row)
            continue
        if row.sound in by_name:
            repeated.append(f"{row.sound} in line {row.line}")
        by_name[row.sound] = [row._replace(end=None)]

    sounds += [Path(name) for name in by_name if Path(name).is_absolute() and Path(name).is_file()]
    own_names = {sound: _names(sound, folder) for sound in sounds}
    chosen = {sound: next((name for name in names if name in by_name), "") for sound, names in own_names.items()}
    known = {name for names in own_names.values() for name in names}
    counts = Counter(name for name in chosen.values() if name)
    if rows and not counts:
        expected = f"columns {SOUND_COLUMNS[0]} (or {', '.join(SOUND_COLUMNS[1:4])} ...) and {TEXT_COLUMNS[0]} (or"
        expected = f"{expected} {', '.join(TEXT_COLUMNS[1:4])} ...), or of sounds and transcripts, were expected"
        raise NoSoundError(f"{path}: no sound of its {len(rows)} lines is in {folder}; {expected}")
    _report(report, folder, [f"line {line}" for line in bad], "line", f"of {path.name} without a transcript")
    _report(report, folder, repeated, "name", f"repeated in {path.name}, the last line counts")
    if is_whole:
        alone = [str(_within(sound, folder)) for sound, name in chosen.items() if not name]
        _report(report, folder, alone, "sound", "without a transcript")
    _report(report, folder, [name for name in by_name if name not in known], "transcript", "without a sound")
    others = [name for name in by_name if name in known and name not in counts]
    _report(report, folder, others, "transcript", "of a sound that has another one")
    _report(report, folder, [n for n, count in counts.items() if count > 1], "transcript", "of several sounds")

    recordings = []
    for sound in sounds:
        if not (name := chosen[sound]):
            continue
        own = by_name[name]
        for index, row in enumerate(own, start=1):
            called = sound.stem if len(own) == 1 else f"{sound.stem}-{index}"
            recordings.append(Recording(called, sound, row.text, row.start, row.end, row.speaker))
    return recordings


def _tidy_name(name: str, folder: Path) -> str:
    """Return the sound of a table as a path in the folder; its name alone if it is of a folder that is not here."""
    plain = name.strip().replace("\\", "/").removeprefix("./")
    path = Path(plain)
    if path.is_absolute() and path.is_relative_to(folder.absolute()):
        return str(path.relative_to(folder.absolute()))
    is_of_another_machine = path.is_absolute() or re.match("[A-Za-z]:/", plain)
    return path.name if is_of_another_machine and not path.is_file() else plain


def _names(path: Path, folder: Path) -> list[str]:
    """Return the names that a table may have for a file, the preferred one first: its path, its name, its stem."""
    inside = _within(path, folder)
    return [inside.as_posix(), inside.with_suffix("").as_posix(), path.name, path.stem]


# --- files ----------------------------------------------------------------------------------------------------------


def _within(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _sounds(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in SOUNDS.suffixes]


def _text(path: Path) -> str:
    return " ".join(" ".join(read_lines(path)).split())


def _exists(path: Path) -> bool:
    return path.is_file() or Path(f"{path}.gz").is_file()


def _keyed(path: Path) -> dict[str, str]:
    """Return what follows the first word of each line, by that word."""
    lines = read_lines(path if path.is_file() else Path(f"{path}.gz")) if _exists(path) else read_lines(path)
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            key, *rest = line.split(maxsplit=1)
            if key in found:
                raise CorpusError(f"{path}: line {number}: {key} occurs twice")
            found[key] = " ".join(rest).strip()
    return found


def _report(report: Report, source: Path, examples: Sequence[str], thing: str, problem: str) -> None:
    """Report how often there is a problem, with examples; nothing if there is none."""
    if examples:
        count = len(examples)
        more = f" and {count - MAX_EXAMPLES} more" if count > MAX_EXAMPLES else ""
        report(
            f"{source}: {count} {thing}{'s' if count > 1 else ''} {problem}: {', '.join(examples[:MAX_EXAMPLES])}{more}"
        )
