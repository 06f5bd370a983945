"""The world: what a scene is, when a relation holds, and how scenes are sampled.

A scene holds 1 to 3 objects, each with a shape, a colour and a size. No two of them agree in both shape and colour,
so naming these two attributes names the object. Coordinates are pixels, x to the right and y downwards.
"""

from dataclasses import dataclass

import numpy as np

IMAGE_SIZE = 96  # pixels, both ways
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SIZES = {"small": (14.0, 17.0), "large": (27.0, 33.0)}  # longest side in pixels; the gap keeps them apart by eye
RELATIONS = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}

# Colour-shape pairs that training and development never show: one per shape, each of another colour.
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

COUNT_WEIGHTS = (1 / 3, 1 / 3, 1 / 3)  # one, two or three objects
FRAME = 3.0  # pixels between an object and the edge of the image
GAP = 3.0  # pixels between the boxes of two objects
LEVEL, APART = 8.0, 14.0  # an offset along an axis lies below LEVEL or from APART on: no relation is a matter of taste
DIRECTION = (LEVEL + APART) / 2  # offset in pixels from which on a relation holds
MAX_ANGLE = 12.0  # degrees either way: a square stays no diamond


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
    """The objects of one image, in no meaningful order."""

    objects: tuple[Object, ...]

    @property
    def novel(self) -> bool:
        """Whether an object has a colour-shape pair that training never shows."""
        return any((thing.colour, thing.shape) in HELD_OUT for thing in self.objects)


def holds(relation: str, subject: Object, landmark: Object) -> bool:
    """Whether `subject` is `relation` ("left" of, "right" of, "above", "below") `landmark`."""
    offset = {
        "left": landmark.x - subject.x,
        "right": subject.x - landmark.x,
        "above": landmark.y - subject.y,
        "below": subject.y - landmark.y,
    }[relation]
    return offset >= DIRECTION


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """Corners of a polygon with its tip up; every second one at distance `inner` from the centre."""
    turn = 2 * np.pi * np.arange(corners) / corners
    distance = np.where(np.arange(corners) % 2 == 1, inner, 1.0)
    return np.stack([distance * np.sin(turn), -distance * np.cos(turn)], axis=-1)


def _heart(corners: int = 48) -> np.ndarray:
    turn = 2 * np.pi * np.arange(corners) / corners
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.stack([x, -y], axis=-1)


_ARM = 1 / 3  # a cross of three thirds
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
    """Corners `(corners, 2)` as (x, y) of a shape turned by `angle` degrees; its box is centred, its longest side 1."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = _OUTLINES[shape] @ np.array([[cosine, sine], [-sine, cosine]])
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) / (high - low).max()


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _pick(rng: np.random.Generator, choices: tuple) -> tuple:
    return choices[int(rng.random() * len(choices))]


def _sample_pairs(rng: np.random.Generator, count: int, novel: bool) -> list[tuple[str, str]]:
    """Draw `count` different (colour, shape) pairs: all seen, or the first one never seen and the others any."""
    pairs = [_pick(rng, HELD_OUT if novel else SEEN)]
    while len(pairs) < count:
        pair = _pick(rng, PAIRS if novel else SEEN)
        if pair not in pairs:
            pairs.append(pair)
    return pairs


def _fits(box: tuple[float, float, float, float], others: list[Object]) -> bool:
    """Whether the box keeps its distance from the others and no relation to them would be borderline."""
    top, left, bottom, right = box
    for other in others:
        above, before, below, behind = other.box
        if min(bottom, below) - max(top, above) > -GAP and min(right, behind) - max(left, before) > -GAP:
            return False
        offsets = abs((left + right) / 2 - other.x), abs((top + bottom) / 2 - other.y)
        if any(LEVEL <= offset < APART for offset in offsets):
            return False
    return True


def _place(rng: np.random.Generator, colour: str, shape: str, others: list[Object]) -> Object | None:
    """Try a few sizes and places for an object; None when none of them fits."""
    for _ in range(20):
        size = "small" if rng.random() < 0.5 else "large"
        angle = _uniform(rng, -MAX_ANGLE, MAX_ANGLE)
        width, height = np.ptp(outline(shape, angle), axis=0) * _uniform(rng, *SIZES[size])
        left = _uniform(rng, FRAME, IMAGE_SIZE - FRAME - width)
        top = _uniform(rng, FRAME, IMAGE_SIZE - FRAME - height)
        box = (float(top), float(left), float(top + height), float(left + width))
        if _fits(box, others):
            return Object(shape, colour, size, box, angle)
    return None


def sample_scene(rng: np.random.Generator, novel: bool = False) -> Scene:
    """Draw a scene; with `novel` it holds at least one of the HELD_OUT pairs, otherwise none."""
    count = 1 + int(np.searchsorted(np.cumsum(COUNT_WEIGHTS), rng.random(), side="right"))
    pairs = _sample_pairs(rng, count, novel)
    while True:
        objects: list[Object] = []
        for colour, shape in pairs:
            thing = _place(rng, colour, shape, objects)
            if thing is None:
                break
            objects.append(thing)
        else:
            order = np.argsort([rng.random() for _ in objects])  # so that a novel object is not always the first
            return Scene(tuple(objects[i] for i in order))


def scene_of(record: dict) -> Scene:
    """The scene of a record that `datasets.load("scenes", ...)` gave, so that `parser.describes` can judge captions."""
    things = zip(record["shapes"], record["colours"], record["sizes"], record["boxes"], strict=True)
    objects = []
    for shape, colour, size, box in things:
        top, left, bottom, right = (float(edge) * IMAGE_SIZE for edge in box)
        objects.append(Object(shape, colour, size, (top, left, bottom, right)))
    return Scene(tuple(objects))
