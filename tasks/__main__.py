"""Lists the tasks and their commands, each with an example."""

import importlib
import sys

from shared.cli import USAGE, complain

EXAMPLES = {
    "captioner": {
        "train": "scenes",
        "evaluate": "--split test",
        "export": "",
        "caption": "photo.jpg --attention out.png",
    },
    "language_model": {
        "train": "python_manual",
        "evaluate": "--split test",
        "score": '"the cat sat on the mat" "the mat sat on the cat"',
        "generate": '--prompt "the"',
        "fill": '"the ___ of a list"',
        "export": "",
    },
    "phoneme_recognizer": {
        "train": "spoken_scenes",
        "evaluate": "--split test",
        "export": "",
        "recognize": "speech.wav --textgrid speech.TextGrid",
    },
    "translator": {
        "train": "scenes",
        "evaluate": "--split test",
        "export": "",
        "score": '"a red circle ." "ein roter Kreis ."',
        "translate": '"a red circle above a blue square ." --alignment alignment.png',
    },
}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["-h"], ["--help"]):
        complain(f"{' '.join(arguments)}: python -m tasks lists the commands and takes no arguments")
        return USAGE
    print("python -m tasks.<task>.<command> --help says more.\n")
    for task, commands in EXAMPLES.items():
        print(f"{task}: {importlib.import_module(f'tasks.{task}').__doc__}")
        for command, example in commands.items():
            print(f"    python -m tasks.{task}.{command} {example}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
