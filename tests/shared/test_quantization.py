"""Weights of eight bits: values by hand, the file of a run, and what does not fit together."""

from dataclasses import dataclass

import numpy as np
import pytest

from shared.quantization import MIN_SIZE, dequantize, quantize
from shared.runs import Run, RunError, read_tensors


@dataclass(frozen=True)
class Settings:
    units: int = 3


def matrix(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 0.1, (rows, columns)).astype(np.float32)


def test_values_by_hand():
    x = np.zeros((64, 64), np.float32)
    x[0], x[1, :3] = 127, [0.0127, 0.00636, -0.0001]
    x[0, 0] = -127
    found = quantize({"kernel": x})
    assert found["kernel"][:2, :3].tolist() == [[-127, 127, 127], [127, 64, -1]]
    np.testing.assert_allclose(found["kernel.scale"][:3, 0], [1, 1e-4, 0], rtol=1e-6)
    np.testing.assert_allclose(dequantize(found)["kernel"][1, :3], [0.0127, 0.0064, -0.0001], rtol=1e-6)


def test_scales_are_those_of_rows_or_columns_whichever_loses_less():
    x = matrix(70, 90)
    of_rows, of_columns = (
        quantize({"x": x * scale})
        for scale in (np.geomspace(1, 1e4, 70)[:, None].astype("f4"), np.geomspace(1, 1e4, 90)[None].astype("f4"))
    )
    assert (of_rows["x.scale"].shape, of_columns["x.scale"].shape) == ((70, 1), (1, 90))
    error = dequantize(of_columns)["x"] / np.geomspace(1, 1e4, 90) - x
    assert np.abs(error).max() <= np.abs(x).max() / 2 / 127 * 1.001


def test_small_and_other_tensors_stay():
    tensors = {"bias": np.ones(MIN_SIZE, np.float32), "small": matrix(63, 65), "ids": np.ones((64, 64), np.int64)}
    assert quantize(tensors) == {}
    zeros = quantize({"zeros": np.zeros((64, 64), np.float32)})
    assert not dequantize(zeros)["zeros"].any()


def test_a_run_loads_them_as_float32(tmp_path):
    run, x = Run.create("tagger", "first", Settings(), {}, tmp_path), matrix(64, 80)
    run.save_weights({**quantize({"stack/kernel": x}), "bias": np.ones(3, np.float32)})
    assert read_tensors(run.path / "weights.safetensors")["stack/kernel"].dtype == np.int8
    assert {name: tuple(spec) for name, spec in run.weight_specs().items()} == {
        "stack/kernel": ("F32", (64, 80)), "bias": ("F32", (3,)),
    }  # fmt: skip
    loaded = run.load_weights()
    assert loaded.keys() == {"stack/kernel", "bias"}
    np.testing.assert_allclose(loaded["stack/kernel"], x, atol=np.abs(x).max() / 2 / 127 * 1.001)


@pytest.mark.parametrize(
    "tensors",
    [
        {"x.scale": np.ones((4, 1), np.float32)},
        {"x": np.ones((4, 5), np.float32), "x.scale": np.ones((4, 1), np.float32)},
        {"x": np.ones((4, 5), np.int8), "x.scale": np.ones((5, 1), np.float32)},
        {"x": np.ones(4, np.int8), "x.scale": np.ones((4, 1), np.float32)},
    ],
    ids=["no values", "no int8", "another shape", "no matrix"],
)
def test_scales_that_do_not_fit_are_refused(tensors, tmp_path):
    run = Run.create("tagger", "first", Settings(), {}, tmp_path)
    run.save_weights(tensors)
    with pytest.raises(RunError, match=r"weights\.safetensors: x\.scale: scales of the rows or columns of an int8"):
        run.load_weights()


def test_a_product_beyond_float32_is_refused(tmp_path):
    run = Run.create("tagger", "first", Settings(), {}, tmp_path)
    run.save_weights({"x": np.full((4, 5), 127, np.int8), "x.scale": np.full((4, 1), 3e38, np.float32)})
    with pytest.raises(RunError, match="x has values that are not finite"):
        run.load_weights()
