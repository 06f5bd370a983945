"""Captions images.

    python -m tasks.captioner.caption photo.jpg
    python -m tasks.captioner.caption photo.jpg --n-best 5 --attention attention.png
    python -m tasks.captioner.caption holiday/ --gallery holiday.html
    python -m tasks.captioner.caption *.jpg --json --output captions.jsonl
    cat photo.jpg | python -m tasks.captioner.caption -

An image that cannot be read is reported on standard error; the others are captioned.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.bounds import MAX_BEAM, Beam, Bounds
from shared.cli import USAGE, ModelOptions, OutputOptions, Results, check_n_best, command, parse
from shared.errors import UserError
from shared.inputs import Reader, find_inputs
from shared.media import IMAGES, read_image
from shared.outputs import PICTURES, check_outputs, numbered_paths
from tasks.captioner.config import find_run
from tasks.captioner.gallery import Gallery

if TYPE_CHECKING:
    from tasks.captioner.inference import Caption

MAX_PIXELS = 50_000_000  # in memory at a time, plus one image; 32 images are enough for all cores
READER = Reader(
    kind=IMAGES, read=read_image, size=lambda image: image.shape[0] * image.shape[1], max_size=MAX_PIXELS, max_items=32
)


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, OutputOptions):
    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files, folders of them, or - for one image on standard input."""
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config, or --n-best if that is higher."""
    n_best: Beam = 1
    """Number of captions per image; with more than one, their probabilities are shown."""
    attention: Path | None = None
    """Plot the attention weights for each word; for several inputs, numbered files in the order of the output."""
    gallery: Path | None = None
    """Write an HTML page of all images and captions."""


def as_record(name: str, captions: "Sequence[Caption]") -> dict[str, Any]:
    """The JSON object of an image."""
    records = [{"text": c.text, "log_prob": round(c.log_prob, 4), "tokens": c.tokens} for c in captions]
    return {"image": name, "captions": records}


def as_text(name: str, captions: "Sequence[Caption]") -> str:
    """The text output for an image: one line, or for several captions one line each, with its probability."""
    if len(captions) == 1:
        return f"{name}: {captions[0].text}"
    return "\n".join([f"{name}:", *(f"  {exp(caption.log_prob):<8.2g}{caption.text}" for caption in captions)])


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.captioner.caption", __doc__)
    inputs = find_inputs(IMAGES, options.images)
    pictures = numbered_paths("--attention", options.attention, len(inputs), PICTURES) if options.attention else []
    if not options.images:
        raise UserError("no images given; name files, folders, or - for standard input")
    check_n_best(options.n_best, options.beam)
    run = find_run(options.model)
    check_outputs(
        {
            "--output": [options.output],
            "--gallery": [options.gallery],
            "--attention": dict.fromkeys([options.attention, *pictures]),
        },
        {"one of the images to caption": [image.path for image in inputs], "a file of the model": [run.path]},
    )

    failed: list[str] = []
    captioner, gallery, count = None, Gallery(), 0
    with Results(options.json, options.output) as results:
        try:
            for batch in READER.batches(inputs, failed):
                from tasks.captioner.inference import ImageCaptioner

                # Loaded only if an image can be read.
                captioner = captioner or ImageCaptioner.load(str(run.path), options.beam, options.n_best)
                for (name, image), captions in zip(batch, captioner([image for _, image in batch]), strict=True):
                    captions = captions[: options.n_best]
                    results.write(as_record(name, captions), as_text(name, captions))
                    if options.gallery:
                        gallery.add(name, image, captions)
                    if options.attention:
                        from shared.plots import draw_image_attention

                        best, path = captions[0], pictures[count]
                        draw_image_attention(image, best.text, best.tokens, best.attention, best.sentinel, path)
                    count += 1
        finally:  # after an interruption too: finished captions are kept
            if options.gallery and gallery.figures:
                gallery.write(options.gallery)
    return 0 if not failed else 1 if count else USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
