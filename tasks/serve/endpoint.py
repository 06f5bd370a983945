"""What an endpoint of the server is: types of its request and its response, and the functions between them.

    body -> request -> key                                     the event loop: validated, queued under its key
                    -> decode                                  a worker process with limits of memory and time
                       Item(request, decoded)
                    -> answer(key, items), or stream(item)     the thread of the task, items of one key in a batch

A module of endpoints ends in `def endpoints(models: Models) -> list[Endpoint]` and is listed in `registry.MODULES`.
What a client sends wrongly is a `UserError` of one sentence, and becomes a 4xx: `key`, `decode` and `stream` raise it,
`answer` returns it in place of the response of that item, so that the others of the batch have theirs.
"""

import base64
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, EncodedBytes, EncoderProtocol, StringConstraints
from pydantic_core import PydanticCustomError

from shared.errors import UserError

MAX_CHARACTERS = 2000  # of a text
MAX_BATCH = 64  # items

Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=100)]  # of a run that is served


class Request(BaseModel):
    """A request: a field that it does not have is refused, and so is a number given as a text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def without_files(self) -> Self:
        """The same request with files of no bytes, for one that waits after they are decoded."""
        files = {name: Encoded.of(b"") for name, value in self if isinstance(value, Encoded)}
        return self.model_copy(update=files)


class Base64(EncoderProtocol):
    """Base64 of RFC 4648 with its padding; pydantic's own decoder skips letters that do not belong to it."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Raises PydanticCustomError for anything else."""
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            raise PydanticCustomError("base64", "base64 text was expected") from None

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        return "base64"


class Encoded(Request):
    """Bytes of a file, as base64 text in JSON; TensorFlow Serving writes them this way."""

    b64: Annotated[bytes, EncodedBytes(encoder=Base64)]
    """The bytes, after validation no more as text."""

    @classmethod
    def of(cls, content: bytes) -> "Encoded":
        """Bytes as they would arrive."""
        return cls(b64=Base64.encode(content))


class Response(BaseModel):
    """A response; NaN and infinity, which JSON does not have, are null in it."""

    model_config = ConfigDict(frozen=True)


Decoded = np.ndarray | Mapping[str, np.ndarray] | None


class Item(NamedTuple):
    """A request on its way to an answer."""

    request: Any
    """Of the endpoint's `request`; its files have no bytes if they were decoded."""
    decoded: Any
    """What `decode` returned, the same array or arrays by name; None for an endpoint without `decode`."""

    @property
    def decoded_bytes(self) -> int:
        """The memory that `decoded` takes."""
        arrays = self.decoded.values() if isinstance(self.decoded, Mapping) else [self.decoded]
        return sum(array.nbytes for array in arrays if array is not None)


def not_in_batches(key: Any, items: Sequence[Item]) -> Sequence[BaseModel | UserError]:
    """The `answer` of an endpoint with `stream`."""
    raise NotImplementedError(f"{len(items)} items of {key!r} are answered one by one")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One address of the server that answers `POST` with JSON."""

    path: str
    """Such as "/api/caption"."""
    task: str
    """Whose models it needs; everything of a task runs in one thread, one batch after the other."""
    request: type[Request]
    """Has bounds on every field; bytes are `Encoded`."""
    response: type[BaseModel]
    """Of an answer, or of each event of a stream."""
    example: Request
    """A request that has an answer: in the description of the API, and sent once before the server is ready."""
    answer: Callable[[Any, Sequence[Item]], Sequence[BaseModel | UserError]] = not_in_batches
    """A key and items that have it -> the response of each, or why it has none. An endpoint has this or `stream`."""
    stream: Callable[[Item], Iterator[BaseModel]] | None = None
    """The events of one item, sent as they come; between two of them other items have their turn. It is closed when the
    client leaves. An error of the user must be raised before the first event."""
    key: Callable[[Any], Hashable] = lambda request: None
    """Requests of equal keys may share a batch, so it has all that a batch has once, such as the model and the beam.
    Raises UserError, for instance for a model that is not served."""
    decode: Callable[..., Decoded] | None = None
    """Untrusted bytes of a request -> arrays. A function of a module, which a worker process imports; it must load
    neither Keras nor a backend. Raises UserError."""
    decode_options: Callable[[Any], Mapping[str, int]] = lambda request: {}
    """The keyword arguments of `decode` for a request: what depends on models. Raises UserError."""
    max_batch: int = MAX_BATCH
    """Items of a batch."""
    is_alone: Callable[[Any], bool] = lambda request: False
    """Whether a request takes as long as many others, so that they should not wait for its answer: it has a batch for
    itself."""
