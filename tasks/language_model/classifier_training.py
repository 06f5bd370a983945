"""Trains a classifier as ULMFiT (Howard and Ruder 2018): a language model, then of the texts, then of their labels.

The language model of the texts is a run of its own inside the run of the classifier, `<run>/texts/`, so either part of
the training resumes where it was. When the classifier is trained, upper layers come first and learn faster than lower
ones; its rate rises for `warmup_steps`, at most a tenth of the steps, then falls linearly.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from shared.calibration import fit_temperature, log_softmax
from shared.cli import TrainingOptions
from shared.fine_tuning import pieces
from shared.loaded import Loaded
from shared.losses import mean_nats, output_nats
from shared.optimizers import Adam
from shared.plots import draw_history
from shared.runs import Run
from shared.training import Evaluation, OtherRun, Trainer, load_initial, training_run, weights_as_arrays
from shared.vocabulary import SPECIALS, Vocabulary, WordVocabulary
from tasks.language_model import card
from tasks.language_model.adapt import stream_nats
from tasks.language_model.classification import TextClassifier
from tasks.language_model.classifier import (
    Classifier,
    LabelReader,
    build_classifier,
    keeps_head,
    load_initial_model,
    start_from,
)
from tasks.language_model.classifier_evaluation import measure_labels
from tasks.language_model.config import TASK, Config, find_initial
from tasks.language_model.data import Split, batches_of, to_stream
from tasks.language_model.labelled import (
    LONGEST,
    Texts,
    build_vocabulary,
    check_labels,
    encode,
    fingerprint,
    listed,
    load_texts,
    training_batches,
)
from tasks.language_model.labels import save_labels
from tasks.language_model.model import StreamReader, build_model
from tasks.language_model.plain_words import as_read

ops: Any = keras.ops  # Keras declares no result types for its operations

FEW = 10  # texts of a label


def train_classifier(config: Config, options: TrainingOptions, name: str) -> None:
    """Trains to the end, calibrates the probabilities and measures the best weights on the development split."""
    initial = load_initial(TASK, name, config, find_initial, load_initial_model, card.terms)
    train, dev = (load_texts(config, split, options.data_dir) for split in ("train", "dev"))
    labels = sorted(set(train.labels))
    check_labels(config.dev_corpus or config.corpus, dev.labels, labels)
    vocabulary = build_vocabulary(config, train, initial and initial.loaded.vocabulary)
    batches = training_batches(config, train, vocabulary, labels)

    with training_run(TASK, name, config, fingerprint(config, options.data_dir), initial) as run:
        vocabulary.save(run.path / "vocabulary.json")
        save_labels(run, labels)
        report(train, dev, vocabulary, initial and initial.loaded.vocabulary)
        of_texts = train_on_texts(config, options, run, (train, dev), vocabulary, initial)
        keras.utils.set_random_seed(config.seed)  # the training on texts, unless it was resumed, has used it
        model = build_classifier(config, vocabulary, labels)
        for before in (initial and initial.loaded, of_texts):  # a head, then what the texts have made of the rest
            if before:
                start_from(before, model, vocabulary)
        if initial and isinstance(initial.loaded.model, Classifier):
            print(f"from {initial.run.name}: {fate_of_head(initial.loaded.model, model)}")
        print(f"{run.name}: {model.count_params():,} parameters, {len(train.texts):,} texts, {len(labels)} labels")
        loaded, reader = Loaded(config, vocabulary, model), LabelReader(model)
        nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
        reader.compile(LayeredAdam(config, len(batches)), mean_nats, metrics=[nats])
        trainer = Trainer(
            reader, batches, run, evaluation(loaded, dev), config, model_to_save=model, tensorboard=options.tensorboard
        )
        state = trainer.fit()
        draw_history(state.history, ["dev accuracy"], run.path / "plots" / "history.png")
        calibrate(run, loaded, dev)
        metrics = measure_labels(run, data_dir=options.data_dir, model=loaded)
        label, count = Counter(dev.labels).most_common(1)[0]
        if metrics["accuracy"] <= round(count / len(dev.labels), 4):
            print(f"the label {label} for all texts would be right as often; more texts or --epochs are needed")
    print(f"trained: {run.path}")


def train_on_texts(
    config: Config,
    options: TrainingOptions,
    run: Run,
    texts: Sequence[Texts],
    vocabulary: Vocabulary,
    initial: OtherRun | None,
) -> Loaded[Config, Vocabulary, Any] | None:
    """Trains a language model on the texts of train, in the folder of a run; None if no epochs of it are wanted."""
    if not config.text_epochs:
        return None
    of_texts = replace(config, reads="forwards", epochs=config.text_epochs, weight_average=0.0)
    train, dev = (Split([as_read(text, vocabulary) for text in split.texts], "tokens") for split in texts)
    stream = to_stream(train.lines, vocabulary)
    rows = max(1, min(config.batch_size, len(stream) // config.sequence_length))
    batches = batches_of(replace(of_texts, batch_size=rows), stream, vocabulary)
    with training_run(f"{TASK}/{run.name}", "texts", of_texts, run.config["data"], initial) as run_of_texts:
        vocabulary.save(run_of_texts.path / "vocabulary.json")
        model = build_model(of_texts, vocabulary)
        if initial:
            start_from(initial.loaded, model, vocabulary)
        print(f"{run_of_texts.path}: a language model of {len(stream):,} tokens")
        reader = StreamReader(model, rows)
        nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
        reader.compile(of_texts.build_optimizer(), mean_nats, metrics=[nats])
        dev_stream = to_stream(dev.lines, vocabulary)

        def evaluate() -> Evaluation:
            perplexity = float(np.exp(stream_nats(model, dev_stream, vocabulary.end_id).mean()))
            return Evaluation(metrics={"dev perplexity": perplexity}, score=-perplexity)

        trainer = Trainer(
            reader, batches, run_of_texts, evaluate, of_texts, model_to_save=model, tensorboard=options.tensorboard
        )
        trainer.fit()
    return Loaded(of_texts, vocabulary, model)


def fate_of_head(initial: Classifier, model: Classifier) -> str:
    """Whether the head of the classifier that a training starts from is kept, and why not."""
    if keeps_head(initial, model):
        return f"the same {len(model.labels)} labels, so its head is kept"
    if initial.labels == model.labels:
        return f"its head has {initial.config.head_units} units, so a new one of {model.config.head_units} is trained"
    return f"its labels are {listed(initial.labels)}, so a new head is trained for {listed(model.labels)}"


def evaluation(loaded: Loaded[Config, Vocabulary, Classifier], dev: Texts) -> Callable[[], Evaluation]:
    """The evaluation after each epoch: accuracy on the development split."""
    classifier = TextClassifier(loaded)
    index_of = {label: index for index, label in enumerate(loaded.model.labels)}
    targets = np.array([index_of.get(label, -1) for label in dev.labels])

    def evaluate() -> Evaluation:
        logits = classifier.logits(dev.texts)
        known = np.flatnonzero(targets >= 0)
        nats = -log_softmax(logits)[known, targets[known]].mean() if len(known) else 0.0
        accuracy = float((logits.argmax(axis=-1) == targets).mean())
        tie = min(nats, 1) / (2 * len(targets))  # less than one text counts
        return Evaluation(metrics={"dev accuracy": accuracy, "dev nats": float(nats)}, score=accuracy - float(tie))

    return evaluate


def calibrate(run: Run, loaded: Loaded[Config, Vocabulary, Classifier], dev: Texts) -> None:
    """Sets the temperature of the probabilities to the best one on the development split (Guo et al. 2017)."""
    model = loaded.model
    index_of = {label: index for index, label in enumerate(model.labels)}
    known = [(text, index_of[label]) for text, label in zip(*dev, strict=True) if label in index_of]
    logits = TextClassifier(loaded).logits([text for text, _ in known])
    model.temperature.assign(fit_temperature(logits, np.array([index for _, index in known])))
    run.save_weights(weights_as_arrays(model))
    run.save_model(model)


def report(train: Texts, dev: Texts, vocabulary: Vocabulary, before: Vocabulary | None) -> None:
    """Prints what of the texts the model knows, and what of them is doubtful."""
    ids = encode(train.texts, vocabulary), encode(dev.texts, vocabulary)
    if isinstance(vocabulary, WordVocabulary):
        unknown = [sum(text.count(vocabulary.unknown_id) for text in split) / sum(map(len, split)) for split in ids]
        print(f"unknown words: {unknown[0]:.1%} of the training texts, {unknown[1]:.1%} of the development texts")
        if before is not None:
            known = {word: index for index, word in enumerate(before.table)}
            count = sum(bool(pieces(word, known)) for word in vocabulary.table[len(SPECIALS) :])
            print(f"{len(vocabulary):,} words, {count:,} of them from the language model, or from its pieces of words")
    if cut := sum(len(text) > LONGEST for text in ids[0]):
        print(f"{cut:,} texts have more than {LONGEST} tokens; training reads their first and last ones")
    counts = Counter(train.labels)
    if rare := [label for label in sorted(counts) if counts[label] < FEW]:
        shown = ", ".join(f"{label} {counts[label]}" for label in rare[:FEW])
        print(f"labels with few texts, which are hard to learn: {shown}{' ...' if rare[FEW:] else ''}")
    if absent := sorted(set(dev.labels) - set(train.labels)):
        print(f"labels of the development texts that no training text has: {', '.join(absent[:FEW])}")


class LayeredAdam(Adam):
    """Adam with a rate for each layer; upper layers start first (Howard and Ruder 2018, sections 3.2 and 3.3).

    The head learns from the first step, each layer below from an epoch later on, at the rate of the one above divided
    by `layer_rate_ratio`.

    Args:
        config: the classifier's.
        steps: of an epoch.
    """

    def __init__(self, config: Config, steps: int):
        average = {"use_ema": True, "ema_momentum": config.weight_average} if config.weight_average else {}
        super().__init__(global_clipnorm=config.clip_norm, weight_decay=config.weight_decay or None, **average)
        self.ratio, self.steps, self.layers = config.layer_rate_ratio, steps, config.num_layers

    def build(self, variables):
        super().build(variables)
        self.depths = [self._depth(variable.path.split("/")) for variable in variables]

    def _depth(self, names: list[str]) -> int:
        """0 for the head, 1 for the last recurrent layer, and so on down to the embedding."""
        if "embedding" in names:
            return self.layers + 1
        layer = next((name for name in names if name.startswith("layer_")), None)
        return 0 if layer is None else self.layers - int(layer.removeprefix("layer_"))

    def update_step(self, gradient, variable, learning_rate):
        depth = self.depths[self._get_variable_index(variable)]
        begun = ops.cast(ops.greater_equal(self.iterations, depth * self.steps), learning_rate.dtype)
        super().update_step(gradient, variable, learning_rate * begun * self.ratio**-depth)
