"""Plots: the recognition of a sound, confusions, and reliability."""

from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from shared.features import FRAMES_PER_SECOND
from shared.phones import PhoneVocabulary
from shared.plots import save
from tasks.phoneme_recognizer.inference import Recognition
from tasks.phoneme_recognizer.scoring import reliability

INCHES_PER_SECOND, MIN_WIDTH, MAX_WIDTH = 3.0, 5.0, 60.0  # widths in inches


def draw_recognition(
    bands: np.ndarray, posteriors: np.ndarray, vocabulary: PhoneVocabulary, recognition: Recognition, path: Path
) -> None:
    """Draw log-mel energies `(frames, mels)`, posteriors `(frames, vocab)`, silence first, and phones of a sound."""
    seconds = max(recognition.seconds, 1e-3)
    width = min(max(seconds * INCHES_PER_SECOND, MIN_WIDTH), MAX_WIDTH)
    figure = Figure(figsize=(width, 7.0), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 5, 1))
    span = 0, len(bands) / FRAMES_PER_SECOND
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    top.imshow(bands.T, extent=(*span, 0, bands.shape[1]), cmap="magma", **shown)
    top.set(ylabel="band", title="spectrum")
    seen = np.flatnonzero(posteriors.max(axis=0) > 0.1) if len(posteriors) else np.array([0])
    rows = posteriors[:, seen].T
    middle.imshow(rows, extent=(*span, -0.5, len(seen) - 0.5), cmap="Greys", vmin=0, vmax=1, **shown)
    middle.set_yticks(range(len(seen)), [vocabulary.table[i] or "silence" for i in seen], fontsize=7)
    middle.set(title="probability of each phone")
    for phone in recognition.phones:
        confidence = float(np.clip(phone.probability, 0, 1))
        bottom.axvspan(phone.start, phone.end, color="#1f4e79", alpha=0.1 + 0.5 * confidence, linewidth=0)
        bottom.text((phone.start + phone.end) / 2, 0.5, phone.phone, ha="center", va="center", fontsize=8)
        for axes in (top, bottom):
            axes.axvline(phone.start, color="white" if axes is top else "#1f4e79", linewidth=0.5, alpha=0.7)
    bottom.set(ylim=(0, 1), yticks=[], xlabel="seconds", xlim=(0, seconds))
    save(figure, path)


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
