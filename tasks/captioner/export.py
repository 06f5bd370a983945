"""Writes a trained captioner as a SavedModel that takes pixels or image files and gives text.

    python -m tasks.captioner.export [RUN] [--beam 3]

Endpoints, both for any batch size:

    caption        image (batch, height, width, 3) uint8, any height and width
    caption_bytes  image (batch,) string: the bytes of JPEG, PNG, BMP or GIF files

    -> text       (batch, beam) string           captions, best first
       log_prob   (batch, beam) float32          natural logarithm
       tokens     (batch, beam, target) string   words, then ""
       attention  (batch, beam, target, rows, columns) float32
       sentinel   (batch, beam, target) float32

Where an image has fewer captions than the beam, text is "" and log_prob -inf.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from shared.cli import check_number, command, parse
from shared.runs import Run
from tasks.captioner.caption import MAX_BEAM, ImageCaptioner
from tasks.captioner.config import RELEASED, TASK, Config

CHECKED = 8  # images that the parity check captions in both ways
TOLERANCE = 1e-3  # in log-probabilities and attention; one graph may add up in another order than another


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: tyro.conf.Positional[str | None] = None
    """Run or folder; by default the released model, else the newest run."""
    beam: int | None = None
    """Captions per image; by default the run's own."""


def export(model: str | None, beam: int | None = None) -> Path:
    """Exports a run or folder; returns the SavedModel's folder.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: the SavedModel and the Python model caption an image differently.
    """
    run = Run.find(model, TASK, RELEASED)
    import numpy as np
    import tensorflow as tf

    from shared.export import Endpoint, ParityError, write_saved_model
    from shared.media import decode_image_in_graph, read_image
    from tasks.captioner.data import SPLIT_OFF, example_files, prepare

    captioner = ImageCaptioner.load(str(run.path), beam)
    describer, size = captioner.describer, captioner.image_size
    words = tf.constant(["", "", "", *captioner.vocabulary.table[3:]])  # padding, start and end are not said

    def describe(prepared):
        found = describer(prepared)
        tokens, weights = tf.gather(words, found["token_ids"]), found["extras"]
        text = tf.strings.strip(tf.strings.reduce_join(tokens, axis=-1, separator=" "))
        return {
            "text": tf.strings.regex_replace(text, SPLIT_OFF, r"\1"),
            "log_prob": found["log_probs"],
            "tokens": tokens,
            "attention": tf.reshape(weights[..., :-1], tf.concat([tf.shape(tokens), describer.grid_shape], axis=0)),
            "sentinel": weights[..., -1],
        }

    def caption(image):
        return describe(prepare(image, size))

    def caption_bytes(image):
        prepared = tf.TensorSpec([size, size, 3], tf.float32)  # images of different sizes meet in one batch
        pixels = tf.map_fn(
            lambda file: prepare(decode_image_in_graph(file)[None], size)[0], image, fn_output_signature=prepared
        )
        return describe(pixels)

    files = example_files(run.read_config(Config), CHECKED)
    images = [read_image(file) for file in files]
    expected_of_all, expected_of_first = captioner(images), captioner(images[:1])

    def check(loaded) -> None:
        answers = (
            (loaded.caption_bytes(tf.constant(files)), expected_of_all),
            (loaded.caption(tf.constant(images[0][None])), expected_of_first),
        )
        for given, expected in answers:
            given = {name: value.numpy() for name, value in given.items()}
            for i, captions in enumerate(expected):
                for j, wanted in enumerate(captions):
                    text, log_prob = given["text"][i, j].decode(), given["log_prob"][i, j]
                    attention = given["attention"][i, j, : len(wanted.tokens)]
                    if (
                        text != wanted.text
                        or abs(log_prob - wanted.log_prob) > TOLERANCE
                        or np.abs(attention - wanted.attention).max(initial=0) > TOLERANCE
                    ):
                        raise ParityError(
                            f"nothing was exported: for image {i + 1} the SavedModel says {text!r} ({log_prob:.4f}),"
                            f" the model {wanted.text!r} ({wanted.log_prob:.4f}); or they look elsewhere"
                        )

    any_image = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
    any_bytes = tf.TensorSpec([None], tf.string, name="image")
    endpoints = {
        "caption": Endpoint(function=caption, signature={"image": any_image}, example={"image": images[0][None]}),
        "caption_bytes": Endpoint(function=caption_bytes, signature={"image": any_bytes}, example={"image": files[:1]}),
    }
    return write_saved_model(run, describer, endpoints, check)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.captioner.export", __doc__)
    check_number("--beam", options.beam, 1, MAX_BEAM)
    print(export(options.model, options.beam))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
