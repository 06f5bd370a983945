"""The manifests of `deploy/`: their variables are read, their numbers agree, their commands train on loopback."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from shared.distribution import PORT, Settings, read_settings

pytestmark = pytest.mark.any_backend

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COUNT = 2  # of processes in all manifests
COMMAND = ["quatrain", "train", "language_model", "wikitext2"]
TINY = [
    "--num-layers",
    "1",
    "--units",
    "6",
    "--embedding-units",
    "6",
    "--batch-size",
    "4",
    "--sequence-length",
    "5",
    "--epochs",
    "1",
]


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def of_entries(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The variables of a container; one from a field of the pod has the name of the field."""
    return {entry["name"]: entry.get("value") or entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in entries}


class Launch(NamedTuple):
    """What a manifest starts for one process: a script for bash, and the variables that it and its launcher set."""

    script: str
    environment: dict[str, str]


def indexed_job(index: int, host: str, port: int) -> Launch:
    service, job = documents("kubernetes_indexed_job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = of_entries(container["env"])
    # What Kubernetes and its name server do.
    assert (
        variables["KERAS_DISTRIBUTION_PROCESS_ID"] == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    )
    address = f"{job['metadata']['name']}-0.{service['metadata']['name']}:{PORT}"
    assert variables["KERAS_DISTRIBUTION_JOB_ADDRESSES"] == address
    variables |= {"KERAS_DISTRIBUTION_PROCESS_ID": str(index), "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"{host}:{port}"}
    return Launch(shlex.join(container["command"]), variables)


def train_job(index: int, host: str, port: int) -> Launch:
    (job,) = documents("kubeflow_trainjob.yaml")
    trainer = job["spec"]["trainer"]
    # What the runtime `jax-distributed` adds.
    variables = {"JAX_COORDINATOR_ADDRESS": f"{host}:{port}", "JAX_NUM_PROCESSES": str(trainer["numNodes"])}
    return Launch(
        shlex.join(trainer["command"]), of_entries(trainer["env"]) | variables | {"JAX_PROCESS_ID": str(index)}
    )


def skypilot(index: int, host: str, port: int) -> Launch:
    (task,) = documents("skypilot.yaml")
    count = task["num_nodes"]
    variables = {"SKYPILOT_NODE_IPS": "\n".join([host] * count), "SKYPILOT_NUM_NODES": str(count)}
    return Launch(task["run"], variables | {"SKYPILOT_NODE_RANK": str(index)})


def slurm(index: int, host: str, port: int) -> Launch:
    """One task of the step: what `srun` starts, with the variables that it sets."""
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", (DEPLOY / "slurm.sbatch").read_text(), re.M))
    count = int(options["nodes"]) * int(options["ntasks-per-node"])
    variables = {
        "SLURM_NTASKS": str(count), "SLURM_PROCID": str(index), "SLURM_STEP_NODELIST": host, "SLURM_LOCALID": "0",
        "SLURM_JOB_ID": str(port),
    }  # fmt: skip
    return Launch((DEPLOY / "slurm.sbatch").read_text(encoding="utf-8"), variables)


LAUNCHES = {launch.__name__: launch for launch in (indexed_job, train_job, skypilot, slurm)}


@pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)
def test_processes_find_each_other(launch):
    """The settings that the program reads from the variables of each process."""
    settings = [read_settings(launch(index, "10.0.0.7", 1234).environment) for index in range(COUNT)]
    address = {"skypilot": f"10.0.0.7:{PORT}", "slurm": None}.get(launch.__name__, "10.0.0.7:1234")
    assert settings == [Settings(address, COUNT, index) for index in range(COUNT)]


@pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)
def test_commands_are_the_same(launch):
    script = launch(0, "10.0.0.7", 1234).script
    assert " ".join(COMMAND[1:]) in script
    assert re.search(r"\bquatrain train", script)


