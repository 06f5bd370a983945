"""Measures a classifier: accuracy, macro F1, calibration, confusion."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.calibration import calibration_error
from shared.intervals import LEVEL, around, middle
from shared.loaded import Loaded
from shared.runs import Run
from tasks.language_model import card
from tasks.language_model.classification import TextClassifier
from tasks.language_model.classifier import Classifier, load_classifier
from tasks.language_model.config import Config
from tasks.language_model.labelled import CORPORA, check_corpus, check_labels, load_texts

DRAWS = 1000  # of the bootstrap (Efron 1979), which draws as many texts as there are, with replacement
MOST = 20  # pairs of labels that are confused
PROTOCOL = f"most probable label of each text; intervals have {LEVEL} % of {DRAWS:,} bootstrap draws; 10 equal bins"


def measure_labels(
    run: Run,
    split: str = "dev",
    corpus: str | None = None,
    data_dir: Path | None = None,
    model: Loaded[Config, Any, Classifier] | None = None,
) -> dict[str, Any]:
    """The metrics of a classifier on a split; unless it is released, they are saved with it and its card is written.

    Args:
        run: the run.
        split: dev or test.
        corpus: measure all of this table or folder, or the split of a corpus that has a name, instead of the run's.
        data_dir: folder of a copy of the corpus.
        model: the result of `load_classifier`, if it is in memory.

    Raises:
        UserError: the corpus cannot be loaded, differs from the one that the run was trained on, or has none of the
            model's labels.
    """
    loaded = model or load_classifier(run)
    config, part = loaded.config, split if corpus in (None, *CORPORA) else "all"
    if corpus is None:
        check_corpus(run, config, data_dir)
    else:
        config = replace(config, corpus=corpus, dev_corpus="", test_corpus="")
    texts = load_texts(config, part, data_dir)
    check_labels(corpus or getattr(config, f"{part}_corpus") or config.corpus, texts.labels, loaded.model.labels)
    metrics = scores(TextClassifier(loaded), texts.texts, texts.labels) | {"protocol": PROTOCOL}
    name = part if corpus is None else f"{Path(corpus).name} {part}"
    with run.results() as may_write:
        if may_write:
            run.save_metrics(name, metrics)
            card.write(run)
    return {"split": part, **metrics}


def scores(classifier: TextClassifier, texts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The metrics of texts with their true labels; a text without words gets the label that the model has for none."""
    names = classifier.labels
    index_of = {label: index for index, label in enumerate(names)}
    probabilities = np.exp(classifier.log_probs(texts))
    found, highest = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    targets = np.array([index_of.get(label, -1) for label in labels])  # -1: a label that the model does not have
    is_right = found == targets
    reference = np.where(targets < 0, len(names), targets)
    error = calibration_error(highest, is_right)
    errors = of_draws(len(texts), lambda draw: calibration_error(highest[draw], is_right[draw]))
    metrics: dict[str, Any] = {
        "texts": len(texts),
        "accuracy": round(float(is_right.mean()), 4),
        "accuracy_interval": middle(of_draws(len(texts), lambda draw: is_right[draw].mean())),
        "macro_F1": round(macro_f1(found, reference), 4),
        "calibration_error": round(error, 4),
        "calibration_error_interval": around(error, errors),
        "mean_probability": round(float(highest.mean()), 4),
    }
    if strange := int((targets < 0).sum()):
        metrics["texts_with_other_labels"] = strange
    pairs = Counter(zip(labels, (names[index] for index in found), strict=True))
    shown = pairs.most_common(MOST) if len(names) ** 2 > MOST else sorted(pairs.items())
    return metrics | {"confusion": {f"{true} as {guess}": count for (true, guess), count in shown}}


def macro_f1(found: np.ndarray, reference: np.ndarray) -> float:
    """The mean of F1 over the labels that the reference has.

    Args:
        found, reference: indices of labels `(texts,)`.
    """
    values = []
    for label in np.unique(reference):
        right = np.sum((found == label) & (reference == label))
        values.append(2 * right / (np.sum(found == label) + np.sum(reference == label)))
    return float(np.mean(values))


def of_draws(count: int, measure: Callable[[np.ndarray], float]) -> np.ndarray:
    """A measure of drawn texts, given their indices, `(draws,)`."""
    rng = np.random.default_rng(0)
    return np.array([measure(rng.integers(count, size=count)) for _ in range(DRAWS)])
