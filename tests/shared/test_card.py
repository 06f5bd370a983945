"""The model card, from the files of a run."""

import json

import pytest

from shared.card import write_card
from shared.runs import Run, RunError

CONFIG = {
    "task": "counter",
    "config": {"units": 5},
    "data": {"numbers": "abc"},
    "versions": {"keras": "3", "python": "3.12"},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return Run(tmp_path)


def card(run: Run, **options) -> str:
    write_card(run, title="T", summary="S {x}", terms="free", usage="run it", **options)
    return (run.path / "README.md").read_text()


def test_a_column_per_split_and_a_row_per_metric(run):
    run.save_metrics("dev", {"images": 4, "right": 0.5})
    run.save_metrics("test", {"images": 8, "new": 0.25})
    run.save_history([{"epoch": 1, "minutes": 0.4}, {"epoch": 2, "minutes": 2.6}])
    text = card(run, published={"others": {"right": 0.7, "odd": 1}}, remarks="A remark.")
    assert "# T\n\nS {x}\n" in text
    assert "| | this model, dev | this model, test | others |\n|---|---|---|---|\n" in text
    for row in ("| images | 4 | 8 |  |", "| right | 0.5 |  | 0.7 |", "| new |  | 0.25 |  |", "| odd |  |  | 1 |"):
        assert f"{row}\n" in text
    assert "\nA remark.\n" in text
    assert "2 epochs in 3 minutes on numbers (fingerprint abc), with keras 3, python 3.12." in text
    assert "| units | 5 |" in text


def test_a_run_in_its_first_epoch(run):
    run.save_metrics("dev", {"images": 4})
    assert "Less than an epoch on numbers" in card(run)


def test_a_run_without_metrics_is_refused(run):
    with pytest.raises(RunError, match=r"metrics.json: no such file"):
        card(run)
