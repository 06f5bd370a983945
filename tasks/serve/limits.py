"""Bounds of what one client, and all of them together, may ask of a server."""

from dataclasses import dataclass
from typing import Annotated

from shared.bounds import Bounds
from shared.machine import cores

MAX_PIXELS = 25_000_000  # of an image: 75 MB decoded
MAX_SECONDS = 120  # of a sound
READ_SECONDS = 20.0  # in which a body must arrive
STUCK_SECONDS = 300.0  # of one batch; a server that needs more is started again by those who watch /healthz
MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes, keeps waiting and waits for."""

    max_body: Annotated[int, Bounds(1, 256)] = 16
    """Megabytes of a request."""
    queue: Annotated[int, Bounds(1, 10_000)] = 128
    """Requests of a task that may wait or run; one more is refused with 503."""
    waiting_memory: Annotated[int, Bounds(1, 1_000_000)] = 1024
    """Megabytes of the bodies, images and sounds of a task's requests; one that would exceed them is refused with 503,
    unless it is alone."""
    delay: Annotated[float, Bounds(0, 1000)] = 5.0
    """Milliseconds to wait for more requests of a batch, while there are several at a time."""
    timeout: Annotated[float, Bounds(0.1, 3600)] = 30.0
    """Seconds in which a request is answered, else it is refused with 503."""
    decoders: Annotated[int, Bounds(1, 64)] = min(4, cores())
    """Processes that decode images and sounds."""
    decoding_seconds: Annotated[float, Bounds(0.1, 600)] = 10.0
    """Seconds that the decoding of one file may take."""
    decoding_memory: Annotated[int, Bounds(64, 65_536)] = 1024
    """Megabytes that it may take."""
