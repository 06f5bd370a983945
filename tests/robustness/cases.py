"""A hostile input, and what is known of the right answer to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def never(answer: Any) -> str:
    """Nothing is missing from any answer."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An input of one kind: it must be answered, or refused by UserError with one line."""

    description: str
    read: Callable[[], Any]  # as a command reads it
    missing: Callable[[Any], str] = never  # what an answer lacks of the input; "" if nothing
    is_whole: bool = False  # a sound input: it must not be refused


Draw = Callable[[np.random.Generator, Path], Case]  # makes a case; files go into the folder


def choose(rng: np.random.Generator, values: Any) -> Any:
    """One of a sequence's values, of any type."""
    return values[int(rng.integers(len(values)))]
