"""Hostile requests to every endpoint of a server: each is answered, or refused with a 4xx and one sentence.

    python -m tests.robustness.requests --count 2000 --seed 1 [--address http://127.0.0.1:8000]

Starts `quatrain serve` with the released models, unless an address is given. The requests come from the description of
the API, /openapi.json: the example of each endpoint with a value replaced, removed or added, with mutated files in the
place of bytes, or cut and damaged as a whole. In between, the example itself must have the answer that it had at first.
"""

import argparse
import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from tests.robustness import images, sounds
from tests.robustness.cases import choose
from tests.robustness.mutations import mutate

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**6, 10**30, -(10**400), float("nan"), float("inf"), "", " ", "5", "a", "x" * 1999,
    "x" * 100_000, "\0", "\ud800", "\u202e" * 99, "é" * 999, "a " * 999, "../../etc/passwd", "https://example.org/a.jpg",
    "{{7*7}}", "<script>", "\n" * 99, [], [[]], ["a"] * 2000, [None], {}, {"b64": "!"}, {"b64": ""}, {"b64": "YQ=="},
    {"path": "/etc/passwd"},
)  # fmt: skip
WHOLE_BODIES = (
    b"", b"{", b"null", b"7", b'"a"', b"[]", b"[" * 99_999, b'{"a":' * 9999, b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}",
    b"\0" * 99, b"a=1&b=2", b'{"a": NaN}', b"{}" * 9, b'{"a": 1, "a": 2}', b"\x80\x04\x95", b" " * 2**21,
)  # fmt: skip
MOST_SECONDS = 60  # of a request, while others run


@dataclass(frozen=True)
class Target:
    """An endpoint and a request that it answers."""

    path: str
    example: Any


@dataclass(frozen=True)
class Fault:
    """A request that the server did not answer as it must."""

    path: str
    description: str
    reason: str


