"""Pictures of what a recognizer hears and mistakes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from shared.features import FRAMES_PER_SECOND
from shared.plots import save
from tasks.phoneme_recognizer.recognition import Recognition
from tasks.phoneme_recognizer.scoring import reliability

INCHES_PER_SECOND, LEAST, MOST = 3.0, 5.0, 60.0  # width of a picture of sound


def draw_recognition(
    bands: np.ndarray, posteriors: np.ndarray, phones: Sequence[str], recognition: Recognition, path: Path
) -> None:
    """Spectrogram, posteriorgram and phones of a sound, one above the other.

    Args:
        bands: (frames, mels), natural logarithms of energy.
        posteriors: (frames, phones + 1), of silence and of each phone, at the same frames.
        phones: their names, without silence.
        recognition: what was recognized.
        path: where to write the picture.
    """
    seconds = max(recognition.seconds, 1e-3)
    width = min(max(seconds * INCHES_PER_SECOND, LEAST), MOST)
    figure = Figure(figsize=(width, 7.0), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(3, 5, 1))
    span = 0, len(bands) / FRAMES_PER_SECOND
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    above.imshow(bands.T, extent=(*span, 0, bands.shape[1]), cmap="magma", **shown)
    above.set(ylabel="band", title="spectrum")
    seen = np.flatnonzero(posteriors.max(axis=0) > 0.1) if len(posteriors) else np.array([0])
    rows = posteriors[:, seen].T
    middle.imshow(rows, extent=(*span, -0.5, len(seen) - 0.5), cmap="Greys", vmin=0, vmax=1, **shown)
    middle.set_yticks(range(len(seen)), [("silence", *phones)[number] for number in seen], fontsize=7)
    middle.set(title="probability of each phone")
    for phone in recognition.phones:
        confidence = float(np.clip(phone.probability, 0, 1))
        below.axvspan(phone.start, phone.end, color="#1f4e79", alpha=0.1 + 0.5 * confidence, linewidth=0)
        below.text((phone.start + phone.end) / 2, 0.5, phone.phone, ha="center", va="center", fontsize=8)
        for axes in (above, below):
            axes.axvline(phone.start, color="white" if axes is above else "#1f4e79", linewidth=0.5, alpha=0.7)
    below.set(ylim=(0, 1), yticks=[], xlabel="seconds", xlim=(0, seconds))
    save(figure, path)


def draw_confusions(counts: Counter[tuple[str, str]], path: Path) -> None:
    """What each phone was taken for, as shares of how often it was said; the darker, the more."""
    names = sorted({name for pair in counts for name in pair} - {""})
    table = np.array([[counts[ours, theirs] for theirs in (*names, "")] for ours in (*names, "")], float)
    said = table.sum(axis=1, keepdims=True)
    said[-1] = max(table[:-1].sum(), 1)  # put in: as a share of all that was said
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(table / np.maximum(said, 1)), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names) + 1), [*names, "nothing"], fontsize=7, rotation=90)
    axes.set_yticks(range(len(names) + 1), [*names, "nothing"], fontsize=7)
    axes.set(xlabel="recognized", ylabel="said", title="what phones were taken for (root of the share)")
    save(figure, path)


def draw_reliability(probabilities: np.ndarray, right: np.ndarray, path: Path) -> None:
    """How often phones are right, by the probability that was told of them."""
    bins = reliability(probabilities, right)
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    total = sum(count for *_, count in bins)
    for told, held, count in bins:
        axes.plot(told, held, "o", color="#1f4e79", markersize=3 + 20 * (count / total) ** 0.5)
    axes.set(xlabel="probability told", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02), title="reliability")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
