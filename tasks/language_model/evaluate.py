"""Measures a trained language model on a split.

    python -m tasks.language_model.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.language_model.evaluate --cache --dynamic --fit-temperature --split test
    python -m tasks.language_model.evaluate --corpus book.txt

Perplexity per token, `</s>` at the end of each line included, in one stream whose state is carried from the first token
to the last. Tokens of subwords and characters are no words: their bits per byte, and the perplexity per word (separated
by white space) and end of line, are comparable between models. Adaptive evaluation (`adapt.py`) is reported beside the
static one, each method under its own name, and a cache with dynamic evaluation if both are asked for; the settings are
fitted to the start of the development split. For a bidirectional model: the perplexity of masked words, and how often
the word is the most probable one. For a classifier: accuracy, macro F1, calibration error, confusion of labels. With
`--corpus`, all of a file or folder is measured, or a split of another corpus. The metrics are added to the run's
metrics.json, unless the run is a released model.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.cli import EvaluationOptions, command, parse
from shared.errors import UserError
from shared.runs import Run
from tasks.language_model.config import Config, find_run

if TYPE_CHECKING:
    import numpy as np

    from shared.loaded import Loaded
    from tasks.language_model.data import Split

FITTED, FITTED_DYNAMIC = 50_000, 10_000  # tokens of the development split for fitting
PROTOCOL = "per token with </s>, one stream, state carried"


@dataclass(frozen=True, kw_only=True)
class Arguments(EvaluationOptions):
    corpus: str | None = None
    """Text file, folder or corpus to measure on; default: the run's. All of a file or folder is measured."""
    fit_temperature: bool = False
    """Also report the perplexity with a fitted softmax temperature."""
    cache: bool = False
    """Also report the perplexity with a neural cache of previous words."""
    dynamic: bool = False
    """Also report dynamic evaluation, gradient descent on the text so far; takes minutes."""


