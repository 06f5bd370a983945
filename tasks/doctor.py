"""Shows what this installation runs on and what it finds.

    python -m tasks.doctor

Versions, processor and devices; which kernel computes each recurrent layer; where models and corpora are found.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from shared.backend import BackendError, installed_version, require_tensorflow
from shared.cli import command, parse
from shared.machine import cores, has_imagenet_weights, imagenet_folder, processor_name, vector_instructions
from shared.runs import ROOT, Run

PACKAGES = (
    "keras", "tensorflow", "jax", "jaxlib", "numpy", "numba", "tensorflow-datasets", "safetensors", "librosa", "pillow",
)  # fmt: skip
OPTIONAL = {  # module -> extra
    "jax_cuda12_plugin": "jax-cuda", "apache_beam": "beam", "tensorboard": "tensorboard",
    "espeakng_loader": "speech-synthesis",
}  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    """The command has no options."""


def rows_of_versions() -> Iterator[tuple[str, str]]:
    """Name and version of Python and of each package."""
    yield "python", platform.python_version()
    for package in PACKAGES:
        yield package, installed_version(package) or "not installed"
    for module, extra in OPTIONAL.items():
        yield f"extra {extra}", "installed" if find_spec(module) else "not installed"
    yield "ffmpeg", shutil.which("ffmpeg") or "not installed; it reads m4a, AAC, WebM, AMR and Windows Media"


def rows_of_devices() -> Iterator[tuple[str, str]]:
    """Processor, cores, the backend and its devices, and whether SavedModels can be written."""
    yield "processor", processor_name()
    yield "instructions", vector_instructions()
    yield "cores", str(cores())
    import keras
    from keras.distribution import list_devices

    yield "backend", keras.backend.backend()
    yield "devices", ", ".join(list_devices())
    for number, name in enumerate(gpu_names()):
        yield f"GPU {number}", name
    try:
        require_tensorflow("a SavedModel", as_backend=True)
        yield "SavedModels", "can be written"
    except BackendError as error:
        yield "SavedModels", str(error)


def gpu_names() -> list[str]:
    """The GPUs that the backend uses, as their maker calls them."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.local_devices() if device.platform == "gpu"]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [gpu.get("device_name", "unknown") for gpu in details]


def rows_of_layers() -> Iterator[tuple[str, str]]:
    """What computes each recurrent layer here, in training and in inference, and why."""
    from shared import recurrent

    layers = {
        "SimpleRNN": recurrent.SimpleRNN(8), "LSTM": recurrent.LSTM(8), "GRU": recurrent.GRU(8),
        "Mogrifier": recurrent.RNN(recurrent.MogrifierLSTMCell(8)),
        "conditional GRU": recurrent.ConditionalGRU(8, 8),
    }  # fmt: skip
    for name, layer in layers.items():
        training, inference = (layer.implementation(training=training) for training in (True, False))
        yield name, training if training == inference else f"training: {training}; inference: {inference}"
    yield "Bidirectional", recurrent.Bidirectional(layers["LSTM"]).implementation(training=True)


def rows_of_models() -> Iterator[tuple[str, str]]:
    """The runs of each task, and Keras' cache of ImageNet weights."""
    for task in sorted(path.parent.name for path in Path(__file__).parent.glob("*/config.py")):
        yield task, f"{', '.join(run.name for run in Run.trained(task)) or 'none'} in {ROOT / task}"
    found = "found" if has_imagenet_weights() else "fetched on first use"
    yield "ImageNet weights", f"{found}, {imagenet_folder()} (KERAS_HOME)"


def rows_of_corpora() -> Iterator[tuple[str, str]]:
    """Where each corpus is, or comes from."""
    import datasets

    yield "QUATRAIN_DATA", os.environ.get("QUATRAIN_DATA", "not set")
    for name in datasets.NAMES:
        yield name, datasets.location(name)


SECTIONS = {
    "Versions": rows_of_versions, "Devices": rows_of_devices, "Recurrent layers": rows_of_layers,
    "Models": rows_of_models, "Corpora": rows_of_corpora,
}  # fmt: skip


@command
def main(arguments: list[str]) -> None:
    parse(Arguments, arguments, "tasks.doctor", __doc__)
    for title, rows in SECTIONS.items():
        print(title)
        for name, value in rows():
            print(f"    {name:<20} {value}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
