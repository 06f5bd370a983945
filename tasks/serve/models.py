"""The models that a server has: which runs of each task, each loaded once."""

import re
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from importlib import import_module
from itertools import chain, combinations
from typing import Any, TypeVar

from shared.errors import UserError, shown
from shared.runs import Run, RunError

Loaded = TypeVar("Loaded")

RETRY_SECONDS = 60.0  # after which a model that could not be loaded is tried again

FOLDERS = re.compile(r"(?<![\w./:])(?:/[^\s/:;,]+)+/(?=[^\s/])")  # of an absolute path; not those of an address


def any_run(run: Run) -> bool:
    """Suits every run."""
    del run
    return True


class NotLoaded(UserError):
    """A model that should be served cannot be; requests for it are refused with 503.

    Attributes:
        is_named: whether it is one that `--model` names.
        time: seconds of `time.monotonic` when it was tried.
    """

    def __init__(self, what: str, reason: object, *, is_named: bool = False):
        sentence = FOLDERS.sub("", " ".join(str(reason).split()))  # of the server
        super().__init__(f"{what} is not served: {sentence}")
        self.is_named, self.time = is_named, time.monotonic()

    def again(self) -> "NotLoaded":
        """A copy to raise: one that is raised for many requests would keep the frames, and so the bodies, of all."""
        copied = NotLoaded.__new__(NotLoaded, *self.args)
        copied.is_named, copied.time = self.is_named, self.time
        return copied


def served_models(tasks: Sequence[str], named: Mapping[str, Sequence[str]]) -> "Models":
    """The runs of each task: those that are named, by run or folder, then the released ones, else the newest one.

    `Models.refused` says why a task has no run, `Models.left_out` why a released run is of no use. Raises RunError if a
    named run cannot be opened, if two of a task have one name, or if no task has a run.
    """
    runs: dict[str, list[Run]] = {}
    refused: dict[str, NotLoaded] = {}
    left_out: dict[tuple[str, str], NotLoaded] = {}
    for task in tasks:
        try:
            runs[task] = _runs_of(task, named.get(task, ()), left_out)
        except RunError as error:
            if task in named:
                raise
            refused[task] = NotLoaded(f"task {task}", error)
    if not runs:
        raise RunError("; ".join(map(str, refused.values())))
    folders = [str(run.path) for task in named for run in runs[task][: len(named[task])]]
    return Models(runs, folders, refused, left_out)


def _runs_of(task: str, named: Sequence[str], left_out: dict[tuple[str, str], NotLoaded]) -> list[Run]:
    module = import_module(f"tasks.{task}.config")
    released = module.RELEASED if isinstance(module.RELEASED, str) else chain(*module.RELEASED.values())
    there = {run.name for run in Run.trained(task)}
    names = [released] if isinstance(released, str) else list(released)
    runs = [Run.find(name, task, "") for name in named]
    for first, second in combinations(runs, 2):
        if first.name == second.name:
            raise RunError(f"{first.path} and {second.path} have one name, by which a client names them")
    for run in runs:
        run.read_config(module.Config)
    own = {run.name for run in runs}
    for name in names:
        if name in there and name not in own:
            try:
                run = Run.find(name, task, "")
                run.read_config(module.Config)
                runs.append(run)
            except RunError as error:  # the others may do
                left_out[task, name] = NotLoaded(f"model {name}", error)
    return runs or [module.find_run()]


class Models:
    """The runs that are served, and what is loaded of them.

    >>> models = served_models(["captioner"], {})
    >>> captioner = models.load(load_captioner, models.find("captioner"))

    Args:
        runs: of each task, the default first; their names differ within a task.
        named: folders of the runs that `--model` names.
        refused: why a task has no runs, by its name.
        left_out: why a released run is not served, by its task and name.
    """

    def __init__(
        self,
        runs: Mapping[str, Sequence[Run]],
        named: Collection[str] = (),
        refused: Mapping[str, NotLoaded] | None = None,
        left_out: Mapping[tuple[str, str], NotLoaded] | None = None,
    ):
        self._runs = {task: list(of_task) for task, of_task in runs.items()}
        self._named = frozenset(named)
        self.refused, self.left_out = dict(refused or {}), dict(left_out or {})
        self._loaded: dict[tuple[Any, str], Any] = {}
        self._locks: dict[tuple[Any, str], threading.RLock] = {}
        self._lock = threading.Lock()

    def runs(self, task: str, suits: Callable[[Run], bool] = any_run) -> list[Run]:
        """The runs of a task, those that suit; none if the task is not served."""
        return [run for run in self._runs.get(task, ()) if suits(run)]

    def is_asked(self, task: str) -> bool:
        """Whether a task is to be served, even if no run of it can be."""
        return task in self._runs or task in self.refused

    @property
    def has_loaded(self) -> bool:
        """Whether any model was loaded."""
        return any(not isinstance(loaded, NotLoaded) for loaded in self._loaded.values())

    def named(self, task: str) -> list[str]:
        """The names of the runs of a task that `--model` names."""
        return [run.name for run in self.runs(task, lambda run: str(run.path) in self._named)]

    def names(self) -> dict[str, list[str]]:
        """The names of the runs of each task, the default first."""
        return {task: [run.name for run in runs] for task, runs in self._runs.items()}

    def find(self, task: str, name: str | None = None, suits: Callable[[Run], bool] = any_run) -> Run:
        """The run of a name, by default the first that suits; a client never names a path.

        Raises:
            NotLoaded: no run of the task, or not this one, can be served.
            UserError: no such run is served.
        """
        if reason := self.refused.get(task) or self.left_out.get((task, name or "")):
            raise reason.again()
        runs = {run.name: run for run in self.runs(task, suits)}
        if not runs:
            raise UserError(f"no such model of {task} is served")
        if name is None:
            return next(iter(runs.values()))
        if name not in runs:
            raise UserError(f"model {shown(name)} is not served here; one of {', '.join(runs)} was expected")
        return runs[name]

    def load(self, load: Callable[[Run], Loaded], run: Run, key: Hashable = None) -> Loaded:
        """`load(run)`, called once for a run and a key, by default `load` itself, a function of a module.

        Raises NotLoaded if that raises UserError, and for the next RETRY_SECONDS; then it is tried again: weights that
        could not be downloaded may be there.
        """
        part = key or load, str(run.path)
        with self._lock:
            lock = self._locks.setdefault(part, threading.RLock())
        with lock:  # another run may be loaded meanwhile
            failed = self._loaded.get(part)
            is_old = isinstance(failed, NotLoaded) and time.monotonic() - failed.time > RETRY_SECONDS
            if part not in self._loaded or is_old:
                try:
                    self._loaded[part] = load(run)
                except UserError as error:
                    self._loaded[part] = NotLoaded(f"model {run.name}", error, is_named=str(run.path) in self._named)
            loaded = self._loaded[part]
            if isinstance(loaded, NotLoaded):
                raise loaded.again()
            return loaded
