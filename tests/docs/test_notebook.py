"""The notebook runs from top to bottom and shows what is stored in it."""

import copy
import json

import pytest

from docs.notebook import TOUR, execute
from shared.machine import has_imagenet_weights


def is_skipped(cell: dict) -> bool:
    """Without the ImageNet weights of MobileNetV2 there is no captioner."""
    return "imagenet" in cell["metadata"].get("tags", []) and not has_imagenet_weights()


def shown(cell: dict) -> list[str]:
    """Printed lines; of a picture only that there is one, since its bytes depend on fonts."""
    return [line for output in cell["outputs"] for line in output.get("text", ["(picture)"])]


@pytest.mark.campaign
def test_notebook():
    stored = json.loads(TOUR.read_text(encoding="utf-8"))
    executed = copy.deepcopy(stored)
    execute(executed, is_skipped)
    for before, after in zip(stored["cells"], executed["cells"], strict=True):
        if before["cell_type"] == "code":
            assert shown(after) == shown(before)
    assert sum("(picture)" in shown(cell) for cell in stored["cells"] if cell["cell_type"] == "code") == 4
    assert TOUR.stat().st_size < 600_000
