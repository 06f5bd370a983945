"""Endpoints without models: each shows one behaviour of the server."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from shared.errors import UserError
from tasks.serve.endpoint import Encoded, Endpoint, Item, Request, Response, Text
from tasks.serve.media import decode_image

TASK = "captioner"


class Words(Request):
    text: Text
    count: Annotated[int, Field(ge=1, le=5)] = 1
    kind: Annotated[str, Field(max_length=9)] = ""


class Said(Response):
    text: str
    batch: int = 0


class File(Request):
    file: Encoded


class Size(Response):
    height: int
    width: int


class Batches:
    """Remembers the batches of an endpoint, and holds them up."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()

    def answer(self, key: Any, items: Sequence[Item]) -> list[Any]:
        self.begun.set()
        self.may_go.wait(20)
        self.sizes.append(len(items))
        return [
            UserError("is bad,\nas asked") if item.request.text == "bad" else Said(text=key + item.request.text[::-1])
            for item in items
        ]


def stream(item: Item) -> Iterator[Said]:
    """One event for each letter."""
    if not item.request.text:
        raise UserError("a letter was expected")
    for letter in item.request.text:
        yield Said(text=letter)


def decode(request: File) -> np.ndarray:
    """What real endpoints do, and what bombs do, in the worker."""
    content = request.file.b64
    if content == b"memory":
        bytearray(10**12)
    if content == b"time":
        time.sleep(60)
    if content == b"death":
        os.kill(os.getpid(), signal.SIGKILL)
    if content.startswith(b"once "):  # the worker is killed, but not by this request
        try:
            os.close(os.open(content[5:].decode(), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return np.zeros((7, 8, 3), np.uint8)
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_image(content)


def sizes(key: Any, items: Sequence[Item]) -> list[Size]:
    return [Size(height=item.decoded.shape[0], width=item.decoded.shape[1]) for item in items]


def endpoints(batches: Batches, picture: bytes) -> list[Endpoint]:
    def key(request: Words) -> str:
        if request.kind == "odd":
            raise UserError("kind 'odd' is not served here")
        return request.kind

    words = Words(text="abc")
    return [
        Endpoint(
            path="/api/turn", task=TASK, request=Words, response=Said, example=words, answer=batches.answer, key=key,
            max_batch=3,
        ),
        Endpoint(path="/api/spell", task=TASK, request=Words, response=Said, example=words, stream=stream),
        Endpoint(
            path="/api/size", task=TASK, request=File, response=Size, example=File(file=Encoded.of(picture)),
            answer=sizes, decode=decode,
        ),
    ]  # fmt: skip
