"""Prepares corpora, and writes images or sounds of them as files.

python -m datasets prepare flickr8k --data-dir Flickr8k
python -m datasets images scenes test folder --count 8
python -m datasets sounds spoken_scenes test folder --count 8
"""

import argparse
import sys
from pathlib import Path

import datasets
from shared.audio import SAMPLE_RATE


def prepare(name: str, data_dir: Path | None, register_checksums: bool) -> None:
    """Prepares a corpus; with `register_checksums` those of the download are written down instead of verified."""
    print(datasets.prepare(name, data_dir, register_checksums).data_path)


def images(name: str, split: str, folder: Path, count: int, data_dir: Path | None) -> None:
    """Writes the first `count` images of a split into `folder`, under their own names."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in datasets.load(name, split, data_dir)[:count]:
        suffix = ".png" if record["image"].startswith(b"\x89PNG") else ".jpg"
        (folder / record["name"]).with_suffix(suffix).write_bytes(record["image"])
    print(folder)


def sounds(name: str, split: str, folder: Path, count: int, data_dir: Path | None) -> None:
    """Writes the first `count` sounds of a split into `folder`, under their own names, their words beside them."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for record in datasets.load(name, split, data_dir)[:count]:
        soundfile.write(folder / f"{record['name']}.wav", record["audio"], SAMPLE_RATE)
        (folder / f"{record['name']}.txt").write_text(record["text"] + "\n", encoding="utf-8")
    print(folder)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {count}")
    return count


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m datasets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function in (prepare, images, sounds):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("name", help=", ".join(datasets.NAMES))
        command.add_argument("--data-dir", type=Path, help="folder of your copy of the corpus")
        if function is not prepare:
            command.add_argument("split", choices=("train", "dev", "test"))
            command.add_argument("folder", type=Path)
            command.add_argument("--count", type=_count, default=8)
        else:
            command.add_argument("--register-checksums", action="store_true")
    options = vars(parser.parse_args(arguments))
    try:
        options.pop("function")(**options)
    except (datasets.CorpusError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
