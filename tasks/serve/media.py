"""Untrusted images and sounds of requests, decoded as the commands do, within the bounds of the server.

For the functions `decode` of endpoints: they run in a worker process, which loads neither Keras nor a backend.
"""

import numpy as np

from shared.audio import SAMPLE_RATE, duration, read_sound
from shared.media import read_image
from tasks.serve.decoding import DecodingError
from tasks.serve.limits import MAX_PIXELS, MAX_SECONDS


def decode_image(content: bytes) -> np.ndarray:
    """The pixels of an image file, uint8 `(height, width, 3)`.

    Raises MediaError as `read_image`, or DecodingError.
    """
    image = read_image(content)
    height, width = image.shape[:2]
    if height * width > MAX_PIXELS:
        raise DecodingError(f"has {width} x {height} pixels, the limit is {MAX_PIXELS:,}; scale it down first")
    return image


def decode_sound(content: bytes) -> np.ndarray:
    """The samples of a sound file, float32 `(samples,)` at 16,000 Hz.

    Raises MediaError as `read_sound`, or DecodingError.
    """
    samples = read_sound(content)
    if len(samples) > MAX_SECONDS * SAMPLE_RATE:
        raise DecodingError(f"lasts {duration(len(samples) / SAMPLE_RATE)}, the limit is {duration(MAX_SECONDS)}")
    return samples
