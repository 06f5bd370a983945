"""Where Keras keeps weights, the first core of /proc/cpuinfo, and the cores of a container."""

import os
from pathlib import Path

import pytest

from shared import machine


def test_imagenet_weights_are_found_in_the_cache_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert machine.imagenet_folder() == tmp_path / "models"
    assert not machine.has_imagenet_weights()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mobilenet_v2_weights.h5").touch()
    assert machine.has_imagenet_weights()


def test_an_empty_keras_home_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine.imagenet_folder() == tmp_path / ".keras" / "models"


@pytest.mark.skipif(not machine.processor_fields(), reason="no /proc/cpuinfo")
def test_the_fields_are_those_of_the_first_core():
    assert machine.processor_fields()["processor"] == "0"
    assert machine.processor_name()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 16),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/pods/one\n", {"pods/cpu.max": "400000 100000\n", "pods/one/cpu.max": "max 100000\n"}, 4),
        ("0::/pods/one\n", {"pods/cpu.max": "nonsense\n"}, 16),
        ("4:cpu,acct:/a\n0::/\n", {"cpu,acct/cpu.cfs_quota_us": "200000", "cpu,acct/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "0"}, 16),
        ("no group\n4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
    ],
)  # fmt: skip
def test_the_quota_of_a_container_limits_the_cores(groups, files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    if groups:
        write(tmp_path / "proc/self/cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert machine.cores(tmp_path) == expected


def test_backends_start_no_more_threads_than_there_are_cores(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "7")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(machine, "cores", lambda: 3)
    machine.limit_threads()
    names = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"
    assert [os.environ[name] for name in names] == ["3", "7", "3"]
