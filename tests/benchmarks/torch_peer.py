"""The peer of `tests.benchmarks.recurrent`: the same steps in torch.nn, controlled through standard input.

It runs in an environment that has only torch. A line `cell batch time units` makes a layer; the answer is `ready`. A
line `train` or `infer` runs one step; the answer is its duration in seconds.
"""

import sys
import time

import torch  # pyright: ignore[reportMissingImports]

KINDS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN, "Bidirectional LSTM": torch.nn.LSTM}


def main() -> None:
    layer = inputs = targets = None
    for line in sys.stdin:
        command = line.strip().split("\t")
        if len(command) == 4:
            cell, (batch, length, units) = command[0], map(int, command[1:])
            both = cell.startswith("Bidirectional")
            layer = KINDS[cell](units, units, batch_first=True, bidirectional=both)
            inputs = torch.randn(batch, length, units, requires_grad=True)
            targets = torch.randn(batch, length, units * (2 if both else 1))
            print("ready", flush=True)
            continue
        start = time.perf_counter()
        if command == ["train"]:
            layer.zero_grad()
            inputs.grad = None
            torch.nn.functional.mse_loss(layer(inputs)[0], targets).backward()
        else:
            with torch.no_grad():
                layer(inputs)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
