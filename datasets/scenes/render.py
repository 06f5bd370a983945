"""Drawing: a scene becomes pixels, with all the variety that is not to be named in a caption."""

import io
import math

import numpy as np
from PIL import Image, ImageDraw

from datasets.scenes.world import IMAGE_SIZE, Object, Scene, outline

RGB = {
    "red": (205, 35, 40),
    "green": (35, 150, 55),
    "blue": (40, 75, 215),
    "yellow": (240, 220, 45),
    "purple": (140, 45, 170),
    "orange": (240, 130, 20),
    "white": (248, 248, 248),
    "black": (12, 12, 12),
}
JITTER = 12  # levels by which a colour strays within its class
SUPERSAMPLING = 4  # drawn so many times larger, then averaged: smooth edges
PATTERNS = ("plain", "gradient", "stripes", "checks", "noise")


def _muted(rng: np.random.Generator) -> np.ndarray:
    """A greyish colour of middle brightness, against which all of RGB stand out, black and white included."""
    return (100 + 60 * rng.random() + 14 * (2 * rng.random(3) - 1)).astype(np.float32)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Background levels `(height, width, 3)`: two muted colours mixed by a pattern."""
    rows, columns = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE].astype(np.float32)
    pattern = PATTERNS[int(rng.random() * len(PATTERNS))]
    turn = 2 * np.pi * rng.random()
    along = math.cos(turn) * columns + math.sin(turn) * rows
    period = 8 + 16 * rng.random()  # pixels
    first, second = _muted(rng), _muted(rng)
    if pattern == "plain":
        share = np.zeros_like(along)
    elif pattern == "gradient":
        share = (along - along.min()) / np.ptp(along)
    elif pattern == "stripes":
        share = (along % period < period / 2).astype(np.float32)
    elif pattern == "checks":
        across = math.cos(turn) * rows - math.sin(turn) * columns
        share = ((along % period < period / 2) ^ (across % period < period / 2)).astype(np.float32)
    else:
        blobs = Image.fromarray((255 * rng.random((12, 12))).astype(np.uint8))
        share = np.asarray(blobs.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), np.float32) / 255
    return first + share[..., None] * (second - first)


def _draw(levels: np.ndarray, thing: Object, rng: np.random.Generator) -> None:
    """Draw one object over `levels` in place; only the pixels around it are touched."""
    top, left = math.floor(thing.box[0]), math.floor(thing.box[1])
    height, width = math.ceil(thing.box[2]) - top, math.ceil(thing.box[3]) - left
    longest = max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1])
    corners = outline(thing.shape, thing.angle) * longest + (thing.x - left, thing.y - top)
    mask = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    ImageDraw.Draw(mask).polygon((corners * SUPERSAMPLING).ravel().tolist(), fill=255)
    cover = np.asarray(mask.reduce(SUPERSAMPLING), np.float32)[..., None] / 255
    colour = (np.array(RGB[thing.colour]) + JITTER * (2 * rng.random(3) - 1)).astype(np.float32)
    patch = levels[top : top + height, left : left + width]
    patch += cover * (colour - patch)


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: What to draw.
        rng: Source of background, light, noise and shades.

    Returns:
        uint8 array `(height, width, 3)` of IMAGE_SIZE pixels both ways.
    """
    levels = _background(rng)
    for thing in scene.objects:
        _draw(levels, thing, rng)
    turn, ramp = 2 * np.pi * rng.random(), np.linspace(-1, 1, IMAGE_SIZE)
    light = 1 + 0.1 * (math.cos(turn) * ramp[None, :] + math.sin(turn) * ramp[:, None]) / math.sqrt(2)
    noise = np.float32(1 + 2 * rng.random()) * rng.standard_normal(levels.shape, dtype=np.float32)
    return np.clip(levels * light[..., None].astype(np.float32) + noise + 0.5, 0, 255).astype(np.uint8)


def to_png(pixels: np.ndarray) -> bytes:
    """Encode pixels `(height, width, 3)` as PNG; noise hardly compresses, so the fastest level."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
