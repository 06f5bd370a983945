"""Models that cannot be loaded: the others are served, and requests for these are refused with the reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.errors import UserError
from shared.runs import Run, RunError
from tasks.captioner.config import PRESETS, Config
from tasks.serve.__main__ import main
from tasks.serve.app import Server
from tasks.serve.endpoint import Endpoint, Item
from tasks.serve.limits import Limits
from tasks.serve.models import Models, NotLoaded, served_models
from tasks.serve.registry import all_endpoints
from tests.serve.conftest import run
from tests.serve.fakes import Said, Words
from tests.serve.test_app import error

WHY = "model flickr is not served: no weights, neither here nor online"


def load(run: Run) -> str:
    """A model that is its name; one without weights cannot be loaded."""
    if run.name == "flickr":
        raise UserError("no weights,\nneither here nor online")
    return run.name


def endpoint_of(models: Models, task: str) -> Endpoint:
    """Answers /api/<task> with the name of the model."""

    def key(request: Words) -> str:
        return models.find(task, request.kind or None).name

    def answer(name: Any, items: Sequence[Item]) -> list[Said]:
        return [Said(text=models.load(load, models.find(task, name)))] * len(items)

    path = f"/api/{task}"
    return Endpoint(path=path, task=task, request=Words, response=Said, example=Words(text="a"), key=key, answer=answer)


def ask(address: str, task: str, **body: str) -> httpx.Response:
    return httpx.post(f"{address}/api/{task}", json={"text": "a", **body})


def server_of(models: Models, *tasks: str, said: list[str] | None = None) -> Server:
    report = (said if said is not None else []).append
    return Server(models, [endpoint_of(models, task) for task in tasks], Limits(decoders=1), report=report)


def test_reasons_have_no_folders():
    reason = "/home/a/saved_models/x/weights.safetensors: damaged; see https://host/some/page or /data/x.json, and/or b"
    assert str(NotLoaded("model x", reason)) == (
        "model x is not served: weights.safetensors: damaged; see https://host/some/page or x.json, and/or b"
    )


def test_other_tasks_are_served(tmp_path):
    runs = {"captioner": [Run(tmp_path / "flickr"), Run(tmp_path / "scenes")], "translator": [Run(tmp_path / "de-en")]}
    refused = {"language_model": NotLoaded("task language_model", "no trained model")}
    said: list[str] = []
    server = server_of(Models(runs, refused=refused), "captioner", "translator", "language_model", said=said)
    for address in run(server):
        no_run = "task language_model is not served: no trained model"
        assert sorted(said) == [WHY, no_run]
        assert httpx.get(f"{address}/readyz").status_code == 200
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert ask(address, "translator").json()["text"] == "de-en"
        assert error(ask(address, "captioner")) == (503, WHY)
        assert ask(address, "captioner", kind="scenes").json()["text"] == "scenes"
        assert error(ask(address, "language_model")) == (503, no_run)
        predict = httpx.post(f"{address}/v1/models/language_model:predict", json={"instances": ["a"]})
        assert error(predict) == (503, no_run)


def test_a_model_is_tried_again_after_a_while(tmp_path, monkeypatch):
    calls: list[str] = []

    def load_when_there(run: Run) -> str:
        calls.append(run.name)
        if len(calls) < 3:
            raise UserError("no weights")
        return "loaded"

    models, run = Models({}), Run(tmp_path / "flickr")
    for now, count in [(0.0, 1), (59.0, 1), (61.0, 2), (100.0, 2)]:
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        with pytest.raises(NotLoaded, match="no weights"):
            models.load(load_when_there, run)
        assert len(calls) == count
    for now in (122.0, 1000.0):
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        assert models.load(load_when_there, run) == "loaded"
    assert len(calls) == 3


@pytest.mark.parametrize("named", [True, False])
def test_a_server_stops_without_a_model(tmp_path, named):
    """Also where others are there, if the one that cannot be loaded was named."""
    runs = {"captioner": [Run(tmp_path / "flickr")], "translator": [Run(tmp_path / "de-en")]}
    models = Models(runs, named=[str(tmp_path / "flickr")] if named else [])
    server = server_of(models, "captioner", *["translator"] * named)
    stopped: list[bool] = []
    server.stop = lambda: stopped.append(True)
    for address in run(server):
        assert error(httpx.get(f"{address}/healthz")) == (503, f"the server could not start: {WHY}")
    assert stopped == [True]


def made(root: Path, name: str) -> Run:
    """A run of the captioner with a file of weights that nothing can read."""
    found = Run.create("captioner", name, PRESETS["scenes"], {}, root)
    (found.path / "weights.safetensors").write_bytes(b"x")
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    return tmp_path


def test_a_task_without_a_run_is_left_out(root):
    made(root, "scenes")
    models = served_models(["captioner", "phoneme_recognizer", "language_model"], {})
    assert models.names() == {"captioner": ["scenes"]}
    assert models.refused.keys() == {"phoneme_recognizer", "language_model"}
    with pytest.raises(NotLoaded, match="task language_model is not served: no trained model"):
        models.find("language_model")
    paths = {endpoint.path for endpoint in all_endpoints(models)}
    assert {"/api/caption", "/api/recognize", "/api/fill", "/api/inside/read"} <= paths
    assert "/api/translate" not in paths  # which nobody has asked for
    with pytest.raises(RunError, match="no trained model under"):
        served_models(["translator"], {})


def test_a_damaged_released_run_is_left_out_unless_it_is_named(root):
    released = made(root, "flickr8k")
    own = made(root, "own")
    (released.path / "config.json").write_text("{")
    models = served_models(["captioner"], {"captioner": ["own"]})
    assert models.names() == {"captioner": ["own"]}
    (left_out,) = models.left_out.values()
    assert str(left_out).startswith("model flickr8k is not served: config.json: not readable as JSON")
    assert models.find("captioner").read_config(Config) == own.read_config(Config)
    with pytest.raises(RunError, match="not readable as JSON"):
        served_models(["captioner"], {"captioner": ["flickr8k"]})


def test_the_command_ends_with_the_reason(tmp_path, monkeypatch, capsys):
    named = made(tmp_path, "flickr")
    monkeypatch.setattr("tasks.serve.metrics.log_to", lambda stream: None)
    monkeypatch.setattr("tasks.serve.registry.all_endpoints", lambda models: [endpoint_of(models, "captioner")])
    arguments = ["captioner", "--port", "0", "--decoders", "1", "--model", f"captioner={named.path}"]
    assert main(arguments) == 2
    assert f"error: the server could not start: {WHY}\n" in capsys.readouterr().err
