"""Images from bytes that nobody vouches for: reading, sizing, and the same decoding inside a TensorFlow graph.

`read_image` (Pillow) serves training and the command line, `decode_image_in_graph` (TensorFlow ops) serves SavedModels.
Both give the same pixels for the same bytes, because captions that change between the two are hard to explain; the
places where TensorFlow cannot follow are listed at `decode_image_in_graph`.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from shared.files import Kind, MediaError

if TYPE_CHECKING:
    import tensorflow as tf

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 50_000_000  # 150 MB decoded; the largest phone cameras are asked for 12 to 50 million
IMAGES = Kind(
    name="an image file",
    suffixes=frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif"}),
    max_bytes=256 * 1024**2,  # more than an uncompressed image of MAX_PIXELS needs
    remedy="scale the image down first",
)

# Pillow only warns of a small decompression bomb; an error is what keeps a server alive.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def _over_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """A Pillow image of any mode as uint8 `(height, width, 3)`, with the arithmetic that TensorFlow's decoders use."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        grey = (samples >> 8).astype(np.uint8)
        transparent = image.info.get("transparency")
        alpha = np.where(samples == transparent, 0, 255) if isinstance(transparent, int) else np.full(grey.shape, 255)
        return _over_white(np.stack([grey, grey, grey, alpha.astype(np.uint8)], axis=-1))
    if image.mode == "CMYK":
        # Photoshop stores CMYK inverted and marks it so; Pillow takes every file for one of Photoshop's.
        light = np.asarray(image, np.int32)
        light = 255 - light if "adobe" in image.info else light
        return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF record is no reason to refuse a sound picture
        return image


def read_image(source: Path | bytes) -> np.ndarray:
    """The pixels of an image file, or of the bytes of one, as uint8 `(height, width, 3)`.

    The content decides the format (JPEG, PNG, WebP, BMP, GIF), never the name. The orientation in the EXIF record is
    applied; transparency is laid over white; 16-bit samples keep their high byte; of an animation, the first frame.

    Raises:
        MediaError: missing, a folder, unreadable, empty, not an image, truncated or damaged, or over `MAX_PIXELS`
            (checked before any pixel is decoded).
    """
    encoded = source if isinstance(source, bytes) else IMAGES.read(Path(source))
    if not encoded:
        raise MediaError("is empty (0 bytes); an image file was expected")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(f"has more pixels than the limit of {MAX_PIXELS:,}; scale it down first") from None
    except Exception:  # Pillow's parsers raise whatever the damaged bytes lead them to
        raise MediaError(f"is not an image that can be read; {', '.join(FORMATS)} can") from None
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise MediaError(f"has {width} x {height} pixels, the limit is {MAX_PIXELS:,}; scale it down first")
        if width < 1 or height < 1:
            raise MediaError(f"has {width} x {height} pixels; at least 1 x 1 was expected")
        try:
            image.load()
            return np.ascontiguousarray(_to_rgb(_upright(image)))
        except Exception as error:  # as above
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MediaError(
                f"is a damaged or truncated {image.format} file ({reason}); a complete one is needed"
            ) from None


def resize(images: Any, size: int) -> Any:
    """Images `(batch, height, width, 3)` in 0..255 as float32 `(batch, size, size, 3)`: the one resize of the project.

    Bilinear with antialiasing. The picture is squeezed to a square rather than cropped or padded: the grid of features
    has to cover the whole picture, since a caption may speak of its edges, and every cell of it should see picture.
    Images that already have the size come back with their values unchanged.
    """
    import keras

    images = keras.ops.cast(images, "float32")
    if tuple(images.shape[1:3]) == (size, size):
        return images
    return keras.ops.image.resize(
        images, (size, size), interpolation="bilinear", antialias=True, data_format="channels_last"
    )


# The same decoding in a graph. Positions and sizes are int64, so that no length read from a file can overflow them.


def _bytes_at(encoded: tf.Tensor, position: Any, size: int) -> tf.Tensor:
    """`size` bytes as a string; zeros stand for those past the end."""
    import tensorflow as tf

    length = tf.cast(tf.strings.length(encoded), tf.int64)
    start = tf.minimum(tf.cast(position, tf.int64), length)
    found = tf.strings.substr(encoded, start, tf.constant(size, tf.int64))
    return tf.strings.substr(tf.strings.join([found, b"\0" * size]), 0, size)


