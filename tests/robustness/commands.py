"""Hostile command lines: each ends with an exit code and whole lines, and changes no file that it was not asked to.

    python -m tests.robustness.commands --count 500 --seed 1
    python -m tests.robustness.commands --seed 1 --case captioner.caption:17    # one command again; its files are kept

Options are those of each verb's dataclass, so new ones are covered as soon as they exist. Exit code 1 if a case fails.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import os
import re
import shutil
import sys
import tempfile
import types
import typing
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.robustness import images, sounds, tiny
from tests.robustness.cases import choose
from tests.robustness.files import generator
from tests.robustness.report import Report, as_command, judge_all_or_one
from tests.robustness.sandbox import OUTSIDE, make_device
from tests.robustness.workers import ANSWERED, REFUSED, TRACEBACK, Key, Outcome, described, run

SECONDS = 60.0
CHANGED, STRAY, WRONG_CODE = "a user's file changed", "stray lines", "wrong exit code"
NUMBERS = ("-1", "0", "1", "1000000000", "1e400", "nan", "inf", "-inf", "", "x", "٣", "0x10", "2.5", "4294967296")
SOUND = ("1", "2", "3")  # numbers that most options take
TEXTS = ("", " ", "\udcff", "a" * 100_000, "\0".replace("\0", "\x01"), "-", "--", "../x", "a\nb", "🐕", "no such name")
DEVICES = {"null": 3, "full": 7, "zero": 5}  # minor numbers
STREAMS = ("", "", "", "closed", "full", "reader gone")  # of standard output
ENTRIES = ("photo.png", "photo-1.png", "speech.wav", "lines.txt", "lines.de", "nbest.txt")  # a user's inputs
OUTPUTS = (
    "new{}",
    "old{}",
    "old{}",
    "link{}",
    "no folder/new{}",
    "folder",
    "pipe",
    "null",
    "full",
    "photo.png",
    "lines.txt",
)
# Lines that commands write to standard error beside errors; usage is tyro's or argparse's.
KNOWN = re.compile(
    r"error: |skipped |saving, then exiting|[\w/]+: (preparing /|train [\d,]+, dev|[\w, ]+; \d+ skipped)|usage: |[╭│╰]"
    r"|\s*$|python -m [\w.]+: error: |.*not in the dictionary: |.*: \d+ (sounds|transcripts) (without|of) "
    r"|.*: text in column \d+, label in column \d+"
    r"|[\d,]+ lines? read as |.*: its lines seem to break paragraphs |.*: [\d,]+ files? not read, "
)
VERBS = {  # arguments with which each verb works, and inputs that may be added
    "captioner.caption": (["photo.png"], ("photo-1.png", "folder", "lines.txt", "pipe", "missing.png", "-")),
    "captioner.evaluate": ([], ()),
    "captioner.export": ([], ()),
    "captioner.train": (["scenes"], ()),
    "language_model.classify": (["the cat sees"], ("the dog hugs the hen .",)),
    "language_model.evaluate": ([], ()),
    "language_model.export": ([], ()),
    "language_model.fill": (["the ___ sees"], ("a ___ b ___", "no blank")),
    "language_model.generate": (["--prompt", "the cat"], ()),
    "language_model.score": (["--file", "lines.txt"], ("the cat sees the dog .",)),
    "language_model.train": (["python_manual"], ()),
    "phoneme_recognizer.evaluate": ([], ()),
    "phoneme_recognizer.export": ([], ()),
    "phoneme_recognizer.recognize": (["speech.wav"], ("folder", "photo.png", "pipe", "missing.wav", "-")),
    "phoneme_recognizer.train": (["spoken_scenes"], ()),
    "phoneme_recognizer.train_scorer": ([], ()),
    "translator.evaluate": ([], ()),
    "translator.export": ([], ()),
    "translator.score": (["--source-file", "lines.txt", "--target-file", "lines.de"], ("a circle .", "ein kreis .")),
    "translator.train": (["scenes"], ()),
    "translator.translate": (["--file", "lines.txt"], ("a red circle .",)),
    "release": (["language_model", "copy"], ("captioner", "--cache", "../x")),
    "doctor": ([], ("x",)),
    "datasets": (
        ["images", "scenes", "test", "pictures", "--count", "1"],
        ("--count", "-1", "python_manual", "prepare"),
    ),
}
LONG = {
    "epochs",
    "encoder_epochs",
    "reward_epochs",
    "max_tokens",
    "dynamic",
    "live",
    "tensorboard",
}  # may take for ever
SHORT_TRAINING = ("epochs", "units", "batch_size")  # fields that the tiny configuration sets on the command line


def keys(count: int) -> Iterator[Key]:
    """The cases of a campaign: the verbs in turn."""
    verbs = list(VERBS)
    yield from ((verbs[index % len(verbs)], index // len(verbs)) for index in range(count))


def options_of(verb: str) -> dict[str, Any]:
    """The options of a verb and their types, as its dataclasses have them."""
    task, _, name = verb.partition(".")
    if not name:
        return {}
    if name == "train":
        kinds = [import_module(f"tasks.{task}.config").Config, import_module("shared.cli").TrainingOptions]
    elif name == "export":
        kinds = [import_module("shared.cli").ExportOptions]
    else:
        kinds = [import_module(f"tasks.{task}.{name}").Arguments]
    return {
        field.name: typing.get_type_hints(kind, include_extras=True)[field.name]
        for kind in kinds
        for field in dataclasses.fields(kind)
        if field.name not in LONG
    }


def arguments_of(rng: np.random.Generator, verb: str) -> list[str]:
    """A command line: one that works, with one or two options that may be hostile."""
    task, _, name = verb.partition(".")
    base, more = VERBS[verb]
    arguments = [*base, *(str(choose(rng, more)) for _ in range(int(rng.integers(3))) if more)]
    if name == "train":
        config = tiny.configs()[task]
        values = {name: getattr(config, name) for name in SHORT_TRAINING} | {"epochs": 1, "run": "new"}
        values |= {"encoder_epochs": 1, "image_size": 32} if task == "captioner" else {}
        arguments += [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    elif name == "export":
        arguments.append(tiny.RUN)
    elif name:
        arguments += ["--model", tiny.RUN]
    offered = {
        option: kind
        for option, kind in options_of(verb).items()
        if f"--{option.replace('_', '-')}" not in arguments and typing.get_origin(kind) is not typing.Annotated
    }
    for option in rng.permutation(sorted(offered))[: int(rng.integers(1, 3))]:
        values = values_of(rng, offered[option], str(option))
        arguments += [f"--{str(option).replace('_', '-')}", *values]
    return arguments


def values_of(rng: np.random.Generator, kind: Any, option: str) -> list[str]:
    """Values for an option of this type, sound or not."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = choose(rng, [part for part in typing.get_args(kind) if part is not type(None)])
    if kind is bool:
        return []
    if typing.get_origin(kind) is Literal:
        return [str(choose(rng, [*typing.get_args(kind), "x"]))]
    if typing.get_origin(kind) is tuple:
        return [choose(rng, TEXTS) for _ in range(int(rng.integers(3)))]
    if kind in (int, float):
        return [choose(rng, SOUND if rng.random() < 0.5 else NUMBERS)]
    if kind is Path:
        return [choose(rng, OUTPUTS).format(choose(rng, (".png", ".txt", ".html", ".safetensors")))]
    return [choose(rng, (*TEXTS, *ENTRIES, "missing", "folder", "pipe", "-"))]


