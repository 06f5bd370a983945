"""The peers of `tests.benchmarks.accelerator` in torch.nn, on a GPU through cuDNN, controlled by standard input.

It runs in an environment with torch and NumPy alone. A line of JSON describes a peer; the answer is its number of
parameters, without torch's redundant biases. To each line `step` it runs some training steps and answers with the mean
seconds of one. The loss is read once for all of them. To `version` it answers with those of torch and cuDNN.

Mixed precision keeps weights, optimizer and loss in float32; products and recurrent layers are in bfloat16.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.utils.rnn import pack_padded_sequence  # pyright: ignore[reportMissingImports]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REDUNDANT = "bias_hh"  # torch has two biases where Keras has one; of a GRU's, the candidate's part is not redundant


def normal(*shape: int):
    return torch.randn(*shape, device=DEVICE)


class MogrifierLSTM(nn.Module):
    """An LSTM whose input and state gate each other before each step (Melis et al. 2020, section 2)."""

    ROUNDS = 5

    def __init__(self, features: int, units: int):
        super().__init__()
        self.cell = nn.LSTMCell(features, units)
        sizes = [(units, features) if i % 2 == 0 else (features, units) for i in range(self.ROUNDS)]
        self.gates = nn.ModuleList([nn.Linear(*size, bias=False) for size in sizes])

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.cell.hidden_size)
        outputs = []
        for step in x.unbind(1):
            for i, gate in enumerate(self.gates):
                if i % 2 == 0:
                    step = 2 * torch.sigmoid(gate(h)) * step
                else:
                    h = 2 * torch.sigmoid(gate(step)) * h
            h, c = self.cell(step, (h, c))
            outputs.append(h)
        return torch.stack(outputs, 1), None


class ConditionalGRU(nn.Module):
    """Two GRUs with attention to a memory between them, `shared.recurrent.conditional`."""

    def __init__(self, features: int, units: int, source: int):
        super().__init__()
        self.source, self.units = source, units
        self.first, self.second = nn.GRUCell(features, units), nn.GRUCell(2 * units, units)
        self.keys, self.query = nn.Linear(2 * units, units, bias=False), nn.Linear(units, units)
        self.score = nn.Linear(units, 1, bias=False)

    def forward(self, x):
        memory, state = x.new_ones(len(x), self.source, 2 * self.units), x.new_zeros(len(x), self.units)
        keys, states = self.keys(memory), []
        for step in x.unbind(1):
            middle = self.first(step, state)
            weights = torch.softmax(self.score(torch.tanh(keys + self.query(middle)[:, None]))[..., 0], dim=-1)
            state = self.second((weights[:, None] @ memory)[:, 0], middle)
            states.append(state)
        return torch.stack(states, 1), None


def layer(request: dict[str, Any]) -> tuple[nn.Module, Callable[[], Any]]:
    """A recurrent layer: forward and backward pass to the gradients of its weights and its input."""
    cell, batch, length, units = (request[name] for name in ("cell", "batch", "time", "units"))
    dtype = getattr(torch, request["dtype"])
    options = {"num_layers": request["layers"], "batch_first": True}
    if cell == "Mogrifier LSTM":
        made: Any = MogrifierLSTM(units, units)
    elif cell == "conditional GRU":
        made = ConditionalGRU(units, units, request["source"])
    elif cell == "BiLSTM stack":
        made = nn.LSTM(units, units, bidirectional=True, **options)
    else:
        made = {"SimpleRNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}[cell](units, units, **options)
    made = made.to(DEVICE, dtype)
    inputs = normal(batch, length, units).to(dtype).requires_grad_()
    lengths = torch.tensor(request["lengths"]) if "lengths" in request else None

    def step():
        made.zero_grad()
        inputs.grad = None
        packed = inputs if lengths is None else pack_padded_sequence(inputs, lengths, batch_first=True)
        outputs = made(packed)[0]
        loss = (outputs if lengths is None else outputs.data).float().square().mean()
        loss.backward()
        return loss

    return made, step


def locked_dropout(x, rate: float):
    """Dropout of `(batch, time, units)` with one mask for all steps of a sequence."""
    return x * nn.functional.dropout(torch.ones_like(x[:, :1]), rate)


class LanguageModel(nn.Module):
    """AWD-LSTM (Merity et al. 2018): token ids `(batch, time)` and states in, outputs before and after dropout."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config, widths = config, config["widths"]
        self.embedding = nn.Embedding(config["words"], config["embedding_units"])
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        sizes = zip([config["embedding_units"], *widths[:-1]], widths, strict=True)
        self.layers = nn.ModuleList([nn.LSTM(*size, batch_first=True) for size in sizes])
        self.bias = nn.Parameter(torch.zeros(config["words"]))

    def forward(self, token_ids, states, dtype):
        config = self.config
        kept = nn.functional.dropout(token_ids.new_ones(config["words"], 1, dtype=dtype), config["embedding_dropout"])
        x = self.embedding(token_ids).to(dtype) * kept[token_ids]
        rates = [config["input_dropout"], *[config["layer_dropout"]] * (len(self.layers) - 1)]
        last = []
        for lstm, rate, state in zip(self.layers, rates, states, strict=True):
            dropped = nn.functional.dropout(lstm.weight_hh_l0, config["weight_drop"])
            weights = [lstm.weight_ih_l0, dropped, lstm.bias_ih_l0, lstm.bias_hh_l0]
            # What `nn.LSTM.forward` calls, with the dropped weights: has_biases, num_layers, dropout, ...
            x, *state = torch.lstm(
                locked_dropout(x, rate), state, [w.to(dtype) for w in weights], True, 1, 0.0, True, False, True
            )
            last.append([part.detach() for part in state])
        return x, locked_dropout(x, config["output_dropout"]), last


