"""Scenes: their objects, the relations between them, and random sampling.

A scene has 1 to 3 objects, each with a shape, a colour and a size. No two objects of a scene have the same shape and
colour, so these two attributes identify an object. Coordinates are in pixels, x to the right and y downwards.
"""

from dataclasses import dataclass

import numpy as np

IMAGE_SIZE = 96  # height and width in pixels
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SIZES = {
    "small": (14.0, 17.0),
    "large": (27.0, 33.0),
}  # range of the longer side in pixels; the gap makes sizes distinguishable
RELATIONS = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}

# Colour-shape pairs that are neither in train nor in dev: one per shape, each with another colour.
HELD_OUT = (
    ("orange", "circle"),
    ("purple", "square"),
    ("blue", "triangle"),
    ("green", "star"),
    ("yellow", "cross"),
    ("red", "heart"),
)
PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
SEEN = tuple(pair for pair in PAIRS if pair not in HELD_OUT)

COUNT_PROBABILITIES = (1 / 3, 1 / 3, 1 / 3)  # of one, two and three objects
MARGIN = 3.0  # minimum pixels between an object and the edge of the image
MIN_GAP = 3.0  # minimum pixels between the boxes of two objects
AMBIGUOUS = (8.0, 14.0)  # centres never differ by an offset in this range of pixels, so that relations are clear
MIN_OFFSET = sum(AMBIGUOUS) / 2  # minimum offset in pixels for which a relation holds
MAX_ANGLE = 12.0  # maximum rotation in degrees; a square does not become a diamond


@dataclass(frozen=True)
class Object:
    """One object; `box` is (top, left, bottom, right) in pixels, `angle` its rotation in degrees."""

    shape: str
    colour: str
    size: str
    box: tuple[float, float, float, float]
    angle: float = 0.0

    @property
    def x(self) -> float:
        """Centre of the box from the left edge of the image, in pixels."""
        return (self.box[1] + self.box[3]) / 2

    @property
    def y(self) -> float:
        """Centre of the box from the top edge of the image, in pixels."""
        return (self.box[0] + self.box[2]) / 2


@dataclass(frozen=True)
class Scene:
    """The objects of one image, in random order."""

    objects: tuple[Object, ...]

    @property
    def novel(self) -> bool:
        """Whether an object has a held-out colour-shape pair."""
        return any((obj.colour, obj.shape) in HELD_OUT for obj in self.objects)


def holds(relation: str, subject: Object, landmark: Object) -> bool:
    """Whether `subject` is `relation` ("left" of, "right" of, "above", "below") `landmark`."""
    offset = {
        "left": landmark.x - subject.x,
        "right": subject.x - landmark.x,
        "above": landmark.y - subject.y,
        "below": subject.y - landmark.y,
    }[relation]
    return offset >= MIN_OFFSET


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """Return corners `(corners, 2)` of a polygon, the first at the top; every second one is `inner` from the centre."""
    angles = 2 * np.pi * np.arange(corners) / corners
    distance = np.where(np.arange(corners) % 2 == 1, inner, 1.0)
    return np.stack([distance * np.sin(angles), -distance * np.cos(angles)], axis=-1)


def _heart(corners: int = 48) -> np.ndarray:
    angles = 2 * np.pi * np.arange(corners) / corners
    x = 16 * np.sin(angles) ** 3
    y = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    return np.stack([x, -y], axis=-1)


_ARM = 1 / 3  # half the width of a bar of the cross
_OUTLINES = {
    "circle": _regular(48),
    "square": np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float),
    "triangle": _regular(3),
    "star": _regular(10, inner=0.42),
    "cross": np.array(
        [
            *([-_ARM, -1], [_ARM, -1], [_ARM, -_ARM], [1, -_ARM], [1, _ARM], [_ARM, _ARM]),
            *([_ARM, 1], [-_ARM, 1], [-_ARM, _ARM], [-1, _ARM], [-1, -_ARM], [-_ARM, -_ARM]),
        ]
    ),
    "heart": _heart(),
}


def outline(shape: str, angle: float) -> np.ndarray:
    """Return corners (x, y) `(corners, 2)` of a shape rotated by `angle` degrees, in a centred box of longer side 1."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = _OUTLINES[shape] @ np.array([[cosine, sine], [-sine, cosine]])
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) / (high - low).max()


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _pick(rng: np.random.Generator, choices: tuple) -> tuple:
    return choices[int(rng.random() * len(choices))]


def _sample_pairs(rng: np.random.Generator, count: int, novel: bool) -> list[tuple[str, str]]:
    """Draw distinct (colour, shape) pairs: all of SEEN or, with `novel`, one of HELD_OUT and then any others."""
    pairs = [_pick(rng, HELD_OUT if novel else SEEN)]
    while len(pairs) < count:
        pair = _pick(rng, PAIRS if novel else SEEN)
        if pair not in pairs:
            pairs.append(pair)
    return pairs


def _fits(box: tuple[float, float, float, float], others: list[Object]) -> bool:
    """Whether a box keeps MIN_GAP from other objects and its offsets from them are not AMBIGUOUS."""
    top, left, bottom, right = box
    for other in others:
        above, before, below, behind = other.box
        if min(bottom, below) - max(top, above) > -MIN_GAP and min(right, behind) - max(left, before) > -MIN_GAP:
            return False
        offsets = abs((left + right) / 2 - other.x), abs((top + bottom) / 2 - other.y)
        if any(AMBIGUOUS[0] <= offset < AMBIGUOUS[1] for offset in offsets):
            return False
    return True


def _place(rng: np.random.Generator, colour: str, shape: str, others: list[Object]) -> Object | None:
    """Return an object of random size and position that fits, or None after 20 trials."""
    for _ in range(20):
        size = "small" if rng.random() < 0.5 else "large"
        angle = _uniform(rng, -MAX_ANGLE, MAX_ANGLE)
        width, height = np.ptp(outline(shape, angle), axis=0) * _uniform(rng, *SIZES[size])
        left = _uniform(rng, MARGIN, IMAGE_SIZE - MARGIN - width)
        top = _uniform(rng, MARGIN, IMAGE_SIZE - MARGIN - height)
        box = (float(top), float(left), float(top + height), float(left + width))
        if _fits(box, others):
            return Object(shape, colour, size, box, angle)
    return None


def sample_scene(rng: np.random.Generator, novel: bool = False) -> Scene:
    """Sample a scene; with `novel` it has at least one pair of HELD_OUT, otherwise none."""
    count = 1 + int(np.searchsorted(np.cumsum(COUNT_PROBABILITIES), rng.random(), side="right"))
    pairs = _sample_pairs(rng, count, novel)
    while True:
        objects: list[Object] = []
        for colour, shape in pairs:
            obj = _place(rng, colour, shape, objects)
            if obj is None:
                break
            objects.append(obj)
        else:
            order = np.argsort([rng.random() for _ in objects])  # otherwise a novel object would always be the first
            return Scene(tuple(objects[i] for i in order))


def scene_of(record: dict) -> Scene:
    """Return the scene of a record of `datasets.load("scenes", ...)`, for `parser.describes`."""
    attributes = zip(record["shapes"], record["colours"], record["sizes"], record["boxes"], strict=True)
    objects = []
    for shape, colour, size, box in attributes:
        top, left, bottom, right = (float(edge) * IMAGE_SIZE for edge in box)
        objects.append(Object(shape, colour, size, (top, left, bottom, right)))
    return Scene(tuple(objects))
