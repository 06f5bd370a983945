"""Prepare corpora, or write their images or sounds to files.

python -m datasets prepare flickr8k --data-dir Flickr8k
python -m datasets images scenes test folder --count 8
python -m datasets sounds spoken_scenes test folder --count 8
python -m datasets pronunciations folder
"""

import argparse
import io
import os
import re
import sys
from pathlib import Path
from typing import NoReturn

import datasets
from shared.audio import SAMPLE_RATE
from shared.cli import USAGE, command, print_error
from shared.errors import UserError
from shared.outputs import check_outputs, write_output


def prepare(name: str, data_dir: Path | None, register_checksums: bool) -> None:
    """Prepare a corpus and print its folder."""
    print(datasets.prepare(name, data_dir, register_checksums).data_path)


def images(name: str, split: str, folder: Path, count: int, data_dir: Path | None) -> None:
    """Write the first images of a split to files named after their records."""
    for record in _first_records(name, split, folder, count, data_dir, "image"):
        suffix = ".png" if record["image"].startswith(b"\x89PNG") else ".jpg"
        _write((folder / record["name"]).with_suffix(suffix), record["image"])
    print(folder)


def sounds(name: str, split: str, folder: Path, count: int, data_dir: Path | None) -> None:
    """Write the first sounds of a split to WAV files named after their records, and their transcripts to .txt files."""
    import soundfile

    for record in _first_records(name, split, folder, count, data_dir, "audio"):
        sound = io.BytesIO()
        soundfile.write(sound, record["audio"], SAMPLE_RATE, format="WAV")
        _write(folder / f"{record['name']}.wav", sound.getvalue())
        _write(folder / f"{record['name']}.txt", (record["text"] + "\n").encode())
    print(folder)


def pronunciations(folder: Path) -> None:
    """Write CMUdict as pairs for a translator: letters.txt and phones.txt, a word and a pronunciation a line."""
    from datasets.cmudict import load_dictionary

    words = {word: said for word, said in load_dictionary().items() if re.fullmatch("[a-z']*[a-z][a-z']*", word)}
    pairs = [(" ".join(word), " ".join(phones)) for word, said in words.items() for phones in said]
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in zip(("letters.txt", "phones.txt"), zip(*pairs, strict=True), strict=True):
        _write(folder / name, "".join(f"{line}\n" for line in lines).encode())
    print(folder)


def _first_records(name: str, split: str, folder: Path, count: int, data_dir: Path | None, key: str) -> list[dict]:
    """Create the folder and return the first records of a split.

    Raises:
        CorpusError: The records have no `key`; nothing is prepared or written.
        UserError: The folder is a file.
    """
    if not datasets.has_feature(name, key):
        names = ", ".join(other for other in datasets.NAMES if datasets.has_feature(other, key))
        raise datasets.CorpusError(f"{name} has no {key}; the corpora whose records have one are {names}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; a folder, new or not, was expected")
    records = datasets.load(name, split, data_dir)[:count]
    folder.mkdir(parents=True, exist_ok=True)
    return records


def _write(path: Path, content: bytes) -> None:
    """Write a file unless it exists with this content; raises UserError if it exists with another one."""
    check_outputs({"the file": [path]})
    if not os.path.lexists(path):
        write_output(path, content)
    elif not path.is_file() or path.read_bytes() != content:
        raise UserError(f"{path} exists with another content; another folder was expected")


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        print_error(f"{message}; see {self.prog} --help")
        raise SystemExit(USAGE)


def positive_integer(text: str) -> int:
    if text.strip().isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")


@command
def main(arguments: list[str]) -> None:
    parser = Parser(
        prog="python -m datasets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for function in (prepare, images, sounds, pronunciations):
        verb = verbs.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
        verb.set_defaults(function=function)
        if function is pronunciations:
            verb.add_argument("folder", type=Path, help="folder of the files; created if it does not exist")
            continue
        verb.add_argument("name", help=f"corpus: {', '.join(datasets.NAMES)}")
        verb.add_argument("--data-dir", type=Path, help="folder of your copy of the corpus")
        if function is prepare:
            verb.add_argument("--register-checksums", action="store_true", help="write checksums, do not verify them")
        else:
            verb.add_argument("split", choices=("train", "dev", "test"))
            verb.add_argument("folder", type=Path, help="folder of the files; created if it does not exist")
            verb.add_argument("--count", type=positive_integer, default=8, help="number of records (default: 8)")
    options = vars(parser.parse_args(arguments))
    options.pop("function")(**options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
