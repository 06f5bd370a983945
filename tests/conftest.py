"""The order of all tests, which of them run in one process, which are slow, and which need TensorFlow."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.backend import is_installed

HAS_TENSORFLOW = is_installed("tensorflow")
# The tests of one worker compile the recurrent loops; those of the other need none meanwhile, and find them compiled.
FIRST = ("tests/tasks/captioner/", "tests/datasets/", "tests/tasks/")


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Nothing is synced to the disk, which takes 8 ms a file: tests kill processes, not machines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="module")
def no_collection_of_older_objects() -> None:
    """Python's garbage collector passes over what imports and earlier files leave, millions of objects, and runs after
    20,000 new ones, not 700: graphs have many, and few of them are garbage."""
    gc.set_threshold(20_000)
    gc.collect()
    gc.freeze()


def is_of_a_task(path: str) -> bool:
    return path.startswith("tests/tasks/")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without TensorFlow, only files with tests for any backend are imported; the others may import TensorFlow."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test and not HAS_TENSORFLOW and b"any_backend" not in collection_path.read_bytes() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a trained run are slow. Those of `FIRST` come first, then files with slow tests."""
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    with_slow_tests = {item.path for item in items if item.get_closest_marker("slow")}

    def order(item: pytest.Item) -> tuple[int, bool]:
        first = [item.nodeid.startswith(path) for path in FIRST]
        return (first.index(True) if any(first) else len(FIRST)), item.path not in with_slow_tests

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives all tests of a task to one worker, so that their run is trained once; of the others all of a file."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return file.rpartition("/")[0] if is_of_a_task(file) else file

    return Scheduling(config, log)
