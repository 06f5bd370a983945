"""Contrast of the page's colours, light and dark: at least 4.5 (WCAG 2.2, success criterion 1.4.3)."""

import re
from itertools import product
from pathlib import Path

import pytest

from tasks import serve

CSS = (Path(serve.__file__).parent / "page" / "style.css").read_text(encoding="utf-8")
COLOURS = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", CSS)}
TEXTS, GROUNDS = ("ink", "muted", "accent", "warm", "blue", "good", "bad"), ("paper", "surface", "sunken")
SOFT = product(("ink", "muted", "accent"), ("accent-soft", "warm-soft"))
PAIRS = [*product(TEXTS, GROUNDS), *SOFT, ("on-accent", "accent")]


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, 0 to 1."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return sum(weight * level for weight, level in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_known_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_can_be_read(scheme):
    low = {pair: contrast(*(COLOURS[name][scheme] for name in pair)) for pair in PAIRS}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
