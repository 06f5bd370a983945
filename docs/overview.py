"""Draws `overview.png`: one sentence in all four tasks, by the released models.

python -m docs.overview
"""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from PIL import Image

from quatrain import ImageCaptioner, PhotoFinder, SoundRecognizer, TextScorer, Translator, read_image, read_sound
from shared.features import log_mel
from shared.frames import FRAMES_PER_SECOND
from tasks.captioner.caption import finder_of
from tasks.captioner.config import find_run
from tasks.captioner.inference import Caption

FOLDER = Path(__file__).parent
GERMAN, ENGLISH = "Auf der Wiese läuft ein brauner Hund.", "a brown dog is running on the grass"

SIZE, DPI = (11.0, 7.0), 150  # inches; pixels an inch
INK, SOFT, CARD, PAGE = "#1b2733", "#61707f", "#ffffff", "#f1f3f6"
ORANGE, GREEN, BLUE, RED = "#d2691e", "#2f855a", "#2b6cb0", "#b83280"


def card(figure: Figure, column: int, row: int, title: str, subtitle: str, colour: str) -> Axes:
    """A titled panel of the figure, as axes in inches with the origin at the lower left."""
    gap = 0.16
    width, height = (SIZE[0] - 3 * gap) / 2, (SIZE[1] - 3 * gap) / 2
    left, bottom = gap + column * (width + gap), gap + (1 - row) * (height + gap)
    axes = figure.add_axes((left / SIZE[0], bottom / SIZE[1], width / SIZE[0], height / SIZE[1]))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    box = FancyBboxPatch(
        (0.05, 0.05), width - 0.1, height - 0.1, boxstyle="round,pad=0,rounding_size=0.12", fc=CARD, ec="#d9dee5", lw=1
    )
    axes.add_patch(box)
    axes.text(0.25, height - 0.36, title, fontsize=15, weight="bold", color=colour, va="center")
    axes.text(width - 0.25, height - 0.36, subtitle, fontsize=11, color=SOFT, va="center", ha="right")
    return axes


def note(axes: Axes, text: str) -> None:
    """A line of explanation at the bottom of a card."""
    axes.text(0.25, 0.27, text, fontsize=10, color=SOFT, va="center")


