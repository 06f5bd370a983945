"""The commands of all tasks: lists them, or runs the one that is named.

    python -m tasks                             the list, with an example of each
    python -m tasks caption photo.jpg           the same as python -m tasks.captioner.caption photo.jpg
    python -m tasks train captioner scenes      the same as python -m tasks.captioner.train scenes
    python -m tasks serve                       the server and its page
    python -m tasks doctor                      versions, devices, kernels, models, corpora

The command `quatrain` does the same.
"""

import importlib
import sys

from shared import cli

COMMON = {"train": "scenes", "evaluate": "--split test", "export": ""}  # verbs of every task, which need its name
EXAMPLES = {
    "captioner": {
        **COMMON,
        "caption": "photo.jpg --regions out.png",
        "find": '"a dog runs through the snow" photos/',
        "train_finder": "--model RUN",
    },
    "language_model": {
        **COMMON,
        "train": "python_manual",
        "score": '"the cat sat on the mat" "the mat sat on the cat"',
        "generate": '--prompt "the"',
        "fill": '"the ___ of the city"',
        "classify": '"A warm and funny film."',
    },
    "phoneme_recognizer": {
        **COMMON,
        "train": "spoken_scenes",
        "recognize": "speech.wav --textgrid speech.TextGrid",
        "train_scorer": "--model RUN",
    },
    "translator": {
        **COMMON,
        "translate": '"Ein Hund läuft über eine Wiese." --alignment alignment.png',
        "score": '"Ein Hund läuft." "A dog is running."',
    },
}
OTHER = {
    "serve": "tasks.serve.__main__",
    "static_page": "tasks.serve.static_page",
    "release": "tasks.release",
    "doctor": "tasks.doctor",
    "datasets": "datasets.__main__",
}
HELP = ([], ["-h"], ["--help"])


def overview(program: str) -> str:
    """The list of commands, as `program` runs them."""
    lines = [f"{program} VERB --help says more.\n"]
    for task, verbs in EXAMPLES.items():
        lines.append(f"{task}: {importlib.import_module(f'tasks.{task}').__doc__}")
        for verb, example in verbs.items():
            command = f"{verb} {task}" if verb in COMMON or find(verb)[1] != task else verb
            lines.append(f"    {program} {command} {example}".rstrip())
    return "\n".join([*lines, f"others: {', '.join(f'{program} {verb}' for verb in OTHER)}"])


def find(verb: str, task: str | None = None) -> tuple[str, str | None]:
    """The module of a verb, and its task if it has one; UserError for an unknown verb, or one in `COMMON` without task.

    Args:
        task: default: the first task that has the verb.
    """
    if verb in OTHER:
        return OTHER[verb], None
    tasks = [name for name, verbs in EXAMPLES.items() if verb in verbs]
    if not tasks:
        verbs = dict.fromkeys(verb for verbs in EXAMPLES.values() for verb in verbs)
        raise cli.UserError(f"{verb}: no such verb; the verbs are {', '.join([*verbs, *OTHER])}")
    if task is None and verb in COMMON:
        raise cli.UserError(f"{verb}: the name of a task was expected next: {', '.join(tasks)}")
    task = task or tasks[0]
    return f"tasks.{task}.{verb}", task


@cli.command
def run(arguments: list[str], program: str = "quatrain") -> int:
    """Runs `VERB [TASK] [ARGUMENT ...]`; returns its exit code."""
    if arguments in HELP:
        print(overview(program))
        return 0
    verb, *rest = arguments
    is_task = bool(rest) and verb in EXAMPLES.get(rest[0], {})
    module, task = find(verb, rest[0] if is_task else None)
    cli.invoked_as = f"{program} {verb} {task}" if is_task else f"{program} {verb}"
    try:
        return importlib.import_module(module).main(rest[is_task:])
    finally:
        cli.invoked_as = None


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "python -m tasks"))
