"""Captions images.

    python -m tasks.captioner.caption photo.jpg
    python -m tasks.captioner.caption photo.jpg --n-best 5 --attention attention.png
    python -m tasks.captioner.caption holiday/ --gallery holiday.html
    python -m tasks.captioner.caption *.jpg --json --output captions.jsonl
    cat photo.jpg | python -m tasks.captioner.caption -

An image that cannot be read is named on standard error; the others are captioned all the same.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from shared.cli import USAGE, Results, check_number, command, parse
from shared.errors import UserError
from shared.inputs import PICTURES, Input, Reader, check_outputs, find_inputs, numbered
from shared.media import IMAGES, read_image
from shared.runs import Run
from tasks.captioner.config import RELEASED, TASK
from tasks.captioner.gallery import Gallery

if TYPE_CHECKING:
    from shared.vocabulary import WordVocabulary
    from tasks.captioner.data import Caption
    from tasks.captioner.model import Describer

READER = Reader(
    kind=IMAGES,
    read=read_image,
    size=lambda image: image.shape[0] * image.shape[1],
    limit=50_000_000,  # pixels in memory at a time, plus one image
    most=32,  # enough to keep all cores busy
)
MAX_BEAM = 100  # far beyond what helps; a slip of the finger should not fill the memory


@dataclass(frozen=True, kw_only=True)
class Arguments:
    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files, folders of them, or - for one image on standard input."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    beam: int | None = None
    """Hypotheses kept in search; by default the run's own, or as many as --n-best asks for."""
    n_best: int = 1
    """Captions for each image, with their probabilities when more than one."""
    attention: Path | None = None
    """Draw where the model looked at each word; for several inputs files numbered like the lines of the output."""
    gallery: Path | None = None
    """Write an HTML page of all images and captions."""
    json: bool = False
    """One JSON object a line: image, captions (each text, log_prob, tokens)."""
    output: Path | None = None
    """Write there instead of to standard output."""


class ImageCaptioner:
    """A trained captioner for images of any size.

    >>> captioner = ImageCaptioner.load("flickr8k")
    >>> captioner([read_image(Path("photo.jpg"))])[0][0].text
    """

    def __init__(self, describer: "Describer", vocabulary: "WordVocabulary", image_size: int):
        self.describer, self.vocabulary, self.image_size = describer, vocabulary, image_size

    @classmethod
    def load(cls, model: str | None = None, beam: int | None = None, n_best: int = 1) -> "ImageCaptioner":
        """Loads a run or folder, by default the released model, to search with `beam`, or with at least `n_best`.

        Raises:
            UserError: there is no such run, or its files do not fit together.
        """
        run = Run.find(model, TASK, RELEASED)
        from tasks.captioner.encoder import load_encoder
        from tasks.captioner.model import Describer, load_model

        config, vocabulary, model_ = load_model(run)
        config = replace(config, beam=beam or max(config.beam, n_best))
        return cls(Describer(model_, load_encoder(run, config), config), vocabulary, config.image_size)

    def __call__(self, images: Sequence[np.ndarray]) -> "list[list[Caption]]":
        """The captions, best first, of each image, uint8 (height, width, 3)."""
        from tasks.captioner.data import prepare, read_captions

        prepared = np.concatenate([prepare(image[None], self.image_size) for image in images])
        found = self.describer.predict_on_batch(prepared)
        return read_captions(found, self.vocabulary, self.describer.grid_shape)


def as_record(name: str, captions: "list[Caption]") -> dict:
    """What `--json` prints of an image."""
    return {
        "image": name,
        "captions": [
            {"text": caption.text, "log_prob": round(caption.log_prob, 4), "tokens": caption.tokens}
            for caption in captions
        ],
    }


def as_text(name: str, captions: "list[Caption]") -> str:
    """What a person reads of an image: one line, or with several captions one line each, with its probability."""
    if len(captions) == 1:
        return f"{name}: {captions[0].text}"
    return "\n".join([f"{name}:", *(f"  {exp(caption.log_prob):<8.2g}{caption.text}" for caption in captions)])


def check(options: Arguments, inputs: Sequence[Input], pictures: Iterable[Path]) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    if not options.images:
        raise UserError("no images given; name files, folders, or - for standard input")
    check_number("--beam", options.beam, 1, MAX_BEAM)
    check_number("--n-best", options.n_best, 1, options.beam or MAX_BEAM, "the beam")
    outputs = [path for path in (options.output, options.gallery, *pictures) if path]
    check_outputs(outputs, inputs, "the images to caption")


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.captioner.caption", __doc__)
    inputs = find_inputs(IMAGES, options.images)
    pictures = numbered("--attention", options.attention, len(inputs), PICTURES) if options.attention else []
    check(options, inputs, pictures)
    run = Run.find(options.model, TASK, RELEASED)

    failed: list[str] = []
    captioner = results = None
    gallery, count = Gallery(), 0
    try:
        for batch in READER.batches(inputs, failed):
            # Loaded when there is something to caption; an older output is replaced when there is a newer one.
            captioner = captioner or ImageCaptioner.load(str(run.path), options.beam, options.n_best)
            results = results or Results(options.json, options.output)
            for (name, image), captions in zip(batch, captioner([image for _, image in batch]), strict=True):
                captions = captions[: options.n_best]
                results.write(as_record(name, captions), as_text(name, captions))
                if options.gallery:
                    gallery.add(name, image, captions)
                if options.attention:
                    from shared.plots import draw_image_attention

                    best = captions[0]
                    draw_image_attention(image, best.text, best.tokens, best.attention, best.sentinel, pictures[count])
                count += 1
    finally:  # also when interrupted: what was captioned is not lost
        if results:
            results.close()
        if options.gallery and count:
            gallery.write(options.gallery)
    return 0 if not failed else 1 if count else USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
