"""Untrusted bytes are decoded in worker processes: what bursts the limits of memory or time ends one of them.

A worker that ends is replaced. Its request is given to another one, because the kill may have had nothing to do with
it; a request that ends two workers is refused. Nothing that comes back from a worker is unpickled: it is JSON and the
bytes of arrays.

    worker -> server   an empty message, once it has imported what decodes
    server -> worker   {"function": "module:name", "request": "module:name", "options": {name: integer}}, then the
                       request as JSON
    worker -> server   {"arrays": [[name, dtype, shape], ...]} and the bytes of each, or
                       {"error": sentence, "of_limits": whether its limits are the reason}
"""

import asyncio
import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from multiprocessing import ProcessError
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from pydantic import BaseModel

from shared.errors import UserError
from tasks.serve.endpoint import Decoded
from tasks.serve.limits import MEGABYTE, Limits

DTYPES = "uint8", "int16", "int32", "int64", "float32"  # of arrays that a worker may return
BEGIN_SECONDS = 60.0  # in which a worker must begin
ENOUGH = 2  # workers that a request may end


class DecodingError(UserError):
    """Bytes could not be decoded within the limits, or have more pixels or seconds than the server takes."""


class _Ended(Exception):
    """A worker has ended before it answered."""


# --- in the worker --------------------------------------------------------------------------------------------------


def work(connection: Connection, megabytes: int, folder: str, modules: Sequence[str]) -> None:
    """Decodes what comes, until the server closes the connection."""
    os.setsid()  # a program that decodes sounds ends with the worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the server decides
    tempfile.tempdir = folder
    for module in modules:
        import_module(module)
    with open("/proc/self/statm") as file:
        at_start = int(file.read().split()[0]) * resource.getpagesize()
    most = at_start + megabytes * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(EOFError, OSError):
        connection.send_bytes(b"")
        while True:
            names, body = json.loads(connection.recv_bytes()), connection.recv_bytes()
            try:
                request = _named(names["request"]).model_validate_json(body)
                _send(connection, _named(names["function"])(request, **names["options"]))
            except UserError as error:
                _send(connection, error)
            except MemoryError:
                _send(connection, DecodingError(f"needs more than {megabytes} MB of memory to be decoded"))