def _integer_at(encoded: tf.Tensor, position: Any, size: int, little: Any = True) -> tf.Tensor:
    """An unsigned number of `size` bytes as int64, the least byte first if `little`."""
    import tensorflow as tf

    digits = tf.cast(tf.io.decode_raw(_bytes_at(encoded, position, size), tf.uint8), tf.int64)
    digits = tf.where(little, digits, tf.reverse(digits, [0]))
    return tf.reduce_sum(digits * [256**place for place in range(size)])


def _check_pixels(height: Any, width: Any) -> tf.Operation | None:
    import tensorflow as tf

    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    message = f"Expected at most {MAX_PIXELS} pixels."
    return tf.debugging.assert_less_equal(pixels, tf.constant(MAX_PIXELS, tf.int64), message)


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    shape = tf.io.extract_jpeg_shape(encoded)
    with tf.control_dependencies([_check_pixels(shape[0], shape[1])]):
        # The accurate transform is Pillow's; TensorFlow's default is faster and off by a few levels.
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return _upright_in_graph(image, _find_exif(encoded, 2, _jpeg_segment))


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    check = _check_pixels(_integer_at(encoded, 20, 4, little=False), _integer_at(encoded, 16, 4, little=False))
    with tf.control_dependencies([check]):
        rgba = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    # TensorFlow fills in a missing alpha as 2^depth - 1 also where fewer than 8 bits were spread over 0..255.
    filling = tf.bitwise.left_shift(1, tf.cast(_integer_at(encoded, 24, 1), tf.int32)) - 1
    alpha = tf.where(tf.reduce_all(alpha == filling), 255, alpha)
    image = tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
    return _upright_in_graph(image, _find_exif(encoded, 8, _png_chunk))


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    height = _integer_at(encoded, 22, 4)
    height = tf.minimum(height, 2**32 - height)  # negative when the rows run from the top
    with tf.control_dependencies([_check_pixels(height, _integer_at(encoded, 18, 4))]):
        image = tf.io.decode_bmp(encoded)
    # One channel holds indices of a palette of blue, green, red, 0; it lies behind the two headers.
    table = _bytes_at(encoded, 14 + _integer_at(encoded, 14, 4), 4 * 256)
    palette = tf.reshape(tf.io.decode_raw(table, tf.uint8), (256, 4))[:, 2::-1]
    has_palette = tf.equal(tf.shape(image)[-1], 1)
    return tf.cond(has_palette, lambda: tf.gather(palette, tf.cast(image[..., 0], tf.int32)), lambda: image[..., :3])


def _decode_gif(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    with tf.control_dependencies([_check_pixels(_integer_at(encoded, 8, 2), _integer_at(encoded, 6, 2))]):
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)  # the first frame only


