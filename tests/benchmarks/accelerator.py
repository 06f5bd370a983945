"""Times training on the device that is there, beside Keras' own layers and torch with cuDNN; a table, JSON and a plot.

    python -m tests.benchmarks.accelerator [--output FOLDER] [--seconds 330]
    python -m tests.benchmarks.accelerator --draw FOLDER        # the plot alone, where matplotlib is installed

It needs the packages of a training and nothing else, so that it can be carried to a machine with a GPU and no network;
ACCELERATOR.md shows how. Four parts, the most important rows first:

    models      the training step of the language model `awd` and of the recognizer's stack, beside the same in torch
    presets     tokens, frames or images a second of every preset; its compilations
    layers      forward and backward pass of one layer, to the gradients of its weights and its input
    growth      the same with batch and length

Times are medians of rounds in which all peers take turns. Each row is printed and written as soon as it is measured;
rows for which no time is left are counted.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shared.backend import installed_version
from shared.batching import BucketedBatches
from shared.machine import processor_name
from shared.recurrent import GRU, LSTM, ConditionalGRU, SimpleRNN, Stack
from shared.recurrent.mogrifier import MogrifierLSTMCell
from tests.benchmarks import training_steps
from tests.benchmarks.side_by_side import Torch, medians

ops: Any = keras.ops  # Keras declares no result types for its operations

Row = dict[str, Any]
Step = Callable[[], float]  # runs one or several training steps; returns the mean seconds of one

PRECISIONS = {"TF32": "float32", "bfloat16": "mixed_bfloat16", "float32": "float32"}  # name -> policy of Keras
PEERS = ("ours", "Keras", "torch")
SHARES = {"models": 0.25, "presets": 0.6, "layers": 0.85, "growth": 1.0}  # when each part ends, of the whole time
ROUND, MAX_CALLS = 0.05, 50  # seconds that the steps fill that are dispatched and then waited for; how many at most

CELLS: dict[str, Any] = {"SimpleRNN": SimpleRNN, "LSTM": LSTM, "GRU": GRU}
NUM_LAYERS = 3  # of the stack of bidirectional LSTMs
SIZES = ((20, 35, 200), (20, 35, 650), (64, 70, 1024), (32, 400, 256), (1, 200, 512))  # batch, time, units
STACK_SIZES, ATTENTION_SIZES = ((16, 100, 224), (64, 150, 256)), ((64, 17, 256), (256, 17, 256))
GROWTH_CELLS, GROWTH_UNITS = ("LSTM", "GRU"), 256
GROWTH_BATCHES, GROWTH_LENGTHS = (1, 4, 16, 64, 256), (16, 64, 256, 1024)
GROWTH_BATCH, GROWTH_LENGTH = 32, 64  # where the other grows
QUICK: Row = {"units": 8, "batch_size": 2}  # fields of every preset with --quick


@dataclass(frozen=True)
class Report:
    """The rows of all parts; each is printed and written when it is there."""

    folder: Path
    device: Row
    rows: dict[str, list[Row]]
    notes: dict[str, list[str]]  # rows of a part that failed, or for which no time was left

    def add(self, part: str, row: Row) -> None:
        self.rows[part].append(row)
        self._say(part, "  ".join(f"{name} {shown(value)}" for name, value in row.items()))

    def note(self, part: str, text: str) -> None:
        self.notes[part].append(text)
        self._say(part, text)

    def _say(self, part: str, text: str) -> None:
        print(f"{part}: {text}", flush=True)
        found = {"device": self.device, "rows": self.rows, "notes": self.notes}
        (self.folder / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        (self.folder / "results.md").write_text("\n".join(self.tables()))

    def tables(self) -> Iterator[str]:
        """Lines of Markdown."""
        yield f"{described(self.device)}.\n"
        for part, rows in self.rows.items():
            yield f"## {part}\n"
            if rows:
                columns = list(dict.fromkeys(name for row in rows for name in row))
                yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
                yield from (f"| {' | '.join(shown(row.get(name, '')) for name in columns)} |" for row in rows)
                yield ""
            yield from (f"- {text}" for text in self.notes[part])
            yield ""


def described(device: Row) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in device.items())


def shown(value: Any) -> str:
    """A value of a table, numbers with three digits at least."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe_device(torch: Torch | None) -> Row:
    """Names and versions of what is measured: a device, its driver, the processor, the packages."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        cards = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()
    except (OSError, subprocess.CalledProcessError):
        cards = ["no GPU"]
    found: Row = {f"{len(cards)} x {cards[0]}" if len(cards) > 1 else cards[0]: ""}
    found |= {f"{len(os.sched_getaffinity(0))} cores of {processor_name()}": "", "backend": keras.backend.backend()}
    found |= {name: installed_version(name) for name in ("keras", keras.backend.backend())}
    return found | ({"torch": torch.ask("version").strip()} if torch is not None else {})


def on_gpu() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """Within the block, products have the precision of this name; layers made there compute in its type."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[name])
    context = nullcontext()
    if keras.backend.backend() == "jax" and name == "float32":
        import jax

        context = jax.default_matmul_precision("highest")  # JAX's own default is TF32
    try:
        with context:
            yield
    finally:
        keras.config.set_dtype_policy(before)


