"""A language model trained in seconds on a few sentences, for all tests of this package."""

from dataclasses import dataclass, replace

import pytest

import shared.runs
from datasets.python_manual import python_manual_dataset_builder
from shared.cli import TrainingOptions
from shared.runs import Run
from tasks.language_model.config import PYTHON_MANUAL, Config
from tasks.language_model.train import train

CONFIG = replace(
    PYTHON_MANUAL, units=12, embedding_units=12, batch_size=3, length=7, epochs=6, learning_rate=0.02, warmup_steps=2
)


def sentences() -> list[str]:
    """Each unlike the others, all of them made alike."""
    return [f"the {one} {verb} the {other} ." for one in NOUNS for verb in VERBS for other in NOUNS if one != other]


NOUNS, VERBS = ("cat", "dog", "cow", "hen", "fox"), ("sees", "likes", "feeds", "hears")


@dataclass(frozen=True)
class Trained:
    run: Run
    config: Config


@pytest.fixture(scope="package")
def small_manual(tmp_path_factory):
    """A few sentences stand for the manual while the package runs, and `saved_models` lie elsewhere."""
    folder = tmp_path_factory.mktemp("language_model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        patch.setenv("QUATRAIN_PREPARED", str(folder / "prepared"))
        patch.setattr(python_manual_dataset_builder, "paragraphs", sentences)
        yield folder / "saved_models" / "language_model"


@pytest.fixture(scope="package")
def trained(small_manual) -> Trained:
    """A run named `tiny`."""
    train(CONFIG, TrainingOptions(run="tiny"))
    return Trained(Run(small_manual / "tiny"), CONFIG)
