"""Functions in the user's cache, for TensorFlow without Keras and for onnxruntime."""

import numpy as np
import pytest

import shared.kept
from shared.any_size import AnySize
from shared.kept import Runtime, kept_function, runs_on_keras
from shared.runs import Run, write_json

runtimes = pytest.mark.parametrize("runtime", ["graph", "onnx"])


class Doubled(AnySize):
    """2 x."""

    def examples(self):
        return [np.ones((2, 3), np.float32)]

    def call(self, inputs):
        return 2 * inputs


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "quatrain" / "functions"


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


def doubled(run: Run, build: Builder, runtime: Runtime, **settings: int) -> int:
    """How often the function was built, after one more use of it."""
    function = kept_function(run, "double", settings, build, runtime)
    assert function.predict_on_batch(np.ones((1, 3), np.float32)).tolist() == [[2, 2, 2]]
    return build.count


@runtimes
def test_a_function_is_made_once_for_each_setting(cache, run, capsys, runtime):
    build = Builder()
    assert [doubled(run, build, runtime, beam=beam) for beam in (3, 3, 4, 3, 4)] == [1, 1, 2, 2, 2]
    output = capsys.readouterr()
    message = "converting tiny for onnxruntime, once ...\n" if runtime == "onnx" else ""
    assert (output.out, output.err) == ("", message * 2)
    names = [f"double.{runtime}", f"double.{runtime}", "double.sha256", "double.sha256"]
    assert sorted(path.name for path in cache.rglob("*.*")) == sorted(names)


@runtimes
def test_another_content_of_the_run_or_the_code_is_another_function(cache, run, monkeypatch, tmp_path, runtime):
    build = Builder()
    doubled(run, build, runtime)
    write_json(run.path / "metrics.json", {"dev": {}})  # says nothing about the function
    assert doubled(run, build, runtime) == 1
    run.save_weights({"w": np.zeros(2, np.float32)})
    assert doubled(run, build, runtime) == 2
    write_json(run.path / "vocabulary.json", {})
    assert doubled(run, build, runtime) == 3
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(shared.kept, "CHECKOUT", tmp_path)
    assert [doubled(run, build, runtime), doubled(run, build, runtime)] == [4, 4]
    (tmp_path / "shared" / "decoding.py").write_text("x = 1\n")
    assert doubled(run, build, runtime) == 5


def test_the_graph_of_another_tensorflow_is_another_function(cache, run, monkeypatch):
    build = Builder()
    doubled(run, build, "graph")
    monkeypatch.setattr(shared.kept, "installed_version", lambda package: "1.0")
    assert doubled(run, build, "graph") == 2


@runtimes
def test_a_damaged_file_is_made_again(cache, run, runtime):
    build = Builder()
    doubled(run, build, runtime)
    (path,) = cache.rglob(f"*.{runtime}")
    size = path.stat().st_size
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.with_suffix(".sha256").unlink, path.unlink):
        before = build.count
        damage()
        assert doubled(run, build, runtime) == before + 1
        assert abs(path.stat().st_size - size) < 100  # the names of a graph's functions have a count
        assert doubled(run, build, runtime) == before + 1


@runtimes
def test_a_folder_that_cannot_be_written_is_passed_over(cache, run, runtime):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file in the way")
    build = Builder()
    assert [doubled(run, build, runtime), doubled(run, build, runtime)] == [1, 2]


def test_the_oldest_functions_are_removed(cache, run, monkeypatch):
    monkeypatch.setattr(shared.kept, "MAX_KEPT", 2)
    build = Builder()
    assert [doubled(run, build, "graph", beam=beam) for beam in (1, 2, 3, 2, 3, 1)] == [1, 2, 3, 3, 3, 4]
    assert len(list(cache.iterdir())) == 2


def test_a_graph_is_one_of_tensorflow(monkeypatch):
    assert [runs_on_keras(runtime) for runtime in ("keras", "graph", "onnx")] == [True, False, False]
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("shared.backend.is_installed", lambda package: True)
    assert [runs_on_keras(runtime) for runtime in ("keras", "graph", "onnx")] == [True, True, False]
