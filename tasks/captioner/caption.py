"""Captions images.

    python -m tasks.captioner.caption photo.jpg
    python -m tasks.captioner.caption photo.jpg --n-best 5 --regions regions.png
    python -m tasks.captioner.caption holiday/ --gallery holiday.html
    python -m tasks.captioner.caption *.jpg --json --output captions.jsonl
    python -m tasks.captioner.caption holiday/ --recursive --sidecars --skip-existing
    cat photo.jpg | python -m tasks.captioner.caption -

Reads JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and, with the extra heic, HEIC. An image that cannot be read is reported on
standard error; the others are captioned. A caption's confidence is the calibrated probability that it is right
(`confidence.py`); its probability is that of all its words, which is low for any long caption. Where the words are in a
photo is shown by `--regions`; the attention is there no more often than by chance (`pointing.py`).
"""

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.bounds import MAX_BEAM, Beam, Bounds
from shared.cli import (
    USAGE,
    ModelOptions,
    OutputOptions,
    Results,
    RuntimeOptions,
    check_n_best,
    command,
    parse,
    say_loading,
)
from shared.errors import UserError
from shared.files import MediaError
from shared.inputs import Input, Reader, find_inputs
from shared.media import IMAGES, read_image, read_truncated_image
from shared.outputs import PICTURES, check_outputs, numbered_paths, write_output
from shared.runs import Run
from tasks.captioner.config import check_finder, find_run
from tasks.captioner.gallery import Gallery

if TYPE_CHECKING:
    import numpy as np

    from tasks.captioner.finding import PhotoFinder
    from tasks.captioner.inference import Caption, ImageCaptioner

MAX_PIXELS = 50_000_000  # in memory at a time, plus one image; 32 images are enough for all cores
READER = Reader(
    kind=IMAGES, read=read_image, size=lambda image: image.shape[0] * image.shape[1], max_size=MAX_PIXELS, max_items=32
)


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files, folders of them, or - for one image on standard input."""
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config, or --n-best if that is higher."""
    n_best: Beam = 1
    """Number of captions per image; with more than one, their confidence and probability are shown."""
    recursive: bool = False
    """Also search the subfolders of folders."""
    keep_going: bool = False
    """Caption what there is of a truncated JPEG, and say so on standard error."""
    csv: bool = False
    """Write CSV, one row per caption, which is also a corpus to train on."""
    sidecars: bool = False
    """Write the captions of each image, one a line, into a text file beside it: a.txt for a.jpg."""
    skip_existing: bool = False
    """With --sidecars, leave images out that have such a file; it is never replaced."""
    attention: Path | None = None
    """Plot the attention weights for each word; for several inputs, numbered files in the order of the output."""
    regions: Path | None = None
    """Plot where each word is found in the image, by the finder of the run; numbered files as for --attention."""
    gallery: Path | None = None
    """Write an HTML page of all images and captions."""


def as_record(name: str, captions: "Sequence[Caption]") -> dict[str, Any]:
    """The JSON object of an image."""
    return {
        "image": name,
        "captions": [
            {
                "text": caption.text,
                "log_prob": round(caption.log_prob, 4),
                "score": round(caption.score, 4),
                "confidence": None if caption.confidence is None else round(caption.confidence, 4),
                "tokens": caption.tokens,
                "probabilities": _rounded(caption.probabilities),
                "word_confidences": None if caption.word_confidences is None else _rounded(caption.word_confidences),
            }
            for caption in captions
        ],
    }


def _rounded(values: "np.ndarray") -> list[float]:
    return [round(float(value), 4) for value in values]


def as_text(name: str, captions: "Sequence[Caption]") -> str:
    """The text output for an image: one line, or for several captions one line each, in the order of confidence.

    A model without calibration has the score of the search in place of the confidence.
    """
    if len(captions) == 1:
        return f"{name}: {captions[0].text}"
    return "\n".join([f"{name}:", *(f"  {_values(caption)}  {caption.text}" for caption in captions)])


def _values(caption: "Caption") -> str:
    best = f"score {caption.score:<7.3f}" if caption.confidence is None else f"confidence {caption.confidence:.2f}"
    return f"{best}  probability {exp(caption.log_prob):<8.2g}"


