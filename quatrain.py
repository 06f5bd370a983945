"""Quatrain from any folder: `quatrain VERB ...` on the command line, `from quatrain import ImageCaptioner` in Python.

The packages `tasks` and `shared` stay in the checkout beside this file; an editable install (`pip install -e .`, which
the Makefile does) installs this module alone. Importing a class loads its task, but never the checkout's `datasets`, so
another package of that name (Hugging Face's) can be used in the same process.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent

PUBLIC = {
    "ImageCaptioner": "tasks.captioner.inference",
    "PhotoFinder": "tasks.captioner.finding",
    "Translator": "tasks.translator.inference",
    "PairScorer": "tasks.translator.inference",
    "SoundRecognizer": "tasks.phoneme_recognizer.inference",
    "PronunciationScorer": "tasks.phoneme_recognizer.pronunciation",
    "TextScorer": "tasks.language_model.inference",
    "TextGenerator": "tasks.language_model.inference",
    "BlankFiller": "tasks.language_model.inference",
    "TextClassifier": "tasks.language_model.classification",
    "read_image": "shared.media",
    "read_sound": "shared.audio",
}
__all__ = list(PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]

NO_CHECKOUT = f"quatrain runs from its checkout, and {ROOT} is none: clone the project and run `pip install -e .` there"


class CheckoutFinder(importlib.abc.MetaPathFinder):
    """Finds `tasks` and `shared` in the checkout, whatever the current folder is."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in ("tasks", "shared"):
            return importlib.machinery.PathFinder.find_spec(fullname, [str(ROOT)])
        return None


def find_checkout() -> None:
    """Makes `tasks` and `shared` importable; raises ImportError in one line if there is no checkout."""
    if not (ROOT / "tasks" / "__main__.py").is_file():
        raise ImportError(NO_CHECKOUT)
    if not any(isinstance(finder, CheckoutFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, CheckoutFinder())


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'quatrain' has no attribute {name!r}")
    find_checkout()
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})


def main() -> int:
    """The command `quatrain`: runs a verb with the arguments of the process; returns its exit code."""
    try:
        find_checkout()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))  # this process is Quatrain's: `datasets` is the checkout's
    from tasks.__main__ import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
