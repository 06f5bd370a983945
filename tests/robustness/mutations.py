"""Mutators of bytes: each returns what it did and the changed bytes, as a function of the random generator alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EXTREMES = (0, 1, 2**7, 2**8 - 1, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 10**9, 2**63 - 1, 2**64 - 1)
HEADER = 160  # bytes at the beginning of a file that are mutated more often than the others


class Mutated(NamedTuple):
    """The result of a mutator."""

    description: str
    content: bytes
    is_cut: bool = False  # the content is a beginning of the original


def cut(rng: np.random.Generator, content: bytes) -> Mutated:
    """Ends the content early: anywhere, or near its end."""
    end = int(rng.integers(len(content))) if rng.random() < 0.7 else max(0, len(content) - int(rng.integers(1, 64)))
    return Mutated(f"cut at {end} of {len(content)}", content[:end], is_cut=True)


def overwrite(rng: np.random.Generator, content: bytes) -> Mutated:
    """Zeros, ones or random bytes over a part."""
    start, size = _position(rng, content), int(rng.integers(1, 2 ** int(rng.integers(1, 12))))
    size = min(size, len(content) - start)
    name = str(rng.choice(["00", "FF", "random"]))
    filler = rng.bytes(size) if name == "random" else bytes.fromhex(name) * size
    return Mutated(f"{size} bytes {name} at {start}", content[:start] + filler + content[start + size :])


def flip(rng: np.random.Generator, content: bytes) -> Mutated:
    """One to eight bits inverted."""
    changed, positions = bytearray(content), [_position(rng, content) for _ in range(int(rng.integers(1, 9)))]
    for position in positions:
        changed[position] ^= 1 << int(rng.integers(8))
    return Mutated(f"bits inverted at {positions}", bytes(changed))


def integer(rng: np.random.Generator, content: bytes) -> Mutated:
    """An extreme integer of 1 to 8 bytes, of either byte order."""
    size, start = 2 ** int(rng.integers(4)), _position(rng, content)
    value, order = int(rng.choice(np.array(EXTREMES, np.uint64))) % 256**size, rng.choice(["little", "big"])
    encoded = value.to_bytes(size, str(order))  # pyright: ignore[reportArgumentType]
    return Mutated(f"{value} as {size} bytes at {start}", content[:start] + encoded + content[start + size :])


def double(rng: np.random.Generator, content: bytes) -> Mutated:
    """A part twice."""
    start, end = _part(rng, content)
    return Mutated(f"bytes {start} to {end} doubled", content[:end] + content[start:])


def remove(rng: np.random.Generator, content: bytes) -> Mutated:
    """A part left out."""
    start, end = _part(rng, content)
    return Mutated(f"bytes {start} to {end} removed", content[:start] + content[end:])


def swap(rng: np.random.Generator, content: bytes) -> Mutated:
    """Two adjacent parts exchanged."""
    start, end = _part(rng, content)
    middle = (start + end) // 2
    exchanged = content[middle:end] + content[start:middle]
    return Mutated(f"parts of bytes {start} to {end} exchanged", content[:start] + exchanged + content[end:])


def append(rng: np.random.Generator, content: bytes) -> Mutated:
    """Random bytes, or the beginning of the content, behind it."""
    size = int(rng.integers(1, 400))
    return Mutated(f"{size} bytes appended", content + (rng.bytes(size) if rng.random() < 0.5 else content[:size]))


MUTATORS: tuple[Callable[[np.random.Generator, bytes], Mutated], ...] = (
    *(cut,) * 3, overwrite, flip, integer, integer, double, remove, swap, append,
)  # fmt: skip


def mutate(rng: np.random.Generator, content: bytes) -> Mutated:
    """One mutation; several for every fifth case."""
    mutated = MUTATORS[int(rng.integers(len(MUTATORS)))](rng, content)
    while rng.random() < 0.2 and mutated.content:
        further = MUTATORS[int(rng.integers(len(MUTATORS)))](rng, mutated.content)
        both = mutated.is_cut and further.is_cut
        mutated = Mutated(f"{mutated.description}; {further.description}", further.content, both)
    return mutated


def _position(rng: np.random.Generator, content: bytes) -> int:
    return int(rng.integers(min(HEADER, len(content)) if rng.random() < 0.5 else len(content)))


def _part(rng: np.random.Generator, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content)))
    return start, int(rng.integers(start, len(content))) + 1
