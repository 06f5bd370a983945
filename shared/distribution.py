"""Many devices and many processes on JAX: each step of a training splits its batch among them.

The same command runs in every process. `join` connects them. With `keras.distribution.DataParallel` every device has
the weights and its rows of a batch, and gradients are summed over all devices. Process 0 alone writes the run; the
others have a copy of it in a temporary folder, so that all compute the same.

The first of these that is in the environment says which processes there are:

    KERAS_DISTRIBUTION_JOB_ADDRESSES   host:port of process 0, or of every process, separated by commas
    KERAS_DISTRIBUTION_NUM_PROCESSES
    KERAS_DISTRIBUTION_PROCESS_ID      default: JOB_COMPLETION_INDEX, of an Indexed Job of Kubernetes

    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID           set by Kubeflow Trainer

    SKYPILOT_NODE_IPS, SKYPILOT_NUM_NODES, SKYPILOT_NODE_RANK            set by SkyPilot; one process a node

    SLURM_NTASKS, SLURM_PROCID, SLURM_STEP_NODELIST, SLURM_JOB_ID,       set by `srun`; one process a GPU, as
    SLURM_LOCALID                                                        `jax.distributed` reads them

Without any, there is one process, which uses all of its devices.
"""

import atexit
import hashlib
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from shared.aborts import begin_end, end_at_once, explain_aborts
from shared.atomic import remove_temporaries, temporary_folder
from shared.errors import FieldError, UserError, shown

PORT = 8476  # of process 0 where only its host is known; the one that JAX's documentation uses
JOIN_SECONDS = 50  # process 0 and the others wait this long for each other; JAX adds a few seconds
HEARTBEAT_SECONDS = 30  # a process that is silent for so long is lost
END_SECONDS = 3600  # a process waits this long at the end for the others
CHUNK = 1 << 26  # bytes that are sent at once
RESUMED = (".safetensors", ".json")  # the files that a training reads when it resumes
ERROR = 2  # exit code, as `shared.cli.USAGE`

SLURM = "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID", "SLURM_LOCALID"
# What collectives of JAX write when another process has ended.
LOST = re.compile(r"gloo|nccl|connection (closed|reset)|coordination service|distributed service", re.IGNORECASE)


class DistributionError(UserError):
    """The processes of a training cannot work together; the message says why, and what was expected."""


class Settings(NamedTuple):
    """Which processes there are, and which of them this one is."""

    address: str | None  # host:port of process 0; None where `jax.distributed` finds it
    count: int
    index: int


