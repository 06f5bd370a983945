"""Untrusted images: decoding with Pillow and resizing; `media_in_graph` decodes to the same pixels in a SavedModel."""

import functools
import io
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shared.completeness import check_complete, present_part
from shared.files import FileKind, MediaError
from shared.quiet import standard_error_captured

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
HEIC = frozenset({".heic", ".heif", ".hif"})
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
reads_heic = find_spec("pillow_heif") is not None  # the extra heic
MAX_SIDE = 65_535  # pixels, as of a JPEG
MAX_PIXELS = 50_000_000  # 150 MB decoded; phone cameras have 12 to 50 million
ROWS_AT_ONCE = 16  # of a resized image: their sums stay in the processor's cache
IMAGES = FileKind(
    name="an image file",
    suffixes=frozenset(
        {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
    ).union(HEIC if reads_heic else ()),
    extras={} if reads_heic else dict.fromkeys(HEIC, "heic"),
    max_bytes=256 * 1024**2,  # more than an uncompressed image of MAX_PIXELS
    remedy="scale the image down first",
)

# Pillow only warns of a small decompression bomb; an error protects servers.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def _over_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _to_rgb(image: Image.Image, kind: str | None) -> np.ndarray:
    """Convert an image of any mode to uint8 `(height, width, 3)`, with the arithmetic of TensorFlow's decoders.

    `kind` is the format of its file.
    """
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        grey = (samples >> 8).astype(np.uint8)
        transparent = image.info.get("transparency")
        alpha = np.where(samples == transparent, 0, 255) if isinstance(transparent, int) else np.full(grey.shape, 255)
        return _over_white(np.stack([grey, grey, grey, alpha.astype(np.uint8)], axis=-1))
    if image.mode == "CMYK":
        # Photoshop inverts the CMYK of its JPEG files and marks them; Pillow assumes that all JPEG files are inverted.
        light = np.asarray(image, np.int32)
        light = 255 - light if kind == "TIFF" or "adobe" in image.info else light
        return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF record does not make the image unusable
        return image


def read_image(source: Path | bytes) -> np.ndarray:
    """Return the pixels of an image file, given by path or content, as uint8 `(height, width, 3)`.

    The format (JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and, with the extra heic, HEIC) is detected from the content, not
    the name. The EXIF orientation is applied. Transparent pixels are blended with white; 16-bit samples keep their high
    byte; animations give their first frame.
    Raises MediaError if the file is missing, a folder, unreadable, empty, not an image, truncated or damaged
    (`check_complete`), or over `MAX_PIXELS` (checked before decoding).
    """
    encoded = _content(source)
    with _quiet(encoded), _open(encoded) as image:
        try:
            image.load()
            check_complete(encoded, image)
            return _pixels(image, image.format)
        except Exception as error:  # on damaged bytes Pillow's parsers raise errors of many types
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MediaError(
                f"is a damaged or truncated {image.format} file ({reason}); a complete file was expected"
            ) from None


def read_truncated_image(source: Path | bytes) -> tuple[np.ndarray, float]:
    """Return what there is of a truncated JPEG: the pixels of its upper rows, and the fraction of rows that these are.

    Of a progressive JPEG all rows are there, in less detail, once its first scan is complete. Raises MediaError if the
    file is no truncated JPEG, or if it has no complete row of blocks.
    """
    encoded = _content(source)
    with _open(encoded) as image:
        kept, rows = present_part(encoded) if image.format == "JPEG" else (b"", 0)
        if not rows:
            raise MediaError("is no truncated JPEG of which there is a row of pixels")
        with Image.open(io.BytesIO(kept), formats=["JPEG"]) as part:
            upper = part.crop((0, 0, part.width, rows))  # its `info` has the orientation, and how CMYK is stored
            return _pixels(upper, image.format), rows / part.height


def _content(source: Path | bytes) -> bytes:
    encoded = source if isinstance(source, bytes) else IMAGES.read(Path(source))
    if not encoded:
        raise MediaError("is empty (0 bytes); an image file was expected")
    return encoded


def _quiet(encoded: bytes) -> AbstractContextManager[Any]:
    """A block in which the decoder of TIFF writes no messages of its own to standard error."""
    return standard_error_captured() if encoded[:4] in (b"II*\0", b"MM\0*") else nullcontext()


def _open(encoded: bytes) -> Image.Image:
    """Open an image of a bounded number of pixels, without decoding it."""
    try:
        image = Image.open(io.BytesIO(encoded), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(f"has more pixels than the limit of {MAX_PIXELS:,}; scale it down first") from None
    except Exception:  # as in `read_image`
        if encoded[4:8] == b"ftyp" and encoded[8:12] in HEIC_BRANDS and not reads_heic:
            raise MediaError("is a HEIC file, which the extra heic reads: pip install -e '.[heic]'") from None
        raise MediaError(f"is not an image that can be read; one of {', '.join(FORMATS)} was expected") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaError(f"has {width} x {height} pixels, the limit is {MAX_PIXELS:,}; scale it down first")
    if max(width, height) > MAX_SIDE:  # one of a single row would become as many columns before it is scaled down
        raise MediaError(f"has {width} x {height} pixels; at most {MAX_SIDE:,} on a side were expected")
    if width < 1 or height < 1:
        raise MediaError(f"has {width} x {height} pixels; at least 1 x 1 was expected")
    if image.mode in ("I", "F"):
        raise MediaError("has samples of 32 bits; 8 or 16 bits were expected")
    return image


@functools.cache
def _formats() -> list[str]:
    """The formats that Pillow may try."""
    if not reads_heic:
        return list(FORMATS)
    import pillow_heif

    pillow_heif.register_heif_opener()
    return [*FORMATS, "HEIF"]


def _pixels(image: Image.Image, kind: str | None) -> np.ndarray:
    return np.ascontiguousarray(_to_rgb(_upright(image), kind))


def resize(images: Any, size: int) -> Any:
    """Resize images `(batch, height, width, 3)` in 0..255 to float32 `(batch, size, size, 3)`.

    Bilinear with antialiasing, the only resize of the project. The aspect ratio changes, because the feature grid must
    cover the whole image without padding. Images of the right size keep their values.
    """
    import keras

    images = keras.ops.cast(images, "float32")
    if tuple(images.shape[1:3]) == (size, size):
        return images
    return keras.ops.image.resize(images, (size, size), "bilinear", antialias=True, data_format="channels_last")


def prepared(image: np.ndarray, size: int) -> np.ndarray:
    """`prepare` of one image in memory, `(height, width, 3)` -> `(size, size, 3)`, without a backend."""
    columns = np.ascontiguousarray(_resized(image, size).transpose(1, 0, 2))
    return np.round(_resized(columns, size)).transpose(1, 0, 2)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Rows `(height, ...)` -> float32 `(size, ...)`, each the mean of those around it, weighted by a triangle.

    The triangle is two new rows wide, or two old ones if that is more. In the order of TensorFlow's additions, in
    float32, so that what lies half way between two integers is rounded to the same one.
    """
    rows, one, half = pixels.shape[0], np.float32(1), np.float32(0.5)
    scale = one / (np.float32(size) / np.float32(rows))
    reach = max(scale, one)  # half of the width
    centres = (np.arange(size, dtype=np.float32) + half) * scale
    first = np.maximum(np.ceil(centres - reach - half), 0).astype(int)
    last = np.minimum(np.floor(centres + reach - half).astype(int), rows - 1)
    near = first[:, None] + np.arange(max(last - first) + 1)  # rows that one may be the mean of
    distances = np.abs((near.astype(np.float32) + half - centres[:, None]) * (one / reach))
    weights = np.where(near <= last[:, None], np.maximum(one - distances, np.float32(0)), np.float32(0))
    weights *= (one / np.add.accumulate(weights, axis=1)[:, -1])[:, None]
    near, weights = np.minimum(near, rows - 1), weights.reshape(*weights.shape, *[1] * (pixels.ndim - 1))
    result = np.zeros((size, *pixels.shape[1:]), np.float32)
    product = np.empty((ROWS_AT_ONCE, *pixels.shape[1:]), np.float32)
    for start in range(0, size, ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        rows_of_block = result[block]
        for i in range(near.shape[1]):
            rows_of_block += np.multiply(pixels[near[block, i]], weights[block, i], out=product[: len(rows_of_block)])
    return result


def prepare(images: Any, size: int) -> Any:
    """Resize images `(batch, height, width, 3)` in 0..255 to float32 `(batch, size, size, 3)` and round to integers.

    Training, evaluation, commands and SavedModels share this preprocessing. All round, because training caches uint8.
    """
    import keras

    return keras.ops.round(resize(images, size))
