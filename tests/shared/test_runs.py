"""Runs: atomic files, and errors of one line for every defect of a run folder."""

import csv
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from shared import runs
from shared.backend import choose
from shared.runs import (
    Checkpoints,
    Run,
    RunError,
    atomic_file,
    atomic_folder,
    current_fields,
    read_file,
    read_json,
    read_specs,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A task's configuration, with every type of field."""

    RENAMED: ClassVar[dict[str, str]] = {"width": "units", "flip": "mirror"}

    corpus: Literal["made_up", "other"] = "made_up"
    units: int = 6
    dropout: float = 0.3
    mirror: bool = False
    path: str = "a"
    beam: int | None = None

    def __post_init__(self):
        if self.units < 1:
            raise ValueError(f"units must be positive. Received: {self.units}")


TENSORS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(7, np.int64),
    "seed": np.array([1, 2**32 - 1], np.uint32),
    "empty": np.zeros((0, 3), np.float32),
}


def trained(root: Path, name: str = "first", **changed: Any) -> Run:
    """A run of the task `tagger` with one weight and changes to its config.json."""
    run = Run.create("tagger", name, Settings(), {"made_up": "f1"}, root)
    run.save_weights({"kernel": np.ones((2, 3), np.float32)})
    write_json(run.path / "config.json", {**run.config, **changed})
    return run


def one_line(error: pytest.ExceptionInfo[RunError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- files ---------------------------------------------------------------------------------------------------------


def fails(*_):
    raise OSError("no")


def test_a_file_keeps_its_old_content_if_the_rename_fails(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.json"
    write_bytes(path, b"old")
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert files(path.parent) == ["file.json"]


def test_an_atomic_file_keeps_its_suffix_and_is_readable_by_all(tmp_path):
    path = tmp_path / "model.keras"
    with atomic_file(path) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_is_replaced_atomically(tmp_path):
    folder = tmp_path / "parent" / "7"
    with atomic_folder(folder) as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside" / "a").write_text("1")
        assert not folder.exists()
    assert (folder / "inside" / "a").read_text() == "1"

    with pytest.raises(FileNotFoundError), atomic_folder(folder) as temporary:
        (temporary / "b" / "missing").write_text("2")
    assert files(folder) == ["inside"]

    with atomic_folder(folder) as temporary:
        (temporary / "c").write_text("3")
    assert files(folder) == ["c"]
    assert files(folder.parent) == ["7"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_json_round_trip_is_readable_text(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"text": "Käse 犬", "rate": 0.1, "none": None})
    assert "Käse 犬" in path.read_text(encoding="utf-8")
    assert read_json(path) == {"text": "Käse 犬", "rate": 0.1, "none": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; the run is incomplete"),
        (b"", "not readable as JSON"),
        (b'{"a": 1', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"a": "\\ud800"}', "not readable as JSON"),
        (b"[1]", "expected a JSON object, received list"),
    ],
)
def test_unreadable_json_is_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError) as error:
        read_json(path)
    assert one_line(error).startswith(f"{path}: {message}")


def test_tensors_keep_shape_type_and_bits(tmp_path):
    path = tmp_path / "tensors.safetensors"
    sha256 = write_tensors(path, TENSORS)
    loaded = read_tensors(path, sha256)
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape), name
        np.testing.assert_array_equal(loaded[name], tensor)


@pytest.mark.parametrize(
    ("content", "sha256", "message"),
    [
        (None, None, "No such file or directory"),
        (b"", None, "not a safetensors file"),
        (b"\xff" * 40, None, "not a safetensors file"),
        (b"anything", "0" * 64, "its SHA-256 differs from the recorded one"),
    ],
)
def test_unreadable_tensors_are_refused(tmp_path, content, sha256, message):
    path = tmp_path / "tensors.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError) as error:
        read_tensors(path, sha256)
    assert one_line(error).startswith(f"{path}: {message}")


