"""The models that a server has: which runs of each task, each loaded once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from shared.errors import UserError, shown
from shared.runs import Run

Loaded = TypeVar("Loaded")


def any_run(run: Run) -> bool:
    """Suits every run."""
    del run
    return True


class Models:
    """The runs that are served, and what is loaded of them.

    >>> models = Models(served_runs({}))
    >>> captioner = models.load(load_captioner, models.find("captioner"))

    Args:
        runs: of each task, the default first; their names differ within a task.
    """

    def __init__(self, runs: Mapping[str, Sequence[Run]]):
        self._runs = {task: list(of_task) for task, of_task in runs.items()}
        self._loaded: dict[tuple[Any, str], Any] = {}
        self._lock = threading.RLock()  # a loader may load another part of its run

    def runs(self, task: str, suits: Callable[[Run], bool] = any_run) -> list[Run]:
        """The runs of a task, those that suit; none if the task is not served."""
        return [run for run in self._runs.get(task, ()) if suits(run)]

    def find(self, task: str, name: str | None = None, suits: Callable[[Run], bool] = any_run) -> Run:
        """The run of a name, by default the first that suits; a client never names a path.

        Raises:
            UserError: no such run is served.
        """
        runs = {run.name: run for run in self.runs(task, suits)}
        if not runs:
            raise UserError(f"no such model of {task} is served")
        if name is None:
            return next(iter(runs.values()))
        if name not in runs:
            raise UserError(f"model {shown(name)} is not served here; one of {', '.join(runs)} was expected")
        return runs[name]

    def load(self, load: Callable[[Run], Loaded], run: Run) -> Loaded:
        """`load(run)`, called once for a run; `load` is a function of a module or a class method."""
        key = load, str(run.path)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load(run)
            return self._loaded[key]
