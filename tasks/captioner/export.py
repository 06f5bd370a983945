"""Exports a trained captioner as a SavedModel that takes pixels or image files and returns text.

    python -m tasks.captioner.export [RUN] [--beam 3]
    python -m tasks.captioner.export [RUN] [--beam 3] --format onnx

With --format onnx, `caption.onnx` takes prepared images, float32 (batch, size, size, 3), and returns the tokens of the
captions as indices of the vocabulary; of a run with a finder, `embed_image.onnx` takes the same, and `embed_text.onnx`
words as indices of the vocabulary. Endpoints of the SavedModel, for any batch size:

    serving_default   image_bytes `(batch,)` string: the bytes of JPEG, PNG, BMP or GIF files
                      -> text, log_prob and error, as below
    caption_bytes     image `(batch,)` string, as above
                      -> all outputs
    caption           image `(batch, height, width, 3)` uint8, any height and width
                      -> all outputs

and, if the run has a finder, whose score of an image and a text is the product of their embeddings (`finder.py`):

    embed_image image `(batch,)` string, as for caption_bytes
                -> embedding `(batch, width)`, cells `(batch, rows, columns, width)` float32, error
    embed_text  text `(batch,)` string
                -> embedding `(batch, width)`, words `(batch, target, width)` float32, tokens `(batch, target)` string,
                   error, if the model knows none of its words

    text       `(batch, beam)` string           captions, best first
    log_prob   `(batch, beam)` float32          natural logarithms
    score      `(batch, beam)` float32          of the search, which captions are ordered by
    confidence `(batch, beam)` float32          calibrated probability that the caption is right, if the run has it
    tokens     `(batch, beam, target)` string   words, then ""
    word_confidence `(batch, beam, target)` float32  calibrated probabilities that the words are right, if it has them
    attention  `(batch, beam, target, rows, columns)` float32
    sentinel   `(batch, beam, target)` float32
    error      `(batch,)` string                "", or why the image has no caption; the others are captioned

If an image has fewer captions than the beam is wide, the rest have text "", log_prob and score -1e9, which JSON can
hold, and confidence 0.
"""

import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.cli import command
from shared.onnx import ExportFormat
from tasks.captioner.config import find_run, has_finder

if TYPE_CHECKING:
    from shared.export import Endpoint
    from tasks.captioner.inference import Caption, ImageCaptioner

# Width and height of the images of the parity check and the warm-up; the first has the scenes' own size.
EXAMPLE_SIZES = ((96, 96), (64, 48), (31, 77), (200, 150), (1, 1), (320, 240), (57, 40), (96, 97))
EXAMPLE_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
TOLERANCE = 1e-3  # of log-probabilities and attention; the two graphs may add in a different order


def export(model: str | None = None, beam: int | None = None, format: ExportFormat = "savedmodel") -> Path:
    """Export a run, by default the released one, else the newest, and return the folder that was written.

    The default beam is the value in the run's config. No corpus is needed.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: what is exported and the Python model caption an image differently.
    """
    from tasks.captioner.caption import finder_of
    from tasks.captioner.inference import ImageCaptioner

    run = find_run(model)
    captioner = ImageCaptioner.load(str(run.path), beam)
    finder = finder_of(captioner, run, for_regions=False) if has_finder(run) else None
    if format == "onnx":
        from shared.onnx.files import write_onnx

        embed = {"embed_image": finder.image_function, "embed_text": finder.text_function} if finder else {}
        return write_onnx(run, {"caption": captioner.search, **embed})
    import tensorflow as tf

    from shared.export import write_saved_model
    from shared.media import read_image
    from tasks.captioner.finder_export import EmbeddingEndpoints

    embedding = EmbeddingEndpoints(finder) if finder else None
    files = example_files()
    images = [read_image(file) for file in files]
    expected = captioner(images)

    def check(loaded: Any) -> None:
        check_parity(loaded.caption_bytes(tf.constant(files)), expected)
        for i, image in enumerate(images):
            check_parity(loaded.caption(tf.constant(image[None])), expected[i : i + 1])
        if embedding:
            embedding.check(loaded, files, images)

    functions, resources = endpoints(captioner, files[0], images[0]), []
    if embedding:
        functions, resources = functions | embedding.endpoints(files[0]), embedding.resources
    return write_saved_model(run, captioner.search, functions, check, resources)


def example_files() -> list[bytes]:
    """Image files of several sizes and formats, drawn here, so that none of a corpus gets into the warm-up file."""
    import numpy as np
    from PIL import Image

    from datasets.scenes.render import render
    from datasets.scenes.world import sample_scene

    rng, files = np.random.default_rng(0), []
    for i, size in enumerate(EXAMPLE_SIZES):
        with BytesIO() as file:
            scene = Image.fromarray(render(sample_scene(rng), rng)).resize(size)
            scene.save(file, EXAMPLE_FORMATS[i % len(EXAMPLE_FORMATS)])
            files.append(file.getvalue())
    return files


