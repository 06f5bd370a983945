"""Numbers and bytes of responses: rounded for JSON, or as base64."""

import base64
import io
import wave
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.audio import SAMPLE_RATE
from tasks.serve.endpoint import Encoded, Response

if TYPE_CHECKING:
    from shared.search_trees import Node
    from shared.vocabulary import Vocabulary


class TreeNode(Response):
    """A token that a beam search has kept, after those of its parents."""

    text: str
    is_end: bool
    begins_word: bool
    parent: int
    """Index of the node before; -1 for the first."""
    probability: float
    """Of the token, given those before it."""
    log_prob: float
    """Of all tokens up to this one."""
    ranks: list[int]
    """Of the results that it is part of; 0 is the best."""


class Grid(Response):
    """Numbers from 0 to 1 as one byte each, 0 to 255, row after row."""

    rows: int
    columns: int
    b64: str


class SavedState(Response):
    """The state of a model, for the field `state` of later requests."""

    b64: str


def rounded(values: Any, digits: int = 4) -> list[Any]:
    """An array as lists."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


def as_base64(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode()


def as_grid(values: np.ndarray) -> Grid:
    """Numbers from 0 to 1, `(rows, columns)`."""
    as_bytes = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return Grid(rows=values.shape[0], columns=values.shape[1], b64=as_base64(as_bytes.tobytes()))


def as_tree(nodes: "Sequence[Node]", vocabulary: "Vocabulary", given: Sequence[str] = ()) -> list[TreeNode]:
    """The nodes of a search; the tokens that were given, at the start of all, are written as they were."""
    depths: list[int] = []
    found = []
    for node in nodes:
        depths.append(depths[node.parent] + 1 if node.parent >= 0 else 0)
        is_end, text = node.token_id == vocabulary.end_id, vocabulary.table[node.token_id].strip()
        found.append(
            TreeNode(
                text="" if is_end else given[depths[-1]] if depths[-1] < len(given) else text,
                is_end=is_end,
                begins_word=vocabulary.begins_word(node.token_id),
                parent=node.parent,
                probability=round(node.probability, 4),
                log_prob=round(node.log_prob, 4),
                ranks=node.ranks,
            )
        )
    return found


def example_image() -> Encoded:
    """A small picture: a green field below a blue sky."""
    from PIL import Image

    content = io.BytesIO()
    image = Image.new("RGB", (32, 32), (120, 170, 230))
    image.paste((70, 130, 60), (0, 16, 32, 32))
    image.save(content, "PNG")
    return Encoded(b64=base64.b64encode(content.getvalue()))


def example_sound() -> Encoded:
    """Half a second of a tone, as a WAV file."""
    content, times = io.BytesIO(), np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes((8000 * np.sin(2 * np.pi * 220 * times)).astype("<i2").tobytes())
    return Encoded(b64=base64.b64encode(content.getvalue()))
