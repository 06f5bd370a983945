"""A server under load: requests a second and latency, beside the command line; hostile bodies and killed decoders.

    python -m tests.benchmarks.serving                          one task after the other, then all at a time
    python -m tests.benchmarks.serving --seconds 5 --task caption
    python -m tests.benchmarks.serving --overload 600           10 minutes at twice the capacity; writes SERVING.md
    python -m tests.benchmarks.serving --address http://127.0.0.1:8000

Starts `quatrain serve` with the released models, unless an address is given. Client, server and command line share the
machine. `ratio` is the server's throughput over that of the command line: (inputs of a long command - of a short one)
/ (its time - that of the short one). Under overload requests come at fixed times, whether or not others were answered;
one of a hundred has a hostile body; every minute a decoder is killed. Each answer is compared with the one that its
input had alone: `wrong` would be that of another request.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile
from PIL import Image

from shared.audio import SAMPLE_RATE, read_sound
from tasks.serve.endpoint import MAX_BATCH
from tests.robustness.requests import hostile, serving

ROOT = Path(__file__).parents[2]
COUNT = 48  # different inputs of a task
FEW, SECONDS = 8, 5.0  # inputs of the short command; the long one takes so much longer, or has all inputs
OVERLOAD = 600  # seconds at least, for SERVING.md
MOST = 768  # inputs of the long command: fewer than there are sentences
CLIENTS = 2 * MAX_BATCH  # at a time: while one batch is computed, the next one arrives
SETTLED = 15.0  # seconds after which the server has returned what it needs no more
HOSTILE = 100  # one request of this number has a hostile body
GERMAN = (
    ("Ein Mann", "Eine junge Frau", "Mein Bruder", "Ein kleines Kind mit einem roten Hut", "Die Lehrerin", "Der Hund"),
    ("in einem blauen Hemd", "am Strand", "auf der Straße", "vor dem Haus", "in der Stadt", "aus Berlin", "im Garten"),
    ("spielt", "schläft", "wartet", "arbeitet", "singt", "isst"),
    ("mit einem Freund.", "seit drei Stunden.", "und liest ein Buch.", "jeden Morgen.", "heute nicht."),
)
ENGLISH = (
    ("The river", "A large part of the city", "The first album of the band", "The old road to the north", "His house"),
    ("was built in 1901", "is known for its history", "was one of the most important works of the time", "is there"),
    ("and remained in use", "and was described by many", "near the village", "beside the new station", "as before"),
    ("until the war .", "in the United States .", ".", "; it has been restored since then .", "for ten years ."),
    ("Nobody knows why .", "There are two others .", "It was new .", "That has changed ."),
)


@dataclass(frozen=True)
class Load:
    """What one task is asked."""

    path: str
    bodies: list[bytes]
    read: Callable[[Any], Any]  # what of an answer must be equal, whatever it shares a batch with
    command: Callable[[Path, int], list[str]]  # arguments of `quatrain` for that many inputs


def images() -> list[bytes]:
    """Parts of a photo, as JPEG files of 500 x 375 pixels."""
    photo = Image.open(ROOT / "docs" / "dog.jpg").convert("RGB")
    rng, found = np.random.default_rng(0), []
    for _ in range(COUNT):
        left, top = rng.integers(0, photo.width // 3), rng.integers(0, photo.height // 3)
        size = (int(left), int(top), int(left) + photo.width // 2, int(top) + photo.height // 2)
        with io.BytesIO() as file:
            photo.crop(size).resize((500, 375)).save(file, "JPEG", quality=90)
            found.append(file.getvalue())
    return found


def sounds() -> list[bytes]:
    """Parts of 3 s of speech, as WAV files."""
    speech = np.tile(read_sound(ROOT / "docs" / "dog.wav"), 4)
    found = []
    for start in np.random.default_rng(0).integers(0, len(speech) - 3 * SAMPLE_RATE, COUNT):
        with io.BytesIO() as file:
            soundfile.write(file, speech[start : start + 3 * SAMPLE_RATE], SAMPLE_RATE, format="WAV", subtype="PCM_16")
            found.append(file.getvalue())
    return found


def sentences(parts: Sequence[Sequence[str]]) -> list[str]:
    """Different sentences, each of which has one of each part."""
    found = [" ".join(words) for words in product(*parts)]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def loads() -> dict[str, Load]:
    """The load of each task."""
    german, english, photos, speech = sentences(GERMAN), sentences(ENGLISH), images(), sounds()

    def files(folder: Path, count: int, contents: list[bytes], suffix: str) -> list[str]:
        paths = [folder / f"{i}{suffix}" for i in range(count)]
        for path, content in zip(paths, cycle(contents), strict=False):
            path.write_bytes(content)
        return [str(folder)]

    def lines(folder: Path, count: int, texts: list[str]) -> list[str]:
        path = folder / "lines.txt"
        path.write_text("".join(f"{text}\n" for text in texts[:count]))  # a command does not compute a line twice
        return ["--file", str(path)]

    def as_bodies(name: str, values: list[Any]) -> list[bytes]:
        return [json.dumps({name: value}).encode() for value in values[:COUNT]]

    def b64(contents: list[bytes]) -> list[dict[str, str]]:
        return [{"b64": base64.b64encode(content).decode()} for content in contents]

    return {
        "caption": Load(
            "/api/caption",
            as_bodies("image", b64(photos)),
            lambda answer: answer["captions"][0]["text"],
            lambda folder, count: ["caption", *files(folder, count, photos, ".jpg")],
        ),
        "translate": Load(
            "/api/translate",
            as_bodies("text", german),
            lambda answer: answer["text"],
            lambda folder, count: ["translate", "--from", "de", "--to", "en", *lines(folder, count, german)],
        ),
        "recognize": Load(
            "/api/recognize",
            as_bodies("sound", b64(speech)),
            lambda answer: [phone["phone"] for phone in answer["phones"]],
            lambda folder, count: ["recognize", *files(folder, count, speech, ".wav")],
        ),
        "score": Load(
            "/api/score",
            as_bodies("text", english),
            lambda answer: round(answer["log_prob"], 1),
            lambda folder, count: ["score", *lines(folder, count, english)],
        ),
    }


# --- the command line -----------------------------------------------------------------------------------------------


def command_rate(load: Load) -> float:
    """Inputs a second of the command line, without its start."""

    def seconds(count: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            arguments = load.command(Path(folder), count)
            start = time.perf_counter()
            command = [sys.executable, "-m", "tasks", *arguments, "--output", f"{folder}/.output"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - start

    few, count = min(seconds(FEW) for _ in range(2)), COUNT
    while (many := seconds(count)) < few + SECONDS and count < MOST:
        count *= 2
    return (count - FEW) / (min(many, seconds(count)) - few)


# --- the client -----------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of the requests of a load."""

    seconds: list[float] = field(default_factory=list)  # of those that were answered
    statuses: Counter = field(default_factory=Counter)  # 0: no answer
    wrong: int = 0

    @property
    def row(self) -> str:
        """Latency in milliseconds, and statuses."""
        if not self.seconds:
            return f"no answer; {dict(self.statuses)}"
        median, p99 = (1000 * float(np.quantile(self.seconds, q)) for q in (0.5, 0.99))
        return f"median {median:7.1f} ms  p99 {p99:7.1f} ms  wrong {self.wrong}  statuses {dict(self.statuses)}"


