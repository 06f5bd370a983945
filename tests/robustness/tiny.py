"""The smallest trainings of the four tasks that pass through all their stages, on the corpora of the tasks' tests."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

RUN = "tiny"  # the name of each task's run
TASKS = ("language_model", "translator", "captioner", "phoneme_recognizer")


def configs() -> dict[str, Any]:
    """The configuration of each task."""
    from tasks.translator.config import SCENES
    from tests.tasks.captioner.conftest import CONFIG as CAPTIONER
    from tests.tasks.language_model.conftest import CONFIG as LANGUAGE_MODEL
    from tests.tasks.phoneme_recognizer.conftest import CONFIG as PHONEME_RECOGNIZER

    small = {"units": 12, "embedding_units": 12, "batch_size": 8, "max_length": 30, "learning_rate": 1e-2}
    return {
        "language_model": replace(LANGUAGE_MODEL, epochs=2),
        "translator": replace(SCENES, **small, epochs=2, warmup_steps=2, weight_average=0.5),
        "captioner": replace(CAPTIONER, epochs=2, encoder_epochs=1, reward_epochs=1),
        "phoneme_recognizer": replace(PHONEME_RECOGNIZER, epochs=2, frame_only_steps=3),
    }


def shrink_corpora() -> None:
    """Replaces, for the rest of this process, the generated corpora by a few records, and voices by tones."""
    from datasets import spoken
    from datasets.python_manual import python_manual_dataset_builder as manual
    from datasets.scenes import scenes_dataset_builder as scenes
    from datasets.spoken_scenes import spoken_scenes_dataset_builder as sounds
    from tests.tasks.language_model.conftest import sentences
    from tests.tasks.phoneme_recognizer.conftest import SPLITS, make_requests, say

    manual.paragraphs = sentences
    scenes.SPLITS.update(train=24, dev=4, test=4)
    SPLITS.update(train=16, dev=4, test=4)
    sounds.make_requests = make_requests
    spoken.check_engine = lambda: None
    spoken.synthesize_all = lambda shards: ([say(request.text) for request in shard] for shard in shards)


def train(task: str, name: str = RUN) -> None:
    """What `train` of a task does with its tiny configuration, in a process that is like a new one."""
    from shared.cli import TrainingOptions

    renew_random_states()
    import_module(f"tasks.{task}.train").train(configs()[task], TrainingOptions(run=name))


def renew_random_states() -> None:
    """Seeds Python's and NumPy's generators as a new process does; a fork has those of its parent."""
    random.seed()
    np.random.seed()  # noqa: NPY002 - the generator that Keras and TFDS may use


def in_fork(function: Callable[[], object]) -> int:
    """Runs a function in a forked process; returns its exit code, negative for a signal."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train_all(own: Path) -> None:
    """Trains a run of each task, unless the folder has it from an earlier campaign."""
    for task in TASKS:
        if not (own / "saved_models" / task / RUN / "README.md").exists():
            print(f"training a tiny {task}", flush=True)
            if in_fork(lambda task=task: quietly(lambda: train(task))):
                raise RuntimeError(f"the tiny run of {task} could not be trained; see {own / 'training.log'}")


def quietly(function: Callable[[], object], log: str = "training.log") -> None:
    """Calls a function with standard output and standard error led into a file of the current folder."""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    function()