def with_header(header: bytes, length: int | None = None, values: int = 24) -> bytes:
    """A safetensors file with a header, its length, and the bytes of the values."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(values)


def test_types_and_shapes_are_read_from_the_header_alone(tmp_path, monkeypatch):
    path = tmp_path / "tensors.safetensors"
    write_tensors(path, TENSORS)
    monkeypatch.setattr(runs, "MAX_HEADER", path.stat().st_size - 8 - 24 * 2 - 16)  # the values are not read
    assert read_specs(path)["transposed"] == ("F32", (3, 2))
    assert read_specs(path)["seed"] == ("U32", (2,))
    assert read_specs(path)["scalar"].shape == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        with_header(b"{}", 2**63),
        with_header(b"{}", 2**20),
        with_header(b"[]"),
        with_header(b'{"a": {"dtype": "F32", "shape": [2, 3]'),
        with_header(b'{"a": {"dtype": "F32", "shape": [-2, 3], "data_offsets": [0, 24]}}'),
        with_header(b'{"a": {"dtype": "F32", "shape": [2.5], "data_offsets": [0, 24]}}'),
        with_header(b'{"a": {"dtype": 7, "shape": [6], "data_offsets": [0, 24]}}'),
        with_header(b'{"a": {"shape": [6], "data_offsets": [0, 24]}}'),
        with_header(b'{"a": 6}'),
        with_header(b'{"a": {}, "a": {}}'),
    ],
)
def test_impossible_headers_are_refused(tmp_path, content):
    path = tmp_path / "tensors.safetensors"
    path.write_bytes(content)
    for read in (read_specs, read_tensors):
        with pytest.raises(RunError) as error:
            read(path)
        assert one_line(error).startswith(f"{path}: not a safetensors file")


@pytest.mark.parametrize(
    "tensors",
    [
        b'"a": {"dtype": "F32", "shape": [1000000000, 1000000000], "data_offsets": [0, 24]}',  # more than the file has
        b'"a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 20]}',
        b'"a": {"dtype": "F32", "shape": [6], "data_offsets": [8, 32]}',  # beyond the end
        b'"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
        b'"b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}',  # overlapping
        b'"a": {"dtype": "BF16", "shape": [12], "data_offsets": [0, 24]}',
        b'"a": {"dtype": "X9", "shape": [12], "data_offsets": [0, 24]}',
    ],
)
def test_headers_that_lie_are_refused_without_memory(tmp_path, tensors):
    path = tmp_path / "tensors.safetensors"
    path.write_bytes(with_header(b"{" + tensors + b"}"))
    with pytest.raises(RunError, match="not a safetensors file"):
        read_tensors(path)


def test_files_of_a_run_are_regular_and_bounded(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(RunError, match=r"a\.json has 8 bytes; at most 7 were expected"):
        read_json(tmp_path / "a.json", 7)
    os.mkfifo(tmp_path / "fifo")
    for read in (read_json, read_tensors, read_specs):
        with pytest.raises(RunError, match="fifo is not a regular file, which was expected"):
            read(tmp_path / "fifo")
    with pytest.raises(RunError, match="missing: No such file or directory"):
        read_file(tmp_path / "missing", 9)


def test_truncated_tensors_are_refused_without_a_hash(tmp_path):
    path = tmp_path / "tensors.safetensors"
    write_tensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match="not a safetensors file"):
        read_tensors(path)


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_checkpoints_keep_the_last_two_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.steps() == []
    assert checkpoints.latest() is None
    for step in (3, 5, 8, 13):
        checkpoints.save(step, TENSORS, {"epoch": step}, best_step=3)
    assert checkpoints.steps() == [3, 8, 13]
    checkpoints.save(13, TENSORS, {"epoch": 14}, best_step=8)  # the same step again, as at the end of an epoch
    assert checkpoints.steps() == [8, 13]
    latest = checkpoints.latest()
    assert latest is not None
    assert latest[1]["epoch"] == 14
    assert latest[0]["scalar"].shape == ()
    assert files(checkpoints.folder) == ["000000008", "000000013"]


def test_a_damaged_checkpoint_does_not_displace_intact_ones(tmp_path):
    checkpoints, reported = Checkpoints(tmp_path), []
    for step in (10, 20):
        checkpoints.save(step, TENSORS, {}, None)
    (tmp_path / "000000020" / "tensors.safetensors").write_bytes(b"damaged")
    latest = checkpoints.latest(reported.append)
    assert latest is not None
    assert latest[1]["step"] == 10
    assert len(reported) == 1
    assert reported[0].startswith("checkpoint 20 is damaged, using the one before it: ")
    checkpoints.save(12, TENSORS, {}, None)
    assert checkpoints.steps() == [10, 12]


# --- runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.any_backend
def test_create_writes_the_config(tmp_path):
    run = Run.create("tagger", "first", Settings(units=4), {"made_up": "f1"}, tmp_path)
    assert run.path == tmp_path / "tagger" / "first"
    assert run.name == "first"
    config = json.loads((run.path / "config.json").read_text())
    assert config["task"] == "tagger"
    assert config["data"] == {"made_up": "f1"}
    assert config["config"]["units"] == 4
    assert config["versions"].keys() == {"python", "keras", choose(), "numpy"}
    assert run.read_config(Settings) == Settings(units=4)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "/a", "../a", "a/", "a\\b", "-a", "a b", "a\n", "a\0b", "\u0301a"]
)
def test_invalid_run_names_are_refused(tmp_path, name):
    with pytest.raises(RunError) as error:
        Run.create("tagger", name, Settings(), {}, tmp_path)
    assert one_line(error).startswith(f"run name {name!r} is invalid; letters, digits")
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["flickr8k", "v1.2-beta", "a+b", "7", "Läufer", "La\u0308ufer", "हिन्दी"])
def test_usual_run_names_are_accepted(tmp_path, name):
    assert Run.create("tagger", name, Settings(), {}, tmp_path).path.parent == tmp_path / "tagger"


def test_safe_names_are_valid():
    assert runs.safe_name("Käse / 犬 v1.2.", "run") == "K-se-v1.2"
    assert runs.safe_name("犬", "run") == "run"
    assert runs.NAME.fullmatch(runs.safe_name("--a b", ""))


def test_the_same_configuration_resumes(tmp_path):
    first = Run.create("tagger", "first", Settings(), {"made_up": "f1"}, tmp_path)
    written = (first.path / "config.json").read_bytes()
    again = Run.create("tagger", "first", Settings(), {"made_up": "f1"}, tmp_path)
    assert (again.path / "config.json").read_bytes() == written


def test_another_configuration_is_refused_with_the_fields_that_differ(tmp_path):
    Run.create("tagger", "first", Settings(), {"made_up": "f1"}, tmp_path)
    with pytest.raises(RunError) as error:
        Run.create("tagger", "first", Settings(units=9, mirror=True), {"made_up": "f1"}, tmp_path)
    assert one_line(error).endswith(
        "exists with another config: mirror False -> True, units 6 -> 9; choose another --run name"
    )
    with pytest.raises(RunError, match="exists with another data: made_up 'f1' -> 'f2'"):
        Run.create("tagger", "first", Settings(), {"made_up": "f2"}, tmp_path)


def test_a_released_run_is_not_trained_further(tmp_path):
    trained(tmp_path, weights_sha256="0" * 64)
    with pytest.raises(RunError, match="is a released model and is not trained further"):
        Run.create("tagger", "first", Settings(), {"made_up": "f1"}, tmp_path)


@pytest.mark.parametrize("config", [None, [], "x"])
def test_a_config_that_is_not_an_object_is_refused(tmp_path, config):
    run = trained(tmp_path, config=config)
    with pytest.raises(RunError, match="expected an object under config"):
        Run.create("tagger", "first", Settings(), {"made_up": "f1"}, tmp_path)
    with pytest.raises(RunError, match="expected an object under config"):
        run.read_config(Settings)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"colour": 3}, "field colour is unknown"),
        ({"units": "6"}, "field units cannot be '6'; it is int"),
        ({"units": 6.0}, "field units cannot be 6.0"),
        ({"units": True}, "field units cannot be True"),
        ({"units": None}, "field units cannot be None"),
        ({"units": 0}, "units must be positive. Received: 0"),
        ({"dropout": True}, "field dropout cannot be True"),
        ({"dropout": "0.3"}, "field dropout cannot be '0.3'"),
        ({"mirror": 1}, "field mirror cannot be 1"),
        ({"path": 1}, "field path cannot be 1"),
        ({"corpus": "third"}, "field corpus cannot be 'third'; it is one of ['made_up', 'other']"),
        ({"corpus": ["made_up"]}, "field corpus cannot be ['made_up']"),
        ({"beam": "3"}, "field beam cannot be '3'; it is int | None"),
    ],
)
def test_read_config_refuses_unknown_fields_and_invalid_values(tmp_path, config, message):
    run = trained(tmp_path, config=config)
    with pytest.raises(RunError) as error:
        run.read_config(Settings)
    assert one_line(error).startswith(f"{run.path / 'config.json'}: {message}")


def test_read_config_uses_defaults_for_missing_fields(tmp_path):
    run = trained(tmp_path, config={"dropout": 1, "beam": 3, "corpus": "other"})
    assert run.read_config(Settings) == Settings(dropout=1, beam=3, corpus="other")


def test_former_field_names_are_translated(tmp_path):
    former = {"width": 4, "flip": True, "path": "b"}
    assert current_fields(Settings, former) == {"units": 4, "mirror": True, "path": "b"}
    assert trained(tmp_path, config=former).read_config(Settings) == Settings(units=4, mirror=True, path="b")
    assert current_fields(int, former) == former  # a class without former names


def test_a_run_with_former_field_names_resumes(tmp_path):
    config = {"width" if name == "units" else name: value for name, value in vars(Settings(units=4)).items()}
    run = trained(tmp_path, config=config)
    written = (run.path / "config.json").read_bytes()
    again = Run.create("tagger", "first", Settings(units=4), {"made_up": "f1"}, tmp_path)
    assert (again.path / "config.json").read_bytes() == written
    with pytest.raises(RunError, match="another config: units 4 -> 5; choose another --run name"):
        Run.create("tagger", "first", Settings(units=5), {"made_up": "f1"}, tmp_path)


def test_read_config_names_a_missing_field_without_default(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Strict:
        units: int

    with pytest.raises(RunError, match="'units'"):
        trained(tmp_path, config={}).read_config(Strict)


def test_find_prefers_the_named_run_then_the_released_one_then_the_newest(tmp_path, monkeypatch):
    for age, name in enumerate(["newest", "older", "oldest"]):
        run = trained(tmp_path, name)
        os.utime(run.path / "weights.safetensors", (1_000_000 - age, 1_000_000 - age))
    Run.create("tagger", "untrained", Settings(), {}, tmp_path)

    assert Run.find(None, "tagger", "older", tmp_path).name == "older"
    assert Run.find(None, "tagger", "missing", tmp_path).name == "newest"
    assert Run.find("oldest", "tagger", "older", tmp_path).name == "oldest"

    elsewhere = tmp_path / "elsewhere" / "oldest"  # a run precedes a folder of the same name
    elsewhere.parent.mkdir()
    (tmp_path / "tagger" / "newest").rename(elsewhere)
    monkeypatch.chdir(elsewhere.parent)
    assert Run.find("oldest", "tagger", "", tmp_path).path == tmp_path / "tagger" / "oldest"
    for path in ("./oldest", str(elsewhere), "../elsewhere/oldest"):
        assert Run.find(path, "tagger", "", tmp_path).path.resolve() == elsewhere


def test_find_skips_runs_that_do_not_suit(tmp_path):
    for name, units in (("a", 2), ("b", 3)):
        trained(tmp_path, name, config={"units": units})
    assert Run.find(None, "tagger", "", tmp_path, lambda run: run.read_config(Settings).units == 2).name == "a"
    with pytest.raises(RunError, match="no trained model"):
        Run.find(None, "tagger", "", tmp_path, lambda run: False)


@pytest.mark.parametrize("model", ["missing", "../tagger/first", "a\0b", "./missing"])
def test_find_names_the_existing_runs_if_none_matches(tmp_path, model):
    trained(tmp_path)
    with pytest.raises(RunError) as error:
        Run.find(model, "tagger", "released", tmp_path)
    assert one_line(error) == f"{model}: neither a folder nor a run of task tagger; there are first"


def test_a_hidden_folder_is_not_a_run(tmp_path):
    trained(tmp_path)
    shutil.copytree(tmp_path / "tagger" / "first", tmp_path / "tagger" / ".first.k3_9x0ab")
    assert [run.name for run in Run.trained("tagger", tmp_path)] == ["first"]
    assert Run.find(None, "tagger", "released", tmp_path).name == "first"
    shutil.rmtree(tmp_path / "tagger" / "first")
    with pytest.raises(RunError, match="no trained model"):
        Run.find(None, "tagger", "released", tmp_path)


@pytest.mark.parametrize("model", [None, "first", "folder"])
def test_a_run_whose_replacement_was_interrupted_is_found(tmp_path, model):
    run = trained(tmp_path)
    run.path.rename(run.path.with_name(".first.before"))
    assert Run.find(str(run.path) if model == "folder" else model, "tagger", "first", tmp_path).path == run.path
    assert files(run.path.parent) == ["first"]


def test_find_without_any_run_says_how_to_train_one(tmp_path):
    with pytest.raises(RunError, match=r"train one with: python -m tasks\.tagger\.train"):
        Run.find(None, "tagger", "released", tmp_path)


def test_open_refuses_runs_of_other_tasks_and_incomplete_runs(tmp_path):
    run = trained(tmp_path)
    with pytest.raises(RunError, match="a run of task 'tagger', not of 'captioner'"):
        Run.open(run.path, "captioner")
    (run.path / "weights.safetensors").unlink()
    with pytest.raises(RunError, match=r"no weights\.safetensors; its training has not finished an epoch"):
        Run.open(run.path, "tagger")
    with pytest.raises(RunError, match="no such run"):
        Run.open(tmp_path / "nowhere", "tagger")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"config\.json: no such file"):
        Run.open(tmp_path / "empty", "tagger")


def test_released_weights_are_verified_and_converted_to_float32(tmp_path):
    run = trained(tmp_path)
    half = {"kernel": np.array([[0.1, -2.5, 3e-5]], np.float16), "count": np.array([3], np.int32)}
    sha256 = write_tensors(run.path / "weights.safetensors", half)
    write_json(run.path / "config.json", {**run.config, "weights_sha256": sha256})
    assert run.is_released
    weights = run.load_weights()
    assert weights["kernel"].dtype == np.float32
    np.testing.assert_array_equal(weights["kernel"], half["kernel"].astype(np.float32))
    assert weights["count"].dtype == np.int32

    for wrong in ("0" * 64, None, 3):
        write_json(run.path / "config.json", {**run.config, "weights_sha256": wrong})
        with pytest.raises(RunError, match="its SHA-256 differs from the recorded one"):
            run.load_weights()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, dtype):
    run = trained(tmp_path)
    run.save_weights({"bias": np.zeros(2, dtype), "kernel": np.array([[1, value]], dtype)})
    with pytest.raises(RunError) as error:
        run.load_weights()
    assert one_line(error).endswith(": kernel has values that are not finite; finite ones were expected")


def test_the_newest_run_is_passed_over_if_it_is_damaged(tmp_path):
    for time, name in ((1, "old"), (2, "damaged")):
        os.utime(trained(tmp_path, name).path / "weights.safetensors", (time, time))
    (tmp_path / "tagger" / "damaged" / "config.json").write_text("[]")
    assert Run.find(None, "tagger", "released", tmp_path).name == "old"
    (tmp_path / "tagger" / "old" / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"no trained model .*; damaged: .*old: a run of task None, not of 'tagger'"):
        Run.find(None, "tagger", "released", tmp_path)


@pytest.mark.parametrize("content", [b'{"dev": 0.2}', b'{"dev": ["PER"]}', b'{"dev": {}, "dev": {}}', b"\xff"])
def test_damaged_metrics_are_refused(tmp_path, content):
    run = trained(tmp_path)
    (run.path / "metrics.json").write_bytes(content)
    with pytest.raises(RunError, match=r"metrics\.json.*the run is damaged"):
        run.load_metrics()


@pytest.mark.parametrize("content", [b"epoch\n\xff\n", b"epoch\n" + b"9" * 200_000 + b"\n"])
def test_a_damaged_history_is_refused(tmp_path, content):
    run = trained(tmp_path)
    (run.path / "history.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"history\.csv: not readable as CSV"):
        run.load_history()


def test_long_values_are_cut_in_messages(tmp_path):
    run = trained(tmp_path)
    for config in ({"units": "9" * 999}, {"x" * 999: 1}, "x" * 999):
        write_json(run.path / "config.json", {**run.config, "config": config})
        with pytest.raises(RunError) as error:
            run.read_config(Settings)
        assert len(one_line(error).removeprefix(str(tmp_path))) < 250


def test_metrics_of_splits_are_merged(tmp_path):
    run = trained(tmp_path)
    run.save_metrics("dev", {"PER": 0.2, "beam": 3})
    run.save_metrics("test", {"PER": 0.3})
    run.save_metrics("dev", {"PER": 0.1})
    assert read_json(run.path / "metrics.json") == {"dev": {"PER": 0.1}, "test": {"PER": 0.3}}


def test_history_has_a_column_for_every_key(tmp_path):
    run = trained(tmp_path)
    assert run.load_history() == []
    run.save_history([{"epoch": 1, "BLEU": 0.5}, {"epoch": 2, "BLEU": 0.6, "note": "a, b"}])
    with open(run.path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"epoch": "1", "BLEU": "0.5", "note": ""}, {"epoch": "2", "BLEU": "0.6", "note": "a, b"}]
    assert run.load_history() == rows
    assert b"\r" not in (run.path / "history.csv").read_bytes()


def test_runs_are_stored_beside_the_code():
    assert Path(__file__).parents[2] / "saved_models" == runs.ROOT
