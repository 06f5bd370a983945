"""Trains the language model.

    python -m tasks.language_model.train                                 # the manual of Python, built in
    python -m tasks.language_model.train penn_treebank                   # two LSTMs, regularised
    python -m tasks.language_model.train wikitext2 --data-dir wikitext-2
    python -m tasks.language_model.train awd --epochs 100 --run long     # any number of `config.py`
    python -m tasks.language_model.train fill                            # words told from both sides, for `fill`
    python -m tasks.language_model.train --corpus book.txt --vocabulary characters

The same command again resumes an interrupted run. The run lies in saved_models/language_model/<run>/.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import TrainingOptions, command, training_arguments
from shared.native.ahead import compile_ahead
from shared.runs import plain_name
from tasks.language_model.config import PRESETS, TASK, Config

if TYPE_CHECKING:
    import numpy as np

    from shared.vocabulary import Vocabulary
    from tasks.language_model.data import WordSampler


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, then reports on the development split."""
    import keras
    import numpy as np

    from shared.errors import UserError
    from shared.losses import mean_nats, told_nats
    from shared.plots import draw_history
    from shared.runs import Run
    from shared.training import Trainer
    from tasks.language_model.data import (
        NORMALISATION,
        WordSampler,
        build_vocabulary,
        fingerprint,
        read_lines,
        to_stream,
    )
    from tasks.language_model.evaluate import Arguments, measure

    keras.utils.set_random_seed(config.seed)
    is_path = config.corpus not in NORMALISATION
    if is_path and options.data_dir:
        raise UserError(f"--data-dir {options.data_dir}: the corpus {config.corpus} is a path itself")
    name = options.run or run_name(config)
    if is_path and Path(config.corpus).exists():
        config = replace(config, corpus=str(Path(config.corpus).resolve()))  # found from any folder
    lines = read_lines(config, "train", options.data_dir)
    vocabulary = build_vocabulary(config, lines)
    stream = to_stream(lines, vocabulary)
    dev = to_stream(read_lines(config, "dev", options.data_dir), vocabulary)
    if len(stream) < config.batch_size:
        raise UserError(
            f"corpus {config.corpus}: {len(stream)} tokens to train on are too few for {config.batch_size} streams;"
            " a smaller --batch-size may help"
        )

    run = Run.create(TASK, name, config, {config.corpus: fingerprint(config, options.data_dir)})
    vocabulary.save(run.path / "vocabulary.json")
    counts = np.bincount(stream, minlength=len(vocabulary))
    sampler = WordSampler(counts, min(config.sampled_words, len(counts))) if config.sampled_words else None
    reads = forwards if config.reads == "forwards" else both_ways
    reader, batches, evaluate = reads(config, vocabulary, stream, dev, sampler)
    reader.model.bias.assign(np.log(np.maximum(counts, 0.1) / len(stream)))  # how frequent words are needs no learning
    print(f"{run.name}: {reader.model.count_params():,} parameters, {len(stream):,} tokens an epoch")
    reader.compile(
        build_optimizer(config), mean_nats, metrics=[keras.metrics.MeanMetricWrapper(told_nats, name="nats_per_token")]
    )

    state = Trainer(
        reader,
        batches,
        run,
        evaluate,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        patience=config.patience,
        kept=reader.model,
        tensorboard=options.tensorboard,
    ).fit()

    draw_history(state.history, ["perplexity", "dev perplexity"], run.path / "plots" / "history.png")
    measure(run, Arguments(data_dir=options.data_dir))
    print(f"trained: {run.path}")


def run_name(config: Config) -> str:
    """That of the corpus, or of its file, in signs that a run's name may have."""
    name = plain_name(Path(config.corpus).resolve().stem, "corpus")
    return name if config.reads == "forwards" else f"{name}_fill"


def forwards(
    config: Config, vocabulary: "Vocabulary", stream: "np.ndarray", dev: "np.ndarray", sampler: "WordSampler | None"
):
    """Reader, batches and evaluation of a model that tells each word from those before it."""
    import numpy as np

    from shared.training import Evaluation
    from tasks.language_model.adapt import READ
    from tasks.language_model.data import StreamBatches
    from tasks.language_model.model import StreamReader, build_model, read_stream

    reader = StreamReader(build_model(config, len(vocabulary)), config.batch_size)
    batches = StreamBatches(
        stream,
        config.batch_size,
        config.length,
        vocabulary.end_id,
        config.seed,
        random_length=config.random_length,
        sampler=sampler,
        reset_chance=config.reset_chance,
    )
    alone, dev_batches = StreamReader(reader.model, 1), StreamBatches(dev, 1, READ, vocabulary.end_id)

    def evaluate() -> Evaluation:
        perplexity = float(np.exp(read_stream(alone, dev_batches).mean()))
        return Evaluation(metrics={"dev perplexity": perplexity}, score=-perplexity)

    return reader, batches, evaluate


def both_ways(
    config: Config, vocabulary: "Vocabulary", stream: "np.ndarray", dev: "np.ndarray", sampler: "WordSampler | None"
):
    """The same of a model that tells blank words from both sides."""
    from shared.training import Evaluation
    from tasks.language_model.data import BlankBatches
    from tasks.language_model.evaluate import measure_blanks
    from tasks.language_model.model import BlankReader, build_fill_model

    reader = BlankReader(build_fill_model(config, len(vocabulary)))
    batches = BlankBatches(
        stream,
        config.batch_size,
        config.length,
        vocabulary.start_id,
        vocabulary.end_id,
        config.blanks,
        config.seed,
        sampler,
    )

    def evaluate() -> Evaluation:
        found = measure_blanks(config, reader.model, dev, vocabulary)
        metrics = {f"dev {name}": value for name, value in found.items()}
        return Evaluation(metrics=metrics, score=-found["perplexity"])

    return reader, batches, evaluate


def build_optimizer(config: Config):
    import keras

    from shared.averaging import AveragedSGD

    options = {"global_clipnorm": config.clip_norm, "weight_decay": config.weight_decay or None}
    if config.schedule == "averaging":
        return AveragedSGD(**options)
    if config.weight_average:
        options |= {"use_ema": True, "ema_momentum": config.weight_average}
    return (keras.optimizers.Adam if config.optimizer == "adam" else keras.optimizers.SGD)(**options)


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "python_manual", "tasks.language_model.train", __doc__)
    compile_ahead(config.cell)
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
