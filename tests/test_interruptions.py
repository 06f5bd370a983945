"""A training that is killed anywhere and started again ends with the files of an uninterrupted one.

Two tiny trainings of each task start with nothing prepared. One is not interrupted. The other is killed at each of
`kills` in turn, first when its corpus is prepared; the trainings after that find the corpus.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import shared.runs
from datasets import spoken
from datasets.python_manual import python_manual_dataset_builder as manual
from datasets.scenes import scenes_dataset_builder as scenes
from datasets.spoken_scenes import spoken_scenes_dataset_builder as spoken_scenes
from shared import card, plots, training
from shared.cli import TrainingOptions
from shared.runs import Run
from shared.training import Trainer
from tests.tasks.captioner import conftest as captioner
from tests.tasks.language_model import conftest as language_model
from tests.tasks.phoneme_recognizer import conftest as phoneme_recognizer

SPLITS = {"train": 24, "dev": 4, "test": 4}
UNEQUAL = {"model.keras", "history.csv", "README.md"}  # they hold times
OPTIONS = TrainingOptions(run="run")


class Killed(BaseException):
    """Ends a training as SIGKILL does, but within the process."""


def captioner_training() -> None:
    from tasks.captioner.train import train

    train(replace(captioner.CONFIG, epochs=1, reward_epochs=1), OPTIONS)


def language_model_training() -> None:
    from tasks.language_model.train import train

    train(replace(language_model.CONFIG, epochs=2, batch_size=9), OPTIONS)


def classifier_training() -> None:
    from tasks.language_model.train import train

    table = shared.runs.ROOT.parent / "verbs.tsv"
    table.write_text("".join(f"{text}\t{label}\n" for text, label in language_model.labelled_rows()))
    config = replace(language_model.CONFIG, reads="for a label", corpus=str(table), text_epochs=2, epochs=2)
    train(replace(config, batch_size=9, min_count=1), OPTIONS)


def phoneme_recognizer_training() -> None:
    from tasks.phoneme_recognizer.train import train

    train(replace(phoneme_recognizer.CONFIG, epochs=2), OPTIONS)


def translator_training() -> None:
    from tasks.translator.config import SCENES
    from tasks.translator.train import train

    train(replace(SCENES, units=8, embedding_units=8, batch_size=32, epochs=2, warmup_steps=2), OPTIONS)


TRAININGS: dict[str, Callable[[], None]] = {
    "captioner": captioner_training,
    "classifier": classifier_training,
    "language_model": language_model_training,
    "phoneme_recognizer": phoneme_recognizer_training,
    "translator": translator_training,
}


def kills(task: str) -> Iterator[tuple[Any, str, int, bool]]:
    """Owner and name of a function, the call of it that a kill interrupts, and whether before its work or after it."""
    import tensorflow_datasets as tfds

    from tasks.captioner import data, encoder_training
    from tasks.phoneme_recognizer import calibration

    if task != "classifier":
        yield tfds.core.DatasetInfo, "write_to_directory", 1, True  # the records of the corpus are written
    if task == "captioner":
        yield data, "_write_inputs", 2, False  # of the second split
        yield encoder_training, "learn_objects", 1, False
        yield Run, "save_weights", 1, False  # of the encoder
        yield Trainer, "_load_best", 1, True
        yield Trainer, "_save", 1, False  # of the second stage
        yield Trainer, "_load_best", 2, True
    if task == "phoneme_recognizer":
        yield Run, "save_weights", 1, False  # of the n-grams
        yield Trainer, "_save", 1, False
        yield calibration, "fit_temperature", 1, False
        yield calibration, "weights_as_arrays", 1, True
    if task == "classifier":
        yield Run, "create", 2, False  # of the language model of the texts
        yield Run, "save_weights", 1, False
        yield Trainer, "_load_best", 1, True
        yield Trainer, "_save", 1, False  # of the labels
        yield Trainer, "_load_best", 2, True
        yield Run, "save_weights", 1, True  # with the temperature
    if task == "translator":
        yield Trainer, "_save", 3, True
    if task == "language_model":  # the fastest; all share this code
        yield Run, "create", 1, False
        yield Run, "save_weights", 1, False  # after an epoch
        yield Trainer, "_save", 1, False
        yield Trainer, "_save", 3, True
        yield Trainer, "_load_best", 1, True
        yield plots, "write_output", 1, True
        yield Run, "save_metrics", 1, True
        yield card, "write_bytes", 1, True


def killed(function: Callable, call: int, is_before: bool) -> Callable:
    calls = 0

    def wrapped(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call and is_before:
            raise Killed
        result = function(*arguments, **options)
        if calls == call:
            raise Killed
        return result

    return wrapped


def outcome(path: Path) -> dict[str, Any]:
    """The contents of the files of a run that hold no times, and the names of all others."""
    files = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    files = {name: file for name, file in files.items() if "checkpoints" not in name}
    rows = [{key: row[key] for key in row if key != "minutes"} for row in Run(path).load_history()]
    contents = {name: None if file.name in UNEQUAL else file.read_bytes() for name, file in files.items()}
    return {"rows": rows, "metrics": json.loads((path / "metrics.json").read_text()), **contents}


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("task", TRAININGS)
def test_killed_trainings_end_as_an_uninterrupted_one(task, tmp_path, monkeypatch):
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(manual, "paragraphs", language_model.sentences)
    monkeypatch.setattr(spoken_scenes, "make_requests", phoneme_recognizer.make_requests)
    monkeypatch.setattr(spoken, "check_engine", lambda: None)
    synthesize_all = lambda shards: ([phoneme_recognizer.say(request.text) for request in shard] for shard in shards)  # noqa: E731
    monkeypatch.setattr(spoken, "synthesize_all", synthesize_all)
    for split, count in SPLITS.items():
        monkeypatch.setitem(scenes.SPLITS, split, count)

    def start(prepared: str, root: str) -> None:
        monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / prepared))
        monkeypatch.setattr(shared.runs, "ROOT", tmp_path / root)
        TRAININGS[task]()

    def end(root: str) -> dict[str, Any]:
        return outcome(tmp_path / root / ("language_model" if task == "classifier" else task) / "run")

    start("first", "whole")
    whole = end("whole")
    start("first", "whole")  # it is finished
    assert end("whole") == whole

    for owner, name, call, is_before in kills(task):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed(getattr(owner, name), call, is_before))
            with pytest.raises(Killed):
                start("second", "killed")
    start("second", "killed")
    assert end("killed") == whole
