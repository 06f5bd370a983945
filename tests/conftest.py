"""What all tests share: in which order they run, and which of them together."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each task's tests go to one worker, so that what they share is trained once; and first, for they take longest."""
    for item in items:
        group = item.path.parent if "tasks" in item.path.parent.parts else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
    items.sort(key=lambda item: "tasks" not in item.path.parent.parts)