def endpoints(captioner: "ImageCaptioner", file: bytes, image: Any) -> "dict[str, Endpoint]":
    """The functions of the SavedModel; `file` and `image` are the inputs of the warm-up requests."""
    import keras
    import tensorflow as tf

    from shared.export import Endpoint, message
    from shared.media import MAX_PIXELS, prepare
    from shared.media_in_graph import read_images_in_graph
    from tasks.captioner.confidence import log_odds
    from tasks.captioner.spelling import SPLIT_OFF

    search, size, calibration = captioner.search, captioner.config.image_size, captioner.confidence
    words = tf.constant(["", "", "", *captioner.vocabulary.table[3:]])  # nothing for padding, start and end

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3])], autograph=False)  # once for all endpoints
    def caption_prepared(images: Any) -> dict[str, Any]:
        result = search(images)
        tokens, weights = tf.gather(words, result["token_ids"]), result["extras"]
        text = tf.strings.strip(tf.strings.reduce_join(tokens, axis=-1, separator=" "))
        scores = result["scores"]
        confidence = {} if calibration is None else {"confidence": calibration.caption.of_tensor(scores)}
        if calibration is not None and calibration.word is not None:
            of_words = calibration.word.of_tensor(log_odds(result["token_log_probs"], keras.ops))
            confidence["word_confidence"] = tf.where(tokens == "", 0.0, of_words)
        return {
            "text": tf.strings.regex_replace(text, SPLIT_OFF, r"\1"),
            "log_prob": result["log_probs"],
            "score": scores,
            **confidence,
            "tokens": tokens,
            "attention": tf.reshape(weights[..., :-1], tf.concat([tf.shape(tokens), search.config.grid], axis=0)),
            "sentinel": weights[..., -1],
        }

    def caption(image: Any) -> dict[str, Any]:
        batch, height, width = tf.unstack(tf.shape(image, tf.int64)[:3])
        error = message("has ", width, " x ", height, f" pixels; 1 to {MAX_PIXELS:,} pixels were expected")
        is_usable = (height * width > 0) & (height * width <= MAX_PIXELS)
        image = tf.cond(is_usable, lambda: image, lambda: tf.zeros([batch, 1, 1, 3], tf.uint8))
        return caption_prepared(prepare(image, size)) | {"error": tf.where(is_usable, "", error)}

    def caption_bytes(image: Any) -> dict[str, Any]:
        images, error = read_images_in_graph(image, size)
        return caption_prepared(images) | {"error": error}

    def slim(image_bytes: Any) -> dict[str, Any]:
        captions = caption_bytes(image_bytes)
        return {name: captions[name] for name in ("text", "log_prob", "error")}

    any_image = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
    any_file = {name: tf.TensorSpec([None], tf.string, name=name) for name in ("image", "image_bytes")}
    return {
        "serving_default": Endpoint(
            function=slim, signature={"image_bytes": any_file["image_bytes"]}, example={"image_bytes": [file]}
        ),
        "caption_bytes": Endpoint(
            function=caption_bytes, signature={"image": any_file["image"]}, example={"image": [file]}
        ),
        "caption": Endpoint(function=caption, signature={"image": any_image}, example={"image": image[None]}),
    }


def check_parity(result: Mapping[str, Any], expected: "Sequence[Sequence[Caption]]") -> None:
    """Raise ParityError unless the output of an endpoint agrees with the captions of the Python model."""
    import numpy as np

    from shared.export import ParityError

    arrays = {name: value.numpy() for name, value in result.items()}
    if errors := [error.decode() for error in arrays["error"] if error]:
        raise ParityError(f"nothing was exported: the SavedModel refuses an image: {errors[0]}")
    for i, captions in enumerate(expected):
        for j, caption in enumerate(captions):
            text, log_prob = arrays["text"][i, j].decode(), arrays["log_prob"][i, j]
            attention = arrays["attention"][i, j, : len(caption.tokens)]
            difference = np.abs(attention - caption.attention).max(initial=abs(log_prob - caption.log_prob))
            if caption.confidence is not None:
                difference = max(difference, abs(arrays["confidence"][i, j] - caption.confidence))
            if caption.word_confidences is not None:
                of_words = arrays["word_confidence"][i, j, : len(caption.tokens)]
                difference = np.abs(of_words - caption.word_confidences).max(initial=difference)
            if text != caption.text or difference > TOLERANCE:
                raise ParityError(
                    f"nothing was exported: for image {i + 1} the SavedModel returns {text!r} ({log_prob:.4f}), the"
                    f" Python model {caption.text!r} ({caption.log_prob:.4f}), or their attention or confidence differs"
                )


@command
def main(arguments: list[str]) -> None:
    commands.export(arguments, "tasks.captioner.export", __doc__, export)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
