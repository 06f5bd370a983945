"""The models that a server has: which runs of each task, each loaded once."""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib import import_module
from itertools import chain, combinations
from typing import Any, TypeVar

from shared.errors import UserError, shown
from shared.runs import Run, RunError

Loaded = TypeVar("Loaded")


def any_run(run: Run) -> bool:
    """Suits every run."""
    del run
    return True


def served_runs(tasks: Sequence[str], named: Mapping[str, Sequence[str]]) -> dict[str, list[Run]]:
    """The runs of each task: those that are named, by run or folder, then the released ones, else the newest one.

    Raises RunError if a named run cannot be opened, if two of a task have one name, or if a task has none.
    """
    return {task: _runs_of(task, named.get(task, ())) for task in tasks}


def _runs_of(task: str, named: Sequence[str]) -> list[Run]:
    config = import_module(f"tasks.{task}.config")
    released = config.RELEASED if isinstance(config.RELEASED, str) else chain(*config.RELEASED.values())
    there = {run.name for run in Run.trained(task)}
    names = [released] if isinstance(released, str) else list(released)
    others = [Run.find(name, task, "") for name in names if name in there]
    runs = [Run.find(name, task, "") for name in named]
    for first, second in combinations(runs, 2):
        if first.name == second.name:
            raise RunError(f"{first.path} and {second.path} have one name, by which a client names them")
    names = {run.name for run in runs}
    return [*runs, *(run for run in others if run.name not in names)] or [config.find_run()]


class Models:
    """The runs that are served, and what is loaded of them.

    >>> models = Models(served_runs(["captioner"], {}))
    >>> captioner = models.load(load_captioner, models.find("captioner"))

    Args:
        runs: of each task, the default first; their names differ within a task.
    """

    def __init__(self, runs: Mapping[str, Sequence[Run]]):
        self._runs = {task: list(of_task) for task, of_task in runs.items()}
        self._loaded: dict[tuple[Any, str], Any] = {}
        self._locks: dict[tuple[Any, str], threading.RLock] = {}
        self._lock = threading.Lock()

    def runs(self, task: str, suits: Callable[[Run], bool] = any_run) -> list[Run]:
        """The runs of a task, those that suit; none if the task is not served."""
        return [run for run in self._runs.get(task, ()) if suits(run)]

    def names(self) -> dict[str, list[str]]:
        """The names of the runs of each task, the default first."""
        return {task: [run.name for run in runs] for task, runs in self._runs.items()}

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

    def load(self, load: Callable[[Run], Loaded], run: Run, key: Hashable = None) -> Loaded:
        """`load(run)`, called once for a run and a key, by default `load` itself, a function of a module."""
        part = key or load, str(run.path)
        with self._lock:
            lock = self._locks.setdefault(part, threading.RLock())
        with lock:  # another run may be loaded meanwhile
            if part not in self._loaded:
                self._loaded[part] = load(run)
            return self._loaded[part]