# --- settings -------------------------------------------------------------------------------------------------------


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings | None:
    """The settings in the environment; None if there are none. Raises DistributionError if they are not complete."""
    settings = (
        _named(environment, "KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES",
               "KERAS_DISTRIBUTION_PROCESS_ID")
        or _named(environment, "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        or _of_skypilot(environment)
        or _of_slurm(environment)
    )  # fmt: skip
    if settings is not None and not settings.index < settings.count:
        raise DistributionError(
            f"process {settings.index}: a number from 0 to {settings.count - 1} was expected, as there are"
            f" {settings.count} processes"
        )
    return settings


def _named(environment: Mapping[str, str], addresses: str, count: str, index: str) -> Settings | None:
    given = {name: environment[name] for name in (addresses, count, index) if environment.get(name)}
    if not given:
        return None
    if index not in given and "JOB_COMPLETION_INDEX" in environment:
        given[index] = environment["JOB_COMPLETION_INDEX"]
    for name in (addresses, count, index):
        if name not in given:
            raise DistributionError(f"{name} is not set, but {', '.join(given)}: all three were expected")
    listed = [address.strip() for address in given[addresses].split(",")]
    number = _number(given, count)
    if len(listed) not in (1, number):
        raise DistributionError(f"{addresses} has {len(listed)} addresses, but {count} is {number}")
    host, _, port = listed[0].rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise FieldError(addresses, given[addresses], "host:port of process 0 was expected")
    return Settings(listed[0], number, _number(given, index, least=0))


def _of_skypilot(environment: Mapping[str, str]) -> Settings | None:
    if "SKYPILOT_NODE_IPS" not in environment:
        return None
    hosts = environment["SKYPILOT_NODE_IPS"].split()
    count = _number(environment, "SKYPILOT_NUM_NODES")
    if len(hosts) != count:
        raise DistributionError(f"SKYPILOT_NODE_IPS has {len(hosts)} addresses, but SKYPILOT_NUM_NODES is {count}")
    return Settings(f"{hosts[0]}:{PORT}", count, _number(environment, "SKYPILOT_NODE_RANK", least=0))


def _of_slurm(environment: Mapping[str, str]) -> Settings | None:
    if "SLURM_STEP_NODELIST" not in environment:  # not started by `srun`
        return None
    missing = [name for name in SLURM if name not in environment]
    if missing:
        raise DistributionError(f"{missing[0]} is not set, but SLURM_STEP_NODELIST: start the command with srun")
    return Settings(None, _number(environment, "SLURM_NTASKS"), _number(environment, "SLURM_PROCID", least=0))


def _number(environment: Mapping[str, str], name: str, least: int = 1) -> int:
    text = environment.get(name, "")
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise FieldError(name, text, f"a whole number from {least} was expected")
    return int(text)


# --- joining and ending ---------------------------------------------------------------------------------------------


class _Process:
    """What this process knows of the others."""

    count, index = 1, 0
    mesh: Any = None  # of the devices, if there are several; Keras keeps its own for each thread
    is_done = False  # all have ended the training together


def join() -> None:
    """Connects this process to the others, if there are any, and gives a training all devices.

    Called once, before anything else uses JAX. Afterwards process 0 alone writes to standard output.

    Raises:
        DistributionError: settings that are wrong; a backend other than JAX; the others have other versions or devices.
            A connection that fails ends the process with one line.
    """
    settings = read_settings()
    import keras

    if keras.backend.backend() != "jax":
        if settings is not None and settings.count > 1:
            raise DistributionError(
                f"{settings.count} processes: several processes train together on JAX only, not on"
                f" {keras.backend.backend()}; set KERAS_BACKEND=jax"
            )
        return
    import jax

    if settings is not None and settings.count > 1:
        _connect(settings)
    if jax.device_count() > 1:
        data_parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(data_parallel)
        _Process.mesh = data_parallel.device_mesh.backend_mesh
    if _Process.count > 1:
        with _one_line_of_error(), _library_output_dropped():  # the first collective reports its connections
            check_agreement({**_versions(), "number of devices": str(jax.local_device_count())})


def _connect(settings: Settings) -> None:
    import jax

    explain_aborts(lambda text: _explanation(text, settings), ERROR)
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM, which the trainer handles
    options = {"initialization_timeout": JOIN_SECONDS, "heartbeat_timeout_seconds": HEARTBEAT_SECONDS}
    options |= {"shutdown_timeout_seconds": END_SECONDS}
    if settings.address is None:
        jax.distributed.initialize(cluster_detection_method="slurm", **options)
    else:
        if settings.index == 0:
            _check_port(settings.address)
        jax.distributed.initialize(*settings, cluster_detection_method="deactivate", **options)
    _Process.count, _Process.index = settings.count, settings.index
    atexit.register(_end)  # runs before JAX's own function
    if not is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # to the end
        os.dup2(sys.stdout.fileno(), 1)


def _check_port(address: str) -> None:
    """Raises DistributionError if another program has the port, where JAX may end with a segmentation fault."""
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    try:
        port = int(address.rpartition(":")[2])
        socket.create_server(("", port), family=family, dualstack_ipv6=is_dual).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        problem = f"process 0 cannot wait for the others at {address} ({reason}); a free port was expected"
        raise DistributionError(problem) from None


def _explanation(text: str, settings: Settings) -> str | None:
    """The line for an abort that reports a lost connection."""
    if not LOST.search(text):
        return None
    if _Process.count == 1:
        return (
            f"process {settings.index} of {settings.count} has not met the others at {_address(settings)}"
            f" ({_status(text)}); start the same command once for each process, within {JOIN_SECONDS} s"
        )
    return LOST_MESSAGE.format(_Process.index)


def _line(error: Exception) -> str | None:
    """What is reported for an error in one of several processes; None for an error of the program."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, AssertionError):  # JAX compares what is assigned to the variables of all processes
        is_difference = "not the same on each process" in str(error)
        return DIFFERENCE if is_difference else None
    return LOST_MESSAGE.format(_Process.index) if LOST.search(str(error)) else None


DIFFERENCE = "the weights of the processes differ; hosts with the same processors and accelerators were expected"
LOST_MESSAGE = (
    "process {}: another process has ended, or its host cannot be reached; see its own messages; the same command in"
    " all processes resumes from the last checkpoint"
)


def _address(settings: Settings) -> str:
    return settings.address or "the first host of SLURM_STEP_NODELIST"


def _status(text: str) -> str:
    """The reason in the report of JAX's connection."""
    found = re.search(r"absl::Status: \w+: (.*)", text)
    return found[1].strip() if found else "no reason was given"


@contextmanager
def _one_line_of_error() -> Iterator[None]:
    """An error that ends the block is the only one reported; that of a lost connection is a DistributionError."""
    try:
        yield
    except (UserError, RuntimeError, ValueError, AssertionError) as error:
        line = None if _Process.count == 1 else _line(error)
        if line is None:
            raise
        begin_end()
        if isinstance(error, UserError):
            raise
        raise DistributionError(line) from None


@contextmanager
def _library_output_dropped() -> Iterator[None]:
    """Within the block, what libraries write to standard output is dropped."""
    sys.stdout.flush()
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)


def _end() -> None:
    """Closes the connection at the exit, when all others do the same.

    A process that fails alone must not wait for them. They notice that its connection is closed.
    """
    if not _Process.is_done:
        end_at_once(ERROR)
    import jax

    jax.distributed.shutdown()


# --- what a training asks -------------------------------------------------------------------------------------------


def is_first() -> bool:
    """Whether this is process 0, which writes the run."""
    return _Process.index == 0