def test_every_variable_is_read():
    """By the corpora, the backend, or the processes."""
    sources = "".join((ROOT / name).read_text() for name in ("datasets/__init__.py", "shared/distribution.py"))
    text = "".join((DEPLOY / name).read_text() for name in os.listdir(DEPLOY) if not name.startswith("beam"))
    names = set(re.findall(r"\b(?:QUATRAIN|KERAS_DISTRIBUTION)_[A-Z_]+\b", text))
    assert names >= {"QUATRAIN_DATA", "QUATRAIN_PREPARED", "KERAS_DISTRIBUTION_NUM_PROCESSES"}
    assert {name for name in names if name not in sources} == set()


def mounts_and_volumes(spec: Mapping[str, Any]) -> tuple[list[tuple[str, str | None]], set[str]]:
    """The path and part of each mount of a pod's only container, and the names of the pod's volumes."""
    (container,) = spec["containers"]
    mounts = container["volumeMounts"]
    volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]}
    return [(volumes[mount["name"]] + mount["mountPath"], mount.get("subPath")) for mount in mounts], set(volumes)


MOUNTS = [("quatrain/volume", None), ("quatrain/quatrain/saved_models", "saved_models")]


def test_indexed_job():
    service, job = documents("kubernetes_indexed_job.yaml")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    count = int(of_entries(container["env"])["KERAS_DISTRIBUTION_NUM_PROCESSES"])
    assert spec["completions"] == spec["parallelism"] == count == COUNT
    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimit"] % COUNT == 0  # each round of restarts costs one for each process
    assert pod["restartPolicy"] == "Never"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert container["command"] == COMMAND
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert mounts_and_volumes(pod) == (MOUNTS, {"volume"})


def test_train_job():
    (job,) = documents("kubeflow_trainjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    spec = job["spec"]
    assert spec["runtimeRef"] == {"name": "jax-distributed"}
    assert spec["trainer"]["numNodes"] == COUNT
    assert spec["trainer"]["command"] == COMMAND
    assert spec["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == 1
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert (replicated["name"], pod["containers"][0]["name"]) == ("node", "node")  # as the runtime names them
    assert mounts_and_volumes(pod) == (MOUNTS, {"volume"})
    _, indexed = documents("kubernetes_indexed_job.yaml")
    (container,) = indexed["spec"]["template"]["spec"]["containers"]
    assert spec["trainer"]["image"] == container["image"]
    assert spec["trainer"]["resourcesPerNode"] == container["resources"]


def test_skypilot():
    (task,) = documents("skypilot.yaml")
    assert task["num_nodes"] == COUNT
    assert task["resources"]["accelerators"].endswith(":1")
    assert task["resources"]["job_recovery"]["max_restarts_on_errors"] > 0
    assert set(task["envs"]) == {"BUCKET"}
    assert task["file_mounts"] == {"/bucket": {"name": "${BUCKET}", "mode": "MOUNT_CACHED"}}
    for name in ("setup", "run"):
        subprocess.run(["bash", "-n", "-c", task[name]], check=True)


def test_image():
    """The Dockerfile installs an extra that exists, from files that the build does not leave out."""
    text = (DEPLOY / "Dockerfile").read_text()
    extras = re.search(r"pip install .*-c (\S+) -e '\.\[([\w,-]+)\]'", text)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(extras[2].split(",")) <= project["project"]["optional-dependencies"].keys()
    assert (ROOT / extras[1]).exists()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"saved_models", ".venv*", ".git"} <= set(ignored)
    assert not {"pyproject.toml", "quatrain.py", "shared", "tasks", "datasets", extras[1]} & set(ignored)


@pytest.fixture
def slurm_commands(tmp_path, monkeypatch):
    """`srun`, which has the exit code of $SRUN_CODE, and `scontrol`; both write their arguments to a file."""
    log = tmp_path / "log"
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> {log}\n[ {name} = scontrol ] || exit $SRUN_CODE\n'
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    return log


@pytest.mark.parametrize(
    ("srun_code", "restarts", "code", "is_queued_again"), [(0, 0, 0, False), (2, 9, 1, True), (143, 10, 1, False)]
)
def test_slurm_queues_the_job_again(slurm_commands, monkeypatch, srun_code, restarts, code, is_queued_again):
    monkeypatch.setenv("SRUN_CODE", str(srun_code))
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    assert subprocess.run(["bash", str(DEPLOY / "slurm.sbatch")]).returncode == code
    expected = ["srun --kill-on-bad-exit=1 .venv-jax/bin/quatrain train language_model wikitext2"]
    expected += ["scontrol requeue 71"] * is_queued_again
    assert slurm_commands.read_text().splitlines() == expected


def test_slurm_directives():
    """They come before the first command, where Slurm reads them."""
    lines = (DEPLOY / "slurm.sbatch").read_text().splitlines()
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert directives
    assert max(directives) < first
    assert "#SBATCH --gpus-per-task=1" in lines
    assert "#SBATCH --requeue" in lines


# --- on loopback ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def write_command(path: Path, program: str) -> None:
    path.write_text(program)
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path) -> Path:
    """The folder of commands of a checkout's environment, with `srun`."""
    folder = tmp_path / "checkout" / ".venv-jax" / "bin"
    folder.mkdir(parents=True)
    write_command(folder / "srun", '#!/bin/sh\nshift\nexec "$@"\n')
    return folder


