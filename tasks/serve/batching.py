"""Requests of a task wait in a bounded queue and are answered in batches, by one thread.

While a batch runs, the next one gathers. Only when there have been several requests at a time does a batch wait a few
milliseconds for more: a client alone is answered at once.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tasks.serve.limits import MEGABYTE, Limits

DECAY = 0.8  # of the average of seconds per request

Answer = Callable[[Sequence[Any]], Sequence[Any]]  # items -> for each an answer, or the UserError why it has none


class Busy(Exception):
    """The queue, or its memory, is full; `seconds` says when it may be worth to ask again."""

    def __init__(self, seconds: int):
        super().__init__(f"too many requests at a time; try again in {seconds} s")
        self.seconds = seconds


@dataclass
class _Group:
    """Waiting requests that may share a batch."""

    answer: Answer
    most: int
    jobs: deque[tuple[Any, asyncio.Future]] = field(default_factory=deque)


class TaskQueue:
    """The queue and the thread of a task.

    Args:
        name: of the task.
        limits: `queue`, `waiting_memory`, `delay` and `timeout` are used.
        measure: called with the number of requests of each batch, and its seconds.
    """

    def __init__(self, name: str, limits: Limits, measure: Callable[[int, float], None] = lambda size, seconds: None):
        self.name, self._limits, self._measure = name, limits, measure
        self._thread = ThreadPoolExecutor(1, name)
        self._groups: dict[Hashable, _Group] = {}  # the one with the oldest request first
        self._arrived = asyncio.Event()
        self._count = 0  # of requests that were admitted and have no answer yet
        self._bytes = 0  # of their bodies and of what these are decoded to
        self._last_size = 1
        self._seconds = 0.01  # of a request, on average
        self._step_began: float | None = None
        self._batches: asyncio.Task | None = None

    @property
    def count(self) -> int:
        """Requests that wait or run."""
        return self._count

    @property
    def step_seconds(self) -> float:
        """Seconds for which the thread has run what it does now; 0 if it waits."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A block in which one request counts as waiting; raises Busy if the queue is full."""
        if self._count >= self._limits.queue:
            raise self._busy()
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """A block in which an admitted request keeps `size` bytes; raises Busy if there is no memory for them.

        The only request gets what it needs: its own limits bound that.
        """
        if self._count > 1 and self._bytes + size > self._limits.waiting_memory * MEGABYTE:
            raise self._busy()
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size

    def _busy(self) -> Busy:
        wait = math.ceil(self._count * self._seconds)
        return Busy(min(max(wait, 1), math.ceil(self._limits.timeout)))

    async def submit(self, key: Hashable, answer: Answer, item: Any, most: int = 1) -> Any:
        """The answer of an item, in a batch with at most `most` items of equal keys.

        A caller that is cancelled takes its item out of the queue. Raises the item's UserError.
        """
        if self._batches is None:
            self._batches = asyncio.create_task(self._run(), name=self.name)
        future = asyncio.get_running_loop().create_future()
        self._groups.setdefault(key, _Group(answer, most)).jobs.append((item, future))
        self._arrived.set()
        return await future

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that runs in the thread of the task."""

        def step() -> Any:
            self._step_began = time.monotonic()
            try:
                return function(*arguments)
            finally:
                self._step_began = None

        return await asyncio.get_running_loop().run_in_executor(self._thread, step)

    async def events(self, start: Callable[[], Iterator[Any]]) -> AsyncIterator[Any]:
        """What an iterator yields; its steps run in the thread, and batches in between."""
        iterator = await self.in_thread(start)
        try:
            while (event := await self.in_thread(next, iterator, None)) is not None:
                yield event
        finally:
            self._thread.submit(getattr(iterator, "close", lambda: None))  # after the step that runs

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if self._last_size > 1:
                await asyncio.sleep(self._limits.delay / 1000)
            jobs, answer = self._take()
            if not jobs:
                continue
            start = time.perf_counter()
            try:
                results = await self.in_thread(_answers, answer, [item for item, _ in jobs])
            except RuntimeError as error:  # the thread has ended: the server stops
                results = [error] * len(jobs)
            seconds = time.perf_counter() - start
            self._last_size = len(jobs)
            self._seconds = DECAY * self._seconds + (1 - DECAY) * seconds / len(jobs)
            self._measure(len(jobs), seconds)
            for (_, future), result in zip(jobs, results, strict=True):
                if future.done():  # its client has left
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _take(self) -> tuple[list[tuple[Any, asyncio.Future]], Answer]:
        """The next batch: of the group whose turn it is, without requests whose client has left."""
        key = next(iter(self._groups))
        group = self._groups.pop(key)
        jobs = []
        while group.jobs and len(jobs) < group.most:
            job = group.jobs.popleft()
            if not job[1].done():
                jobs.append(job)
        if group.jobs:
            self._groups[key] = group  # behind the others
        if not self._groups:
            self._arrived.clear()
        return jobs, group.answer

    def close(self) -> None:
        """Ends the thread after what it does now."""
        if self._batches is not None:
            self._batches.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _answers(answer: Answer, items: Sequence[Any]) -> list[Any]:
    """The answers of a batch; if it fails as a whole, each item is answered alone, so that none fails for another."""
    try:
        results = list(answer(items))
        if len(results) != len(items):
            raise ValueError(f"{len(results)} answers for {len(items)} items")
    except Exception as error:
        if len(items) == 1 or isinstance(error, MemoryError):
            return [error] * len(items)
        return [result for item in items for result in _answers(answer, [item])]
    return results
