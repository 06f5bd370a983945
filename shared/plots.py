"""Pictures of a training and of what a model looked at, drawn without a display."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from shared.errors import UserError
from shared.runs import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of a picture of attention, in inches.
PANEL = 1.7  # width of one word's picture, which is at most half as tall again
NARROWEST = 1.1  # room for a word above a narrow picture
ABOVE, BELOW, GAP = 0.22, 0.3, 0.1  # a panel's word, its bar, the space between panels
LINE, LETTERS = 0.22, 10  # height of a line of the title, its letters to the inch

CELL = 0.42  # of a table of attention between words

PANEL_PIXELS = 240  # to which a picture is reduced for drawing
COLUMNS = 7  # panels in a row
DARK, PALE = "#b5651d", "#eee0d3"  # of the sentinel's bar


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG (or what the file's suffix says), whole or not at all.

    Raises:
        UserError: there is no such format, or the file cannot be written.
    """
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=110, bbox_inches="tight")
        write_bytes(path, buffer.getvalue())
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be drawn ({error})") from None


def draw_history(rows: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> None:
    """One small plot for each named column of a run's history, against the epoch."""
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
    """Draws where a captioner looked: the image, then one panel per word, lit where the word's attention lies.

    A panel is the brighter, the more the word came from the image. The bar below it is the rest, the sentinel's weight:
    how much the word came from the words before it instead.

    Args:
        image: uint8 (height, width, 3).
        title: the caption.
        words: its tokens.
        attention: (target, rows, columns).
        sentinel: (target,), in 0..1.
        path: where to write the picture.
    """
    picture = Image.fromarray(image)
    scale = PANEL * min(1 / picture.width, 1.5 / picture.height)
    width, height = picture.width * scale, picture.height * scale  # inches
    picture.thumbnail((PANEL_PIXELS, PANEL_PIXELS))

    rows, columns = -(-(len(words) + 1) // COLUMNS), min(COLUMNS, len(words) + 1)
    step, stride = max(width, NARROWEST) + GAP, height + ABOVE + BELOW + GAP
    lines = textwrap.wrap(title, max(20, int(columns * step * LETTERS)))
    size = columns * step + GAP, rows * stride + LINE * len(lines) + GAP
    figure = Figure(figsize=size)

    def panel(number: int, top: float, tall: float) -> "Axes":
        """An empty plot as wide as the picture, in cell `number`, from `top` inches below the cell's upper edge."""
        left = GAP + number % columns * step + (step - GAP - width) / 2
        bottom = (rows - number // columns) * stride - top - tall
        axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], tall / size[1]))
        axes.set_axis_off()
        return axes

    figure.text(0.5, 1 - GAP / size[1], "\n".join(lines), ha="center", va="top", fontsize=12, parse_math=False)
    panel(0, ABOVE, height).imshow(np.asarray(picture), aspect="auto")
    for number, (word, weights, share) in enumerate(zip(words, attention, sentinel, strict=True), start=1):
        axes = panel(number, ABOVE, height)
        axes.imshow(_lit(picture, weights, 1 - float(share)), aspect="auto")
        axes.set_title(word, fontsize=10, pad=3, parse_math=False)
        axes = panel(number, ABOVE + height + 0.05, 0.08)
        axes.barh(0, 1, color=PALE)
        axes.barh(0, share, color=DARK)
        axes.set(xlim=(0, 1), ylim=(-0.4, 0.4))
        axes.text(0.5, -0.6, f"sentinel {share:.0%}", ha="center", va="top", fontsize=7, color=DARK)
    save(figure, path)


def _lit(picture: Image.Image, weights: np.ndarray, strength: float) -> np.ndarray:
    """The picture in grey, coloured and brightened where `weights` (rows, columns) are large beside their own peak."""
    relative = Image.fromarray(np.float32(weights / max(float(weights.max()), 1e-9)))
    light = np.clip(np.asarray(relative.resize(picture.size, Image.Resampling.BICUBIC)), 0, 1)[..., None]
    light = light * max(strength, 0) ** 0.5  # the root keeps a faint light visible
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * 0.45 + 20
    heat = colormaps["inferno"](light[..., 0] * 0.9 + 0.1)[..., :3] * 255
    lit = (1 - light) * grey + light * (0.65 * np.asarray(picture) + 0.35 * heat)
    return np.clip(lit, 0, 255).astype(np.uint8)


def draw_alignment(source: Sequence[str], target: Sequence[str], attention: np.ndarray, path: Path) -> None:
    """Draws where a translator looked: a row for each word that it wrote, a column for each that it read.

    Args:
        source, target: words.
        attention: (target, source + 1), the end of the source last; each row adds up to 1 at most.
        path: where to write the picture.
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
