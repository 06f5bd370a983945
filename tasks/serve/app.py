"""The server as an ASGI application: every endpoint of the registry, TensorFlow Serving's addresses, and the page."""

import asyncio
import ctypes
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Match, Mount

from shared.errors import UserError
from tasks.serve.batching import TaskQueue
from tasks.serve.decoding import DecodingPool
from tasks.serve.description import Description
from tasks.serve.endpoint import Endpoint, Item
from tasks.serve.gate import (
    PRIVATE,
    ClientLeft,
    Gate,
    Refusal,
    body_size,
    client_left,
    failed,
    read_body,
    refusals,
    sentence_of,
    unless_client_leaves,
)
from tasks.serve.limits import STUCK_SECONDS, Limits
from tasks.serve.metrics import LOGGER, Metrics
from tasks.serve.models import Models, NotLoaded
from tasks.serve.tensorflow_serving import SignaturesOf, Versions, add_routes, load_signatures

PAGE = Path(__file__).with_name("page")
TRIM_SECONDS = 10.0
WRONG, UNUSABLE = 400, 422  # the request itself is wrong; what it holds cannot be answered


class Server:
    """What answers requests: a queue and a thread for each task, and the processes that decode.

    Args:
        models: the runs that are served.
        endpoints: what it answers; their models are loaded when it starts.
        limits: of requests.
        load: the signatures of a run of a task, for `tensorflow_serving.py`.
        report: called with one sentence for each model that cannot be served.
    """

    def __init__(
        self,
        models: Models,
        endpoints: Sequence[Endpoint],
        limits: Limits,
        load: SignaturesOf = load_signatures,
        report: Callable[[str], None] = lambda sentence: None,
    ):
        self._report, self._reported = report, set[str]()
        self.versions = Versions(models, load)
        self.models, self.endpoints, self.limits, self.metrics = models, endpoints, limits, Metrics()
        self.queues: dict[str, TaskQueue] = {}
        modules = {endpoint.decode.__module__ for endpoint in self.endpoints if endpoint.decode}
        ended = lambda reason: self.metrics.decoders_ended.labels(reason).inc()  # noqa: E731
        self.pool = DecodingPool(limits, sorted(modules), ended)
        self.is_ready = False
        self.problem: str | None = None  # why it will never be ready
        self.stop: Callable[[], None] = lambda: None  # what ends the process then
        self.is_stopping = False

    def queue(self, task: str) -> TaskQueue:
        """The queue of a task."""
        if task not in self.queues:

            def measure(size: int, seconds: float) -> None:
                self.metrics.batch_size.labels(task).observe(size)
                self.metrics.batch_seconds.labels(task).observe(seconds)

            self.queues[task] = queue = TaskQueue(task, self.limits, measure)
            self.metrics.waiting.labels(task).set_function(lambda: queue.count)
        return self.queues[task]

    @property
    def stuck(self) -> str | None:
        """The task whose batch seems never to end; None while models are still loaded and compiled."""
        for task, queue in self.queues.items():
            if self.is_ready and queue.step_seconds > max(STUCK_SECONDS, self.limits.timeout):
                return f"{task} has computed one batch for {queue.step_seconds:.0f} s"
        return None

    async def warm_up(self) -> None:
        """Answers the example of every endpoint, so that its models are loaded and compiled; then it is ready.

        Whole batches of it too: they need the most memory, which the server so has before it is ready.
        A model that cannot be loaded is left out and reported, unless the user has named it, or no other is there.
        """
        try:
            await asyncio.to_thread(self.pool.start)
            for error in (*self.models.refused.values(), *self.models.left_out.values()):
                self._leave_out(error)
            by_task: dict[str, list[Endpoint]] = {}
            for endpoint in self.endpoints:
                by_task.setdefault(endpoint.task, []).append(endpoint)
            await asyncio.gather(*map(self._warm_up, by_task.values()))
            if self._reported and not self.models.has_loaded:
                raise UserError("; ".join(sorted(self._reported)))
        except Exception as error:
            self.problem = f"the server could not start: {' '.join(str(error).split())}"
            if isinstance(error, UserError):
                LOGGER.error("failed to start", extra={"reason": str(error)})
            else:
                LOGGER.exception("failed to start")
            self.stop()
            return
        gc.collect()
        gc.freeze()  # models stay, so collections leave them out; each would take half a second, while clients wait
        self.is_ready = True
        LOGGER.info("ready")

    async def _warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            try:
                await self._try(endpoint, endpoint.example)
            except NotLoaded as error:
                if error.is_named:
                    raise
                self._leave_out(error)
                continue
            plain = without_options(endpoint.example)
            with suppress(UserError):  # a request may need one of its options
                await self._try(endpoint, plain)
                if not endpoint.stream:
                    key, item = endpoint.key(plain), await self.item(endpoint, plain)
                    await asyncio.gather(*[self._answer(endpoint, key, item) for _ in range(endpoint.max_batch)])
            if "model" not in endpoint.request.model_fields:
                continue
            for name in self.models.named(endpoint.task)[1:]:  # the first is the default, if it is for this endpoint
                try:
                    await self._try(endpoint, endpoint.example.model_copy(update={"model": name}))
                except NotLoaded:
                    raise
                except UserError:
                    continue  # it is not for this endpoint

    async def return_memory(self) -> None:
        """Returns freed memory to the system now and then, without end; glibc keeps what lies between used pieces."""
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        while trim:
            await asyncio.sleep(TRIM_SECONDS)
            await asyncio.to_thread(trim, 0)  # some 10 ms, without the lock of the interpreter

    def _leave_out(self, error: NotLoaded) -> None:
        sentence = str(error)
        if sentence not in self._reported:
            self._reported.add(sentence)
            LOGGER.warning("left out", extra={"reason": sentence})
            self._report(sentence)

    async def _try(self, endpoint: Endpoint, request: Any) -> None:
        if endpoint.stream:
            async for _ in self.events(endpoint, await self.item(endpoint, request)):
                break
        else:
            await self.answer(endpoint, request)

    async def item(self, endpoint: Endpoint, request: Any) -> Item:
        """The request with its bytes decoded."""
        if endpoint.decode is None:
            return Item(request, None)
        decoded = await self.pool.decode(endpoint.decode, request, **endpoint.decode_options(request))
        return Item(request.without_files(), decoded)

    async def answer(self, endpoint: Endpoint, request: Any) -> Any:
        """The response; raises UserError."""
        key = endpoint.key(request)
        item = await self.item(endpoint, request)
        del request  # its bytes
        return await self._answer(endpoint, key, item)

    async def _answer(self, endpoint: Endpoint, key: Hashable, item: Item) -> Any:
        answer = partial(endpoint.answer, key)
        group = endpoint.path, key, object() if endpoint.is_alone(item.request) else None
        queue = self.queue(endpoint.task)
        with queue.holding(item.decoded_bytes):
            found = await queue.submit(group, answer, item, endpoint.max_batch)
        if isinstance(found, Exception):
            raise found
        return found

    def events(self, endpoint: Endpoint, item: Item) -> AsyncIterator[Any]:
        """The events of a stream; raises UserError before the first one."""
        return self.queue(endpoint.task).events(partial(cast(Any, endpoint.stream), item))

    def check_ready(self) -> None:
        """Raises Refusal if requests would not be answered now."""
        if self.problem:
            raise Refusal(503, self.problem)
        if self.is_stopping or not self.is_ready:
            what = "stops" if self.is_stopping else "is loading its models"
            raise Refusal(503, f"the server {what}", {"retry-after": "5"})

    def close(self) -> None:
        """Ends threads and processes."""
        for queue in self.queues.values():
            queue.close()
        self.pool.close()


