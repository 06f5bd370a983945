"""Trains the language model.

    python -m tasks.language_model.train                                 # the manual of Python, built in
    python -m tasks.language_model.train penn_treebank                   # two LSTMs, regularised
    python -m tasks.language_model.train wikitext2 --data-dir wikitext-2
    python -m tasks.language_model.train awd --epochs 100 --run long     # any number of `config.py`
    python -m tasks.language_model.train --corpus book.txt --vocabulary characters

The same command again resumes an interrupted run. The run lies in saved_models/language_model/<run>/.
"""

import sys
from pathlib import Path

from shared.cli import TrainingOptions, command, training_arguments
from tasks.language_model.config import PRESETS, TASK, Config


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, then reports on the development split."""
    import keras
    import numpy as np

    from shared.errors import UserError
    from shared.plots import draw_history
    from shared.runs import Run
    from shared.training import Evaluation, Trainer
    from tasks.language_model.adapt import stream_nats
    from tasks.language_model.data import (
        StreamBatches,
        WordSampler,
        build_vocabulary,
        fingerprint,
        read_lines,
        to_stream,
    )
    from tasks.language_model.model import StreamReader, build_model, mean_nats, nats_per_token

    keras.utils.set_random_seed(config.seed)
    name = options.run or Path(config.corpus).stem
    run = Run.create(TASK, name, config, {config.corpus: fingerprint(config, options.data_dir)})

    lines = read_lines(config, "train", options.data_dir)
    vocabulary = build_vocabulary(config, lines)
    vocabulary.save(run.path / "vocabulary.json")
    dev = to_stream(read_lines(config, "dev", options.data_dir), vocabulary)

    stream = to_stream(lines, vocabulary)
    if len(stream) < config.batch_size or not len(dev):
        raise UserError(
            f"{config.corpus}: {len(stream)} tokens to train on and {len(dev)} to measure with are too few for"
            f" {config.batch_size} streams; a smaller --batch-size may help"
        )
    counts = np.bincount(stream, minlength=len(vocabulary))
    model = build_model(config, len(vocabulary))
    model.bias.assign(np.log(np.maximum(counts, 0.1) / len(stream)))  # how frequent words are needs no learning
    reader = StreamReader(model, config.batch_size)
    reader.compile(build_optimizer(config), mean_nats, metrics=[nats_per_token])

    def evaluate() -> Evaluation:
        perplexity = float(np.exp(stream_nats(model, dev, vocabulary.end_id).mean()))
        return Evaluation(metrics={"dev perplexity": perplexity}, score=-perplexity)

    state = Trainer(
        reader,
        StreamBatches(
            stream,
            config.batch_size,
            config.length,
            vocabulary.end_id,
            config.seed if config.random_length else None,
            WordSampler(counts, min(config.sampled_words, len(counts))) if config.sampled_words else None,
            config.reset_chance,
        ),
        run,
        evaluate,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        patience=config.patience,
        kept=model,
        tensorboard=options.tensorboard,
    ).fit()

    draw_history(state.history, ["perplexity", "dev perplexity"], run.path / "plots" / "history.png")
    print(f"trained: {run.path}")


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
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
