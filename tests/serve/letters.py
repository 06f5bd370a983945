"""A server of three untrained models of letters, one for each cell."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from shared.runs import Run
from shared.training import weights_as_arrays
from shared.vocabulary import SubwordVocabulary
from tasks.language_model.config import PRESETS
from tasks.language_model.model import build_model
from tasks.serve.app import Server
from tasks.serve.inside import endpoints
from tasks.serve.limits import Limits
from tasks.serve.models import Models
from tests.serve.conftest import run

CELLS = "lstm", "gru", "simple_rnn"
TEXT, UNITS = "a cat sat", 6


class Letters(NamedTuple):
    address: str
    runs: dict[str, Run]


def letters_run(folder: Path, cell: str, **changes: Any) -> Run:
    """A run with random weights."""
    config = replace(PRESETS[f"letters_{cell}"], **{"units": UNITS, "embedding_units": 5, **changes})
    vocabulary = SubwordVocabulary.characters(["a cat sat on the mat"])
    made = Run.create("language_model", f"letters_{cell}", config, {}, folder)
    vocabulary.save(made.path / "vocabulary.json")
    made.save_weights(weights_as_arrays(build_model(config, vocabulary)))
    return made


@contextmanager
def serving_letters(folder: Path) -> Iterator[Letters]:
    """The server; the run of the LSTM has been measured."""
    keras.utils.set_random_seed(2)
    runs = {cell: letters_run(folder, cell) for cell in CELLS}
    runs["lstm"].save_metrics("dev", {"perplexity": 4.0})
    models = Models({"language_model": list(runs.values())})
    for address in run(Server(models, endpoints(models), Limits())):
        yield Letters(address, runs)
