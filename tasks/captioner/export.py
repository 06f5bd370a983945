"""Exports a trained captioner as a SavedModel that takes pixels or image files and returns text.

    python -m tasks.captioner.export [RUN] [--beam 3]

Endpoints, for any batch size:

    caption        image `(batch, height, width, 3)` uint8, any height and width
    caption_bytes  image `(batch,)` string: the bytes of JPEG, PNG, BMP or GIF files

    -> text       `(batch, beam)` string           captions, best first
       log_prob   `(batch, beam)` float32          natural logarithms
       tokens     `(batch, beam, target)` string   words, then ""
       attention  `(batch, beam, target, rows, columns)` float32
       sentinel   `(batch, beam, target)` float32

If an image has fewer captions than the beam is wide, the rest have text "" and log_prob -inf.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.cli import command
from tasks.captioner.config import Config, find_run

if TYPE_CHECKING:
    from tasks.captioner.inference import Caption, ImageCaptioner

EXAMPLES = 8  # images of the parity check
TOLERANCE = 1e-3  # of log-probabilities and attention; the two graphs may add in a different order


def export(model: str | None = None, beam: int | None = None) -> Path:
    """Export a run, by default the released one, else the newest, and return the folder of the SavedModel.

    The default beam is the value in the run's config.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: the SavedModel and the Python model caption an image differently.
    """
    run = find_run(model)
    import tensorflow as tf

    from shared.export import Endpoint, write_saved_model
    from shared.media import read_image
    from tasks.captioner.data import example_files
    from tasks.captioner.inference import ImageCaptioner

    captioner = ImageCaptioner.load(str(run.path), beam)
    files = example_files(run.read_config(Config), EXAMPLES)
    images = [read_image(file) for file in files]
    expected, expected_alone = captioner(images), captioner(images[:1])

    def check(loaded: Any) -> None:
        check_parity(loaded.caption_bytes(tf.constant(files)), expected)
        check_parity(loaded.caption(tf.constant(images[0][None])), expected_alone)

    caption, caption_bytes = endpoint_functions(captioner)
    any_image = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
    any_bytes = tf.TensorSpec([None], tf.string, name="image")
    endpoints = {
        "caption": Endpoint(function=caption, signature={"image": any_image}, example={"image": images[0][None]}),
        "caption_bytes": Endpoint(function=caption_bytes, signature={"image": any_bytes}, example={"image": files[:1]}),
    }
    return write_saved_model(run, captioner.search, endpoints, check)


def endpoint_functions(captioner: "ImageCaptioner") -> tuple[Callable, Callable]:
    """The functions of `caption` and `caption_bytes`."""
    import tensorflow as tf

    from shared.media import prepare
    from shared.media_in_graph import decode_image_in_graph
    from tasks.captioner.model import SPLIT_OFF

    search, size = captioner.search, captioner.search.config.image_size
    words = tf.constant(["", "", "", *captioner.vocabulary.table[3:]])  # nothing for padding, start and end

    def caption_prepared(images: Any) -> dict[str, Any]:
        result = search(images)
        tokens, weights = tf.gather(words, result["token_ids"]), result["extras"]
        text = tf.strings.strip(tf.strings.reduce_join(tokens, axis=-1, separator=" "))
        return {
            "text": tf.strings.regex_replace(text, SPLIT_OFF, r"\1"),
            "log_prob": result["log_probs"],
            "tokens": tokens,
            "attention": tf.reshape(weights[..., :-1], tf.concat([tf.shape(tokens), search.grid_shape], axis=0)),
            "sentinel": weights[..., -1],
        }

    def caption(image: Any) -> dict[str, Any]:
        return caption_prepared(prepare(image, size))

    def caption_bytes(image: Any) -> dict[str, Any]:
        prepared = tf.TensorSpec([size, size, 3], tf.float32)  # the files of a batch may have different sizes
        pixels = tf.map_fn(
            lambda file: prepare(decode_image_in_graph(file)[None], size)[0], image, fn_output_signature=prepared
        )
        return caption_prepared(pixels)

    return caption, caption_bytes


def check_parity(result: Mapping[str, Any], expected: "Sequence[Sequence[Caption]]") -> None:
    """Raise ParityError unless the output of an endpoint agrees with the captions of the Python model."""
    import numpy as np

    from shared.export import ParityError

    arrays = {name: value.numpy() for name, value in result.items()}
    for i, captions in enumerate(expected):
        for j, caption in enumerate(captions):
            text, log_prob = arrays["text"][i, j].decode(), arrays["log_prob"][i, j]
            attention = arrays["attention"][i, j, : len(caption.tokens)]
            difference = np.abs(attention - caption.attention).max(initial=abs(log_prob - caption.log_prob))
            if text != caption.text or difference > TOLERANCE:
                raise ParityError(
                    f"nothing was exported: for image {i + 1} the SavedModel returns {text!r} ({log_prob:.4f}), the"
                    f" Python model {caption.text!r} ({caption.log_prob:.4f}), or their attention differs"
                )


@command
def main(arguments: list[str]) -> None:
    commands.export(arguments, "tasks.captioner.export", __doc__, export)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
