"""Converted functions in the user's cache."""

import numpy as np
import pytest

import shared.onnx.cache
from shared.any_size import AnySize
from shared.onnx.cache import onnx_function
from shared.runs import Run, write_json


class Doubled(AnySize):
    """2 x."""

    def examples(self):
        return [np.ones((2, 3), np.float32)]

    def call(self, inputs):
        return 2 * inputs


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "quatrain" / "onnx"


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "tiny")
    write_json(run.path / "config.json", {"task": "captioner"})
    run.save_weights({"w": np.ones(2, np.float32)})
    return run


class Builder:
    """Counts how often the function is built."""

    def __init__(self):
        self.count = 0

    def __call__(self) -> AnySize:
        self.count += 1
        return Doubled()


def doubled(run: Run, build: Builder, **settings: int) -> int:
    """How often the function was built, after one more use of it."""
    function = onnx_function(run, "double", settings, build)
    assert function.predict_on_batch(np.ones((1, 3), np.float32)).tolist() == [[2, 2, 2]]
    return build.count


def test_a_function_is_converted_once_for_each_setting(cache, run, capsys):
    build = Builder()
    assert [doubled(run, build, beam=beam) for beam in (3, 3, 4, 3, 4)] == [1, 1, 2, 2, 2]
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "converting tiny for onnxruntime, once ...\n" * 2)
    assert sorted(path.name for path in cache.rglob("*.*")) == ["double.onnx", "double.onnx", *["double.sha256"] * 2]


def test_another_content_of_the_run_or_the_code_is_another_function(cache, run, monkeypatch, tmp_path):
    build = Builder()
    doubled(run, build)
    write_json(run.path / "metrics.json", {"dev": {}})  # says nothing about the function
    assert doubled(run, build) == 1
    run.save_weights({"w": np.zeros(2, np.float32)})
    assert doubled(run, build) == 2
    write_json(run.path / "vocabulary.json", {})
    assert doubled(run, build) == 3
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(shared.onnx.cache, "CHECKOUT", tmp_path)
    assert [doubled(run, build), doubled(run, build)] == [4, 4]
    (tmp_path / "shared" / "decoding.py").write_text("x = 1\n")
    assert doubled(run, build) == 5


def test_a_damaged_file_is_converted_again(cache, run):
    build = Builder()
    doubled(run, build)
    (path,) = cache.rglob("*.onnx")
    content = path.read_bytes()
    for damage in (lambda: path.write_bytes(content[:-1]), path.with_suffix(".sha256").unlink, path.unlink):
        before = build.count
        damage()
        assert doubled(run, build) == before + 1
        assert path.read_bytes() == content
        assert doubled(run, build) == before + 1


def test_a_folder_that_cannot_be_written_costs_a_conversion(cache, run):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file in the way")
    build = Builder()
    assert [doubled(run, build), doubled(run, build)] == [1, 2]
