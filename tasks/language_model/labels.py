"""The labels of a classifier, a file of its run."""

from collections.abc import Sequence

from shared.bounds import MAX_LABELS
from shared.errors import shown
from shared.runs import Run, RunError, read_json, write_json

FILE = "labels.json"


def save_labels(run: Run, labels: Sequence[str]) -> None:
    """Writes the labels into a run."""
    write_json(run.path / FILE, {"labels": list(labels)})


def load_labels(run: Run) -> list[str]:
    """The labels of a run; raises RunError if the file is missing or damaged."""
    path = run.path / FILE
    labels = read_json(path).get("labels")
    if (
        not isinstance(labels, list)
        or not all(isinstance(label, str) and label for label in labels)
        or not 2 <= len(set(labels)) == len(labels) <= MAX_LABELS
    ):
        raise RunError(f"{path}: a list of 2 to {MAX_LABELS:,} different labels was expected, received {shown(labels)}")
    return labels
