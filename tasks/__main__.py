"""Lists the tasks and their commands, each with an example."""

import importlib
import sys

EXAMPLES = {
    "captioner": {
        "train": "scenes",
        "evaluate": "--split test",
        "export": "",
        "caption": "photo.jpg --attention out.png",
    },
}


def main() -> None:
    print("python -m tasks.<task>.<command> --help says more.\n")
    for task, commands in EXAMPLES.items():
        print(f"{task}: {importlib.import_module(f'tasks.{task}').__doc__}")
        for command, example in commands.items():
            print(f"    python -m tasks.{task}.{command} {example}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
