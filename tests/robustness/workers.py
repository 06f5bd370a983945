"""Runs cases in forked processes: a case that ends or blocks its process is recorded, and the others go on.

The parent imports all libraries but runs none of their code, so a fork is cheap and starts as a new process would.
"""

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from shared.quiet import QuietImport, filter_logs, startup_messages_dropped
from tests.robustness.sandbox import guard

ROOT = Path(__file__).parents[2]
ANSWERED, REFUSED = "answered", "refused in one line"
TRACEBACK, DIED, HANG, SHORT = "traceback", "process died", "hang", "silent shortening"
MEMORY = 4 * 1024**3  # bytes that a process may take beyond those of its start

Key = tuple[str, int]  # kind and index of a case


class Outcome(NamedTuple):
    """What became of a case: one of the verdicts above or of a campaign's own, and the reason."""

    key: Key
    verdict: str
    detail: str
    description: str = ""  # of the case


@dataclass
class _Worker:
    """A forked process and the case that it works on."""

    process: Any
    pipe: Connection
    key: Key | None = None
    began: float = 0.0
    done: int = 0


def preload() -> None:
    """Imports what commands import, without the code that starts TensorFlow's threads: a fork would lose them."""
    from importlib import import_module

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.dont_write_bytecode = True
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, QuietImport)]  # uses TensorFlow
    with startup_messages_dropped():
        import tensorflow  # noqa: F401
    for path in sorted(ROOT.glob("tasks/*/*.py")):
        import_module(f"tasks.{path.parent.name}.{path.stem}")
    filter_logs()
    import_module("datasets.__main__")
    for name in ("scenes", "python_manual", "spoken_scenes"):
        import_module(f"datasets.{name}.{name}_dataset_builder")


def run(
    keys: Iterable[Key],
    judge: Callable[[Key], Outcome],
    own: Path,
    *,
    jobs: int,
    seconds: float,
    cases_per_process: int | None = None,
) -> Iterator[Outcome]:
    """Yields the outcome of each case as `judge` gives it in a process that may write to the folder `own` alone.

    A case that takes over `seconds`, more on a machine with more processes than cores, is a `HANG`.
    """
    waiting, workers = iter(keys), []
    exhausted = False
    while True:
        while not exhausted and (idle := next((w for w in workers if w.key is None), None) or len(workers) < jobs):
            key = next(waiting, None)
            if key is None:
                exhausted = True
                break
            worker = idle if isinstance(idle, _Worker) else _start(judge, own)
            if worker not in workers:
                workers.append(worker)
            worker.key, worker.began = key, time.monotonic()
            worker.pipe.send(key)
        if not any(worker.key for worker in workers):
            break
        ready = wait([worker.pipe for worker in workers if worker.key], timeout=0.2)
        limit = seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        for worker in [worker for worker in workers if worker.key]:
            outcome = None
            if worker.pipe in ready:
                outcome = _received(worker)
            elif time.monotonic() - worker.began > limit:
                outcome = Outcome(worker.key or ("", 0), HANG, f"no answer in {limit:.0f} s")
            if outcome is None:
                continue
            worker.key, worker.done = None, worker.done + 1
            if outcome.verdict in (HANG, DIED) or worker.done == cases_per_process:
                workers.remove(worker)
                _end(worker)
            yield outcome
    for worker in workers:
        _end(worker)


def _received(worker: _Worker) -> Outcome:
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        code = worker.process.exitcode
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Outcome(worker.key or ("", 0), DIED, name)


def _start(judge: Callable[[Key], Outcome], own: Path) -> _Worker:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(judge, own, there, here), daemon=True)
    sys.stdout.flush()
    process.start()
    there.close()
    return _Worker(process, here)


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _work(judge: Callable[[Key], Outcome], own: Path, pipe: Connection, parents_end: Connection) -> None:
    parents_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    guard(own)
    while True:
        try:
            key = pipe.recv()
        except EOFError:
            break
        pipe.send(judge(key))
    os._exit(0)


@contextmanager
def standard_error_captured() -> Iterator[Callable[[], str]]:
    """Yields a function that returns what was written to file descriptor 2 within the block, by any code."""
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def words() -> str:
            sys.stderr.flush()
            return os.pread(file.fileno(), 1_000_000, 0).decode(errors="replace")

        try:
            yield words
        finally:
            os.dup2(before, 2)
            os.close(before)


def described(error: BaseException) -> str:
    """An error with the line of the project that it comes from: the innermost outside the campaign."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT) in frame.filename]
    frames = [frame for frame in frames if "robustness" not in frame.filename and ".venv" not in frame.filename]
    place = f" at {Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}{place}"
