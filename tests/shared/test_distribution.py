"""Which processes train together: settings of each scheduler, and wrong ones in one line; one process with one device.

`tests/test_processes.py` has the tests with several processes.
"""

import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from shared import distribution
from shared.distribution import DistributionError, Settings, read_settings
from shared.errors import UserError

pytestmark = pytest.mark.any_backend
on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="several devices are used on JAX only")

KERAS = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "3",
    "KERAS_DISTRIBUTION_PROCESS_ID": "2",
}
KUBEFLOW = {"JAX_COORDINATOR_ADDRESS": "job-node-0-0.job:29500", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "1"}
SKYPILOT = {"SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.8\n", "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "1"}
SLURM = {
    "SLURM_STEP_NODELIST": "node[003-004]",
    "SLURM_JOB_ID": "71",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (KERAS, Settings("10.0.0.1:1234", 3, 2)),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1, b:2,c:3"}, Settings("a:1", 3, 2)),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "[fd00::1]:80"}, Settings("[fd00::1]:80", 3, 2)),
        (KUBEFLOW, Settings("job-node-0-0.job:29500", 4, 1)),
        (SKYPILOT, Settings("10.0.0.7:8476", 2, 1)),
        (SLURM, Settings(None, 8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # of a batch script, before `srun`
        (SLURM | SKYPILOT | KUBEFLOW | KERAS, Settings("10.0.0.1:1234", 3, 2)),
        (SLURM | SKYPILOT | KUBEFLOW, Settings("job-node-0-0.job:29500", 4, 1)),
        (SLURM | SKYPILOT, Settings("10.0.0.7:8476", 2, 1)),
    ],
)
def test_settings_are_read_in_order(environment, expected):
    assert read_settings(environment) == expected


def test_the_index_of_a_kubernetes_job_is_the_process():
    environment = KERAS | {"JOB_COMPLETION_INDEX": "1"}
    assert read_settings(environment) == Settings("10.0.0.1:1234", 3, 2)
    del environment["KERAS_DISTRIBUTION_PROCESS_ID"]
    assert read_settings(environment) == Settings("10.0.0.1:1234", 3, 1)
    assert read_settings({"JOB_COMPLETION_INDEX": "1"}) is None  # of another kind of job


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KERAS_DISTRIBUTION_NUM_PROCESSES": "3"}, "KERAS_DISTRIBUTION_JOB_ADDRESSES is not set, but"),
        (KUBEFLOW | {"JAX_PROCESS_ID": ""}, "JAX_PROCESS_ID is not set, but"),
        (KERAS | {"KERAS_DISTRIBUTION_PROCESS_ID": "3"}, "process 3: a number from 0 to 2 was expected"),
        (KERAS | {"KERAS_DISTRIBUTION_PROCESS_ID": "-1"}, "PROCESS_ID -1: a whole number from 0 was expected"),
        (KERAS | {"KERAS_DISTRIBUTION_NUM_PROCESSES": "0"}, "PROCESSES 0: a whole number from 1 was expected"),
        (KUBEFLOW | {"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES two: a whole number from 1 was expected"),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1,b:2"}, "has 2 addresses, but .*NUM_PROCESSES is 3"),
        (KERAS | {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "host"}, "ADDRESSES host: host:port of process 0 was expected"),
        (KUBEFLOW | {"JAX_COORDINATOR_ADDRESS": "h:99999"}, "ADDRESS h:99999: host:port of process 0 was expected"),
        (SKYPILOT | {"SKYPILOT_NUM_NODES": "3"}, "SKYPILOT_NODE_IPS has 2 addresses, but SKYPILOT_NUM_NODES is 3"),
        ({"SKYPILOT_NODE_IPS": "10.0.0.7"}, "SKYPILOT_NUM_NODES : a whole number from 1 was expected"),
        (
            {"SLURM_STEP_NODELIST": "n1", "SLURM_NTASKS": "2"},
            "SLURM_PROCID is not set, .*: start the command with srun",
        ),
        (SLURM | {"SLURM_PROCID": "8"}, "process 8: a number from 0 to 7 was expected"),
    ],
)
def test_wrong_settings_are_one_line(environment, message):
    with pytest.raises(UserError, match=message) as raised:
        read_settings(environment)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX trains in several processes")
def test_several_processes_need_jax(monkeypatch):
    for name, value in KERAS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DistributionError, match=r"3 processes: .* on JAX only, not on tensorflow; set KERAS_BACKEND"):
        distribution.join()


def test_a_port_that_is_in_use_is_one_line():
    with socket.create_server(("", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(DistributionError, match=rf"at {address} \(Address already in use.*\); a free port"):
            distribution._check_port(address)
    distribution._check_port(address)


def test_one_process_agrees_with_itself(tmp_path):
    array = np.array([-0.0, 3], np.float32)
    assert distribution.part() == (0, 1)
    assert distribution.is_first()
    assert distribution.device_count() == 1
    assert distribution.largest(15, True) == (15, 1)
    assert distribution.of_first([array])[0] is array
    distribution.check_batch_size(7)
    distribution.check_agreement({"corpus": "x"})
    distribution.share_files(tmp_path)
    with distribution.folder_of_runs() as folder:
        assert folder is None


def test_errors_of_one_process_stay_as_they_are():
    for error in ValueError("gloo"), DistributionError("x"):
        with pytest.raises(type(error), match=str(error)), distribution.folder_of_runs():
            raise error


PROGRAM = """
import numpy as np
from shared import distribution
distribution.join()
placed = distribution.place([{"ids": np.arange(24).reshape(1, 6, 4), "words": np.arange(5)[None]}], ("words",))[0]
print([shard.data.shape for shard in placed["ids"].addressable_shards], placed["ids"].shape)
print(placed["words"].is_fully_replicated, placed["words"].shape, distribution.device_count())
distribution.check_batch_size(6)
try:
    distribution.check_batch_size(8)
except distribution.UserError as error:
    print(error)
"""


@on_jax
def test_the_devices_of_one_process_share_a_batch():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    command = [sys.executable, "-c", PROGRAM]
    output = subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout
    assert output.splitlines() == [
        "[(1, 2, 4), (1, 2, 4), (1, 2, 4)] (1, 6, 4)",
        "True (1, 5) 3",
        "--batch-size 8: a multiple of 3, the number of devices, was expected",
    ]
