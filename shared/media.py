"""Untrusted images: decoding with Pillow and resizing; `media_in_graph` decodes to the same pixels in a SavedModel."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from shared.completeness import check_complete
from shared.files import FileKind, MediaError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 50_000_000  # 150 MB decoded; phone cameras have 12 to 50 million
IMAGES = FileKind(
    name="an image file",
    suffixes=frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif"}),
    max_bytes=256 * 1024**2,  # more than an uncompressed image of MAX_PIXELS
    remedy="scale the image down first",
)

# Pillow only warns of a small decompression bomb; an error protects servers.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def _over_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Convert an image of any mode to uint8 `(height, width, 3)`, with the arithmetic of TensorFlow's decoders."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        grey = (samples >> 8).astype(np.uint8)
        transparent = image.info.get("transparency")
        alpha = np.where(samples == transparent, 0, 255) if isinstance(transparent, int) else np.full(grey.shape, 255)
        return _over_white(np.stack([grey, grey, grey, alpha.astype(np.uint8)], axis=-1))
    if image.mode == "CMYK":
        # Photoshop inverts CMYK and marks its files; Pillow assumes that all CMYK files are inverted.
        light = np.asarray(image, np.int32)
        light = 255 - light if "adobe" in image.info else light
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

    The format (JPEG, PNG, WebP, BMP, GIF) is detected from the content, not the name. The EXIF orientation is applied.
    Transparent pixels are blended with white; 16-bit samples keep their high byte; animations give their first frame.
    Raises MediaError if the file is missing, a folder, unreadable, empty, not an image, truncated or damaged
    (`check_complete`), or over `MAX_PIXELS` (checked before decoding).
    """
    encoded = source if isinstance(source, bytes) else IMAGES.read(Path(source))
    if not encoded:
        raise MediaError("is empty (0 bytes); an image file was expected")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError(f"has more pixels than the limit of {MAX_PIXELS:,}; scale it down first") from None
    except Exception:  # on damaged bytes Pillow's parsers raise errors of many types
        raise MediaError(f"is not an image that can be read; one of {', '.join(FORMATS)} was expected") from None
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise MediaError(f"has {width} x {height} pixels, the limit is {MAX_PIXELS:,}; scale it down first")
        if width < 1 or height < 1:
            raise MediaError(f"has {width} x {height} pixels; at least 1 x 1 was expected")
        try:
            image.load()
            check_complete(encoded, image)
            return np.ascontiguousarray(_to_rgb(_upright(image)))
        except Exception as error:  # as above
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MediaError(
                f"is a damaged or truncated {image.format} file ({reason}); a complete file was expected"
            ) from None


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


def prepare(images: Any, size: int) -> Any:
    """Resize images `(batch, height, width, 3)` in 0..255 to float32 `(batch, size, size, 3)` and round to integers.

    Training, evaluation, commands and SavedModels share this preprocessing. All round, because training caches uint8.
    """
    import keras

    return keras.ops.round(resize(images, size))