class Client:
    """HTTP over connections that stay open, with as little work as can be: the server needs the cores."""

    def __init__(self, address: str):
        self.host, self.port = httpx.URL(address).host, httpx.URL(address).port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; status 0 if the connection ends before it."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return await self._post(reader, writer, path, body)
            writer.close()  # the server has closed the connection, which nobody used for a while
        return await self._post(*await asyncio.open_connection(self.host, self.port), path, body)

    async def _post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
    ) -> tuple[int, bytes]:
        try:
            writer.write(
                b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body)) + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            if fields.get(b"transfer-encoding") == b"chunked":
                content = b""
                while size := int(await reader.readline(), 16):
                    content += (await reader.readexactly(size + 2))[:-2]
                await reader.readline()
            else:
                content = await reader.readexactly(int(fields[b"content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return 0, b""
        if fields.get(b"connection") == b"close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head[9:12]), content

    async def timed(self, load: Load, index: int, expected: list[Any], outcome: Outcome) -> None:
        """Sends one request and notes what becomes of it."""
        start = time.perf_counter()
        status, content = await self.post(load.path, load.bodies[index])
        outcome.statuses[status] += 1
        if status == 200:
            outcome.seconds.append(time.perf_counter() - start)
            outcome.wrong += load.read(json.loads(content)) != expected[index]


async def answers_alone(client: Client, load: Load) -> list[Any]:
    """What each input is answered, one after the other."""
    found = []
    for body in load.bodies:
        status, content = await client.post(load.path, body)
        assert status == 200, content
        found.append(load.read(json.loads(content)))
    return found


async def closed_loop(client: Client, mixed: list[Load], expected: list[list[Any]], clients: int, seconds: float):
    """The outcome of clients that ask again as soon as they have an answer, and answers a second."""
    outcome, end, start = Outcome(), time.perf_counter() + seconds, time.perf_counter()
    turns = cycle((i, j) for j in range(COUNT) for i in range(len(mixed)))

    async def ask() -> None:
        while time.perf_counter() < end:
            load, index = next(turns)
            await client.timed(mixed[load], index, expected[load], outcome)

    await asyncio.gather(*(ask() for _ in range(clients)))
    return outcome, len(outcome.seconds) / (time.perf_counter() - start)


async def overload(
    client: Client, mixed: list[Load], expected: list[list[Any]], rate: float, seconds: float, pid: int | None
) -> tuple[Outcome, list[float]]:
    """The outcome of requests that come at a rate, some hostile, and the server's memory.

    It is measured before, after each minute, in which a decoder is killed, and at the end, when the server has settled.
    """
    outcome, rng, tasks = Outcome(), np.random.default_rng(1), set()
    start, minute, number = time.perf_counter(), 60.0, 0
    megabytes = [memory(pid)] if pid else []
    turns = cycle((i, j) for j in range(COUNT) for i in range(len(mixed)))

    async def attack(load: Load, body: bytes) -> None:
        status, _ = await client.post(load.path, body)
        outcome.statuses["hostile", status] += 1

    while (now := time.perf_counter() - start) < seconds:
        if pid is not None and now > minute:
            minute += 60
            megabytes.append(memory(pid))
            if decoders := [p for p in psutil.Process(pid).children(recursive=True) if not p.children()]:
                decoders[int(rng.integers(len(decoders)))].kill()
        while number < now * rate:
            load, index = next(turns)
            if number % HOSTILE == HOSTILE - 1:
                _, body = hostile(rng, json.loads(mixed[load].bodies[index]))
                task = asyncio.create_task(attack(mixed[load], body))
            else:
                task = asyncio.create_task(client.timed(mixed[load], index, expected[load], outcome))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    await asyncio.sleep(SETTLED)
    return outcome, megabytes + ([memory(pid)] if pid else [])


def memory(pid: int) -> float:
    """Megabytes of the server and its processes."""
    server, size = psutil.Process(pid), 0
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a decoder has ended meanwhile
            size += process.memory_info().rss
    return size / 2**20


async def measure(address: str, pid: int | None, options: argparse.Namespace) -> list[str]:
    """The lines of the results, which are printed as they come."""
    client, chosen, lines = Client(address), loads(), []

    def report(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    chosen = {name: load for name, load in chosen.items() if options.task in (None, name)}
    expected = {name: await answers_alone(client, load) for name, load in chosen.items()}
    for name, load in chosen.items():
        alone, _ = await closed_loop(client, [load], [expected[name]], 1, options.seconds)
        report(f"{name:10} idle      {alone.row}")
        together, rate = await closed_loop(client, [load], [expected[name]], CLIENTS, options.seconds)
        line = f"{name:10} {rate:7.1f}/s {together.row}"
        if not options.server_only:
            command = await asyncio.to_thread(command_rate, load)
            line += f"  command line {command:.1f}/s  ratio {rate / command:.2f}"
        report(line)
    mixed = list(chosen.values()), list(expected.values())
    together, rate = await closed_loop(client, *mixed, CLIENTS, options.seconds)
    report(f"{'mixed':10} {rate:7.1f}/s {together.row}")
    if options.overload:
        outcome, megabytes = await overload(client, *mixed, 2 * rate, options.overload, pid)
        report(f"{'overload':10} {2 * rate:7.1f}/s {outcome.row}")
        if pid:
            *before, after = (f"{size:.0f}" for size in megabytes)
            report(f"memory, each minute: {' '.join(before)} MB; {SETTLED:.0f} s after the last request: {after} MB")
        status, _ = await client.post(mixed[0][0].path, mixed[0][0].bodies[0])
        report(f"afterwards: status {status}")
    return lines


def write(lines: Sequence[str]) -> None:
    """Writes the section of this processor into SERVING.md."""
    from tests.benchmarks.side_by_side import HERE, write_results

    command = "python -m tests.benchmarks.serving --overload 600"
    how = f"By `{command}`, client, server and command line on {os.cpu_count()} cores."
    write_results(HERE / "SERVING.md", "The server under load", [how, "", "```text", *lines, "```"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address")
    parser.add_argument("--pid", type=int, help="process of the server at the address, for its memory and decoders")
    parser.add_argument("--task", choices=["caption", "translate", "recognize", "score"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--overload", type=float, default=0, help="seconds at twice the capacity")
    parser.add_argument("--server-only", action="store_true", help="without the command line")
    options = parser.parse_args()
    if options.address:
        asyncio.run(measure(options.address, options.pid, options))
    else:
        with serving() as (address, pid):
            lines = asyncio.run(measure(address, pid, options))
        if options.overload >= OVERLOAD and not (options.task or options.server_only):
            write(lines)


if __name__ == "__main__":
    main()
