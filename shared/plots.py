"""Plots of training histories, attention and regions of words, drawn without a display."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from shared.errors import UserError
from shared.outputs import write_output

# Words in an image, in inches.
PANEL = 1.7  # maximum width of a panel; its maximum height is 1.5 times as much
MIN_COLUMN = 1.1  # minimum width of a column, for the word above the panel
ABOVE, BELOW, GAP = 0.22, 0.3, 0.1  # height of the word, height of the bar, space between panels
LINE, LETTERS = 0.22, 10  # height of a line of the title, letters per inch

CELL = 0.42  # inches, of an alignment
PANEL_PIXELS = 240  # maximum width and height of the image in a panel
COLUMNS = 7  # panels in a row
DARK, PALE = "#b5651d", "#eee0d3"  # colours of the bar below a panel


def save(figure: Figure, path: Path) -> None:
    """Write a figure as an output in the format of the file's suffix, by default PNG.

    Raises UserError if the format is unknown or the file cannot be written.
    """
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=110, bbox_inches="tight")
        path.parent.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be drawn ({error})") from None
    write_output(path, buffer.getvalue())


def draw_history(rows: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> None:
    """Plot each named column of a run's history against the epoch. Raises UserError as `save`."""
    figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), marker=".", color="#1f4e79")
        axes.set(title=name, xlabel="epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    save(figure, path)


def draw_image_attention(
    image: np.ndarray, title: str, words: Sequence[str], attention: np.ndarray, sentinel: np.ndarray, path: Path
) -> None:
    """Draw the attention of a captioner: the image, then one panel per word, lit by the word's attention.

    The bar below a panel is the weight of the sentinel: how far the word depends on the previous words instead of the
    image. The brightness of the panel is the rest. Raises UserError as `save`.

    Args:
        image: uint8 `(height, width, 3)`.
        title, words: the caption and its tokens.
        attention: `(target, grid height, grid width)`.
        sentinel: `(target,)` in 0..1.
    """
    _draw_words(image, title, words, attention, 1 - np.asarray(sentinel), sentinel, "sentinel", path)


def draw_regions(
    image: np.ndarray, title: str, words: Sequence[str], fits: np.ndarray, scores: np.ndarray, path: Path
) -> None:
    """Draw where the words of a sentence are found: the image, then one panel per word, lit where the word is.

    The bar below a panel is the word's share of the positive scores; the brightness of the panel follows it and is full
    for the greatest. Raises UserError as `save`.

    Args:
        image: uint8 `(height, width, 3)`.
        title, words: the sentence and its words.
        fits: `(target, grid height, grid width)`, of any sign.
        scores: `(target,)`; that of a word that finds nothing is negative.
    """
    found = np.maximum(scores, 0)
    shares, strengths = found / max(found.sum(), 1e-9), found / max(found.max(initial=0), 1e-9)
    _draw_words(image, title, words, fits, strengths, shares, "share", path)


def _draw_words(
    image: np.ndarray,
    title: str,
    words: Sequence[str],
    maps: np.ndarray,
    strengths: np.ndarray,
    bars: np.ndarray,
    name: str,
    path: Path,
) -> None:
    """Draw an image, then one panel per word: lit by its map, as strongly as said, with a bar of that name below."""
    picture = Image.fromarray(image)
    scale = PANEL * min(1 / picture.width, 1.5 / picture.height)
    width, height = picture.width * scale, picture.height * scale  # inches
    picture.thumbnail((PANEL_PIXELS, PANEL_PIXELS))

    rows, columns = -(-(len(words) + 1) // COLUMNS), min(COLUMNS, len(words) + 1)
    step, stride = max(width, MIN_COLUMN) + GAP, height + ABOVE + BELOW + GAP
    lines = textwrap.wrap(title, max(20, int(columns * step * LETTERS)))
    size = columns * step + GAP, rows * stride + LINE * len(lines) + GAP
    figure = Figure(figsize=size)

    def panel(index: int, top: float, height: float) -> Axes:
        """Empty axes as wide as the image, `top` inches below the upper edge of cell `index`."""
        left = GAP + index % columns * step + (step - GAP - width) / 2
        bottom = (rows - index // columns) * stride - top - height
        axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
        axes.set_axis_off()
        return axes

    figure.text(0.5, 1 - GAP / size[1], "\n".join(lines), ha="center", va="top", fontsize=12, parse_math=False)
    panel(0, ABOVE, height).imshow(np.asarray(picture), aspect="auto")
    for index, (word, weights, strength, bar) in enumerate(zip(words, maps, strengths, bars, strict=True), start=1):
        axes = panel(index, ABOVE, height)
        axes.imshow(_lit(picture, weights, float(strength)), aspect="auto")
        axes.set_title(word, fontsize=10, pad=3, parse_math=False)
        axes = panel(index, ABOVE + height + 0.05, 0.08)
        axes.barh(0, 1, color=PALE)
        axes.barh(0, bar, color=DARK)
        axes.set(xlim=(0, 1), ylim=(-0.4, 0.4))
        axes.text(0.5, -0.6, f"{name} {bar:.0%}", ha="center", va="top", fontsize=7, color=DARK)
    save(figure, path)


def _lit(picture: Image.Image, weights: np.ndarray, strength: float) -> np.ndarray:
    """The picture in grey, coloured where `weights` `(grid height, grid width)` are large relative to their maximum."""
    relative = Image.fromarray(np.float32(weights / max(float(weights.max()), 1e-9)))
    light = np.clip(np.asarray(relative.resize(picture.size, Image.Resampling.BICUBIC)), 0, 1)[..., None]
    light = light * max(strength, 0) ** 0.5  # the root keeps weak attention visible
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * 0.45 + 20
    heat = colormaps["inferno"](light[..., 0] * 0.9 + 0.1)[..., :3] * 255
    lit = (1 - light) * grey + light * (0.65 * np.asarray(picture) + 0.35 * heat)
    return np.clip(lit, 0, 255).astype(np.uint8)


def draw_alignment(source: Sequence[str], target: Sequence[str], attention: np.ndarray, path: Path) -> None:
    """Draw the attention of a translator: a row per target word, a column per source word.

    `attention` is `(target, source + 1)`, the end of the source last; each row sums to at most 1. Raises UserError as
    `save`.
    """
    columns = [*source, "end"]
    figure = Figure(figsize=(1.5 + CELL * len(columns), 1.2 + CELL * max(len(target), 1)), layout="constrained")
    axes = figure.subplots()
    if len(target):
        axes.imshow(attention, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, weights in enumerate(attention):
        for column, weight in enumerate(weights):
            if weight >= 0.1:
                colour = "white" if weight > 0.6 else "black"
                axes.text(column, row, f"{weight:.1f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="left", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save(figure, path)