class PageFiles(Mount):
    """The files of the page, among which no address of the API is looked for: another method there is 405, not 404."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        return (Match.NONE, {}) if scope["path"].startswith(PRIVATE) else super().matches(scope)


def without_options(request: BaseModel) -> BaseModel:
    """The request with nothing but the fields that it must have, which may take another way through a model."""
    required = {name for name, field in type(request).model_fields.items() if field.is_required()}
    return type(request).model_validate_json(request.model_dump_json(include=required))


def build_app(server: Server, token: str | None = None) -> Gate:
    """The application of a server; with a token, only for those who send it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        background = [asyncio.create_task(work) for work in (server.warm_up(), server.return_memory())]
        yield
        server.is_stopping = True
        for task in background:
            task.cancel()
        server.close()
        gc.unfreeze()

    # The pages of FastAPI that show the API would load scripts from elsewhere.
    app = FastAPI(title="Quatrain", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Refusal, lambda request, error: error.response())
    app.add_exception_handler(HTTPException, _as_refusal)
    app.add_exception_handler(ClientLeft, client_left)
    app.add_exception_handler(Exception, failed)

    description = Description(server.endpoints)
    for endpoint in server.endpoints:
        app.add_api_route(
            endpoint.path,
            _handler(server, endpoint),
            methods=["POST"],
            tags=[endpoint.task],
            summary=endpoint.path.removeprefix("/api/"),
            description=inspect.getdoc(endpoint.request) or "",
            openapi_extra=description.of(endpoint),
        )

    @app.get("/api/models", tags=["server"])
    async def models() -> dict[str, list[str]]:
        """The models of each task that is served, the default first."""
        return server.models.names()

    @app.get("/healthz", tags=["server"])
    async def healthz() -> JSONResponse:
        """Whether the process works; 503 if it must be started again."""
        problem = server.problem or server.stuck
        return JSONResponse({"error": problem}, 503) if problem else JSONResponse({"status": "ok"})

    @app.get("/readyz", tags=["server"])
    async def readyz() -> JSONResponse:
        """Whether requests would be answered now."""
        server.check_ready()
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["server"])
    async def metrics() -> Response:
        """Counts and times, for Prometheus."""
        return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    add_routes(app, server, server.versions)
    if PAGE.is_dir():
        app.router.routes.append(PageFiles("/", StaticFiles(directory=PAGE, html=True), name="page"))
    app.openapi = partial(description.of_all, app)
    return Gate(app, server.metrics, token)


