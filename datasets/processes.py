"""Records made in several processes, which end with this one."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from shared.machine import cores

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 250  # items of a task; a new process takes half a second to import its modules
AHEAD = 2  # tasks of each process that wait or are done


_main_lock = threading.Lock()


class _Process(SpawnProcess):
    """A new process that does not import the script that runs, which may lack the guard `if __name__ == "__main__"`."""

    def start(self) -> None:
        with _main_lock:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = main


class _Context(SpawnContext):
    Process = _Process


def process_pool(processes: int, **options: Any) -> ProcessPoolExecutor:
    """Return a pool of new processes, which end with this one or by Ctrl-C; for functions of modules."""
    return ProcessPoolExecutor(processes, mp_context=_Context(), initializer=_follow_parent, **options)


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a terminal sends it to all processes; this one writes no traceback
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    """Ends a process whose parent was killed, which would wait for work for ever."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def mapped(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield `function(item)` of each item, in order; many items are shared among all cores.

    Processes import the module of `function`, so they do not see what this one has changed in it.
    """
    processes = min(cores(), len(items) // CHUNK)
    if processes < 2 or multiprocessing.current_process().daemon:  # which may have no children
        yield from map(function, items)
        return
    tasks = (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
    pool, waiting = process_pool(processes), deque[Future[list[Result]]]()
    try:
        for task in tasks:
            if len(waiting) == AHEAD * processes:
                yield from waiting.popleft().result()
            waiting.append(pool.submit(_map, function, task))
        for future in waiting:
            yield from future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
