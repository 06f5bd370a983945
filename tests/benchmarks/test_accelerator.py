"""The benchmark of accelerators runs, here on a processor with tiny sizes; what it measures is not tested."""

import json
import math

import keras
import pytest

from tests.benchmarks import accelerator
from tests.benchmarks.training_steps import PRESETS

pytestmark = pytest.mark.any_backend


def rows_of(folder, parts):
    """The rows of each part, once they are found to be finite, and to be in the table too."""
    accelerator.main(["--quick", "--no-torch", "--seconds", "1000", "--output", str(folder), "--parts", *parts])
    found = json.loads((folder / "results.json").read_text())
    assert list(found["rows"]) == parts
    assert found["notes"] == {part: [] for part in parts}
    for rows in found["rows"].values():
        for row in rows:
            numbers = [value for value in row.values() if isinstance(value, (int, float))]
            assert len(numbers) >= 3
            assert all(math.isfinite(number) and number > 0 for number in numbers), row
    lines = (folder / "results.md").read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == sum(1 + len(rows) for rows in found["rows"].values())
    return found["rows"]


@pytest.mark.slow
def test_layers_and_growth(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "NUM_LAYERS", 2)  # each is compiled for a second
    rows = rows_of(tmp_path, ["layers", "growth"])
    cells = ["SimpleRNN", "LSTM", "GRU", "Mogrifier LSTM", "BiLSTM stack", "conditional GRU"]
    assert [row["layer"] for row in rows["layers"]] == cells
    assert [("Keras, ms" in row) for row in rows["layers"]] == [cell != "conditional GRU" for cell in cells]
    assert [(row["batch"], row["time"]) for row in rows["growth"]] == [(2, 3), (32, 4)]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="on TensorFlow only layers are measured, to save time")
def test_models_and_presets(tmp_path):
    rows = rows_of(tmp_path, ["models", "presets"])
    assert [row["model"] for row in rows["models"]] == ["language model `awd`", "stack of `speechocean762`"]
    assert [(row["task"], row["preset"]) for row in rows["presets"]] == [(task, PRESETS[task][0]) for task in PRESETS]


def test_rows_that_fail_or_for_which_no_time_is_left_are_noted(tmp_path):
    def fails(bench, name):
        raise RuntimeError(f"{name} is\ntoo large")

    def works(bench, name):
        return {"layer": name, "ours, ms": 1.5}

    for seconds, rows, notes in (
        (1000, [{"layer": "GRU", "ours, ms": 1.5}], ["LSTM failed: RuntimeError: LSTM is too large"]),
        (0, [], ["no time was left for 2 more rows"]),
    ):
        report = accelerator.Report(tmp_path, {"a card": "", "jax": "1"}, {"layers": []}, {"layers": []})
        bench = accelerator.Bench(report, None, accelerator.time.monotonic() + seconds, seconds, quick=True)
        bench.measure("layers", [(fails, ("LSTM",)), (works, ("GRU",))])
        assert (report.rows, report.notes) == ({"layers": rows}, {"layers": notes})
        text = (tmp_path / "results.md").read_text()
        assert text.startswith("a card, jax 1.\n")
        assert f"- {notes[0]}" in text
