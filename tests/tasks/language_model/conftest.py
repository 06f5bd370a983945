"""A language model trained in seconds on generated sentences, for all tests of this package."""

from dataclasses import dataclass, replace

import pytest

import shared.runs
from datasets.python_manual import python_manual_dataset_builder
from shared.cli import TrainingOptions
from shared.runs import Run
from tasks.language_model.config import PYTHON_MANUAL, Config
from tasks.language_model.train import train

CONFIG = replace(
    PYTHON_MANUAL,
    units=12,
    embedding_units=12,
    batch_size=3,
    sequence_length=7,
    epochs=6,
    learning_rate=0.02,
    warmup_steps=2,
)
NOUNS, VERBS = ("cat", "dog", "cow", "hen", "fox"), ("sees", "likes", "feeds", "hugs")


def sentences() -> list[str]:
    """Distinct sentences of one pattern."""
    return [f"the {one} {verb} the {other} ." for one in NOUNS for verb in VERBS for other in NOUNS if one != other]


@dataclass(frozen=True)
class Trained:
    run: Run
    config: Config


@pytest.fixture(scope="package")
def small_manual(tmp_path_factory):
    """Replaces the text of `python_manual` and the folder of runs; yields the folder of this task's runs."""
    folder = tmp_path_factory.mktemp("language_model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        patch.setenv("QUATRAIN_PREPARED", str(folder / "prepared"))
        patch.setattr(python_manual_dataset_builder, "paragraphs", sentences)
        yield folder / "saved_models" / "language_model"


@pytest.fixture(scope="package")
def trained(small_manual) -> Trained:
    """A causal run named `tiny`."""
    train(CONFIG, TrainingOptions(run="tiny"))
    return Trained(Run(small_manual / "tiny"), CONFIG)


@pytest.fixture(scope="package")
def bidirectional(small_manual) -> Run:
    """A bidirectional run named `fill`."""
    config = replace(CONFIG, reads="both ways", num_layers=2, epochs=60, patience=60, batch_size=8, sequence_length=12)
    train(config, TrainingOptions(run="fill"))
    return Run(small_manual / "fill")


def labelled_rows() -> list[tuple[str, str]]:
    """The sentences with a label that the verb decides."""
    return [(text, "warm" if "likes" in text or "hugs" in text else "plain fact") for text in sentences()]


@pytest.fixture(scope="package")
def classifier(trained, small_manual) -> Trained:
    """A classifier named `labels`, which starts from the run `tiny`."""
    table = small_manual.parent / "verbs.tsv"
    table.write_text("".join(f"{text}\t{label}\n" for text, label in labelled_rows()))
    config = replace(
        trained.config,
        reads="for a label",
        corpus=str(table),
        initial_run="tiny",
        min_count=1,
        batch_size=8,
        text_epochs=1,
        epochs=8,
        patience=8,
        schedule="slanted",
        layer_rate_ratio=1.5,
        input_dropout=0.0,
        output_dropout=0.1,
        learning_rate=0.05,
    )
    train(config, TrainingOptions(run="labels"))
    return Trained(Run(small_manual / "labels"), config)
