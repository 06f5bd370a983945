"""Trains the language model.

    python -m tasks.language_model.train                                 # the manual of Python, built in
    python -m tasks.language_model.train penn_treebank                   # two LSTMs, regularised
    python -m tasks.language_model.train wikitext2 --data-dir wikitext-2
    python -m tasks.language_model.train english                         # ordinary English, in subwords
    python -m tasks.language_model.train awd --epochs 100 --run long     # any field of `config.py` is an option
    python -m tasks.language_model.train fill                            # bidirectional, for `fill`
    python -m tasks.language_model.train sst2 --corpus reviews.tsv       # texts and labels, for `classify`
    python -m tasks.language_model.train --corpus book.txt --vocabulary characters
    python -m tasks.language_model.train --from wikitext2 --corpus book.txt --epochs 3

The same command again resumes an interrupted run. The run is written to saved_models/language_model/<run>/.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cli import TrainingOptions, command, training_arguments
from shared.descriptors import descriptor_of
from shared.errors import UserError
from shared.native.precompile import compile_ahead
from shared.runs import safe_name
from tasks.language_model.config import PRESETS, TASK, Config, find_initial

if TYPE_CHECKING:
    import numpy as np

    from shared.loaded import Loaded
    from shared.training import Evaluation
    from shared.vocabulary import Vocabulary
    from tasks.language_model.data import Split


MANY_UNKNOWN = 0.1  # of the development tokens
FEW = 0.01  # development tokens by training token; 0.05 are usual


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, then measures the best weights on the development split."""
    config = with_absolute_path(config, options)
    if config.reads == "for a label":
        from tasks.language_model.classifier_training import train_classifier

        train_classifier(config, options, options.run or run_name(config))
        return
    import keras
    import numpy as np

    from shared.fine_tuning import growth
    from shared.loaded import Loaded
    from shared.losses import mean_nats, output_nats
    from shared.plots import draw_history
    from shared.training import Trainer, load_initial, training_run
    from tasks.language_model import card
    from tasks.language_model.data import build_vocabulary, fingerprint, load_split, to_stream, training_batches
    from tasks.language_model.evaluate import Arguments, measure
    from tasks.language_model.model import BlankReader, StreamReader, build_model, load_model, start_from

    name = options.run or run_name(config)
    initial = load_initial(TASK, name, config, find_initial, load_model, card.terms)
    train_split, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    vocabulary = build_vocabulary(config, train_split, initial and initial.loaded.vocabulary)
    batches = training_batches(config, train_split, vocabulary)

    with training_run(TASK, name, config, fingerprint(config, options.data_dir), initial) as run:
        vocabulary.save(run.path / "vocabulary.json")
        model = build_model(config, vocabulary)
        loaded = Loaded(config, vocabulary, model)
        reader = BlankReader(model) if config.reads == "both ways" else StreamReader(model, config.batch_size)
        if initial:
            start_from(initial.loaded, model, vocabulary)
            print(f"from {initial.run.name}: {growth(initial.loaded.vocabulary, vocabulary)}")
        else:  # from the unigram distribution
            counts = np.bincount(batches.stream, minlength=len(vocabulary))
            model.bias.assign(np.log(np.maximum(counts, 0.1) / len(batches.stream)))
        print(f"{run.name}: {model.count_params():,} parameters, {len(batches.stream):,} tokens an epoch")
        report(config, vocabulary, batches.stream, to_stream(dev.lines, vocabulary, dev.form))
        nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
        reader.compile(config.build_optimizer(), mean_nats, metrics=[nats])

        evaluate = evaluation(loaded, dev)
        trainer = Trainer(reader, batches, run, evaluate, config, model_to_save=model, tensorboard=options.tensorboard)
        state = trainer.fit()
        draw_history(state.history, ["perplexity", "dev perplexity"], run.path / "plots" / "history.png")
        measure(run, Arguments(data_dir=options.data_dir), loaded)
    print(f"trained: {run.path}")


def evaluation(loaded: "Loaded[Config, Any, Any]", dev: "Split") -> "Callable[[], Evaluation]":
    """The evaluation after each epoch: perplexity of the development split, or of its blanks."""
    import numpy as np

    from shared.training import Evaluation
    from tasks.language_model.adapt import READ
    from tasks.language_model.data import StreamBatches, to_stream
    from tasks.language_model.evaluate import measure_blanks
    from tasks.language_model.model import StreamReader, read_stream

    config, vocabulary, model = loaded
    stream = to_stream(dev.lines, vocabulary, dev.form)
    if config.reads == "forwards":
        reader, batches = StreamReader(model, 1), StreamBatches(stream, 1, READ, vocabulary.end_id)

    def evaluate() -> Evaluation:
        if config.reads == "forwards":
            metrics = {"perplexity": float(np.exp(read_stream(reader, batches).mean()))}
        else:
            metrics = measure_blanks(loaded, stream)
        return Evaluation(metrics={f"dev {name}": x for name, x in metrics.items()}, score=-metrics["perplexity"])

    return evaluate


def report(config: Config, vocabulary: "Vocabulary", train: "np.ndarray", dev: "np.ndarray") -> None:
    """Prints the shares of unknown words, and what would be better for a text that does not suit its options."""
    if vocabulary.kind == "words":
        unknown, dev_unknown = ((stream == vocabulary.unknown_id).mean() for stream in (train, dev))
        print(f"unknown words: {unknown:.1%} of the training tokens, {dev_unknown:.1%} of the development tokens")
        if dev_unknown > MANY_UNKNOWN:
            remedy = "--vocabulary subwords or characters knows every word"
            print(f"{dev_unknown:.0%} are many: {remedy if config.reads == 'forwards' else 'more text has fewer'}")
    if len(dev) < FEW * len(train):
        advice = "" if config.dev_corpus else "; --split-by tokens takes 5 %, wherever lines end"
        print(f"{len(dev):,} development tokens are few to choose the best epoch by{advice}")


def with_absolute_path(config: Config, options: TrainingOptions) -> Config:
    """Makes paths of texts absolute, so that the run is valid in any folder; UserError if --data-dir is given."""
    from tasks.language_model.data import NORMALISATION, corpus_path
    from tasks.language_model.labelled import CORPORA

    own = {name: _absolute(Path(path)) for name in ("dev_corpus", "test_corpus") if (path := getattr(config, name))}
    config = replace(config, **own)
    if config.corpus in (*NORMALISATION, *CORPORA):
        return config
    if options.data_dir:
        raise UserError(f"--data-dir {options.data_dir}: the corpus {config.corpus} is a path itself")
    return replace(config, corpus=_absolute(corpus_path(config)))


def _absolute(path: Path) -> str:
    return str(path if not path.exists() or descriptor_of(path) is not None else path.resolve())


def run_name(config: Config) -> str:
    """The name of the corpus, or of its file without suffix."""
    name = safe_name(Path(config.corpus).resolve().stem, "corpus")
    return f"{name}_fill" if config.reads == "both ways" else name


@command
def main(arguments: list[str]) -> None:
    program = "tasks.language_model.train"
    config, options = training_arguments(arguments, PRESETS, "python_manual", program, __doc__, find_initial)
    compile_ahead(config.cell)
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
