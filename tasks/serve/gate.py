"""What every request passes: its number, the token, the headers of its answer, the log, and a body of bounded size."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import UserError
from tasks.serve.batching import Busy
from tasks.serve.limits import MEGABYTE, READ_SECONDS
from tasks.serve.metrics import LOGGER, Metrics
from tasks.serve.models import NotLoaded

OPEN = "/healthz", "/readyz"  # without a token; and files of the page, which hold nothing of the user's
PRIVATE = "/api/", "/v1/", "/metrics", "/openapi.json"
CLIENT_LEFT = 499  # nginx' status of a request whose client has left
MUCH = 8  # times the limit of a body are read before a connection is closed
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self)",
}  # fmt: skip

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Refusal(Exception):
    """A request is refused with a status and one sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.headers = status, headers

    def response(self) -> JSONResponse:
        """The answer, in the form that TensorFlow Serving has too."""
        sentence = str(self).encode("utf-8", "replace").decode()  # it may quote half of a character
        return JSONResponse({"error": sentence}, self.status, self.headers)


@contextmanager
def refusals(status: int) -> Iterator[None]:
    """A block whose UserError becomes a refusal with a status, and Busy and NotLoaded one with 503."""
    try:
        yield
    except Busy as error:
        raise Refusal(503, str(error), {"retry-after": str(error.seconds)}) from None
    except NotLoaded as error:
        raise Refusal(503, str(error)) from None
    except UserError as error:
        raise Refusal(status, " ".join(str(error).split())) from None


class ClientLeft(Exception):
    """The client has closed the connection before its answer."""


class Gate:
    """An ASGI application around the server's own.

    Args:
        app: answers what passes.
        metrics: count it.
        token: that a client must send as `Authorization: Bearer TOKEN`; None: none is asked for.
    """

    def __init__(self, app: Any, metrics: Metrics, token: str | None = None):
        self.app, self.metrics, self.token = app, metrics, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, number = time.perf_counter(), 0, secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "number": number}

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = {**HEADERS, "x-request-id": number}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]
            await send(message)

        try:
            if self._may_pass(scope):
                await self.app(scope, receive, send_and_note)
            else:
                headers = {"www-authenticate": "Bearer"}
                refusal = Refusal(401, "a token was expected, as the header Authorization: Bearer TOKEN", headers)
                await refusal.response()(scope, receive, send_and_note)
        except Exception:  # which `failed` has answered
            LOGGER.exception("failure", extra={"id": number, "path": scope["path"]})
        finally:
            self._note(scope, number, status, time.perf_counter() - start)

    def _may_pass(self, scope: Message) -> bool:
        if self.token is None or not scope["path"].startswith(PRIVATE):
            return True
        sent = dict(scope["headers"]).get(b"authorization", b"")
        return secrets.compare_digest(sent, b"Bearer " + self.token.encode())

    def _note(self, scope: Message, number: str, status: int, seconds: float) -> None:
        path, status = _path(scope), status or CLIENT_LEFT
        if status == CLIENT_LEFT:
            self.metrics.left.labels(path).inc()
        self.metrics.requests.labels(path, str(status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        if path not in (*OPEN, "/metrics"):
            fields = {"id": number, "method": scope["method"], "path": scope["path"], "status": status}
            LOGGER.info("request", extra=fields | {"seconds": round(seconds, 4)})


def client_left(request: Request, error: Exception) -> Response:
    """What is noted of a request whose client has left; nobody reads it."""
    del request, error
    return Response(status_code=CLIENT_LEFT)


def failed(request: Request, error: Exception) -> Response:
    """The answer to a request that has failed for no reason of its own."""
    del error
    return Refusal(500, f"the server failed; its log has more about {request.state.number}").response()


def _path(scope: Message) -> str:
    """The path of the route, so that clients cannot make up new labels of metrics."""
    return getattr(scope.get("route"), "path", "other")


def body_size(request: Request, megabytes: int) -> int:
    """The bytes that the body of a request will have, as it says itself; the most that are allowed if it does not."""
    most = megabytes * MEGABYTE
    return min(int(request.headers.get("content-length", most)), most)


async def read_body(request: Request, megabytes: int) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is too large, or does not arrive in time.
        ClientLeft: the client leaves meanwhile.
    """
    most = megabytes * MEGABYTE
    too_large = Refusal(413, f"the body has more than {megabytes} MB, the limit", {"connection": "close"})
    if "expect" in request.headers and int(request.headers.get("content-length", 0)) > most:
        raise too_large  # before it is sent
    parts, size = [], 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    parts.clear()  # the rest is read all the same: many clients look for an answer afterwards only
                is_last = not message.get("more_body")
                if size > MUCH * most or (is_last and size > most):
                    raise too_large
                if is_last:
                    return b"".join(parts)
    except TimeoutError:
        late = f"the body did not arrive within {READ_SECONDS:g} s"
        raise Refusal(408, late, {"connection": "close"}) from None


async def unless_client_leaves(request: Request, seconds: float, work: Awaitable[Any]) -> Any:
    """The result of the work, after the body of the request was read.

    Raises:
        Refusal: it takes more than the seconds.
        ClientLeft: the client leaves; the work is cancelled.
    """
    answer, left = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if left.done():
            raise ClientLeft
        raise Refusal(503, f"there was no answer within {seconds:g} s", {"retry-after": str(max(1, round(seconds)))})
    finally:
        for task in (answer, left):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def sentence_of(error: ValidationError) -> str:
    """What is wrong first with a request, in one sentence."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"the body is no JSON that can be read ({first['msg'].removeprefix('Invalid JSON: ')})"
    if first["type"] == "extra_forbidden":
        return f"{field[:100]}: this field is unknown"
    return f"{field[:100] or 'the body'}: {first['msg'][:1].lower()}{first['msg'][1:]}"