def language_model(request: dict[str, Any]) -> tuple[nn.Module, Callable[[], Any]]:
    """A training step of the language model: loss with both penalties, clipping, SGD with averages of the weights."""
    words, batch, length = (request[name] for name in ("words", "batch_size", "sequence_length"))
    dtype = getattr(torch, request["dtype"])
    model = LanguageModel(request).to(DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, weight_decay=request["weight_decay"])
    weights = list(model.parameters())
    averages = [weight.detach().clone() for weight in weights]
    states = [[torch.zeros(1, batch, width, device=DEVICE, dtype=dtype) for _ in "hc"] for width in request["widths"]]
    token_ids = torch.randint(words, (batch, length + 1), device=DEVICE)

    def step():
        nonlocal states
        optimizer.zero_grad()
        plain, outputs, states = model(token_ids[:, :-1], states, dtype)
        logits = (outputs @ model.embedding.weight.to(dtype).T).float() + model.bias
        loss = nn.functional.cross_entropy(logits.view(-1, words), token_ids[:, 1:].reshape(-1))
        penalties = request["activation_penalty"] * outputs.float().square().mean()
        penalties += request["temporal_penalty"] * (plain[:, 1:] - plain[:, :-1]).float().square().mean()
        (loss + penalties).backward()
        nn.utils.clip_grad_norm_(weights, request["clip_norm"])
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1.0)
        return loss

    return model, step


def recognizer_stack(request: dict[str, Any]) -> tuple[nn.Module, Callable[[], Any]]:
    """A training step of the recognizer's stack on packed sequences: mean square, clipping, Adam, weight averages."""
    lengths, dtype = torch.tensor(request["lengths"]), getattr(torch, request["dtype"])
    options = {"num_layers": request["num_layers"], "dropout": request["dropout"], "bidirectional": True}
    model = nn.LSTM(request["features"], request["units"], batch_first=True, **options).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=DEVICE == "cuda")
    weights = list(model.parameters())
    averages = [weight.detach().clone() for weight in weights]
    inputs = normal(len(lengths), int(lengths.max()), request["features"])

    def step():
        optimizer.zero_grad()
        dropped = locked_dropout(inputs, request["dropout"]).to(dtype)
        packed = pack_padded_sequence(dropped, lengths, batch_first=True)
        if dtype == torch.float32:
            outputs = model(packed)[0].data
        else:  # the weights are cast in the graph, so that gradients and optimizer are in float32
            zeros = inputs.new_zeros(2 * request["num_layers"], len(lengths), request["units"], dtype=dtype)
            cast = [weight.to(dtype) for weight in model._flat_weights]
            options = True, request["num_layers"], request["dropout"], True, True
            outputs = torch.lstm(packed.data, packed.batch_sizes, [zeros, zeros], cast, *options)[0]
        loss = outputs.float().square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, request["clip_norm"])
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - request["weight_average"])
        return loss

    return model, step


def count(model: nn.Module) -> int:
    """Parameters without the redundant biases of torch's LSTM."""
    return sum(weight.numel() for name, weight in model.named_parameters() if REDUNDANT not in name)


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    step = None
    repeats = 1
    for line in sys.stdin:
        if line.strip() == "version":
            print(f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}", flush=True)
            continue
        if line.strip() == "step":
            start = time.perf_counter()
            for _ in range(repeats):
                loss = step()
            loss.item()  # waits for the device
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            print((time.perf_counter() - start) / repeats, flush=True)
            continue
        request = json.loads(line)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["tf32"]
        torch.manual_seed(0)
        repeats = request["repeats"]
        model, step = {"layer": layer, "language_model": language_model, "stack": recognizer_stack}[request["peer"]](
            request
        )
        for _ in range(2):
            step().item()
        print(count(model), flush=True)


if __name__ == "__main__":
    main()
