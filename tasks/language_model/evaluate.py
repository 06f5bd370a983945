"""Measures a trained language model on a split.

    python -m tasks.language_model.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.language_model.evaluate --cache --dynamic --fit-temperature --split test

Perplexity per token, `</s>` at the end of each line included, in one stream whose state is carried from the first token
to the last. What adapts while it reads (see `adapt.py`) stands beside it under its own name; its settings are fitted to
the beginning of the development split, whichever split is measured. All is added to the run's metrics.json, unless
the run is a released model.
"""

import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.cli import Results, command, parse
from shared.errors import UserError
from shared.runs import Run
from tasks.language_model.config import RELEASED, TASK, Config

if TYPE_CHECKING:
    import numpy as np

    from shared.vocabulary import Vocabulary
    from tasks.language_model.model import FillModel, LanguageModel

FITTED, FITTED_DYNAMIC = 50_000, 10_000  # tokens of the development split that adaptation is fitted to
PROTOCOL = "per token with </s>, one stream, state carried"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    fit_temperature: bool = False
    """Also with the softmax's temperature that fits best."""
    cache: bool = False
    """Also with a neural cache of the words that were read."""
    dynamic: bool = False
    """Also with steps of gradient descent on what was read; takes minutes."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


def perplexities(
    config: Config, model: "LanguageModel", splits: "dict[str, np.ndarray]", start_id: int, options: Arguments
) -> dict[str, Any]:
    """The perplexity of a split's stream, and of each adaptation that is asked for, with the numbers it was given."""
    import numpy as np

    from tasks.language_model.adapt import (
        DynamicReader,
        cached_nats,
        fit_cache,
        fit_temperature,
        read_outputs,
        token_nats,
    )

    def perplexity(nats: Any) -> float:
        return round(float(np.exp(np.mean(nats))), 2)

    stream, dev = splits[options.split], splits["dev"][:FITTED]
    outputs = read_outputs(model, stream, start_id)
    nats = token_nats(model, outputs, stream)
    found: dict[str, Any] = {"perplexity": perplexity(nats)}
    if options.fit_temperature or options.cache:
        dev_outputs = read_outputs(model, dev, start_id)
        if options.fit_temperature:
            temperature = fit_temperature(model, dev_outputs, dev)
            found["perplexity_temperature"] = perplexity(token_nats(model, outputs, stream, temperature))
            found["temperature"] = round(temperature, 4)
        if options.cache:
            cache = fit_cache(dev_outputs, dev, token_nats(model, dev_outputs, dev))
            found["perplexity_cache"] = perplexity(cached_nats(outputs, stream, nats, cache))
            found["cache"] = asdict(cache)
    if options.dynamic:
        reader = DynamicReader(config, model, splits["train"], start_id)
        how = reader.fit(dev[:FITTED_DYNAMIC])
        found["perplexity_dynamic"] = perplexity(reader.mean_nats(stream, how))
        found["dynamic"] = asdict(how)
    return found


def measure_blanks(
    config: Config, model: "FillModel", stream: "np.ndarray", vocabulary: "Vocabulary"
) -> dict[str, float]:
    """Perplexity of blank words, and how often the most probable word, or one of the first five, is the right one."""
    import numpy as np

    from tasks.language_model.data import BlankBatches

    batches = BlankBatches(
        stream, config.batch_size, config.length, vocabulary.start_id, vocabulary.end_id, config.blanks, seed=0
    )
    nats, ranks = [], []
    for number in range(len(batches)):
        inputs, targets = batches[number]
        logits = model.predict_on_batch({name: inputs[name] for name in ("token_ids", "places")})
        of_target = np.take_along_axis(logits, targets[..., None], axis=-1)
        highest = logits.max(axis=-1, keepdims=True)
        nats.append((np.log(np.exp(logits - highest).sum(axis=-1)) + (highest - of_target)[..., 0]).ravel())
        ranks.append((logits > of_target).sum(axis=-1).ravel())
    rank = np.concatenate(ranks)
    return {
        "perplexity": float(np.exp(np.concatenate(nats).mean())),
        "right": float(np.mean(rank < 1)),
        "right in five": float(np.mean(rank < 5)),
    }


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.evaluate", __doc__)
    run = Run.find(options.model, TASK, RELEASED["forwards"])
    config = run.read_config(Config)
    adapts = options.cache or options.dynamic or options.fit_temperature
    if config.reads == "both ways" and adapts:
        raise UserError(f"{run.path}: a model that reads both ways does not adapt while it reads")
    results = Results(options.json, options.output)
    from tasks.language_model import card

    metrics = (_forwards if config.reads == "forwards" else _both_ways)(run, options)
    if not run.is_released:
        run.save_metrics(options.split, metrics)
        card.write(run)
    record = {"run": run.name, "split": options.split} | metrics
    results.write(record, "\n".join(f"{name:<24} {_shown(value)}" for name, value in record.items()))
    results.close()


def _forwards(run: Run, options: Arguments) -> dict[str, Any]:
    import numpy as np

    from tasks.language_model.data import read_lines, to_stream
    from tasks.language_model.model import load_model

    config, vocabulary, model = load_model(run)
    wanted = {options.split, "dev"} | ({"train"} if options.dynamic else set())
    lines = {split: read_lines(config, split, options.data_dir) for split in wanted}
    splits = {split: to_stream(of_split, vocabulary) for split, of_split in lines.items()}
    stream = splits[options.split]
    metrics = {"tokens": len(stream), "unknown": round(float(np.mean(stream == vocabulary.unknown_id)), 4)}
    metrics |= perplexities(config, model, splits, vocabulary.end_id, options)
    if vocabulary.kind != "words":  # what perplexities of other pieces can be compared by
        bits = math.log2(metrics["perplexity"]) * len(stream)
        metrics["bits_per_character"] = round(bits / sum(len(line) + 1 for line in lines[options.split]), 3)
    return metrics | {"protocol": PROTOCOL}


def _both_ways(run: Run, options: Arguments) -> dict[str, Any]:
    from tasks.language_model.data import read_lines, to_stream
    from tasks.language_model.model import load_fill_model

    config, vocabulary, model = load_fill_model(run)
    stream = to_stream(read_lines(config, options.split, options.data_dir), vocabulary)
    found = measure_blanks(config, model, stream, vocabulary)
    return {name: round(value, 4) for name, value in found.items()} | {
        "protocol": f"{config.blanks:.0%} of words blank, told from both sides, {config.length} tokens at a time"
    }


def _shown(value: Any) -> str:
    return " ".join(f"{name} {number:.4g}" for name, number in value.items()) if isinstance(value, dict) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
