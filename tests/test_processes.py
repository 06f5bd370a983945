"""Several processes that train one model: the same weights as one process, also after one of them was killed."""

import signal
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from shared.runs import Tensors
from tests.processes import run_processes
from tests.tiny_trainings import TRAININGS

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="several processes train on JAX only"),
]

STEPS = 2  # the second batch of the captioner is the last of an epoch, with fewer rows
LOST = "another process has ended, or its host cannot be reached"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[Path, Path]:
    """The first steps of each task in two processes, and in one."""
    folders = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    for count, folder in zip((2, 1), folders, strict=True):
        for ended in run_processes(count, "tests.first_steps", folder, str(STEPS), "2"):
            assert ended.code == 0, ended.errors
    return folders


def weights_after(folder: Path, process: int, task: str, step: int) -> Tensors:
    return load_file(folder / str(process) / task / str(step) / "weights.safetensors")


@pytest.mark.parametrize("task", TRAININGS)
def test_the_parts_make_up_the_batch(recorded, task):
    for step in range(STEPS):
        *parts, whole = (
            load_file(folder / process / task / str(step) / "batch.safetensors")
            for folder, process in zip((recorded[0], *recorded), "010", strict=True)
        )
        for name, expected in whole.items():
            found = [part[name] for part in parts]
            if len(found[0]) == len(expected):  # an input without rows
                np.testing.assert_array_equal(found[0], found[1])
                found.pop()
            np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("task", TRAININGS)
def test_all_processes_have_the_weights_of_one_process(recorded, task):
    for step in range(STEPS):
        first, second = (weights_after(recorded[0], process, task, step) for process in (0, 1))
        single = weights_after(recorded[1], 0, task, step)
        for name, expected in single.items():
            np.testing.assert_array_equal(first[name], second[name])
            np.testing.assert_allclose(first[name], expected, rtol=0, atol=1e-5, err_msg=name)


def disturbed(folder: Path, *disturbance: str) -> list:
    return run_processes(2, "tests.disturbed_training", folder, *disturbance)


def test_a_disturbed_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path):
    for ended in disturbed(tmp_path / "whole"):
        assert ended.code == 0, ended.errors
    folder = tmp_path / "disturbed"
    for victim, place in ((1, "step"), (0, "checkpoint"), (1, "evaluation")):
        results = disturbed(folder, str(victim), place, "SIGKILL")
        survivor = results[1 - victim]
        assert results[victim].code == -signal.SIGKILL
        assert survivor.code == 2
        assert survivor.errors.startswith(f"error: process {1 - victim}: {LOST}")
        assert survivor.errors.count("\n") == 1
    for ended in disturbed(folder, "1", "step", "SIGTERM"):
        assert ended.code == 128 + signal.SIGTERM, ended.errors
    first, second = disturbed(folder)
    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert "resuming" in first.output
    assert second.output == ""
    runs = [tmp_path / name / "tagger" / "tiny" for name in ("whole", "disturbed")]
    states = [next(run.glob("checkpoints/000000018/tensors.safetensors")) for run in runs]
    for files in ([run / "weights.safetensors" for run in runs], states):
        whole, resumed = map(load_file, files)
        assert whole.keys() == resumed.keys()
        for name, expected in whole.items():
            np.testing.assert_array_equal(resumed[name], expected)