def targets(http: httpx.Client) -> list[Target]:
    """Every endpoint of the description that takes JSON, and the signatures of the default model of each task."""
    found = []
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        body = methods.get("post", {}).get("requestBody")
        if body:
            found.append(Target(path, body["content"]["application/json"]["example"]))
    files = {"image_bytes": images.seeds()["jpeg"], "sound_bytes": sounds.seeds()["WAV PCM_16"].content}
    encoded = {name: {"b64": base64.b64encode(content).decode()} for name, content in files.items()}
    of_task = {
        "captioner": [{"instances": [{"image_bytes": encoded["image_bytes"]}]}],
        "translator": [
            {"instances": ["A dog runs.", "Two dogs."]},
            {"inputs": {"source": ["A dog."], "target": ["Ein Hund."]}, "signature_name": "score"},
        ],
        "phoneme_recognizer": [{"inputs": {"sound_bytes": [encoded["sound_bytes"]]}}],
        "language_model": [
            {"instances": [{"text": "the cat sat"}], "signature_name": "score"},
            {
                "inputs": {
                    "prompt": ["the"], "max_tokens": 5, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1
                },
                "signature_name": "generate",
            },
        ],
    }  # fmt: skip
    for task in http.get("/api/models").json():
        found += [Target(f"/v1/models/{task}:predict", example) for example in of_task[task]]
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in JSON; bytes, `{"b64": ...}`, are one value."""
    yield path
    if isinstance(value, dict) and value.keys() != {"b64"}:
        for name, part in value.items():
            yield from places(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value[:3]):
            yield from places(part, (*path, index))


def replaced(value: Any, path: Sequence[Any], new: Any) -> Any:
    """JSON with another value at a path."""
    if not path:
        return new
    copy = deepcopy(value)
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return copy


def hostile(rng: np.random.Generator, example: Any) -> tuple[str, bytes]:
    """A description and a body."""
    at = choose(rng, list(places(example)))
    present = example
    for name in at:
        present = present[name]
    kind = rng.random()
    if kind < 0.1:
        return "whole body", choose(rng, WHOLE_BODIES)
    if kind < 0.2:
        mutated = mutate(rng, json.dumps(example).encode())
        return f"body {mutated.description}", mutated.content
    if kind < 0.3 and isinstance(present, dict) and present.keys() != {"b64"}:
        return f"a further field at {at}", json.dumps(replaced(example, (*at, "model_path"), "/etc")).encode()
    if isinstance(present, dict) and present.keys() == {"b64"} and kind < 0.9:
        name, content = choose(rng, _files())
        mutated = mutate(rng, content)
        file = {"b64": base64.b64encode(mutated.content).decode()}
        return f"{name} {mutated.description} at {at}", json.dumps(replaced(example, at, file)).encode()
    value = choose(rng, VALUES)
    return f"{str(value)[:30]!r} at {at}", json.dumps(replaced(example, at, value)).encode()


def _files() -> list[tuple[str, bytes]]:
    return [*images.seeds().items(), *((name, seed.content) for name, seed in sounds.seeds().items())]


def judge(response: httpx.Response) -> str:
    """What is wrong with the answer to a hostile request; "" if nothing is."""
    if response.status_code == 200:
        return "" if response.content else "an answer without content"
    if response.status_code == 503 and response.headers.get("retry-after"):
        return ""
    if not 400 <= response.status_code < 500:
        return f"status {response.status_code}: {response.text[:200]}"
    try:
        (sentence,) = (response.json()[name] for name in response.json().keys() & {"error"})
    except ValueError:
        return f"status {response.status_code} without a sentence: {response.text[:200]}"
    if not isinstance(sentence, str) or not sentence.strip() or "\n" in sentence or "Traceback" in sentence:
        return f"no sentence: {str(sentence)[:200]!r}"
    return "" if len(sentence) < 600 else f"a sentence of {len(sentence)} characters"


def comparable(answer: httpx.Response) -> tuple[int, str]:
    """Status and content; the speech of a text starts at another phase each time, and is not compared."""
    return answer.status_code, "speech" if answer.text.startswith('{"b64":') else answer.text


def campaign(http: httpx.Client, count: int, seed: int, threads: int = 4) -> tuple[Counter, list[Fault]]:
    """Sends `count` hostile requests to the endpoints in turn; returns the statuses by path, and the faults."""
    found = targets(http)
    if not found:
        raise ValueError("the server has no endpoint with an example")
    expected = [http.post(target.path, json=target.example) for target in found]
    faults = [
        Fault(target.path, "the example", f"status {answer.status_code}: {answer.text[:200]}")
        for target, answer in zip(found, expected, strict=True)
        if answer.status_code != 200
    ]

    def send(number: int) -> tuple[str, int, Fault | None]:
        target = found[number % len(found)]
        description, body = hostile(np.random.default_rng((seed, number)), target.example)
        try:
            response = http.post(target.path, content=body, timeout=MOST_SECONDS)
        except httpx.HTTPError as error:
            return target.path, 0, Fault(target.path, description, f"no answer: {error!r}")
        reason = judge(response)
        return target.path, response.status_code, Fault(target.path, description, reason) if reason else None

    counts: Counter = Counter()
    with ThreadPoolExecutor(threads) as pool:
        for path, status, fault in pool.map(send, range(count)):
            counts[path, status] += 1
            faults += [fault] if fault else []
    for target, before in zip(found, expected, strict=True):
        again = http.post(target.path, json=target.example)
        if comparable(again) != comparable(before):
            faults.append(Fault(target.path, "the example afterwards", f"another answer: {again.text[:200]}"))
    return counts, faults


@contextmanager
def serving(*arguments: str, seconds: float = 600) -> Iterator[tuple[str, int]]:
    """The address and the process of a `quatrain serve` of one's own, when it is ready."""
    command = [sys.executable, "-m", "tasks.serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            transport = httpx.HTTPTransport(retries=3)
            with httpx.Client(base_url=address, transport=transport, timeout=seconds) as http:
                while http.get("/readyz").status_code != 200:
                    http.get("/healthz").raise_for_status()
                    if process.poll() is not None:
                        raise RuntimeError(f"the server ended with exit code {process.returncode}")
            yield address, process.pid
        finally:
            process.terminate()
            process.wait(60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address")
    options = parser.parse_args()

    def run(address: str) -> int:
        with httpx.Client(base_url=address, timeout=MOST_SECONDS) as http:
            counts, faults = campaign(http, options.count, options.seed)
        for (path, status), count in sorted(counts.items()):
            print(f"{path:40} {status} {count:6}")
        for fault in faults:
            print(f"FAULT {fault.path}: {fault.description}: {fault.reason}")
        return 1 if faults else 0

    if options.address:
        return run(options.address)
    with serving() as (address, _):
        return run(address)


if __name__ == "__main__":
    sys.exit(main())