class Reader(keras.layers.Layer):
    """A recurrent layer with the sequence of its outputs as result: `(batch, time, units)` -> the same shape or twice.

    Args:
        layers: one layer; several, one after the other, for the stack of Keras.
        masked: whether `lengths` make a mask.
    """

    def __init__(self, layers: Sequence[Any], masked: bool = False):
        super().__init__()
        self.inner, self.masked = list(layers), masked

    def build(self, input_shape: Any, lengths_shape: Any = None) -> None:
        for layer in self.inner:
            layer.build(input_shape)
            outputs = layer.compute_output_shape(input_shape)
            input_shape = outputs[0] if isinstance(layer, Stack) else outputs
        self.built = True

    def call(self, inputs: Any, lengths: Any, training: bool = False) -> Any:
        mask = ops.arange(ops.shape(inputs)[1]) < lengths[:, None] if self.masked else None
        for layer in self.inner:
            outputs = layer(inputs, mask=mask, training=training)
            inputs = outputs[0] if isinstance(layer, Stack) else outputs
        return inputs


class AttentionReader(keras.layers.Layer):
    """A conditional GRU over a memory of ones, `(batch, SOURCE, 2 units)`."""

    SOURCE = 16

    def __init__(self, units: int):
        super().__init__()
        self.units, self.layer = units, ConditionalGRU(units, units)

    def build(self, input_shape: Any, lengths_shape: Any = None) -> None:
        self.layer.build(input_shape, (input_shape[0], self.SOURCE, 2 * self.units))
        self.built = True

    def call(self, inputs: Any, lengths: Any, training: bool = False) -> Any:
        batch = ops.shape(inputs)[0]
        memory = ops.ones((batch, self.SOURCE, 2 * self.units), inputs.dtype)
        mask, state = ops.ones((batch, self.SOURCE), "bool"), ops.zeros((batch, self.units), inputs.dtype)
        return self.layer(inputs, memory, self.layer.keys(memory), mask, state, training=training).states


def reader(cell: str, peer: str, units: int) -> keras.layers.Layer | None:
    """The layer of a row of the grid; None if Keras has no such layer."""
    if cell == "conditional GRU":
        return AttentionReader(units) if peer == "ours" else None
    if cell == "Mogrifier LSTM":
        keras_layer = keras.layers.RNN(MogrifierLSTMCell(units), return_sequences=True)
        return Reader([Stack("mogrifier_lstm", units) if peer == "ours" else keras_layer])
    if cell == "BiLSTM stack":
        both = [keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True)) for _ in range(NUM_LAYERS)]
        return Reader([Stack("lstm", units, NUM_LAYERS, bidirectional=True)] if peer == "ours" else both, masked=True)
    kind = CELLS[cell] if peer == "ours" else getattr(keras.layers, cell)
    return Reader([kind(units, return_sequences=True)])


