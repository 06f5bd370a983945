"""What all tests share: in which order they run, and which of them together."""

import pytest


def is_of_a_task(path: str) -> bool:
    return path.startswith("tests/tasks/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tasks' come first, for they take longest."""
    items.sort(key=lambda item: not is_of_a_task(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """All tests of a task go to one worker, so that what they share is trained once; of the others all of a file."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return file.rpartition("/")[0] if is_of_a_task(file) else file

    return Scheduling(config, log)