def _handler(server: Server, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        server.check_ready()
        with refusals(UNUSABLE), ExitStack() as held:
            queue = server.queue(endpoint.task)
            held.enter_context(queue.admitted())
            held.enter_context(queue.holding(body_size(request, server.limits.max_body)))
            body = await read_body(request, server.limits.max_body)
            try:
                parsed = endpoint.request.model_validate_json(body)
            except ValidationError as error:
                raise Refusal(WRONG, sentence_of(error)) from None
            del body  # its text and its bytes would be kept until the answer
            if endpoint.stream:
                return await _stream(server, endpoint, request, parsed, held)
            work = server.answer(endpoint, parsed)
            del parsed
            found = await unless_client_leaves(request, server.limits.timeout, work)
            return Response(found.model_dump_json(), media_type="application/json")

    return handle


class Events(StreamingResponse):
    """A stream that releases what it holds at its end, also if it has never begun."""

    def __init__(self, body: AsyncIterator[str], held: ExitStack):
        super().__init__(body, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._held = held

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def _stream(server: Server, endpoint: Endpoint, request: Request, parsed: Any, held: ExitStack) -> Response:
    """Server-sent events: one for each event of the endpoint, or `event: error` at the end.

    The response takes over what the request holds: its turn in the queue.
    """

    async def first() -> tuple[AsyncIterator[Any], Any]:
        endpoint.key(parsed)
        events = server.events(endpoint, await server.item(endpoint, parsed))
        return events, await anext(events, None)

    events, event = await unless_client_leaves(request, server.limits.timeout, first())

    async def body() -> AsyncIterator[str]:
        nonlocal event
        try:
            async with asyncio.timeout(server.limits.timeout):
                while event is not None:
                    yield f"data: {event.model_dump_json()}\n\n"
                    event = await anext(events, None)
        except TimeoutError:
            yield 'event: error\ndata: {"error": "the time of the server for one stream is over"}\n\n'
        finally:
            await events.aclose()

    return Events(body(), held.pop_all())


async def _as_refusal(request: Request, error: Any) -> Response:
    if error.status_code == 404:
        sentence = f"{request.url.path[:100]}: there is nothing at this address"
    elif error.status_code == 405:
        sentence = f"{request.method[:20]} is not answered at {request.url.path[:100]}; {_allowed(error)} was expected"
    else:
        sentence = str(error.detail)
    return Refusal(error.status_code, sentence, error.headers).response()


def _allowed(error: Any) -> str:
    return (error.headers or {}).get("Allow", "GET or POST")
