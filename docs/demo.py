"""Trains a captioner on drawn scenes, shows what it can do, and what the released models can.

    make demo
    python -m docs.demo

The run is saved_models/captioner/demo/, which all commands find by its name, as in `quatrain caption --model demo
picture.png`. Pictures are in saved_models/demo/. After an interruption, the training goes on where it was.
"""

import shared  # noqa: F401, I001  # first: it handles signals
import sys
import time
from dataclasses import replace
from pathlib import Path

from shared import runs
from shared.cli import TrainingOptions, command
from shared.errors import UserError
from shared.native.precompile import compile_ahead
from tasks.captioner.config import PRESETS

RUN, IMAGES, STEPS = "demo", 8, 5
BEGAN = time.monotonic()


def begin(step: int, text: str) -> None:
    """Say what comes next, and after how many seconds."""
    print(f"\n{step} of {STEPS}, {time.monotonic() - BEGAN:.0f} s: {text}", flush=True)


def demo(folder: Path) -> Path:
    """Run all steps, write pictures into a folder, and return the path of the picture of all tasks."""
    from datasets.__main__ import images
    from tasks.captioner import caption
    from tasks.captioner.config import find_run
    from tasks.captioner.evaluate import Arguments, measure
    from tasks.captioner.export import export
    from tasks.captioner.train import train

    # The preset has two epochs of the encoder and three of the decoder: 92 % of the test captions are right, here 86 %.
    config = replace(PRESETS["scenes"], encoder_epochs=1, encoder_batch_size=8, epochs=2)
    pictures = folder / "images"
    begin(1, "a captioner of drawn scenes learns to find objects, then to say where they are")
    train(config, TrainingOptions(run=RUN))

    begin(2, "it captions scenes that it has not seen")
    right = measure(find_run(RUN), Arguments(split="test"))
    print(f"all objects and relations are right in {right['true_seen']:.0%} of the captions")
    print(f"and in {right['true_novel']:.0%} of those with a pair of colour and shape that no training scene has")

    begin(3, "it is exported for TensorFlow alone")
    print(export(RUN))

    begin(4, f"it captions {IMAGES} scenes into files: what it looks at for each word, and a page")
    images(config.corpus, "test", pictures, IMAGES, None)
    attention, gallery = folder / "attention.png", folder / "gallery.html"
    written = ["--attention", str(attention), "--gallery", str(gallery)]
    if code := caption.main(["--model", RUN, str(pictures), *written]):
        raise SystemExit(code)
    print(gallery)

    begin(5, "the released models of all four tasks draw one picture")
    path = folder / "overview.png"
    draw_overview(path, pictures)
    return path


def draw_overview(path: Path, pictures: Path) -> None:
    """Draw the picture of all tasks; with the captioner of this demo if there are no ImageNet weights for photos."""
    from docs import overview
    from quatrain import ImageCaptioner, read_image
    from tasks.captioner.caption import finder_of
    from tasks.captioner.config import find_run

    picture = overview.FOLDER / "dog.jpg"
    try:
        captioner = ImageCaptioner.load()
        finder = finder_of(captioner, find_run())
    except UserError as error:
        print(f"{error}; the picture shows the captioner of step 1 instead")
        captioner, finder, picture = ImageCaptioner.load(RUN), None, min(pictures.iterdir())
    overview.draw(path, captioner, finder, read_image(picture))


@command
def main(arguments: list[str]) -> None:
    if arguments:
        raise UserError(f"{arguments[0]}: no arguments were expected")
    compile_ahead("lstm")
    path = demo(runs.ROOT / "demo")
    print(f"done in {time.monotonic() - BEGAN:.0f} s; open this picture:\n{path.resolve().as_uri()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
