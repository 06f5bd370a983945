"""Where Keras keeps weights, and the first core of /proc/cpuinfo."""

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