def gradients_of(layer: Any, inputs: Any, lengths: Any) -> Callable[[], Any]:
    """A function that dispatches forward and backward pass, to the gradients of the weights and of the inputs."""
    layer.build(inputs.shape, lengths.shape)
    inputs, lengths = ops.convert_to_tensor(inputs, layer.compute_dtype), ops.convert_to_tensor(lengths)
    if keras.backend.backend() == "jax":
        import jax

        def loss(weights: Any, inputs: Any, others: Any) -> Any:
            outputs, _ = layer.stateless_call(weights, others, inputs, lengths, training=True)
            return ops.mean(ops.square(ops.cast(outputs, "float32")))

        gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
        weights, others = ([x.value for x in xs] for xs in (layer.trainable_variables, layer.non_trainable_variables))
        return lambda: gradients(weights, inputs, others)
    import tensorflow as tf

    @tf.function(jit_compile=False)
    def tensorflow_gradients(inputs: Any, lengths: Any) -> Any:
        weights = [weight.value for weight in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, lengths, training=True)
            loss = tf.reduce_mean(tf.square(tf.cast(outputs, "float32")))
        return tape.gradient(loss, [inputs, *weights])

    return lambda: tensorflow_gradients(inputs, lengths)


def timed(dispatch: Callable[[], Any]) -> Callable[[int], float]:
    """The mean seconds of a call of a function, from a number of calls that are dispatched together."""

    def step(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            result = dispatch()
        wait_for(result)
        return (time.perf_counter() - start) / calls

    return step


def wait_for(result: Any) -> None:
    """Waits until the device has computed a result."""
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready(result)
    else:
        keras.tree.map_structure(lambda tensor: tensor.numpy(), result)


def warmed_up(step: Callable[[int], float]) -> tuple[Step, int]:
    """A step with the number of calls that fill a round, and that number."""
    step(1)
    calls = max(1, min(MAX_CALLS, round(ROUND / step(1))))
    return lambda: step(calls), calls


@dataclass(frozen=True)
class Bench:
    """What all parts share: the report, torch's process if there is one, and how long to measure."""

    report: Report
    torch: Torch | None
    ends: float  # of `time.monotonic`
    seconds: float
    quick: bool

    def medians(self, steps: dict[str, Step]) -> dict[str, float]:
        return medians(steps, 1 if self.quick else 15, 2, 1 if self.quick else 3)

    def torch_step(self, request: Row) -> tuple[Step, int]:
        """A step of the peer in torch, and its number of parameters."""
        assert self.torch is not None
        answer = self.torch.ask(json.dumps(request))
        if not answer:
            raise RuntimeError("torch's process has ended")
        return lambda: float(self.torch.ask("step")), int(answer)

    def measure(self, part: str, jobs: Sequence[tuple[Callable[..., Row], tuple[Any, ...]]]) -> None:
        """Adds a row for each job until the part's time is over; a job that fails is noted."""
        end = self.ends - (1 - SHARES[part]) * self.seconds
        for i, (job, arguments) in enumerate(jobs):
            if time.monotonic() > end:
                self.report.note(part, f"no time was left for {len(jobs) - i} more rows")
                break
            try:
                self.report.add(part, job(self, *arguments))
            except Exception as error:  # one row must not cost the others, on a machine that is lent for minutes
                reason = " ".join(str(error).split())[:200]
                self.report.note(part, f"{', '.join(map(str, arguments))} failed: {type(error).__name__}: {reason}")


def compared(seconds: dict[str, float]) -> Row:
    """Columns: milliseconds of each peer, and the time of the others divided by ours."""
    row: Row = {f"{peer}, ms": seconds[peer] * 1e3 for peer in PEERS if peer in seconds}
    return row | {f"{peer} / ours": seconds[peer] / seconds["ours"] for peer in PEERS[1:] if peer in seconds}


def falling_lengths(batch: int, longest: int) -> np.ndarray:
    """Lengths of the sequences of a batch, int32 `(batch,)`, that fall evenly to half of the longest."""
    return np.linspace(longest, max(1, longest // 2), batch).astype(np.int32)


def torch_type(precision: str) -> Row:
    return {"dtype": "bfloat16" if precision == "bfloat16" else "float32", "tf32": precision == "TF32"}


def layer_row(bench: Bench, cell: str, size: tuple[int, int, int], precision: str) -> Row:
    """Forward and backward pass of one layer; the sequences of a stack have different lengths."""
    batch, length, units = size
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((batch, length, units)).astype(np.float32)
    lengths = falling_lengths(batch, length)
    steps: dict[str, Step] = {}
    repeats = 1
    with precision_of(precision):
        for peer in PEERS[:2]:
            layer = reader(cell, peer, units)
            if layer is not None:
                steps[peer], repeats = warmed_up(timed(gradients_of(layer, inputs, lengths)))
        if bench.torch is not None:
            request: Row = {"peer": "layer", "cell": cell, "batch": batch, "time": length, "units": units}
            request |= {"layers": NUM_LAYERS if cell == "BiLSTM stack" else 1, "repeats": repeats}
            request |= {"source": AttentionReader.SOURCE} | torch_type(precision)
            request |= {"lengths": lengths.tolist()} if cell == "BiLSTM stack" else {}
            steps["torch"], _ = bench.torch_step(request)
        seconds = bench.medians(steps)
    row: Row = {"layer": cell, "batch": batch, "time": length, "units": units, "precision": precision}
    return row | compared(seconds)


def language_model_row(bench: Bench, batch_size: int, precision: str) -> Row:
    """A step of the language model `awd` with batches of one length."""
    fields: Row = {"batch_size": batch_size, "random_length": False}
    fields |= {"units": 8, "embedding_units": 8, "sequence_length": 5} if bench.quick else {}
    with precision_of(precision):
        training = training_steps.build("language_model", "awd", **fields)
        config, words = training.model.model.config, training.model.model.vocabulary_size
        request = vars(config) | {"peer": "language_model", "words": words, "widths": config.widths}
        row: Row = {"model": "language model `awd`", "batch": batch_size, "time": config.sequence_length}
        return row | {"precision": precision} | model_columns(bench, training, request | torch_type(precision))


class StackTraining(keras.Model):
    """The recognizer's stack alone, with the mean square of its outputs at real steps as loss."""

    def __init__(self, stack: Stack):
        super().__init__()
        self.stack, self.built = stack, True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """The loss, repeated `(batch,)`; inputs: `frames` `(batch, time, features)` and `lengths` `(batch,)`."""
        frames, lengths = inputs["frames"], inputs["lengths"]
        mask = ops.arange(ops.shape(frames)[1]) < lengths[:, None]
        outputs = ops.cast(self.stack(frames, mask=mask, training=training)[0], "float32")
        total = ops.sum(ops.where(mask[..., None], ops.square(outputs), 0.0))
        count = ops.cast(ops.sum(lengths), "float32") * outputs.shape[-1]
        return ops.broadcast_to(total / count, ops.shape(lengths))


def stack_row(bench: Bench, preset: str, batch_size: int, length: int, precision: str) -> Row:
    """A step of the stack of a recognizer: its widths, layers, dropout and optimizer, and true lengths."""
    from shared.losses import mean_nats, output_nats
    from tasks.phoneme_recognizer.config import PRESETS
    from tasks.phoneme_recognizer.model import front_widths

    config = replace(PRESETS[preset], **({"units": 8} if bench.quick else {}))
    features, rng = front_widths(config)[-1], np.random.default_rng(0)
    lengths = falling_lengths(batch_size, length)
    frames = rng.standard_normal((batch_size, length, features)).astype(np.float32)

    def make_batch(*_: Any) -> Any:
        return {"frames": frames, "lengths": lengths}, np.zeros(batch_size, np.float32)

    with precision_of(precision):
        stack = Stack(config.cell, config.units, config.num_layers, bidirectional=True, dropout=config.dropout)
        stack.build((None, None, features))
        model: Any = StackTraining(stack)
        nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
        model.compile(config.build_optimizer(), mean_nats, metrics=[nats])
        examples = [length] * batch_size * training_steps.BATCHES
        batches = BucketedBatches(examples, batch_size, make_batch, config.seed)
        training = training_steps.Training(model, batches, lambda _: int(lengths.sum()))
        request = vars(config) | {"peer": "stack", "features": features, "lengths": lengths.tolist()}
        row: Row = {"model": f"stack of `{preset}`", "batch": batch_size, "time": length, "precision": precision}
        return row | model_columns(bench, training, request | torch_type(precision))


def model_columns(bench: Bench, training: training_steps.Training, request: Row) -> Row:
    """Columns of a model beside the same in torch; both read the loss once for all steps of a round."""
    steps: dict[str, Step] = {}
    steps["ours"], calls = warmed_up(training.step)
    if bench.torch is not None:
        steps["torch"], parameters = bench.torch_step(request | {"repeats": calls * len(training.chosen)})
        if parameters != training.parameters:
            raise ValueError(f"{training.parameters:,} parameters, but {parameters:,} in torch")
    return compared(bench.medians(steps))


def preset_row(bench: Bench, task: str, preset: str, precision: str) -> Row:
    """Speed of the call with the batch of median length, and what the calls of an epoch compile."""
    with precision_of(precision):
        training = training_steps.build(task, preset, **(QUICK if bench.quick else {}))
        step, _ = warmed_up(training.step)
        compiled = training.steps.seconds / training.steps.compilations
        seconds = bench.medians({"ours": step})["ours"]
    row: Row = {"task": task, "preset": preset, "precision": precision, "parameters": f"{training.parameters:,}"}
    row |= {"batch": len(training.chosen[0][1]), "a step": f"{training.units:,.0f} {training_steps.UNITS[task]}"}
    row |= {"ms a step": seconds * 1e3, "a second": f"{training.units / seconds:,.0f}"}
    row |= {"steps a call": len(training.batches) / len(training.calls), "compilations": training.compilations}
    return row | {"s a compilation": compiled}


def growth_row(bench: Bench, cell: str, batch: int, length: int, precision: str) -> Row:
    """A row for the plot."""
    return layer_row(bench, cell, (batch, length, 8 if bench.quick else GROWTH_UNITS), precision)


def jobs_of(quick: bool, precisions: Sequence[str]) -> dict[str, list[Any]]:
    """The rows of each part, the most important first: a function and its arguments."""
    first = precisions[0]
    presets = [name for names in itertools.zip_longest(*presets_by_task()) for name in names if name]
    cells = [*CELLS, "Mogrifier LSTM"]
    if quick:
        presets = [name[0] for name in presets_by_task()]
        sizes = [(cell, (2, 3, 4)) for cell in (*cells, "BiLSTM stack", "conditional GRU")]
        models = [(language_model_row, (2, first)), (stack_row, ("speechocean762", 2, 5, first))]
        growth = [("LSTM", 2, 3), ("LSTM", GROWTH_BATCH, 4)]
    else:
        sizes = [("BiLSTM stack", size) for size in STACK_SIZES] + [
            ("conditional GRU", size) for size in ATTENTION_SIZES
        ]
        sizes += [(cell, size) for size in SIZES for cell in cells if cell != "Mogrifier LSTM" or size[-1] < 1000]
        models = [
            job
            for precision in precisions
            for job in (
                (language_model_row, (20, precision)),
                (language_model_row, (64, precision)),
                (stack_row, ("speechocean762", 16, 100, precision)),
                (stack_row, ("timit", 64, 150, precision)),
            )
        ]
        growth = [(cell, batch, GROWTH_LENGTH) for batch in GROWTH_BATCHES for cell in GROWTH_CELLS]
        growth += [(cell, GROWTH_BATCH, length) for length in GROWTH_LENGTHS for cell in GROWTH_CELLS]
    return {
        "models": models,
        "presets": [(preset_row, (*name, first)) for name in presets],
        "layers": [(layer_row, (*size, precision)) for precision in precisions for size in sizes],
        "growth": [(growth_row, (*point, first)) for point in growth],
    }


def presets_by_task() -> list[list[tuple[str, str]]]:
    return [[(task, preset) for preset in presets] for task, presets in training_steps.PRESETS.items()]


def draw(folder: Path) -> None:
    """Draws growth.png from results.json: time of a step by batch and by length, a line for each peer."""
    from matplotlib.figure import Figure

    from shared.plots import save

    rows = json.loads((folder / "results.json").read_text())["rows"]["growth"]
    cells = list(dict.fromkeys(row["layer"] for row in rows))
    figure = Figure(figsize=(4.2 * max(len(cells), 1), 5.6), layout="constrained")
    panels = figure.subplots(2, max(len(cells), 1), sharey="row", squeeze=False)
    fixed_length, fixed_batch = rows[0]["time"], rows[-1]["batch"]
    for column, cell in enumerate(cells):
        for axes, varied, fixed, at in zip(
            panels[:, column], ("batch", "time"), ("time", "batch"), (fixed_length, fixed_batch), strict=True
        ):
            points = sorted((row for row in rows if row["layer"] == cell and row[fixed] == at), key=lambda r: r[varied])
            for peer, color in zip(PEERS, ("#1f4e79", "#b9b9b9", "#d9a066"), strict=True):
                known = [(row[varied], row[f"{peer}, ms"]) for row in points if f"{peer}, ms" in row]
                if known:
                    axes.plot(*zip(*known, strict=True), marker=".", color=color, label=peer)
            axes.set(xscale="log", yscale="log", xlabel=varied, title=f"{cell} of {rows[0]['units']}, {fixed} {at}")
            axes.set_xticks([row[varied] for row in points], [str(row[varied]) for row in points])
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[:, 0]:
        axes.set(ylabel="ms, forward and backward")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save(figure, folder / "growth.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("OUT", "accelerator"))
    parser.add_argument("--output", type=Path, default=default, help="folder of the results (default: $OUT)")
    parser.add_argument("--seconds", type=float, default=330, help="time for all rows; those left are not measured")
    parser.add_argument("--parts", nargs="*", choices=SHARES, default=list(SHARES))
    parser.add_argument("--precisions", nargs="*", choices=PRECISIONS, help="default: all on a GPU, else float32")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: whether it runs")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="draw the plot of earlier results")
    options = parser.parse_args(arguments)
    if options.draw is not None:
        draw(options.draw)
        return

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs memory of the same device
    precisions = options.precisions or (list(PRECISIONS) if on_gpu() else ["float32"])
    options.output.mkdir(parents=True, exist_ok=True)
    parts = [part for part in SHARES if part in options.parts]
    torch = None if options.no_torch else Torch.start("torch_accelerator.py")
    device = describe_device(torch)
    report = Report(options.output, device, {part: [] for part in parts}, {part: [] for part in parts})
    print(described(device), flush=True)
    ends = time.monotonic() + options.seconds
    bench = Bench(report, torch, ends, options.seconds, options.quick)
    jobs = jobs_of(options.quick, precisions)
    for part in parts:
        bench.measure(part, jobs[part])
    if report.rows.get("growth"):
        try:
            draw(options.output)
        except ModuleNotFoundError as error:
            print(f"no plot ({error}); --draw {options.output} draws it where matplotlib is installed")


if __name__ == "__main__":
    main(sys.argv[1:])
