"""A server of fake endpoints on a free port of loopback, in a thread of the test."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from PIL import Image

from tasks.serve.app import Server, build_app
from tasks.serve.limits import Limits
from tasks.serve.models import Models
from tests.serve.fakes import Batches, endpoints

LIMITS = Limits(
    queue=6, waiting_memory=4, timeout=20, decoders=2, decoding_seconds=2, decoding_memory=256, max_body=1, delay=20
)


class Serving(NamedTuple):
    server: Server
    http: httpx.Client
    batches: Batches


def picture(width: int = 5, height: int = 4) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def run(server: Server, **options: Any) -> Iterator[str]:
    """Runs a server until the test ends; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    http = uvicorn.Server(uvicorn.Config(build_app(server, **options), log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until = time.monotonic() + 60
        while not server.is_ready and time.monotonic() < until and not server.problem:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        http.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def _serving() -> Iterator[Serving]:
    batches = Batches()
    server = Server(Models({}), endpoints(batches, picture()), LIMITS)
    for address in run(server):
        with httpx.Client(base_url=address, timeout=30) as http:
            yield Serving(server, http, batches)


@pytest.fixture
def serving(_serving: Serving) -> Iterator[Serving]:
    _serving.batches.sizes.clear()
    _serving.batches.begun.clear()
    yield _serving
    _serving.batches.may_go.set()