def _named(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _send(connection: Connection, decoded: Decoded | UserError) -> None:
    if isinstance(decoded, UserError):
        refusal = {"error": str(decoded), "of_limits": isinstance(decoded, DecodingError)}
        connection.send_bytes(json.dumps(refusal).encode())
        return
    arrays = decoded if not isinstance(decoded, np.ndarray) else {"": decoded}
    contiguous = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    specs = [(name, array.dtype.name, array.shape) for name, array in contiguous.items()]
    connection.send_bytes(json.dumps({"arrays": specs}).encode())
    for array in contiguous.values():
        connection.send_bytes(array.reshape(-1).view(np.uint8).data)


# --- in the server --------------------------------------------------------------------------------------------------


class Worker:
    """A process that decodes one request at a time."""

    def __init__(self, context: Any, limits: Limits, modules: Sequence[str]):
        self._limits, self._folder, self._has_begun = limits, tempfile.mkdtemp(prefix="quatrain-"), False
        self._connection, theirs = context.Pipe()
        arguments = theirs, limits.decoding_memory, self._folder, modules
        self._process = context.Process(target=work, args=arguments, daemon=True, name="decoder")
        self._process.start()
        theirs.close()

    def begin(self) -> None:
        """Waits until it has imported what it needs, which does not count as decoding.

        Raises OSError or EOFError if it has ended before.
        """
        if not self._has_begun:
            if not self._connection.poll(BEGIN_SECONDS):
                raise OSError("the process does not begin")
            self._connection.recv_bytes()
            self._has_begun = True

    def decode(self, function: Callable[..., Decoded], request: BaseModel, options: Mapping[str, int]) -> Decoded:
        """What the function returns.

        Raises:
            UserError: the function does, or takes too long; then the worker has ended.
            _Ended: the worker has ended for another reason.
        """
        names = {"function": _name_of(function), "request": _name_of(type(request)), "options": options}
        is_late = threading.Event()
        timer = threading.Timer(self._limits.decoding_seconds, lambda: (is_late.set(), self._kill()))
        try:
            self.begin()
            timer.start()
            self._connection.send_bytes(json.dumps(names).encode())
            self._connection.send_bytes(request.model_dump_json().encode())
            return self._receive()
        except (EOFError, OSError, ProcessError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, UserError):
                raise  # of the function
            self.end()  # the rest of what is no answer of ours would be read as the next one
            if is_late.is_set():
                raise DecodingError(f"takes more than {self._limits.decoding_seconds:g} s to be decoded") from None
            raise _Ended from None
        finally:
            timer.cancel()

    def _receive(self) -> Decoded:
        header = json.loads(self._connection.recv_bytes())
        if "error" in header:
            raise (DecodingError if header["of_limits"] else UserError)(header["error"])
        arrays = {}
        for name, dtype, shape in header["arrays"]:
            size = math.prod(shape)
            if dtype not in DTYPES or not 0 <= size <= self._limits.decoding_memory * MEGABYTE:
                raise EOFError  # no answer of ours
            arrays[name] = np.empty(shape, dtype)
            self._connection.recv_bytes_into(arrays[name].reshape(-1).view(np.uint8))
        return arrays[""] if list(arrays) == [""] else arrays or None

    def _kill(self) -> None:
        """Ends the process and what it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def end(self) -> None:
        """Ends the process and removes its temporary files."""
        self._connection.close()
        self._kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def has_ended(self) -> bool:
        """Whether it decodes nothing more."""
        return self._connection.closed

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid


class DecodingPool:
    """Worker processes, each with a thread of the server that waits for it.

    Args:
        limits: of a worker, and how many there are.
        modules: that the workers import at once, those of the functions.
        ended: called when a worker has ended, with the reason: "killed" or "limits".
    """

    def __init__(self, limits: Limits, modules: Sequence[str] = (), ended: Callable[[str], None] = lambda reason: None):
        self._limits, self._modules, self._ended = limits, list(modules), ended
        # Forked from a process without threads and without Keras: a new worker is there in 10 ms.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *modules])
        self._threads = ThreadPoolExecutor(limits.decoders, "decoder")
        self._own = threading.local()
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    async def decode(self, function: Callable[..., Decoded], request: BaseModel, **options: int) -> Decoded:
        """What the function returns for the request.

        Raises:
            UserError: the function does.
            DecodingError: it takes too long, or ends the process.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, function, request, options)

    def _decode(self, function: Callable[..., Decoded], request: BaseModel, options: Mapping[str, int]) -> Decoded:
        for _ in range(ENOUGH):
            worker = self._worker()
            try:
                return worker.decode(function, request, options)
            except _Ended:
                self._drop(worker, "killed")
            except DecodingError:
                if worker.has_ended:
                    self._drop(worker, "limits")
                raise
        raise DecodingError("ends the process that decodes it; another file was expected")

    def _worker(self) -> Worker:
        """The worker of this thread; a new one if it has ended."""
        if getattr(self._own, "worker", None) is None:
            with self._lock:
                if self._is_closed:
                    raise DecodingError("is not decoded any more: the server stops")
                self._own.worker = Worker(self._context, self._limits, self._modules)
                self._workers.add(self._own.worker)
        return self._own.worker

    def _drop(self, worker: Worker, reason: str) -> None:
        self._own.worker = None
        with self._lock:
            self._workers.discard(worker)
        self._ended(reason)

    def start(self) -> None:
        """Starts all workers, which otherwise start when they are needed."""
        barrier = threading.Barrier(self._limits.decoders, timeout=60)
        for done in [self._threads.submit(lambda: (self._worker(), barrier.wait())) for _ in range(barrier.parties)]:
            done.result()

    def pids(self) -> list[int]:
        """The numbers of the processes."""
        with self._lock:
            return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """Ends the workers, also those that decode."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._is_closed = True
            for worker in self._workers:
                worker.end()
            self._workers.clear()


def _name_of(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"
