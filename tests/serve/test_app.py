"""What a client sees of any endpoint: answers, refusals, batches, streams, and how it may leave."""

import base64
import gc
import io
import json
import re
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks.serve.__main__ import listen
from tasks.serve.app import Server
from tasks.serve.endpoint import Encoded
from tasks.serve.limits import Limits
from tasks.serve.metrics import log_to
from tasks.serve.models import Models
from tests.serve.conftest import LIMITS, Serving, picture, run
from tests.serve.fakes import Batches, File, Words, endpoints


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def error(response: httpx.Response) -> tuple[int, str]:
    """Status and sentence of a refusal."""
    assert list(response.json()) == ["error"]
    assert "\n" not in response.json()["error"]
    return response.status_code, response.json()["error"]


def test_an_answer_has_the_fields_of_its_type(serving: Serving):
    response = serving.http.post("/api/turn", json={"text": "abc", "kind": "x"})
    assert (response.status_code, response.json()) == (200, {"text": "xcba", "batch": 0})
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "the body is no JSON that can be read (EOF while parsing a value at line 1 column 0)"),
        (b"[1]", 400, "the body: input should be an object"),
        (b"{}", 400, "text: field required"),
        (b'{"text": "a", "model_path": "/etc"}', 400, "model_path: this field is unknown"),
        (b'{"text": "a", "count": "2"}', 400, "count: input should be a valid integer"),
        (b'{"text": "a", "count": 6}', 400, "count: input should be less than or equal to 5"),
        (b'{"text": "a", "count": NaN}', 400, "count: input should be a valid integer"),
        (b'{"text": "\\ud800"}', 400, "the body is no JSON that can be read (unexpected end of hex escape"),
        (b"\xff\xfe", 400, "the body is no JSON that can be read (expected value at line 1 column 1)"),
        (b"[" * 100_000, 400, "the body is no JSON that can be read (recursion limit exceeded"),
        (json.dumps({"text": "a" * 2001}).encode(), 400, "text: string should have at most 2000 characters"),
        (b" " * 2**20 + b"{}", 413, "the body has more than 1 MB, the limit"),
        (b'{"text": "bad"}', 422, "is bad, as asked"),
        (b'{"text": "a", "kind": "odd"}', 422, "kind 'odd' is not served here"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(serving: Serving, body, status, sentence):
    found = error(serving.http.post("/api/turn", content=body))
    assert found[0] == status
    assert found[1].startswith(sentence)


def test_a_body_without_a_length_is_bounded_too(serving: Serving):
    response = serving.http.post("/api/turn", content=(b" " * 2**18 for _ in range(5)))
    assert error(response) == (413, "the body has more than 1 MB, the limit")


def test_an_address_or_a_method_that_is_not_there(serving: Serving):
    assert error(serving.http.get("/api/nothing")) == (404, "/api/nothing: there is nothing at this address")
    assert error(serving.http.get("/api/turn"))[0] == 405
    assert error(serving.http.get("/../../etc/passwd"))[0] == 404


def test_requests_of_one_key_share_a_batch(serving: Serving):
    """The first one runs alone; of the five that gather meanwhile, those of a key are answered together."""
    serving.batches.may_go.clear()
    with ThreadPoolExecutor(6) as threads:
        ask = lambda text, kind: serving.http.post("/api/turn", json={"text": text, "kind": kind}).json()["text"]  # noqa: E731
        first = threads.submit(ask, "a0", "")
        assert serving.batches.begun.wait(10)
        others = [threads.submit(ask, f"b{i}", "xxxyx"[i]) for i in range(5)]
        while serving.server.queues["captioner"].count < 6:
            time.sleep(0.01)
        busy = serving.http.post("/api/turn", json={"text": "late"})
        serving.batches.may_go.set()
        assert first.result() == "0a"
        assert [other.result() for other in others] == ["x0b", "x1b", "x2b", "y3b", "x4b"]
    assert serving.batches.sizes[0] == 1
    assert sorted(serving.batches.sizes[1:]) == [1, 1, 3]  # three at most
    assert error(busy) == (503, "too many requests at a time; try again in 1 s")
    assert busy.headers["retry-after"] == "1"


def test_what_waits_has_bounded_memory(serving: Serving):
    """A large image alone is answered; while another request waits, it is refused."""
    image = {"file": b64(picture(1100, 1300))}
    assert serving.http.post("/api/size", json=image).json() == {"height": 1300, "width": 1100}
    serving.batches.may_go.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(serving.http.post, "/api/turn", json={"text": "first"})
        assert serving.batches.begun.wait(10)
        busy = serving.http.post("/api/size", json=image)
        serving.batches.may_go.set()
        assert first.result().json()["text"] == "tsrif"
    assert error(busy) == (503, "too many requests at a time; try again in 1 s")
    assert serving.http.post("/api/size", json=image).status_code == 200


def test_a_batch_that_does_not_end_fails_the_liveness_check(serving: Serving, monkeypatch):
    monkeypatch.setattr("tasks.serve.app.STUCK_SECONDS", 0.2)
    patient = serving.server.limits
    monkeypatch.setattr(serving.server, "limits", replace(patient, timeout=0.1))
    serving.batches.may_go.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(serving.http.post, "/api/turn", json={"text": "first"})
        assert serving.batches.begun.wait(10)
        time.sleep(0.3)
        answer = serving.http.get("/healthz")
        serving.server.limits = patient
        serving.batches.may_go.set()
        assert error(answer)[0] == 503
        assert re.fullmatch(r"captioner has computed one batch for \d+ s", error(answer)[1])
        assert first.result().status_code == 503  # it has waited too long
    assert serving.http.post("/api/turn", json={"text": "next"}).json()["text"] == "txen"
    assert serving.http.get("/healthz").json() == {"status": "ok"}


def test_a_client_that_leaves_takes_its_request_along(serving: Serving):
    serving.batches.may_go.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(serving.http.post, "/api/turn", json={"text": "first"})
        assert serving.batches.begun.wait(10)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(serving.http.base_url.join("/api/turn"), json={"text": "second"}, timeout=0.3)
        while serving.server.queues["captioner"].count > 1:
            time.sleep(0.01)
        serving.batches.may_go.set()
        assert first.result().json()["text"] == "tsrif"
    assert serving.http.post("/api/turn", json={"text": "third"}).json()["text"] == "driht"
    assert serving.batches.sizes == [1, 1]  # without the second
    assert 'quatrain_clients_left_total{path="/api/turn"} 1.0' in serving.http.get("/metrics").text


def test_a_stream_has_an_event_for_each_step(serving: Serving):
    with serving.http.stream("POST", "/api/spell", json={"text": "née"}) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = [json.loads(line[6:])["text"] for line in response.iter_lines() if line]
    assert events == ["n", "é", "e"]
    assert error(serving.http.post("/api/spell", json={"text": ""})) == (422, "a letter was expected")


def test_files_are_decoded_elsewhere(serving: Serving):
    size = serving.http.post("/api/size", json={"file": b64(picture(6, 3))})
    assert size.json() == {"height": 3, "width": 6}
    refused = "is not an image that can be read; one of"
    assert error(serving.http.post("/api/size", json={"file": b64(b"text")}))[1].startswith(refused)
    no_base64 = serving.http.post("/api/size", json={"file": {"b64": "a*b"}})
    assert error(no_base64) == (400, "file.b64: base64 text was expected")
    assert error(serving.http.post("/api/size", json={"file": "YQ=="}))[0] == 400


def test_a_request_waits_without_the_bytes_that_were_decoded():
    request = File(file=Encoded.of(b"abc"))
    assert request.without_files().file.b64 == b""
    assert request.file.b64 == b"abc"
    assert Words(text="abc").without_files() == Words(text="abc")


@pytest.mark.parametrize("library", ["glibc", "musl"])
def test_freed_memory_is_returned_where_the_c_library_can(monkeypatch, library):
    returned = threading.Event()
    functions = SimpleNamespace(malloc_trim=lambda pad: returned.set()) if library == "glibc" else SimpleNamespace()
    monkeypatch.setattr("tasks.serve.app.ctypes.CDLL", lambda name: functions)
    monkeypatch.setattr("tasks.serve.app.TRIM_SECONDS", 0.01)
    for address in run(Server(Models({}), endpoints(Batches(), picture())[:1], Limits(decoders=1))):
        assert returned.wait(5 if library == "glibc" else 0.1) == (library == "glibc")
        assert httpx.get(f"{address}/readyz").json() == {"status": "ready"}


def bomb(side: int) -> bytes:
    """A PNG file of a few kilobytes that has `side` x `side` pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"memory", "needs more than 256 MB of memory to be decoded"),
        (b"time", "takes more than 2 s to be decoded"),
        (b"death", "ends the process that decodes it; another file was expected"),
        (bomb(8000), "has 8000 x 8000 pixels, the limit is 50,000,000; scale it down first"),
        (bomb(7000), None),
    ],
)
def test_a_bomb_ends_a_worker_at_most(serving: Serving, content, sentence):
    status, found = error(serving.http.post("/api/size", json={"file": b64(content)}))
    assert status == 422
    assert found == sentence or sentence is None  # a smaller one may need too much time, memory, or pixels
    assert serving.http.post("/api/size", json={"file": b64(picture(2, 9))}).json() == {"height": 9, "width": 2}


def test_a_request_whose_worker_is_killed_is_given_to_another(serving: Serving, tmp_path: Path):
    content = f"once {tmp_path / 'killed'}".encode()
    assert serving.http.post("/api/size", json={"file": b64(content)}).json() == {"height": 7, "width": 8}
    metrics = serving.http.get("/metrics").text
    assert 'quatrain_decoders_ended_total{reason="killed"}' in metrics


def test_an_answer_does_not_wait_for_its_headers_to_be_confirmed():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_collections_leave_out_what_was_loaded():
    server = Server(Models({}), endpoints(Batches(), picture()), LIMITS)
    for _ in run(server):
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


def test_it_tells_what_it_has(serving: Serving):
    assert serving.http.get("/healthz").json() == {"status": "ok"}
    assert serving.http.get("/readyz").json() == {"status": "ready"}
    assert serving.http.get("/api/models").json() == {}
    api = serving.http.get("/openapi.json").json()
    body = api["paths"]["/api/size"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/File"}
    assert body["example"] == {"file": b64(picture())}
    assert {"File", "Encoded", "Size", "Words", "Said"} <= api["components"]["schemas"].keys()


def test_with_a_token_only_the_page_and_probes_are_open():
    log = io.StringIO()
    log_to(log)
    server = Server(Models({}), endpoints(Batches(), picture()), Limits(decoders=1))
    for address in run(server, token="secret"):
        assert error(httpx.post(f"{address}/api/turn", json={"text": "ab"})) == (
            401, "a token was expected, as the header Authorization: Bearer TOKEN",
        )  # fmt: skip
        assert httpx.get(f"{address}/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert httpx.get(f"{address}/v1/models/captioner").status_code == 401
        assert httpx.get(f"{address}/readyz").status_code == 200
        right = httpx.post(f"{address}/api/turn", json={"text": "ab"}, headers={"authorization": "Bearer secret"})
        assert right.json()["text"] == "ba"
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    paths = "/api/turn", "/metrics", "/v1/models/captioner"  # not those of another server, which still ends a request
    assert [entry["status"] for entry in entries if entry.get("path") in paths] == [401, 401, 401, 200]
    assert "ab" not in [value for entry in entries for value in entry.values()]


def test_a_server_that_fails_says_so():
    batches = Batches()
    batches.answer = lambda key, items: 1 / 0
    log = io.StringIO()
    log_to(log)
    server = Server(Models({}), endpoints(batches, picture()), Limits(decoders=1))
    for address in run(server):
        problem = "the server could not start: division by zero"
        assert error(httpx.get(f"{address}/healthz")) == (503, problem)
        assert error(httpx.post(f"{address}/api/turn", json={"text": "ab"})) == (503, problem)
    assert "ZeroDivisionError" in json.loads(log.getvalue().splitlines()[0])["traceback"]


def test_half_a_request_and_no_http_at_all(serving: Serving):
    """Neither ends the server, and the connection of each is closed in the end."""
    address = serving.http.base_url.host, serving.http.base_url.port
    with socket.create_connection(address) as raw:
        raw.sendall(b"POST /api/turn HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{")
    with socket.create_connection(address, timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00" * 99 + b"\r\n\r\n")
        assert raw.recv(12) == b"HTTP/1.1 400"
    assert serving.http.post("/api/turn", json={"text": "ab"}).json()["text"] == "ba"
