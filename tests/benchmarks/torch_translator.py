"""The peer of `tests.benchmarks.translator`: the same model and step in torch.nn, controlled by standard input.

It runs in an environment with torch and NumPy alone. To the first line, a configuration as JSON, it answers with the
number of parameters; for each further line it trains a batch and answers with the time in seconds and the loss in nats.
"""

import json
import os
import sys
import time
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


def sequence_dropout(x, rate: float):
    """Dropout of `(batch, time, units)` with one mask for all steps of a sequence."""
    return x * nn.functional.dropout(torch.ones_like(x[:, :1]), rate)


class Translator(nn.Module):
    """Ids `(batch, source)` and `(batch, target)` -> logits `(batch, target, vocab)` and attention."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        width, units = config["embedding_units"], config["units"]
        self.embedding = nn.Embedding(config["words"], width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.encoder = nn.GRU(width, units, batch_first=True, bidirectional=True)
        self.keys, self.query = nn.Linear(2 * units, units, bias=False), nn.Linear(units, units)
        self.score = nn.Linear(units, 1, bias=False)
        self.first, self.second = nn.GRUCell(width, units), nn.GRUCell(2 * units, units)
        self.begin = nn.Linear(2 * units, units)
        self.by_state, self.by_token = nn.Linear(units, units, bias=False), nn.Linear(width, units, bias=False)
        self.by_context, self.to_embedding = nn.Linear(2 * units, units), nn.Linear(units, width)
        self.lexicon = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(config["words"]))

    def forward(self, source_ids, target_ids):
        config = self.config
        words = sequence_dropout(self.embedding(source_ids), config["embedding_dropout"])
        memory = sequence_dropout(self.encoder(words)[0], config["memory_dropout"])
        keys, state = self.keys(memory), torch.tanh(self.begin(memory.mean(1)))
        inputs = sequence_dropout(self.embedding(target_ids), config["embedding_dropout"])
        states, contexts, weights = [], [], []
        for step in inputs.unbind(1):
            middle = self.first(step, state)
            scores = self.score(torch.tanh(keys + self.query(middle)[:, None]))
            weights.append(torch.softmax(scores[..., 0], dim=-1))
            contexts.append((weights[-1][:, None] @ memory)[:, 0])
            state = self.second(contexts[-1], middle)
            states.append(state)
        states, contexts, weights = (torch.stack(parts, 1) for parts in (states, contexts, weights))
        outputs = torch.tanh(self.by_state(states) + self.by_token(inputs) + self.by_context(contexts))
        lexical = torch.tanh(weights @ words)
        outputs = self.to_embedding(outputs) + lexical + torch.tanh(self.lexicon(lexical))
        outputs = sequence_dropout(outputs, config["output_dropout"])
        return outputs @ self.embedding.weight.T + self.bias, weights


def count(model: nn.Module) -> int:
    """Parameters without the redundant biases of torch's cells."""
    redundant = sum(2 * weight.numel() // 3 for name, weight in model.named_parameters() if name.endswith("d.bias_hh"))
    redundant += sum(2 * weight.numel() // 3 for name, weight in model.named_parameters() if name == "first.bias_hh")
    return sum(weight.numel() for weight in model.parameters()) - redundant


def main() -> None:
    config: dict[str, Any] = json.loads(sys.stdin.readline())
    batch, source, target = config["batch_size"], config["source_length"], config["target_length"]
    torch.manual_seed(config["seed"])
    torch.set_num_threads(os.cpu_count() or 1)
    model = Translator(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    weights = list(model.parameters())
    averages = [weight.detach().clone() for weight in weights]
    print(count(model), flush=True)
    for _ in sys.stdin:
        sources, targets = (torch.randint(4, config["words"], (batch, length)) for length in (source, target))
        alignment = torch.full((batch, target, source), 1 / source)
        start = time.perf_counter()
        optimizer.zero_grad()
        logits, attention = model(sources, targets)
        flat, labels = logits.view(-1, config["words"]), targets.view(-1)
        loss = nn.functional.cross_entropy(flat, labels, label_smoothing=config["label_smoothing"])
        attention_loss = -(alignment * torch.log(attention.clamp_min(1e-6))).sum() / alignment.sum()
        (loss + config["alignment_weight"] * attention_loss).backward()
        nn.utils.clip_grad_norm_(weights, config["clip_norm"])
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - config["weight_average"])
        nats = nn.functional.cross_entropy(flat.detach(), labels).item()
        print(time.perf_counter() - start, nats, flush=True)


if __name__ == "__main__":
    main()