def as_csv(*rows: Sequence[object]) -> str:
    """Rows of CSV, without the end of the last line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().removesuffix("\n")


COLUMNS = ("image", "caption", "confidence", "log_prob")


def as_rows(name: str, captions: "Sequence[Caption]") -> list[tuple[object, ...]]:
    """The values of `COLUMNS` of the captions of an image."""
    records = as_record(name, captions)["captions"]
    return [(name, record["text"], record["confidence"], record["log_prob"]) for record in records]


def sidecar_of(path: Path) -> Path:
    """The text file beside an image."""
    return path.with_suffix(".txt")


def without_sidecar(inputs: Sequence[Input], skip: bool) -> list[Input]:
    """The images that have no text file yet.

    Raises:
        UserError: One has a text file, and it is not to be skipped; or an image is on standard input.
    """
    if any(path is None for _, path, _ in inputs):
        raise UserError("--sidecars: the image on standard input has no file beside which to write")
    existing = dict.fromkeys(path for _, path, _ in inputs if path and sidecar_of(path).exists())
    if existing and not skip:
        texts = f"{len(existing)} text files exist" if len(existing) > 1 else "a text file exists"
        raise UserError(f"{texts}, such as {sidecar_of(next(iter(existing)))}; --skip-existing leaves their images out")
    if existing:
        images = f"{len(existing)} images that have" if len(existing) > 1 else "1 image that has"
        print(f"skipped {images} a text file", file=sys.stderr)
    return [image for image in inputs if image.path not in existing]


def read_what_there_is(source: Path | bytes) -> "np.ndarray":
    """The pixels of an image, or of the upper part of a truncated JPEG, which is reported."""
    try:
        return read_image(source)
    except MediaError as error:
        try:
            image, fraction = read_truncated_image(source)
        except MediaError:
            raise error from None
        name = "-" if isinstance(source, bytes) else source
        print(f"{name} is truncated; the upper {fraction:.0%} of it is captioned", file=sys.stderr)
        return image


def finder_of(captioner: "ImageCaptioner", run: Run, for_regions: bool = True) -> "PhotoFinder":
    """The finder of the captioner's run, with its encoder; for regions also with that of larger photos."""
    from tasks.captioner.encoder import load_fine_encoder
    from tasks.captioner.finder import load_finder
    from tasks.captioner.finding import PhotoFinder

    config, vocabulary, encoder = captioner.config, captioner.vocabulary, captioner.encoder
    fine = load_fine_encoder(run, config, encoder) if for_regions else None
    finder = captioner.finder or load_finder(run, config, vocabulary)
    return PhotoFinder(finder, encoder, config, vocabulary, fine)


def plot_regions(finder: "PhotoFinder", image: "np.ndarray", caption: "Caption", path: Path) -> None:
    """Draw where the words of a caption are found."""
    import numpy as np

    from shared.plots import draw_regions

    words = finder.match(image, [" ".join(caption.tokens)])[0].words if caption.tokens else []
    fits, scores = (np.array([getattr(word, name) for word in words]) for name in ("fit", "score"))
    draw_regions(image, caption.text, [word.word for word in words], fits, scores, path)


def check(options: Arguments) -> None:
    """Raise UserError for options that do not fit together."""
    if not options.images:
        raise UserError("no images given; name files, folders, or - for standard input")
    check_n_best(options.n_best, options.beam)
    if options.json and options.csv:
        raise UserError("--json and --csv are two formats of the output; one was expected")
    if options.skip_existing and not options.sidecars:
        raise UserError("--skip-existing is about the files of --sidecars, which was expected with it")


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.captioner.caption", __doc__)
    check(options)
    runtime = options.runtime_for({"--regions": options.regions})
    inputs = find_inputs(IMAGES, options.images, options.recursive)
    if options.sidecars:
        inputs = without_sidecar(inputs, options.skip_existing)
        if not inputs:  # all are captioned already
            return 0
    drawn = {"--attention": options.attention, "--regions": options.regions}
    pictures = {
        option: numbered_paths(option, path, len(inputs), PICTURES) if path else [] for option, path in drawn.items()
    }
    run = find_run(options.model)
    if options.regions:
        check_finder(run)
    check_outputs(
        {
            "--output": [options.output],
            "--gallery": [options.gallery],
            **{option: dict.fromkeys([path, *pictures[option]]) for option, path in drawn.items()},
            "--sidecars": [sidecar_of(image.path) for image in inputs if image.path and options.sidecars],
        },
        {"one of the images to caption": [image.path for image in inputs], "a file of the model": [run.path]},
    )

    reader = replace(READER, read=read_what_there_is) if options.keep_going else READER
    failed: list[str] = []
    captioner, finder, gallery, count = None, None, Gallery(), 0
    with Results(options.json, options.output) as results:
        try:
            for batch in reader.batches(inputs, failed):
                from tasks.captioner.inference import ImageCaptioner

                if captioner is None:  # an image can be read
                    say_loading("captioner")
                captioner = captioner or ImageCaptioner.load(str(run.path), options.beam, options.n_best, runtime)
                for (name, image), captions in zip(batch, captioner([image for _, image in batch]), strict=True):
                    captions = captions[: options.n_best]
                    if options.csv:
                        results.write({}, as_csv(*([] if count else [COLUMNS]), *as_rows(name, captions)))
                    else:
                        results.write(as_record(name, captions), as_text(name, captions))
                    if options.sidecars:
                        lines = "".join(f"{caption.text}\n" for caption in captions)
                        write_output(sidecar_of(Path(name)), lines.encode())
                    if options.gallery:
                        gallery.add(name, image, captions)
                    if options.attention:
                        from shared.plots import draw_image_attention

                        best, path = captions[0], pictures["--attention"][count]
                        draw_image_attention(image, best.text, best.tokens, best.attention, best.sentinel, path)
                    if options.regions:
                        finder = finder or finder_of(captioner, run)
                        plot_regions(finder, image, captions[0], pictures["--regions"][count])
                    count += 1
        finally:  # after an interruption too: finished captions are kept
            if options.gallery and gallery.figures:
                gallery.write(options.gallery)
    return 0 if not failed else 1 if count else USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
