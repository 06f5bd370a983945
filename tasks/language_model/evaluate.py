"""Measures a trained language model on a split.

    python -m tasks.language_model.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.language_model.evaluate --cache --dynamic --fit-temperature --split test

Perplexity per token, `</s>` at the end of each line included, in one stream whose state is carried from the first token
to the last. What adapts while it reads (see `adapt.py`) stands beside it under its own name; its settings are fitted to
the beginning of the development split, whichever split is measured. Of a model that reads both ways: the perplexity of
words made blank, and how often the word itself is found. All is added to the run's metrics.json, unless the run is a
released model.
"""

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
    from tasks.language_model.model import FillModel

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


def measure(run: Run, options: Arguments) -> dict[str, Any]:
    """The numbers of a run on a split; kept with the run, and its card written, unless it is a released model.

    Raises:
        UserError: the corpus cannot be had, or is not the one that the run was trained on.
    """
    from tasks.language_model import card
    from tasks.language_model.data import check_corpus

    config = run.read_config(Config)
    check_corpus(run, config, options.data_dir)
    metrics = (_forwards if config.reads == "forwards" else _both_ways)(run, options)
    if not run.is_released:
        known = run.load_metrics().get(options.split, {})
        if known.get("perplexity") == metrics["perplexity"]:  # the same weights: what was measured before still holds
            metrics = known | metrics
        run.save_metrics(options.split, metrics)
        card.write(run)
    return metrics


def _forwards(run: Run, options: Arguments) -> dict[str, Any]:
    import numpy as np

    from tasks.language_model.adapt import (
        DynamicReader,
        cached_nats,
        fit_cache,
        fit_temperature,
        read_outputs,
        stream_nats,
        token_nats,
    )
    from tasks.language_model.data import read_lines, to_stream
    from tasks.language_model.model import load_model

    config, vocabulary, model = load_model(run)

    def stream_of(split: str) -> np.ndarray:
        return to_stream(read_lines(config, split, options.data_dir), vocabulary)

    stream = stream_of(options.split)
    nats = stream_nats(model, stream, vocabulary.end_id)
    found: dict[str, Any] = {
        "tokens": len(stream),
        "unknown": round(float(np.mean(stream == vocabulary.unknown_id)), 4),
        "perplexity": _perplexity(nats),
    }
    if vocabulary.kind != "words":  # what models of other pieces can be compared by
        characters = sum(len(line) + 1 for line in read_lines(config, options.split, options.data_dir))
        found["bits_per_character"] = round(float(nats.sum() / np.log(2) / characters), 3)
    if options.fit_temperature or options.cache:
        dev = stream_of("dev")[:FITTED]
        dev_outputs, outputs = (read_outputs(model, text, vocabulary.end_id) for text in (dev, stream))
        if options.fit_temperature:
            temperature = fit_temperature(model, dev_outputs, dev)
            found["perplexity_temperature"] = _perplexity(token_nats(model, outputs, stream, temperature))
            found["temperature"] = _rounded(temperature)
        if options.cache:
            cache = fit_cache(dev_outputs, dev, token_nats(model, dev_outputs, dev))
            found["perplexity_cache"] = _perplexity(cached_nats(outputs, stream, nats, cache))
            found["cache"] = {name: _rounded(number) for name, number in asdict(cache).items()}
    if options.dynamic:
        reader = DynamicReader(config, model, stream_of("train"), vocabulary.end_id)
        how = reader.fit(stream_of("dev")[:FITTED_DYNAMIC])
        found["perplexity_dynamic"] = _perplexity(reader.mean_nats(stream, how))
        found["dynamic"] = {name: _rounded(number) for name, number in asdict(how).items()}
    return found | {"protocol": PROTOCOL}


def _both_ways(run: Run, options: Arguments) -> dict[str, Any]:
    from tasks.language_model.data import read_lines, to_stream
    from tasks.language_model.model import load_fill_model

    config, vocabulary, model = load_fill_model(run)
    stream = to_stream(read_lines(config, options.split, options.data_dir), vocabulary)
    found = measure_blanks(config, model, stream, vocabulary)
    return {name: round(value, 4) for name, value in found.items()} | {
        "protocol": f"{config.blanks:.0%} of words blank, told from both sides, {config.length} tokens at a time"
    }


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
        "right_in_five": float(np.mean(rank < 5)),
    }


def _perplexity(nats: Any) -> float:
    """exp of the mean, to what is worth telling: 2 decimals, or 4 digits of a small one."""
    import numpy as np

    perplexity = float(np.exp(np.mean(nats)))
    return round(perplexity, 2 if perplexity >= 10 else 4)


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.evaluate", __doc__)
    run = Run.find(options.model, TASK, RELEASED["forwards"])
    adapts = options.cache or options.dynamic or options.fit_temperature
    if adapts and run.read_config(Config).reads == "both ways":
        raise UserError(f"{run.path}: a model that reads both ways does not adapt while it reads")
    results = Results(options.json, options.output)
    record = {"run": run.name, "split": options.split} | measure(run, options)
    results.write(record, "\n".join(f"{name:<24} {_shown(value)}" for name, value in record.items()))
    results.close()


def _shown(value: Any) -> str:
    return " ".join(f"{name} {number:.4g}" for name, number in value.items()) if isinstance(value, dict) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
