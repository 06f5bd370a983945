"""Times a training step of an LSTM against length, batch, units and vocabulary; writes GROWTH.md.

    python -m tests.benchmarks.growth [--no-torch]

Also draws docs/recurrent_growth.png. The slope of a line is the exponent of its growth over the upper half of its
points: 1 if twice the length takes twice the time. Against the vocabulary, the step is that of a language model: the
LSTM, the logits and the cross-entropy.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from shared.losses import token_nats
from shared.plots import save
from tests.benchmarks.recurrent import layer, steps_of, timed, torch_steps_of
from tests.benchmarks.side_by_side import HERE, Torch, circumstances, medians, processor, write_results

COLOURS = {"Keras": "#b9b9b9", "torch": "#d9a066", "ours": "#1f4e79"}  # in the order of the columns
POINTS = {
    "length": (16, 32, 64, 128, 256, 512, 1024),
    "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "units": (32, 64, 128, 256, 512, 1024),
    "vocabulary": (1000, 2000, 4000, 8000, 16_000, 32_000),
}
FIXED = {"batch": 16, "length": 64, "units": 256}
VOCABULARY_UNITS = 128  # little beside the logits
SECONDS = 4  # of a point

Lines = dict[str, dict[int, float]]  # seconds by peer and point


def language_model_step(ours: bool, vocabulary: int) -> Callable[[], float]:
    """A training step of a language model without its embedding; it returns its duration in seconds."""
    shape = FIXED["batch"], FIXED["length"]
    lstm, output = layer("LSTM", ours, VOCABULARY_UNITS), keras.layers.Dense(vocabulary)
    output(lstm(keras.Input((None, VOCABULARY_UNITS))))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((*shape, VOCABULARY_UNITS), np.float32))
    token_ids = tf.constant(rng.integers(0, vocabulary, shape, np.int32))
    nats = token_nats if ours else partial(keras.ops.sparse_categorical_crossentropy, from_logits=True)

    @tf.function(jit_compile=False)
    def train(x, token_ids):
        weights = [weight.value for part in (lstm, output) for weight in part.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)  # as for the layer below
            loss = tf.reduce_mean(nats(token_ids, output(lstm(x, training=True))))
        return tape.gradient(loss, [x, *weights])

    return timed(lambda: train(x, token_ids))


def steps_at(varied: str, point: int, torch: Torch | None) -> dict[str, Callable[[], float]]:
    """The training step of each peer."""
    if varied == "vocabulary":
        return {"Keras": language_model_step(False, point), "ours": language_model_step(True, point)}
    size = FIXED | {varied: point}
    shape = size["batch"], size["length"], size["units"]
    steps = {name: steps_of(layer("LSTM", name == "ours", shape[-1]), *shape, ["train"]) for name in ("Keras", "ours")}
    if torch is not None:
        steps["torch"] = torch_steps_of(torch, "LSTM", *shape)
    return {name: of_peer["train"] for name, of_peer in steps.items()}


def measure(torch: Torch | None) -> dict[str, Lines]:
    """The lines of each panel."""
    found: dict[str, Lines] = {}
    for varied, points in POINTS.items():
        for point in points:
            seconds = medians(steps_at(varied, point, torch), max_seconds=SECONDS, min_rounds=3)
            for peer, median in seconds.items():
                found.setdefault(varied, {}).setdefault(peer, {})[point] = median
            print(varied, point, {peer: f"{median * 1e3:.1f} ms" for peer, median in seconds.items()}, flush=True)
    return found


def slope(line: Mapping[int, float]) -> float:
    """The exponent of growth over the upper half of the points: the slope of a straight line in logarithms."""
    points = sorted(line)[len(line) // 2 :]
    return float(np.polyfit(np.log(points), np.log([line[point] for point in points]), 1)[0])


def table(found: Mapping[str, Lines]) -> list[str]:
    """A row for each panel and peer: its slope, and milliseconds at each point."""
    rows = []
    for varied, lines in found.items():
        points = POINTS[varied]
        rows += ["", f"| {varied} | slope | {' | '.join(f'{point:,}' for point in points)} |"]
        rows.append("|---" * (len(points) + 2) + "|")
        for peer in COLOURS:
            if line := lines.get(peer):
                shown = " | ".join(f"{line[point] * 1e3:.1f}" for point in points)
                rows.append(f"| {peer}, ms | {slope(line):.2f} | {shown} |")
    return rows


def draw(found: Mapping[str, Lines]) -> Figure:
    """A panel for each of `found`, a line for each peer, and its slope at its end."""
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (varied, lines) in zip(panels, found.items(), strict=True):
        for peer, line in lines.items():
            points = sorted(line)
            milliseconds = [line[point] * 1e3 for point in points]
            label = f"{peer}, slope {slope(line):.2f}"
            axes.plot(points, milliseconds, marker=".", color=COLOURS[peer], label=label)
        fixed = VOCABULARY_UNITS if varied == "vocabulary" else FIXED["units"]
        others = {**FIXED, "units": fixed}
        title = ", ".join(f"{name} {value}" for name, value in others.items() if name != varied)
        axes.set(xscale="log", yscale="log", xlabel=varied)
        axes.set_title(title, fontsize="medium")
        axes.set_xticks(POINTS[varied][::2], [f"{point:,}" for point in POINTS[varied][::2]])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    figure.axes[0].set(ylabel="ms, training step")
    return figure


def main() -> None:
    torch = None if "--no-torch" in sys.argv else Torch.start("torch_peer.py")
    found = measure(torch)
    figure = draw(found)
    figure.suptitle(processor(), fontsize="medium")
    save(figure, HERE.parents[1] / "docs" / "recurrent_growth.png")
    write_results(HERE / "GROWTH.md", "Growth of a training step of an LSTM", [circumstances(torch), *table(found)])


if __name__ == "__main__":
    main()
