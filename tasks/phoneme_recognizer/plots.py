"""Plots: the recognition of a sound, confusions, and reliability."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shared.audio import SAMPLE_RATE
from shared.features import band_of
from shared.frames import FRAMES_PER_SECOND
from shared.plots import save
from tasks.phoneme_recognizer.inference import Recognition
from tasks.phoneme_recognizer.scoring import reliability

INCHES_PER_SECOND, MIN_WIDTH, MAX_WIDTH = 3.0, 5.0, 60.0  # widths in inches
MAX_POINTS = 4000  # of a waveform
TICKS = (250, 500, 1000, 2000, 4000, 7000)  # Hz


def draw_recognition(
    sound: np.ndarray,
    bands: np.ndarray,
    posteriors: np.ndarray,
    table: Sequence[str],
    recognition: Recognition,
    path: Path,
    spell: Callable[[str], str] = str,
) -> None:
    """Draw waveform, spectrum, posteriors, words and phones of a sound.

    Args:
        sound: `(samples,)`.
        bands: log-mel energies `(frames, mels)`.
        posteriors: `(frames, vocab)`, silence first.
        table: names of the ids of the posteriors; that of silence is empty.
        recognition: of the sound.
        path: of the picture.
        spell: the name of a phone in the picture.
    """
    seconds = max(recognition.seconds, 1e-3)
    width = min(max(seconds * INCHES_PER_SECOND, MIN_WIDTH), MAX_WIDTH)
    has_words = bool(recognition.words)
    heights = (1.2, 3, 4.5, *([0.6] if has_words else []), 0.8)
    figure = Figure(figsize=(width, 8.0), layout="constrained")
    wave, spectrum, probabilities, *rows = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _draw_waveform(wave, sound)
    span = 0, len(bands) / FRAMES_PER_SECOND
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    spectrum.imshow(bands.T, extent=(*span, -0.5, bands.shape[1] - 0.5), cmap="magma", **shown)
    spectrum.set_yticks(band_of(TICKS, bands.shape[1]), [f"{hertz:,}" for hertz in TICKS], fontsize=7)
    spectrum.set(ylabel="Hz", title="spectrum")
    seen = np.flatnonzero(posteriors.max(axis=0) > 0.1).tolist() if len(posteriors) else [0]
    probabilities.imshow(
        posteriors[:, seen].T, extent=(*span, -0.5, len(seen) - 0.5), cmap="Greys", vmin=0, vmax=1, **shown
    )
    probabilities.set_yticks(range(len(seen)), [table[i] or "silence" for i in seen], fontsize=7)
    probabilities.set(title="probability of each phone")
    if has_words:
        _draw_spans(rows[0], [(word.start, word.end, word.probability, word.word) for word in recognition.words])
        rows[0].set_ylabel("words", rotation=0, ha="right", va="center")
    spans = [(phone.start, phone.end, phone.probability, spell(phone.phone)) for phone in recognition.phones]
    _draw_spans(rows[-1], spans)
    rows[-1].set_ylabel("phones", rotation=0, ha="right", va="center")
    for start, *_ in spans:
        for axes, colour in ((spectrum, "white"), (rows[-1], "#1f4e79")):
            axes.axvline(start, color=colour, linewidth=0.5, alpha=0.7)
    rows[-1].set(xlabel="seconds", xlim=(0, seconds))
    save(figure, path)


def _draw_waveform(axes: Axes, sound: np.ndarray) -> None:
    """Draw the least and the greatest sample of each of some thousand pieces: what a line through all would show."""
    size = max(1, len(sound) // MAX_POINTS)
    pieces = sound[: len(sound) // size * size].reshape(-1, size)
    seconds = (np.arange(len(pieces)) + 0.5) * size / SAMPLE_RATE
    axes.fill_between(seconds, pieces.min(axis=1), pieces.max(axis=1), color="#1f4e79", linewidth=0.5)
    most = max(float(np.abs(sound).max(initial=0)), 1e-3)
    axes.set(ylim=(-most, most), title="waveform")
    axes.tick_params(labelsize=7)


def _draw_spans(axes: Axes, spans: Sequence[tuple[float, float, float, str]]) -> None:
    """Draw starts and ends in seconds, with a colour by the probability, and texts."""
    for start, end, probability, text in spans:
        confidence = float(np.clip(probability, 0, 1))
        axes.axvspan(start, end, color="#1f4e79", alpha=0.1 + 0.5 * confidence, linewidth=0)
        axes.text((start + end) / 2, 0.5, text, ha="center", va="center", fontsize=8, clip_on=True, parse_math=False)
    axes.set(ylim=(0, 1), yticks=[])


def draw_confusions(counts: Counter[tuple[str, str]], path: Path) -> None:
    """Draw the confusion matrix, as fractions of the occurrences of each phone in the references."""
    names = sorted({name for pair in counts for name in pair} - {""})
    table = np.array([[counts[phone, other] for other in (*names, "")] for phone in (*names, "")], float)
    totals = table.sum(axis=1, keepdims=True)
    totals[-1] = max(table[:-1].sum(), 1)  # insertions: as a fraction of all phones
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(table / np.maximum(totals, 1)), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names) + 1), [*names, "(deleted)"], fontsize=7, rotation=90)
    axes.set_yticks(range(len(names) + 1), [*names, "(inserted)"], fontsize=7)
    axes.set(xlabel="hypothesis", ylabel="reference", title="confusions (square root of the fraction)")
    save(figure, path)


def draw_reliability(probabilities: np.ndarray, is_right: np.ndarray, path: Path) -> None:
    """Draw the accuracy of phones against their probability, `(phones,)` each."""
    bins = reliability(probabilities, is_right)
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    total = sum(count for *_, count in bins)
    for probability, accuracy, count in bins:
        axes.plot(probability, accuracy, "o", color="#1f4e79", markersize=3 + 20 * (count / total) ** 0.5)
    axes.set(xlabel="probability", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title="reliability")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
