"""Times a training step of two LSTM layers: ours beside Keras' own, in turn within one run.

python -m tests.benchmarks.lstm
"""

import time

import keras
import numpy as np

from shared.recurrent import LSTM

SIZES = ((20, 35, 200), (20, 35, 650), (64, 70, 512))  # batch, time, units
STEPS = 7  # of each, in turn; the median counts


def training_step(layer: type[keras.layers.LSTM], batch: int, length: int, units: int):
    """A compiled training step of two layers on fixed data, already run twice."""
    inputs = keras.Input((None, units))
    outputs = layer(units, return_sequences=True)(layer(units, return_sequences=True)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=False)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, length, units), np.float32) for _ in range(2))

    def step() -> float:
        start = time.perf_counter()
        model.train_on_batch(x, y)
        return time.perf_counter() - start

    for _ in range(2):
        step()
    return step


def main() -> None:
    print("| batch, time, units | Keras, ms | ours, ms | ratio | ours, GFLOP/s |\n|---|---|---|---|---|")
    for batch, length, units in SIZES:
        steps = [training_step(layer, batch, length, units) for layer in (keras.layers.LSTM, LSTM)]
        times = np.array([[step() for step in steps] for _ in range(STEPS)])
        stock, ours = np.median(times, axis=0)
        flops = 3 * 2 * 2 * 8 * units**2 * batch * length  # forward and twice backward, two layers, x W and h U
        print(
            f"| {batch}, {length}, {units} | {stock * 1e3:.0f} | {ours * 1e3:.0f} | {stock / ours:.2f} "
            f"| {flops / ours / 1e9:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