def inset(axes: Axes, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes within a card, in its inches."""
    inner = axes.inset_axes((left, bottom, width, height), transform=axes.transData)
    inner.set_xticks([])
    inner.set_yticks([])
    inner.spines[:].set_visible(False)
    return inner


def lit(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The picture, darkened where attention weights `(grid height, grid width)` are small."""
    height, width, _ = picture.shape
    relative = Image.fromarray(np.float32(weights / weights.max()))
    light = np.clip(np.asarray(relative.resize((width, height), Image.Resampling.BICUBIC)), 0, 1)[..., None]
    grey = picture.mean(axis=-1, keepdims=True) * 0.7
    glow = 0.6 * picture + 0.55 * np.array((255, 190, 40))
    return ((1 - light) * grey + light * glow).clip(0, 255).astype(np.uint8)


class Region(NamedTuple):
    """A word, where it is in the image, `(grid height, grid width)`, and how much it counts."""

    word: str
    weights: np.ndarray
    share: str


def found_regions(finder: PhotoFinder, picture: np.ndarray, text: str) -> list[Region]:
    """Those of two telling words: the one that counts most in the match, and the one that lies elsewhere."""
    match = finder.match(picture, [text])[0]
    total = sum(max(0.0, word.score) for word in match.words)
    first = max(match.telling, key=lambda word: word.score)
    second = min(match.telling, key=lambda word: np.corrcoef(word.fit.ravel(), first.fit.ravel())[0, 1])
    chosen = (word for word in match.words if word is first or word is second)
    return [Region(word.word, word.fit.clip(0), f"{word.score / total:.0%} of match") for word in chosen]


def attended_regions(caption: Caption) -> list[Region]:
    """Those of the two words, articles apart, for which the image counts most."""
    order = (index for index in np.argsort(caption.sentinel) if len(caption.tokens[index]) > 2)
    return [
        Region(caption.tokens[index], caption.attention[index], f"{1 - caption.sentinel[index]:.0%} image")
        for index in sorted(islice(order, 2))
    ]


def draw_captioner(axes: Axes, captioner: ImageCaptioner, finder: PhotoFinder | None, picture: np.ndarray) -> None:
    """The image, its caption, and the regions of two words, by the finder if there is one, else by attention."""
    caption = captioner([picture])[0][0]
    bottom, height, small = 1.05, 1.59, 1.19
    width = height * picture.shape[1] / picture.shape[0]
    inset(axes, 0.25, bottom, width, height).imshow(picture, aspect="auto")
    regions = found_regions(finder, picture, caption.text) if finder else attended_regions(caption)
    for index, region in enumerate(regions):
        left = 0.25 + width + 0.16 + index * (small + 0.09)
        panel = inset(axes, left, bottom, small, small * height / width)
        panel.imshow(lit(picture, region.weights), aspect="auto")
        middle, top = left + small / 2, bottom + height
        axes.text(middle, top - 0.13, region.word, fontsize=13, color=INK, ha="center", va="center")
        axes.text(middle, top - 0.42, region.share, fontsize=11, color=SOFT, ha="center", va="center")
    axes.text(0.25, 0.68, caption.text, fontsize=min(16, 740 / len(caption.text)), color=INK, va="center")
    note(axes, "where the finder sees two of the words" if finder else "attention of two words")


def spread(words: list[str], left: float, right: float) -> np.ndarray:
    """Centres of words between two edges, with equal gaps between their letters."""
    lengths = np.array([len(word) + 2.5 for word in words])
    return left + (right - left) * (np.cumsum(lengths) - lengths / 2) / lengths.sum()


def draw_translator(axes: Axes) -> None:
    """Source and translation, joined by attention."""
    translation = Translator.load("multi30k-de-en")([GERMAN])[0][0]
    top, bottom, edges = 2.45, 0.75, (0.2, axes.get_xlim()[1] - 0.2)
    sources, targets = spread(translation.source_words, *edges), spread(translation.words, *edges)
    for target, weights in zip(targets, translation.attention, strict=True):
        for source, weight in zip(sources, weights[:-1], strict=True):
            ends = [(source, top - 0.2), (source, 1.4), (target, 1.6), (target, bottom + 0.22)]
            curve = Curve(ends, [Curve.MOVETO, *[Curve.CURVE4] * 3])
            axes.add_patch(PathPatch(curve, fc="none", ec=GREEN, lw=8 * weight, alpha=min(1, 0.1 + 0.9 * weight)))
    for y, centres, words in ((top, sources, translation.source_words), (bottom, targets, translation.words)):
        for x, word in zip(centres, words, strict=True):
            axes.text(x, y, word, fontsize=14, color=INK, ha="center", va="center")
    note(axes, "the thicker, the more attention")


def draw_recognizer(axes: Axes) -> None:
    """Log-mel energies of the sound, and its phones, opaque where they are probable."""
    sound = read_sound(FOLDER / "dog.wav")
    recognition = SoundRecognizer.load()([sound])[0][0]
    bands = np.asarray(log_mel(sound[None], 64))[0]
    seconds, low = len(bands) / FRAMES_PER_SECOND, float(np.percentile(bands, 12))
    left, width = 0.25, axes.get_xlim()[1] - 0.5
    spectrum, phones = inset(axes, left, 1.02, width, 1.68), inset(axes, left, 0.47, width, 0.5)
    spectrum.imshow(bands.T, origin="lower", aspect="auto", cmap="magma", vmin=low, extent=(0, seconds, 0, 1))
    for index, phone in enumerate(recognition.phones):
        phones.axvspan(phone.start, phone.end, color=BLUE, alpha=0.05 + 0.55 * phone.probability, lw=0)
        middle, row = (phone.start + phone.end) / 2, (0.72, 0.28)[index % 2]
        phones.text(middle, row, phone.phone, fontsize=10.5, color=INK, ha="center", va="center")
        for part in (spectrum, phones):
            part.axvline(phone.start, color="white", lw=0.6, alpha=0.6)
    phones.set(xlim=(0, seconds), ylim=(0, 1))
    note(axes, f"{recognition.seconds:.1f} s; the darker, the more probable")


def draw_language_model(axes: Axes) -> None:
    """Surprisal of each word."""
    scored = TextScorer.load()([ENGLISH])[0].words("apart")
    words, bits = [word.text for word in scored], np.array([-word.log_prob / np.log(2) for word in scored])
    base, relative = 0.9, bits / bits.max()
    for x, word, value, height in zip(
        spread(words, 0.3, axes.get_xlim()[1] - 0.15), words, bits, relative, strict=True
    ):
        axes.bar(x, 1.55 * height, bottom=base, width=0.42, color=RED, alpha=0.25 + 0.75 * height)
        axes.text(x, base + 1.55 * height + 0.11, f"{value:.1f}", fontsize=11, color=SOFT, ha="center", va="center")
        axes.text(x, base - 0.2, word, fontsize=14, color=INK, ha="center", va="center")
    note(axes, "surprisal in bits: -log₂ p(word | words before it)")


def draw(path: Path, captioner: ImageCaptioner, finder: PhotoFinder | None, picture: np.ndarray) -> None:
    """Draw all tasks into a PNG file: a captioner with a picture, and the released models of the others."""
    figure = Figure(figsize=SIZE, facecolor=PAGE)
    first = card(figure, 0, 0, "Captioner", "an image in, a caption out", ORANGE)
    draw_captioner(first, captioner, finder, picture)
    draw_translator(card(figure, 1, 0, "Translator", "a sentence in, a translation out", GREEN))
    draw_recognizer(card(figure, 0, 1, "Phoneme recognizer", "a sound in, timed phones out", BLUE))
    draw_language_model(card(figure, 1, 1, "Language model", "a text in, probabilities out", RED))
    figure.savefig(path, dpi=DPI)


if __name__ == "__main__":
    released = ImageCaptioner.load()
    draw(FOLDER / "overview.png", released, finder_of(released, find_run()), read_image(FOLDER / "dog.jpg"))
