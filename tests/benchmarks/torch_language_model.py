"""The peer of `tests.benchmarks.language_model` in torch.nn, controlled through standard input.

It runs in an environment of its own, with torch. The first line is a configuration as JSON; the answer is the number of
parameters. Each further line trains one batch; the answer is its seconds and the loss in nats.
"""

import json
import os
import sys
import time
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class LanguageModel(nn.Module):
    """Token ids `(time, batch)` and a state in, logits `(time, batch, vocab)` and a state out."""

    def __init__(self, words: int, units: int, num_layers: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Embedding(words, units)
        self.lstm = nn.LSTM(units, units, num_layers, dropout=dropout)
        self.decoder = nn.Linear(units, words)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.decoder.weight = self.embedding.weight

    def forward(self, token_ids, state):
        outputs, state = self.lstm(self.dropout(self.embedding(token_ids)), state)
        return self.decoder(self.dropout(outputs)), state


def main() -> None:
    config: dict[str, Any] = json.loads(sys.stdin.readline())
    words, length, batch = config["words"], config["sequence_length"], config["batch_size"]
    torch.manual_seed(config["seed"])
    torch.set_num_threads(os.cpu_count() or 1)
    model = LanguageModel(words, config["units"], config["num_layers"], config["output_dropout"])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=config["learning_rate"])
    odds = 1 / torch.arange(1.0, words + 1)  # Zipf's law
    state = tuple(torch.zeros(config["num_layers"], batch, config["units"]) for _ in "hc")
    # nn.LSTM has a second, redundant bias.
    named = model.named_parameters()
    print(sum(weight.numel() for name, weight in named if "bias_hh" not in name), flush=True)
    for _ in sys.stdin:
        stream = torch.multinomial(odds, (length + 1) * batch, replacement=True).view(length + 1, batch)
        start = time.perf_counter()
        optimizer.zero_grad()
        logits, state = model(stream[:-1], tuple(part.detach() for part in state))
        loss = criterion(logits.view(-1, words), stream[1:].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config["clip_norm"])
        optimizer.step()
        nats = loss.item()
        print(time.perf_counter() - start, nats, flush=True)


if __name__ == "__main__":
    main()
