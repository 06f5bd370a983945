"""A captioner trained in seconds on a few scenes, for all tests of the package."""

import contextlib
import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

import shared.runs
from datasets.scenes import scenes_dataset_builder
from shared.cli import TrainingOptions
from shared.runs import Run, write_json
from tasks.captioner.config import SCENES, Config
from tasks.captioner.inference import ImageCaptioner
from tasks.captioner.train import train

SPLITS = {"train": 32, "dev": 4, "test": 4}
CONFIG = replace(
    SCENES,
    units=16,
    image_size=32,
    max_length=20,
    batch_size=8,
    encoder_batch_size=2,
    epochs=12,
    reward_epochs=1,
    learning_rate=1e-2,
    warmup_steps=2,
    weight_average=0.5,
    patience=12,
)


@dataclass(frozen=True)
class Trained:
    """The run and the output of its training."""

    run: Run
    config: Config
    output: str


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A run named `tiny` in a temporary `saved_models`; the corpus has only a few scenes while the package runs."""
    folder = tmp_path_factory.mktemp("captioner")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        patch.setenv("QUATRAIN_PREPARED", str(folder / "prepared"))
        patch.delenv("QUATRAIN_DATA", raising=False)
        for split, count in SPLITS.items():
            patch.setitem(scenes_dataset_builder.SPLITS, split, count)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            train(CONFIG, TrainingOptions(run="tiny"))
        yield Trained(Run(folder / "saved_models" / "captioner" / "tiny"), CONFIG, output.getvalue())


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    tint = np.random.default_rng(seed).integers(0, 100, 3)
    return np.clip(np.stack([3 * x, 4 * y, 2 * x + 2 * y], axis=-1) + tint, 0, 255).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    """The bytes of an image file."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def odd_images() -> dict[str, bytes]:
    """Image files of many kinds; all paths from bytes to captions must read each of them in the same way."""
    colour = Image.fromarray(picture())
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 56).astype(np.uint8), (40, 1))))
    return {
        "turned.jpg": encoded(colour, "JPEG", exif=turned),
        "grey.jpg": encoded(colour.convert("L"), "JPEG"),
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "palette.png": encoded(colour.convert("P"), "PNG"),
        "clear.png": encoded(clear, "PNG"),
        "wide.png": encoded(picture(5, 90, seed=1), "PNG"),
        "tall.bmp": encoded(picture(120, 7, seed=2), "BMP"),
        "dot.gif": encoded(picture(1, 1, seed=3), "GIF"),
        "exact.png": encoded(picture(32, 32, seed=4), "PNG"),
    }


@pytest.fixture(scope="package")
def captioner(trained) -> ImageCaptioner:
    return ImageCaptioner.load("tiny")


@pytest.fixture(scope="package")
def found(trained):
    """A copy of `tiny` with a finder, trained for a few steps, that takes part in the order of captions."""
    from tasks.captioner.finder_training import train_finder, writable_run

    run = writable_run(trained.run, "found")
    with contextlib.redirect_stdout(io.StringIO()):
        train_finder(trained.run, run, seed=1, epochs=2)
    config = run.config
    config["config"] |= {"finder_weight": 5.0, "consensus_weight": 2.0}
    write_json(run.path / "config.json", config)
    return run


@pytest.fixture(scope="package")
def finder(found):
    from tasks.captioner.finding import PhotoFinder

    return PhotoFinder.load("found")
