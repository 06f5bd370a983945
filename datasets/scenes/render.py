"""Rendering of scenes, with random background, light, noise and shades that captions do not name."""

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
JITTER = 12  # maximum deviation of each channel of an object from RGB, in levels
SUPERSAMPLING = 4  # factor by which objects are drawn larger and then averaged, for smooth edges
PATTERNS = ("plain", "gradient", "stripes", "checks", "noise")


def _muted(rng: np.random.Generator) -> np.ndarray:
    """Return a greyish colour `(3,)` of medium brightness; all of RGB contrast with it, also black and white."""
    return (100 + 60 * rng.random() + 14 * (2 * rng.random(3) - 1)).astype(np.float32)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return background levels `(height, width, 3)`: two muted colours mixed by a pattern."""
    rows, columns = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE].astype(np.float32)
    pattern = PATTERNS[int(rng.random() * len(PATTERNS))]
    angle = 2 * np.pi * rng.random()
    along = math.cos(angle) * columns + math.sin(angle) * rows
    period = 8 + 16 * rng.random()  # pixels
    first, second = _muted(rng), _muted(rng)
    if pattern == "plain":
        fraction = np.zeros_like(along)
    elif pattern == "gradient":
        fraction = (along - along.min()) / np.ptp(along)
    elif pattern == "stripes":
        fraction = (along % period < period / 2).astype(np.float32)
    elif pattern == "checks":
        across = math.cos(angle) * rows - math.sin(angle) * columns
        fraction = ((along % period < period / 2) ^ (across % period < period / 2)).astype(np.float32)
    else:
        blobs = Image.fromarray((255 * rng.random((12, 12))).astype(np.uint8))
        fraction = np.asarray(blobs.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), np.float32) / 255
    return first + fraction[..., None] * (second - first)


def _draw(levels: np.ndarray, obj: Object, rng: np.random.Generator) -> None:
    """Draw one object into `levels` `(height, width, 3)` in place."""
    top, left = math.floor(obj.box[0]), math.floor(obj.box[1])
    height, width = math.ceil(obj.box[2]) - top, math.ceil(obj.box[3]) - left
    longest = max(obj.box[2] - obj.box[0], obj.box[3] - obj.box[1])
    corners = outline(obj.shape, obj.angle) * longest + (obj.x - left, obj.y - top)
    mask = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    ImageDraw.Draw(mask).polygon((corners * SUPERSAMPLING).ravel().tolist(), fill=255)
    cover = np.asarray(mask.reduce(SUPERSAMPLING), np.float32)[..., None] / 255
    colour = (np.array(RGB[obj.colour]) + JITTER * (2 * rng.random(3) - 1)).astype(np.float32)
    patch = levels[top : top + height, left : left + width]
    patch += cover * (colour - patch)


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Render a scene as RGB pixels, uint8 `(height, width, 3)`; `rng` draws background, light, noise and shades."""
    levels = _background(rng)
    for obj in scene.objects:
        _draw(levels, obj, rng)
    angle, ramp = 2 * np.pi * rng.random(), np.linspace(-1, 1, IMAGE_SIZE)
    light = 1 + 0.1 * (math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None]) / math.sqrt(2)
    noise = np.float32(1 + 2 * rng.random()) * rng.standard_normal(levels.shape, dtype=np.float32)
    return np.clip(levels * light[..., None].astype(np.float32) + noise + 0.5, 0, 255).astype(np.uint8)


def to_png(pixels: np.ndarray) -> bytes:
    """Encode pixels, uint8 `(height, width, 3)`, as PNG at the fastest level, since noise hardly compresses."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