def furnish(folder: Path) -> None:
    """Puts a user's files into a folder: inputs, older outputs, links to these, a pipe and copies of devices."""
    (folder / "photo.png").write_bytes(images.seeds()["png"])
    (folder / "photo-1.png").write_bytes(images.seeds()["png alpha"])
    (folder / "speech.wav").write_bytes(sounds.encode("WAV", "PCM_16"))
    (folder / "lines.txt").write_text("the cat sees the dog .\n\na small circle .\n")
    (folder / "lines.de").write_text("ein satz .\n\nein kreis .\n")
    (folder / "nbest.txt").write_text("0 ||| the cat ||| F= 1 ||| -1\n0 ||| a dog ||| F= 2 ||| -2\n")
    (folder / "folder").mkdir()
    shutil.copy(folder / "photo.png", folder / "folder")
    shutil.copy(folder / "speech.wav", folder / "folder")
    for suffix in (".png", ".txt", ".html", ".safetensors"):
        (folder / f"old{suffix}").write_text("older\n")
        (folder / f"link{suffix}").symlink_to(f"old{suffix}")
    os.mkfifo(folder / "pipe")
    for name, minor in DEVICES.items():
        make_device(folder / name, minor)


def fingerprints(folder: Path) -> dict[str, tuple]:
    """What makes each entry of a folder: its type; a link's target; a file's content; of others the inode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = status.st_ino
        found[str(path.relative_to(folder))] = (status.st_mode >> 12, content)
    return found


def may_change(name: str, arguments: Sequence[str]) -> bool:
    """Whether a command line asks for an entry to be written: it is named once, as an older output or a link to one."""
    stem, _, suffix = name.partition(".")
    named = sum(argument in (name, f"link.{suffix}") for argument in arguments)
    is_output = any(
        before.startswith("--") and before not in ("--file", "--nbest", "--source-file", "--target-file")
        for before, argument in itertools.pairwise(arguments)
        if argument == name
    )
    return named == 1 and (stem == "old" or is_output)


def judge(seed: int, key: Key, folder: Path) -> Outcome:
    """Runs a command line in this process, whose streams it takes, and checks what it wrote and left alone."""
    rng, verb = generator(seed, key), key[0]
    arguments, stream = arguments_of(rng, verb), choose(rng, STREAMS)
    furnish(folder)
    if verb == "release":
        source = folder.parent.parent / "saved_models" / "language_model"
        shutil.copytree(source / tiny.RUN, source / "copy", dirs_exist_ok=True)
    os.chdir(folder)
    before = fingerprints(folder)
    described_as = f"{verb} {' '.join(map(_shortened, arguments))}{f' (standard output {stream})' if stream else ''}"
    held = os.open("pipe", os.O_RDWR | os.O_NONBLOCK)  # a reader that never reads much, so that writing does not block
    error_path = Path(tempfile.mkstemp()[1])
    code, failure = _run(verb, arguments, stream, error_path)
    os.close(held)
    words = error_path.read_text(errors="replace")
    after = fingerprints(folder)
    changed = [name for name, value in before.items() if after.get(name) != value and not may_change(name, arguments)]
    stray = [line for line in words.splitlines() if not KNOWN.match(line)]
    if failure:
        verdict, detail = TRACEBACK, failure
    elif changed or OUTSIDE in words:
        verdict, detail = CHANGED, ", ".join(changed) or words[:200]
    elif "Traceback" in words or stray:
        verdict, detail = STRAY, f"{stray[0][:160]}"
    elif code not in (0, 1, 2, 130, 143) or (code and not words.strip()):
        verdict, detail = WRONG_CODE, f"exit code {code}, standard error {words[:80]!r}"
    else:
        verdict, detail = (REFUSED, words[:200]) if code else (ANSWERED, "")
    return Outcome(key, verdict, detail, described_as)


def _shortened(argument: str) -> str:
    argument = argument.encode("utf-8", "backslashreplace").decode()
    return repr(argument if len(argument) < 60 else f"{argument[:20]}...")


def _run(verb: str, arguments: list[str], stream: str, error_path: Path) -> tuple[int, str]:
    """The exit code of a verb with its streams led elsewhere, and its error if it has one that users should not see."""
    saved = [os.dup(descriptor) for descriptor in range(3)]
    streams = sys.stdin, sys.stdout, sys.stderr
    feed, there = os.pipe()
    os.write(there, b"the cat sees\n")
    os.close(there)
    gone, output = os.pipe()
    target = {"full": "/dev/full"}.get(stream, os.devnull)
    opened = output if stream == "reader gone" else os.open(target, os.O_WRONLY)
    os.close(gone)
    errors = os.open(error_path, os.O_WRONLY)
    for source, descriptor in ((feed, 0), (opened, 1), (errors, 2)):
        os.dup2(source, descriptor)
    sys.stdin, sys.stderr = (io.TextIOWrapper(open(d, mode, closefd=False), "utf-8", "backslashreplace")  # noqa: SIM115
                             for d, mode in ((0, "rb"), (2, "wb")))  # fmt: skip
    sys.stdout = None if stream == "closed" else io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")  # noqa: SIM115
    if stream == "closed":
        os.close(1)
    code, failure = 0, ""
    try:
        name = f"tasks.{verb}" if verb != "datasets" else "datasets.__main__"
        code = import_module(name).main(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        failure = described(error)
    finally:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
            sys.stdout.close()  # what it could not write must not come later
        for source, descriptor in zip(saved, range(3), strict=True):
            os.dup2(source, descriptor)
        sys.stdin, sys.stdout, sys.stderr = streams
    return code, failure


def judge_in_fresh_folder(seed: int, key: Key, own: Path) -> Outcome:
    """`judge`, with a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=own / "tmp") as folder:
        return judge(seed, key, Path(folder))


def campaign(own: Path, count: int, seed: int, jobs: int) -> Report:
    """Runs all cases in a folder of the campaign, each in a new process, and prints the report."""
    tiny.train_all(own)
    report = Report("commands", f"python -m tests.robustness.commands --seed {seed}", groups=tuple(VERBS))
    each = {"jobs": jobs, "seconds": SECONDS, "cases_per_process": 1}
    for outcome in run(keys(count), lambda key: judge_in_fresh_folder(seed, key, own), own, **each):
        report.add(outcome)
    report.print(columns=(ANSWERED, REFUSED))
    return report


def main(arguments: Sequence[str]) -> int:
    return judge_all_or_one(arguments, "python -m tests.robustness.commands", __doc__, 500, judge, campaign)


if __name__ == "__main__":
    as_command(main)
