"""Untrusted images inside a TensorFlow graph: the decoding of `media`, with equal pixels for equal bytes.

Positions and sizes are int64, so lengths read from a file cannot overflow.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from shared.completeness import END, FILLER
from shared.export import attempt, first_error, message
from shared.media import MAX_PIXELS, prepare


def _bytes_at(encoded: tf.Tensor, position: Any, size: int) -> tf.Tensor:
    """`size` bytes as a string, zero-padded past the end."""
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    start = tf.minimum(tf.cast(position, tf.int64), length)
    present = tf.strings.substr(encoded, start, tf.constant(size, tf.int64))
    return tf.strings.substr(tf.strings.join([present, b"\0" * size]), 0, size)


def _integer_at(encoded: tf.Tensor, position: Any, size: int, little: Any = True) -> tf.Tensor:
    """An unsigned integer of `size` bytes as int64, little-endian if `little`."""
    digits = tf.cast(tf.io.decode_raw(_bytes_at(encoded, position, size), tf.uint8), tf.int64)
    digits = tf.where(little, digits, tf.reverse(digits, [0]))
    return tf.reduce_sum(digits * [256**i for i in range(size)])


def _count_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64))


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # Pillow uses the accurate transform; TensorFlow's faster default differs by a few levels.
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    is_whole = tf.logical_not(_is_cut(encoded, image))
    with tf.control_dependencies([tf.debugging.Assert(is_whole, ["Expected a complete JPEG. Received a cut one."])]):
        image = tf.identity(image)
    return _upright_in_graph(image, _find_exif(encoded, 2, _jpeg_segment))


def _is_cut(encoded: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Whether pixels of a JPEG are missing: the decoder then takes them from codes that are added before the end.

    libjpeg reports codes that it skips, so they are added only if a cut is possible. A sequential file that is cut ends
    in grey. Many zeros before the end are padding or, if some of them were decoded and others were not, replace a lost
    part.
    """
    content = tf.io.decode_raw(encoded, tf.uint8)

    def indices_of(marker: bytes) -> tf.Tensor:
        return tf.where((content[:-1] == marker[0]) & (content[1:] == marker[1]))[:, 0]

    end = tf.reduce_max(tf.concat([[0], indices_of(END)], axis=0))
    zeros = end - tf.reduce_max(tf.concat([[0], tf.where(content[:end] != 0)[:, 0] + 1], axis=0))

    def is_changed(length: tf.Tensor) -> tf.Tensor:
        longer = tf.strings.join([tf.strings.substr(encoded, tf.constant(0, tf.int64), length), FILLER, END])
        return tf.reduce_any(tf.io.decode_jpeg(longer, channels=3, dct_method="INTEGER_ACCURATE") != image)

    last = tf.cast(image[-1, -1], tf.int32)
    is_grey = tf.reduce_all(last == 128) | tf.reduce_all(last == 128 * 128 // 255)  # the second: of CMYK
    is_progressive = tf.size(indices_of(b"\xff\xc2")) > 0
    is_short = tf.cond(is_grey | is_progressive, lambda: is_changed(end), lambda: False)
    is_replaced = tf.cond(
        zeros > 64, lambda: tf.logical_not(is_changed(end - 32)) & is_changed(end - zeros + 8), lambda: False
    )
    return is_short | is_replaced


def _count_png(encoded: tf.Tensor) -> tf.Tensor:
    return _integer_at(encoded, 20, 4, little=False) * _integer_at(encoded, 16, 4, little=False)


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    rgba = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    # TensorFlow sets a missing alpha to 2^depth - 1, even where it scales fewer than 8 bits to 0..255.
    opaque = tf.bitwise.left_shift(1, tf.cast(_integer_at(encoded, 24, 1), tf.int32)) - 1
    alpha = tf.where(tf.reduce_all(alpha == opaque), 255, alpha)
    image = tf.cast((colour * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)
    return _upright_in_graph(image, _find_exif(encoded, 8, _png_chunk))


def _count_bmp(encoded: tf.Tensor) -> tf.Tensor:
    height = _integer_at(encoded, 22, 4)
    return tf.minimum(height, 2**32 - height) * _integer_at(encoded, 18, 4)  # negative for rows from top to bottom


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_bmp(encoded)
    # A single channel has indices into a palette of (blue, green, red, 0), stored after the two headers.
    table = _bytes_at(encoded, 14 + _integer_at(encoded, 14, 4), 4 * 256)
    palette = tf.reshape(tf.io.decode_raw(table, tf.uint8), (256, 4))[:, 2::-1]
    has_palette = tf.equal(tf.shape(image)[-1], 1)
    return tf.cond(has_palette, lambda: tf.gather(palette, tf.cast(image[..., 0], tf.int32)), lambda: image[..., :3])


def _count_gif(encoded: tf.Tensor) -> tf.Tensor:
    return _integer_at(encoded, 8, 2) * _integer_at(encoded, 6, 2)


def _decode_gif(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)  # the first frame only


def _count_none(encoded: tf.Tensor) -> tf.Tensor:
    del encoded
    return tf.constant(0, tf.int64)


def _refuse(encoded: tf.Tensor) -> tf.Tensor:
    # The message excludes the bytes, because TensorFlow cannot report invalid UTF-8.
    message = "Expected the bytes of a JPEG, PNG, BMP or GIF image. Received other data; its number of bytes:"
    with tf.control_dependencies([tf.debugging.Assert(False, [message, tf.strings.length(encoded)])]):
        return tf.zeros((0, 0, 3), tf.uint8)


class _Block(NamedTuple):
    """A block of a file; scalar tensors."""

    is_exif: Any
    is_last: Any
    start: Any  # of the TIFF header, in an EXIF block
    size: Any
    next_position: Any


def _jpeg_segment(encoded: tf.Tensor, position: tf.Tensor) -> _Block:
    """ITU T.81, B.1.1.4, and EXIF 2.3, section 4.5.4: FF E1, length (2 bytes), "Exif", two zeros, TIFF."""
    marker = _bytes_at(encoded, position, 2)
    is_fill = tf.equal(marker, b"\xff\xff")
    size = tf.maximum(_integer_at(encoded, position + 2, 2, little=False), 2)
    is_exif = tf.equal(marker, b"\xff\xe1") & tf.equal(_bytes_at(encoded, position + 4, 6), b"Exif\0\0")
    is_last = tf.equal(marker, b"\xff\xda") | tf.not_equal(tf.strings.substr(marker, 0, 1), b"\xff")
    return _Block(is_exif, is_last, position + 10, size - 8, tf.where(is_fill, position + 1, position + 2 + size))


def _png_chunk(encoded: tf.Tensor, position: tf.Tensor) -> _Block:
    """PNG specification, third edition, section 5.3: length (4 bytes), name, content, checksum."""
    size, name = _integer_at(encoded, position, 4, little=False), _bytes_at(encoded, position + 4, 4)
    return _Block(tf.equal(name, b"eXIf"), tf.equal(name, b"IEND"), position + 8, size, position + 12 + size)


def _find_exif(encoded: tf.Tensor, first: int, block_at: Callable[[tf.Tensor, tf.Tensor], _Block]) -> tf.Tensor:
    """The TIFF part of the EXIF block as a string; empty if there is none.

    Visits block by block, because "Exif" may also occur inside a thumbnail, a comment or pixels.
    """
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    none = tf.constant(0, tf.int64)

    def step(position: tf.Tensor, start: tf.Tensor, size: tf.Tensor, searching: tf.Tensor) -> tuple[tf.Tensor, ...]:
        block = block_at(encoded, position)
        start, size = tf.where(block.is_exif, block.start, none), tf.where(block.is_exif, block.size, none)
        return block.next_position, start, size, searching & ~(block.is_exif | block.is_last)

    _, start, size, _ = tf.while_loop(
        lambda position, start, size, searching: searching & (position < length),
        step,
        (tf.constant(first, tf.int64), none, none, tf.constant(True)),
        maximum_iterations=10_000,  # limits the time for a file of empty blocks
    )
    return tf.strings.substr(encoded, tf.minimum(start, length), tf.maximum(size, 0))


def _orientation(exif: tf.Tensor) -> tf.Tensor:
    """Tag 0x0112 of the first directory of a TIFF string (TIFF 6.0, section 2), int32; 0 if it is missing."""
    byte_order = _bytes_at(exif, 0, 4)
    little = tf.equal(byte_order, b"II*\0")
    directory = _integer_at(exif, 4, 4, little)
    max_count = (tf.cast(tf.strings.length(exif), tf.int64) - directory - 2) // 12
    count = tf.maximum(tf.minimum(_integer_at(exif, directory, 2, little), max_count), 0)
    start = tf.where(count > 0, directory + 2, 0)
    entries = tf.io.decode_raw(tf.strings.substr(exif, start, 12 * count), tf.uint8)
    pairs = tf.reshape(tf.cast(entries, tf.int32), (-1, 6, 2))  # tag, type, count (2 pairs), value (2 pairs)
    first, second = tf.unstack(pairs, num=2, axis=-1)
    shorts = tf.where(little, first + 256 * second, 256 * first + second)
    is_orientation = (shorts[:, 0] == 0x0112) & (shorts[:, 1] == 3)  # 3: 16-bit integer
    is_tiff = little | tf.equal(byte_order, b"MM\0*")
    return tf.reduce_max(tf.concat([[0], tf.where(is_orientation & is_tiff, shorts[:, 4], 0)], axis=0))


def _upright_in_graph(image: tf.Tensor, exif: tf.Tensor) -> tf.Tensor:
    """Apply an EXIF orientation: each combines a flip of rows, a flip of columns and a transposition."""
    orientation = _orientation(exif)

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    image = tf.cond(is_one_of(3, 4, 6, 7), lambda: tf.reverse(image, [0]), lambda: image)
    image = tf.cond(is_one_of(2, 3, 7, 8), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)


class _Format(NamedTuple):
    """A format of image files."""

    name: str
    signature: bytes  # the first bytes of a file
    count: Callable[[tf.Tensor], tf.Tensor]  # file -> its pixels as its header has them, int64
    decode: Callable[[tf.Tensor], tf.Tensor]  # file -> image


_FORMATS = (
    _Format("JPEG", b"\xff\xd8\xff", _count_jpeg, _decode_jpeg),
    _Format("PNG", b"\x89PNG\r\n\x1a\n", _count_png, _decode_png),
    _Format("BMP", b"BM", _count_bmp, _decode_bmp),
    _Format("GIF", b"GIF8", _count_gif, _decode_gif),
    _Format("other", b"", _count_none, _refuse),
)
_ACCEPTED = ", ".join(form.name for form in _FORMATS[:-1])


def _format_index(encoded: tf.Tensor) -> tf.Tensor:
    matches = [tf.equal(_bytes_at(encoded, 0, len(form.signature)), form.signature) for form in _FORMATS]
    return tf.argmax(tf.cast(matches, tf.int32), output_type=tf.int32)


def _count_pixels(encoded: tf.Tensor) -> tf.Tensor:
    return tf.switch_case(_format_index(encoded), [functools.partial(form.count, encoded) for form in _FORMATS])


def decode_image_in_graph(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a scalar string to uint8 `(height, width, 3)` with TensorFlow operations.

    Works under `tf.function` and `tf.map_fn`. The pixels equal those of `shared.media.read_image`, except:

    - WebP is refused: `tf.io.decode_webp` of TensorFlow 2.21 corrupts memory on an animation;
    - transparent pixels of a GIF are black instead of white;
    - BMP must be uncompressed with 8, 24 or 32 bits per pixel; the fourth channel is ignored;
    - the orientation is read from the EXIF record of a JPEG or PNG, not from XMP;
    - a JPEG that is damaged inside, lacks whole scans or part of its last block, or is cut and followed by another
      JPEG is decoded, not refused.

    Raises tf.errors.InvalidArgumentError if the bytes are not an image, damaged, cut, or over `MAX_PIXELS`.
    """
    limit = f"Expected at most {MAX_PIXELS} pixels."
    check = tf.debugging.assert_less_equal(_count_pixels(encoded), tf.constant(MAX_PIXELS, tf.int64), limit)
    with tf.control_dependencies([check] if check is not None else []):  # None outside of a graph
        index = _format_index(encoded)
    image = tf.switch_case(index, [functools.partial(form.decode, encoded) for form in _FORMATS])
    return tf.ensure_shape(image, (None, None, 3))


def read_images_in_graph(encoded: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The images of files `(batch,)` as `prepare` returns them, and an error for each, string `(batch,)`.

    The error is "" or, for a file that cannot be decoded, one line as that of `shared.media.read_image`; its image is
    black.
    """
    black = tf.zeros((size, size, 3))

    def decode(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return prepare(decode_image_in_graph(file)[None], size)[0], tf.constant("")

    def find_too_large(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = _count_pixels(file)
        with tf.control_dependencies([tf.debugging.assert_greater(pixels, tf.constant(MAX_PIXELS, tf.int64))]):
            return black, message("has ", pixels, f" pixels, the limit is {MAX_PIXELS:,}; scale it down first")

    def read(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        damaged = [f"is a damaged or truncated {form.name} file; a complete file was expected" for form in _FORMATS]
        damaged[-1] = f"is not an image that can be read; one of {_ACCEPTED} was expected"
        empty = file == "", "is empty (0 bytes); an image file was expected"
        otherwise = first_error(empty, (True, tf.gather(damaged, _format_index(file))))
        return attempt([decode, find_too_large], file, (black, otherwise))

    return tf.map_fn(read, encoded, fn_output_signature=(tf.TensorSpec(black.shape), tf.TensorSpec([], tf.string)))
