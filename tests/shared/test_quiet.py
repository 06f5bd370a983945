"""Start-up messages of TensorFlow and JAX are dropped from standard error; all other lines are kept."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import quiet
from shared.backend import is_installed
from shared.quiet import filter_logs, startup_messages_dropped

REPOSITORY = Path(__file__).parents[2]
STARTUP_LINES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1.1  1 port.cc:153] oneDNN custom operations are on. You may see slightly different results.\n"
    b"I0000 00:00:1.1  1 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.\n"
    b"I0000 00:00:1.1  1 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use CPU instructions.\n"
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.\n"
    b"E0000 00:00:1.1  1 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error\n"
)


def run_python(script: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a script from the repository, as a process of a shell command that ends with redirections."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {shell}', sys.executable, script],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.slow
def test_the_first_import_of_tensorflow_and_operations_write_nothing():
    script = """
import shared.training, tensorflow as tf
print(float(tf.constant(2.0) + 1))
tf.transpose(tf.zeros((2, 3), tf.int32))
tf.function(lambda x: tf.transpose(x), [tf.TensorSpec([None, None], tf.bool)])(tf.zeros((2, 3), tf.bool))
"""
    process = run_python(script)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"3.0\n", b"")


@pytest.mark.any_backend
@pytest.mark.skipif(not is_installed("jax"), reason="needs JAX")
def test_the_first_use_of_jax_writes_nothing_and_imports_no_tensorflow():
    script = """
import shared, sys, keras
assert "jax" in sys.modules
print(float(keras.ops.add(2.0, 1)))
assert "tensorflow" not in sys.modules
"""
    process = run_python(script, KERAS_BACKEND="jax")
    assert (process.returncode, process.stdout, process.stderr) == (0, b"3.0\n", b"")


@pytest.mark.any_backend
@pytest.mark.parametrize("has_gpu", [True, False])
def test_a_plugin_that_finds_no_gpu_says_so_only_where_there_is_one(has_gpu, monkeypatch, caplog):
    monkeypatch.setattr(quiet, "has_gpu", lambda: has_gpu)
    filter_logs()
    logger = logging.getLogger("jax._src.xla_bridge")
    logger.error("Jax plugin configuration error: Exception when calling %s.initialize()", "jax_plugins.xla_cuda12")
    assert len(caplog.records) == has_gpu
    logger.warning("another message")
    assert caplog.messages[has_gpu:] == ["another message"]


REAL_LINE = """
import importlib.abc, os, sys
import shared

class Noise(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow.python":
            os.write(2, b"error: a library is damaged\\n")

sys.meta_path.insert(0, Noise())
import tensorflow
tensorflow.io.decode_jpeg(b"")
"""


@pytest.mark.slow
def test_other_lines_of_the_import_and_later_errors_are_kept():
    process = run_python(REAL_LINE)
    assert process.returncode == 1
    assert process.stderr.startswith(b"error: a library is damaged\nTraceback")
    assert b"InvalidArgumentError" in process.stderr


def test_an_error_of_the_import_is_kept():
    process = run_python(REAL_LINE.replace("os.write(2, b", "raise ImportError("))
    assert process.returncode == 1
    assert process.stderr.endswith(b"ImportError: error: a library is damaged\n\n")


@pytest.mark.slow
def test_a_closed_standard_error_works():
    process = run_python("import shared, tensorflow; print(tensorflow.constant(1).numpy())", "2>&-")
    assert (process.returncode, process.stdout) == (0, b"1\n")


def test_a_log_level_of_the_user_is_kept():
    script = "import os, shared; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert run_python(script, TF_CPP_MIN_LOG_LEVEL="0").stdout == b"0\n"
    assert run_python(f"import os; os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None); {script}").stdout == b"2\n"


def test_start_up_lines_are_dropped_and_all_others_written(capfd):
    with startup_messages_dropped():
        for line in STARTUP_LINES.splitlines(keepends=True):
            os.write(2, b"before\n" + line)
        os.write(2, b"E0000 00:00:1.1  1 gpu.cc:1] out of memory\nlast line without its end")
    assert capfd.readouterr().err == (
        "before\n" * 6 + "E0000 00:00:1.1  1 gpu.cc:1] out of memory\nlast line without its end"
    )


def test_lines_before_an_exception_are_written(capfd):
    def fails() -> None:
        with startup_messages_dropped():
            os.write(2, STARTUP_LINES + b"reason\n")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fails()
    assert capfd.readouterr().err == "reason\n"