def part() -> tuple[int, int]:
    """(index, count): this process makes part `index` of the `count` equal parts of each batch."""
    return _Process.index, _Process.count


def device_count() -> int:
    """The number of devices of all processes that share a batch."""
    return 1 if _Process.mesh is None else _Process.mesh.size


def check_batch_size(batch_size: int) -> None:
    """Raises FieldError if the devices cannot have equal parts of a batch."""
    count = device_count()
    if batch_size % count:
        devices = "the number of devices" + (f" of {_Process.count} processes" if _Process.count > 1 else "")
        raise FieldError("batch_size", batch_size, f"a multiple of {count}, {devices}, was expected").of_option()


def place(batches: Any, without_rows: Collection[str] = ()) -> Any:
    """The batches of some steps on the devices: each device has its rows of each batch.

    Args:
        batches: a nest of arrays `(steps, rows, ...)`, with the rows that this process makes.
        without_rows: names of arrays `(steps, ...)` that have no rows, and are the same in every process.
    """
    import jax

    if _Process.mesh is None:
        return jax.device_put(batches)
    by_rows, whole = (jax.NamedSharding(_Process.mesh, jax.P(*axes)) for axes in ((None, "batch"), ()))

    def placed(path: Any, array: Any) -> Any:
        has_rows = not any(getattr(key, "key", None) in without_rows for key in path)
        return jax.make_array_from_process_local_data(by_rows if has_rows else whole, array)

    return jax.tree_util.tree_map_with_path(placed, batches)


def replicated() -> Any:
    """The sharding of a value that every device has; None where there is one device."""
    import jax

    return None if _Process.mesh is None else jax.NamedSharding(_Process.mesh, jax.P())


def largest(*numbers: int) -> tuple[int, ...]:
    """The largest of each number over all processes, all of which call this at the same point."""
    if _Process.count == 1:
        return numbers
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    return tuple(process_allgather(np.array(numbers, np.int32)).max(axis=0).tolist())


def of_first(arrays: Sequence[Any]) -> list[Any]:
    """The NumPy arrays of process 0, bit for bit; those of all processes have the same shapes and types."""
    if _Process.count == 1:
        return list(arrays)
    import numpy as np

    content, found, start = _from_first(b"".join(array.tobytes() for array in arrays)), [], 0
    for array in arrays:
        found.append(np.frombuffer(content, array.dtype, array.size, start).reshape(array.shape))
        start += array.nbytes
    return found


def check_agreement(values: Mapping[str, str]) -> None:
    """Raises DistributionError in all processes, naming a value that is not the same in all."""
    if _Process.count == 1:
        return
    everywhere = [json.loads(content) for content in _gathered(json.dumps(dict(values)).encode())]
    for name in sorted({name for others in everywhere for name in others}):
        found = [others.get(name, "missing") for others in everywhere]
        differing = next((index for index, value in enumerate(found) if value != found[0]), None)
        if differing is not None:
            raise DistributionError(
                f"{name}: {shown(found[0])} in process 0, {shown(found[differing])} in process {differing};"
                " the same in all processes was expected"
            )


@contextmanager
def folder_of_runs() -> Iterator[Path | None]:
    """The folder in which this process keeps runs: a temporary one; None, for the usual one, in process 0.

    All processes end the block together.
    """
    with _one_line_of_error():
        if is_first():
            yield None
        else:
            parent, name = Path(tempfile.gettempdir()), "quatrain"
            remove_temporaries(parent, name)
            with temporary_folder(parent, name) as folder:
                yield folder
    end_together()


def end_together() -> None:
    """States that all processes end the training now, so each may wait for the others."""
    _Process.is_done = True


def share_files(folder: Path) -> None:
    """Copies the files that a training resumes from, from the folder of process 0 to those of the others."""
    if _Process.count == 1:
        return
    own = sorted(path for path in folder.rglob("*") if path.suffix in RESUMED and path.is_file()) if is_first() else []
    names = json.loads(_from_first(json.dumps([str(path.relative_to(folder)) for path in own]).encode()))
    for name in names:
        content = _from_first((folder / name).read_bytes() if is_first() else b"")
        if not is_first():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def _gathered(content: bytes) -> list[bytes]:
    """The content of every process."""
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    sizes = process_allgather(np.array(len(content), np.uint32))
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    rows = process_allgather(padded)
    return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


def _from_first(content: bytes) -> bytes:
    """The content of process 0."""
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(broadcast_one_to_all(np.array(len(content), np.uint32)))
    own = np.frombuffer(content, np.uint8) if is_first() else np.zeros(size, np.uint8)
    return b"".join(broadcast_one_to_all(own[start : start + CHUNK]).tobytes() for start in range(0, size, CHUNK))


def _versions() -> dict[str, str]:
    """The versions of what computes, and a hash of this program."""
    root = Path(__file__).resolve().parent.parent
    sources = sorted(path for package in ("datasets", "shared", "tasks") for path in (root / package).rglob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    packages = {f"version of {name}": version(name) for name in ("jax", "jaxlib", "keras", "numpy")}
    return {"version of python": sys.version.split()[0], **packages, "code of this program": code}