def _refuse(encoded: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    # The bytes themselves stay out of the message: TensorFlow cannot report what is not UTF-8.
    message = "Expected the bytes of a JPEG, PNG, BMP or GIF image. Received other bytes, this many:"
    with tf.control_dependencies([tf.debugging.Assert(False, [message, tf.strings.length(encoded)])]):
        return tf.zeros((0, 0, 3), tf.uint8)


class _Block(NamedTuple):
    """One of the blocks that a file is made of; scalars."""

    is_exif: Any
    is_last: Any
    start: Any  # of the TIFF header, if it is the EXIF block
    size: Any
    following: Any


def _jpeg_segment(encoded: tf.Tensor, position: tf.Tensor) -> _Block:
    """ITU T.81 annex B.1.1.4 and EXIF 2.3, section 4.5.4: FF E1, two bytes of length, "Exif", two zeros, TIFF."""
    import tensorflow as tf

    marker = _bytes_at(encoded, position, 2)
    is_fill = tf.equal(marker, b"\xff\xff")
    size = tf.maximum(_integer_at(encoded, position + 2, 2, little=False), 2)
    is_exif = tf.equal(marker, b"\xff\xe1") & tf.equal(_bytes_at(encoded, position + 4, 6), b"Exif\0\0")
    is_last = tf.equal(marker, b"\xff\xda") | tf.not_equal(tf.strings.substr(marker, 0, 1), b"\xff")
    return _Block(is_exif, is_last, position + 10, size - 8, tf.where(is_fill, position + 1, position + 2 + size))


def _png_chunk(encoded: tf.Tensor, position: tf.Tensor) -> _Block:
    """PNG specification, third edition, section 5.3: four bytes of length, a name, the content, a checksum."""
    import tensorflow as tf

    size, name = _integer_at(encoded, position, 4, little=False), _bytes_at(encoded, position + 4, 4)
    return _Block(tf.equal(name, b"eXIf"), tf.equal(name, b"IEND"), position + 8, size, position + 12 + size)


def _find_exif(encoded: tf.Tensor, first: int, block_at: Callable[[tf.Tensor, tf.Tensor], _Block]) -> tf.Tensor:
    """The TIFF part of the EXIF block as a string, empty if there is none.

    The blocks are walked one by one: the letters "Exif" inside a thumbnail, a comment or pixels mean nothing.
    """
    import tensorflow as tf

    length = tf.cast(tf.strings.length(encoded), tf.int64)
    none = tf.constant(0, tf.int64)

    def step(position: tf.Tensor, start: tf.Tensor, size: tf.Tensor, searching: tf.Tensor) -> tuple[tf.Tensor, ...]:
        block = block_at(encoded, position)
        start, size = tf.where(block.is_exif, block.start, none), tf.where(block.is_exif, block.size, none)
        return block.following, start, size, searching & ~(block.is_exif | block.is_last)

    _, start, size, _ = tf.while_loop(
        lambda position, start, size, searching: searching & (position < length),
        step,
        (tf.constant(first, tf.int64), none, none, tf.constant(True)),
        maximum_iterations=10_000,  # a file of nothing but empty blocks must not hold up a server
    )
    return tf.strings.substr(encoded, tf.minimum(start, length), tf.maximum(size, 0))


def _orientation(exif: tf.Tensor) -> tf.Tensor:
    """Tag 0x0112 of the first directory of a TIFF string (TIFF 6.0, section 2), int32; 0 if it is not there."""
    import tensorflow as tf

    byte_order = _bytes_at(exif, 0, 4)
    little = tf.equal(byte_order, b"II*\0")
    directory = _integer_at(exif, 4, 4, little)
    room = (tf.cast(tf.strings.length(exif), tf.int64) - directory - 2) // 12
    count = tf.maximum(tf.minimum(_integer_at(exif, directory, 2, little), room), 0)
    start = tf.where(count > 0, directory + 2, 0)
    entries = tf.io.decode_raw(tf.strings.substr(exif, start, 12 * count), tf.uint8)
    pairs = tf.reshape(tf.cast(entries, tf.int32), (-1, 6, 2))  # tag, type, count (2 pairs), value (2 pairs)
    first, second = tf.unstack(pairs, num=2, axis=-1)
    shorts = tf.where(little, first + 256 * second, 256 * first + second)
    is_orientation = (shorts[:, 0] == 0x0112) & (shorts[:, 1] == 3)  # 3: a 16-bit number, as EXIF demands
    is_tiff = little | tf.equal(byte_order, b"MM\0*")
    return tf.reduce_max(tf.concat([[0], tf.where(is_orientation & is_tiff, shorts[:, 4], 0)], axis=0))


def _upright_in_graph(image: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """All eight orientations are made of a flip of the rows, one of the columns, and a transposition."""
    import tensorflow as tf

    orientation = _orientation(exif)

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    image = tf.cond(is_one_of(3, 4, 6, 7), lambda: tf.reverse(image, [0]), lambda: image)
    image = tf.cond(is_one_of(2, 3, 7, 8), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)


def decode_image_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """What `read_image` gives, by TensorFlow ops alone: a scalar string to uint8 `(height, width, 3)`.

    For SavedModels; works under `tf.function` and `tf.map_fn`. Bytes that are no image, a damaged image and one over
    `MAX_PIXELS` raise `tf.errors.InvalidArgumentError`. The pixels are equal, except where TensorFlow cannot follow:

    - WebP is refused: `tf.io.decode_webp` of TensorFlow 2.21 corrupts memory when given an animation;
    - transparent parts of a GIF are black instead of white;
    - BMP only uncompressed with 8, 24 or 32 bits per pixel, where the fourth channel is ignored;
    - the orientation counts when the EXIF record of a JPEG or PNG tells it, not when only XMP does.
    """
    import tensorflow as tf

    signatures = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8", b"")  # the last one: anything else
    matches = [tf.equal(_bytes_at(encoded, 0, len(signature)), signature) for signature in signatures]
    decoders = (_decode_jpeg, _decode_png, _decode_bmp, _decode_gif, _refuse)
    first_match = tf.argmax(tf.cast(matches, tf.int32), output_type=tf.int32)
    image = tf.switch_case(first_match, [functools.partial(decoder, encoded) for decoder in decoders])
    return tf.ensure_shape(image, (None, None, 3))