@pytest.fixture
def checkout(tmp_path, commands) -> Path:
    """A copy of the checkout, with a `saved_models` of its own, and `quatrain` as a command."""
    folder = commands.parents[1]
    for name in ("shared", "tasks", "datasets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("native-*", "prepared"))
    (folder / "quatrain.py").write_bytes((ROOT / "quatrain.py").read_bytes())
    text = tmp_path / "corpus.txt"
    text.write_text("".join(f"the {one} sees the {other} .\n" for one in "abcdefghij" for other in "klmnopqrst"))
    arguments = shlex.join(["--corpus", str(text), "--run", "tiny", *TINY])
    write_command(commands / "quatrain", f'#!/bin/sh\nexec {sys.executable} {folder}/quatrain.py "$@" {arguments}\n')
    return folder


def start(launch: Callable[[int, str, int], Launch], index: int, port: int, folder: Path) -> subprocess.Popen[str]:
    """The script of one process, with its variables, in a checkout."""
    script, variables = launch(index, "127.0.0.1", port)
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    path = f"{folder}/.venv-jax/bin:{os.environ['PATH']}"
    environment = {**kept, **variables, "PATH": path, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, start_new_session=True, **pipes)


@pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)
def test_the_script_starts_the_command_with_its_settings(launch, commands):
    write_command(
        commands / "quatrain",
        f"#!{sys.executable}\nimport json, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from shared.distribution import read_settings\nprint(json.dumps([read_settings(), sys.argv[1:]]))\n",
    )
    for index in range(COUNT):
        output, _ = start(launch, index, 1234, commands.parents[1]).communicate(timeout=60)
        expected = read_settings(launch(index, "127.0.0.1", 1234).environment)
        assert json.loads(output) == [list(expected), COMMAND[1:]]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="several processes train on JAX alone")
@pytest.mark.parametrize("launch", [indexed_job, slurm], ids=["address", "slurm"])
def test_the_command_trains_on_loopback(launch, checkout):
    """The processes train one run together: with the address of the first, and with what JAX finds in Slurm."""
    port = free_port()
    processes = [start(launch, index, port, checkout) for index in range(COUNT)]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    assert [process.returncode for process in processes] == [0] * COUNT, outputs
    run = checkout / "saved_models" / "language_model" / "tiny"
    assert (run / "weights.safetensors").exists()
    assert json.loads((run / "config.json").read_text())["config"]["batch_size"] == 4