def measure(run: Run, options: Arguments, model: "Loaded[Config, Any, Any] | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; unless the run is released, they are saved with it and its card is written.

    Args:
        model: the result of `load_model`, if it is in memory.

    Raises:
        UserError: the corpus cannot be loaded, or differs from the one that the run was trained on.
    """
    if run.read_config(Config).reads == "for a label":
        from tasks.language_model.classifier_evaluation import measure_labels

        return measure_labels(run, options.split, options.corpus, options.data_dir, model)
    from tasks.language_model import card
    from tasks.language_model.data import check_corpus, load_split, to_stream
    from tasks.language_model.model import load_model

    loaded = model or load_model(run)
    config, (part, name) = loaded.config, part_and_name(options)
    if options.corpus is None or _adapts(options):  # the corpus of the run is read
        check_corpus(run, config, None if options.corpus else options.data_dir)
    corpus = {} if options.corpus is None else {"corpus": options.corpus, "dev_corpus": "", "test_corpus": ""}
    text = load_split(replace(config, **corpus), part, options.data_dir)

    def stream(split: str) -> "np.ndarray":
        """Of the run's corpus."""
        of_run = load_split(config, split, None if options.corpus else options.data_dir)
        return to_stream(of_run.lines, loaded.vocabulary, of_run.form)

    metrics: dict[str, Any]
    if config.reads == "forwards":
        metrics = _measure_causal(loaded, options, text, stream)
    else:
        measured = to_stream(text.lines, loaded.vocabulary, text.form)
        metrics = {metric: round(value, 4) for metric, value in measure_blanks(loaded, measured).items()}
        metrics["protocol"] = (
            f"{config.blank_fraction:.0%} of words masked, segments of {config.sequence_length} tokens"
        )
    with run.results() as may_write:
        if may_write:
            known = run.load_metrics().get(name, {})
            if known.get("perplexity") == metrics["perplexity"]:  # the same weights: earlier metrics are still valid
                metrics = known | metrics
            run.save_metrics(name, metrics)
            card.write(run)
    return {"split": part, **metrics}


def part_and_name(options: Arguments) -> tuple[str, str]:
    """The part of the corpus that is measured, and the name of its metrics."""
    from tasks.language_model.data import NORMALISATION

    if options.data_dir and options.corpus not in (None, *NORMALISATION):
        raise UserError(
            f"--corpus {options.corpus} is a text itself; --data-dir was expected with a known corpus alone"
        )
    part = options.split if options.corpus in (None, *NORMALISATION) else "all"
    return part, part if options.corpus is None else f"{Path(options.corpus).name} {part}"


def _adapts(options: Arguments) -> bool:
    """Whether settings are fitted to the run's corpus."""
    return options.cache or options.dynamic or options.fit_temperature


def _measure_causal(
    loaded: "Loaded[Config, Any, Any]", options: Arguments, text: "Split", stream_of: "Callable[[str], np.ndarray]"
) -> dict[str, Any]:
    """The metrics of a text; `stream_of` gives the splits that adaptive evaluation is fitted to."""
    import numpy as np

    from tasks.language_model import adapt
    from tasks.language_model.data import to_stream

    config, vocabulary, model = loaded
    stream = to_stream(text.lines, vocabulary, text.form)
    nats = adapt.stream_nats(model, stream, vocabulary.end_id)
    metrics: dict[str, Any] = {
        "tokens": len(stream),
        "unknown": round(float(np.mean(stream == vocabulary.unknown_id)), 4),
        "perplexity": _perplexity(nats),
    }
    if vocabulary.kind != "words":  # comparable between models with other tokens
        bits = float(nats.sum() / np.log(2))
        metrics["bits_per_character"] = round(bits / sum(len(line) + 1 for line in text.lines), 3)
        metrics["bits_per_byte"] = round(bits / sum(len(line.encode(errors="replace")) + 1 for line in text.lines), 3)
        metrics["word_perplexity"] = _perplexity(nats.sum() / sum(len(line.split()) + 1 for line in text.lines))
    if options.fit_temperature or options.cache:
        dev = stream_of("dev")[:FITTED]
        dev_outputs, outputs = (adapt.read_outputs(model, text, vocabulary.end_id) for text in (dev, stream))
        if options.fit_temperature:
            temperature = adapt.fit_temperature(model, dev_outputs, dev)
            metrics["perplexity_temperature"] = _perplexity(adapt.token_nats(model, outputs, stream, temperature))
            metrics["temperature"] = _rounded(temperature)
        if options.cache:
            cache = adapt.fit_cache(dev_outputs, dev, adapt.token_nats(model, dev_outputs, dev))
            metrics["perplexity_cache"] = _perplexity(adapt.cached_nats(outputs, stream, nats, cache))
            metrics["cache"] = {name: _rounded(value) for name, value in asdict(cache).items()}
    if options.dynamic:
        reader = adapt.DynamicReader(config, model, stream_of("train"), vocabulary)
        dev = stream_of("dev")[:FITTED_DYNAMIC]
        settings = reader.fit(dev)
        outputs, nats = reader.read(stream, settings)
        metrics["perplexity_dynamic"] = _perplexity(nats)
        metrics["dynamic"] = {name: _rounded(value) for name, value in asdict(settings).items()}
        if options.cache:
            dev_outputs, dev_nats = reader.read(dev, settings)
            cache = adapt.fit_cache(dev_outputs, dev, dev_nats)
            metrics["perplexity_dynamic_cache"] = _perplexity(adapt.cached_nats(outputs, stream, nats, cache))
            metrics["dynamic_cache"] = {name: _rounded(value) for name, value in asdict(cache).items()}
    return metrics | {"protocol": PROTOCOL}


def measure_blanks(loaded: "Loaded[Config, Any, Any]", stream: "np.ndarray") -> dict[str, float]:
    """Perplexity of masked words, and the fractions of them that are the most probable prediction, or in the top 5.

    Args:
        stream: token ids, int32 `(tokens,)`.
    """
    import numpy as np

    from tasks.language_model.data import BlankBatches

    config, nats, ranks = loaded.config, [], []
    sizes = config.batch_size, config.sequence_length
    for inputs, targets in BlankBatches(stream, *sizes, loaded.vocabulary, config.blank_fraction, seed=0):
        logits = loaded.model.predict_on_batch({name: inputs[name] for name in ("token_ids", "blank_indices")})
        target_logits = np.take_along_axis(logits, targets[..., None], axis=-1)
        highest = logits.max(axis=-1, keepdims=True)
        nats.append((np.log(np.exp(logits - highest).sum(axis=-1)) + (highest - target_logits)[..., 0]).ravel())
        ranks.append((logits > target_logits).sum(axis=-1).ravel())
    rank = np.concatenate(ranks)
    return {
        "perplexity": float(np.exp(np.concatenate(nats).mean())),
        "right": float(np.mean(rank < 1)),
        "right_in_five": float(np.mean(rank < 5)),
    }


def _perplexity(nats: Any) -> float:
    """exp of the mean, rounded to 2 decimals, or to 4 if it is below 10."""
    import numpy as np

    perplexity = float(np.exp(np.mean(nats)))
    return round(perplexity, 2 if perplexity >= 10 else 4)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.evaluate", __doc__)
    run = find_run(options.model, reads=None)
    config = run.read_config(Config)
    if _adapts(options) and config.reads != "forwards":
        raise UserError(f"{run.path}: adaptive evaluation needs a causal model")
    import datasets

    corpora = [options.corpus or config.corpus, config.dev_corpus, config.test_corpus]
    commands.evaluate(options, run, measure, corpora=datasets.user_paths(corpora, options.data_dir))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
