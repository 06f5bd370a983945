"""What a server counts, in the text format of Prometheus; and its log, one JSON object a line."""

import json
import logging
import sys
import time
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

LOGGER = logging.getLogger("quatrain.serve")
SECONDS = 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30  # upper ends of the histogram
SIZES = 1, 2, 4, 8, 16, 32
STANDARD = vars(logging.makeLogRecord({})).keys()  # fields of every record


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        own: dict[str, Any] = {"registry": self.registry, "namespace": "quatrain"}
        self.requests = Counter("requests", "Requests that were answered", ("path", "status"), **own)
        self.seconds = Histogram("request_seconds", "From request to answer", ("path",), buckets=SECONDS, **own)
        self.batch_size = Histogram("batch_size", "Requests of a batch", ("task",), buckets=SIZES, **own)
        self.batch_seconds = Histogram("batch_seconds", "Seconds of a batch", ("task",), buckets=SECONDS, **own)
        self.waiting = Gauge("waiting", "Requests that wait or run", ("task",), **own)
        self.left = Counter("clients_left", "Requests whose client left before the answer", ("path",), **own)
        self.decoders_ended = Counter("decoders_ended", "Worker processes that have ended", ("reason",), **own)


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, event, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in STANDARD and name != "message"}
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{seconds}.{int(record.msecs):03d}Z", "level": record.levelname.lower(),
            "event": record.getMessage(), **fields,
        }  # fmt: skip
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def log_to(stream: TextIO = sys.stderr) -> None:
    """Sends the log of the server, and of uvicorn what is not a request, to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name, level in (("quatrain.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
