"""Whether a JPEG, PNG or WebP file holds all of its pixels; decoders fill what is missing without an error.

A download that stopped is often completed to its full length with zeros, or closed by a repair with the marker of its
end. libjpeg warns and leaves the rest grey, libwebp decodes the zeros, and Pillow accepts a PNG without its last rows.
"""

import io
import re
import struct
import zlib

import numpy as np
import simplejpeg
from PIL import Image

from shared.files import MediaError

END = b"\xff\xd9"  # the marker of the end of a JPEG
# Codes of a JPEG, decoded where pixels are missing and skipped behind complete ones, with every restart marker.
FILLER = b"".join(
    codes.tobytes() + bytes([0xFF, 0xD0 + i % 8])
    for i, codes in enumerate(np.random.default_rng(0).integers(0, 255, (24, 100), np.uint8))
)
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # inside a scan, FF is followed by 00 or a restart marker
# Warnings of libjpeg for damaged pixels; the others are about markers, which some cameras write in their own way.
DAMAGE = re.compile("premature end of data|bad Huffman code|bad arithmetic code|instead of RST")
FRAMES, PROGRESSIVE, SCAN = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA), (0xC2, 0xCA), 0xDA  # their markers
# Of each pass of an interlaced PNG: first row, first column, step between rows, step between columns.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's colour types


def check_complete(encoded: bytes, image: Image.Image) -> None:
    """Raises MediaError with the reason if pixels of the file `encoded`, decoded to `image`, are missing.

    What was overwritten with anything but zeros is noticed only where it is no valid code.
    """
    checks = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}
    if image.format in checks and (reason := checks[image.format](encoded, image)):
        raise MediaError(reason)


def _scans(encoded: bytes) -> tuple[bool, int, int]:
    """Of a JPEG, whether its scans have every bit of every coefficient, where its end is or should be, and its scans.

    Source: ITU T.81, annexes B and G.
    """
    is_progressive, position, end, count = False, 2, len(encoded), 0
    missing: dict[int, np.ndarray] = {}  # component -> the number of low bits that no scan had, `(64 coefficients,)`
    while found := MARKER.search(encoded, position):
        marker, position = found[1][0], found.end()
        if marker == END[1]:
            end = found.start()
            break
        length = int.from_bytes(encoded[position : position + 2])
        segment = encoded[position + 2 : position + length]
        if marker == SCAN and len(segment) < max(6, length - 2):  # the file ends within the header of a scan
            end, count = found.start(), count + 1
            break
        position += 2 + len(segment)
        if marker in FRAMES:  # precision, height, width, number of components, three bytes for each
            is_progressive = marker in PROGRESSIVE
            missing = {component: np.full(64, 16) for component in segment[6::3]}
        elif marker == SCAN:  # number of components, two bytes for each; first and last coefficient, bits
            count += 1
            first, last, bits = segment[-3:] if is_progressive else (0, 63, 0)
            for component in missing.keys() & segment[1:-3:2]:
                missing[component][first : last + 1] = bits & 15
    return not any(map(np.any, missing.values())), end, count


def _jpeg(encoded: bytes, image: Image.Image) -> str:
    """What is wrong with a JPEG, or an empty string."""
    has_all_scans, end, _ = _scans(encoded)
    if not has_all_scans:
        return "scans are missing"
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", min_height=1, min_width=1)  # reads every code, and computes little
        return ""
    except ValueError as warning:
        if DAMAGE.search(str(warning)):
            return str(warning)
    # A harmless warning may hide others. Zeros before the end are padding unless pixels were decoded from them.
    kept = encoded[: min(end, len(encoded[:end].rstrip(b"\0")) + 8)]
    with Image.open(io.BytesIO(kept + FILLER + END), formats=["JPEG"]) as other:
        is_complete = np.array_equal(np.asarray(other), np.asarray(image))
    return "" if is_complete else "the data end before the last pixel"


def present_part(encoded: bytes) -> tuple[bytes, int]:
    """A truncated JPEG with an end, and the number of its upper rows that depend on nothing that is missing.

    0 rows if nothing is missing, or not one row of blocks is there. In a file of several scans, such as a progressive
    one, all rows count once the second has begun.
    """
    has_all_scans, end, count = _scans(encoded)
    kept = encoded[:end].rstrip(b"\0")
    images = []
    for rest in (b"", FILLER):
        try:
            with Image.open(io.BytesIO(kept + rest + END), formats=["JPEG"]) as image:
                images.append(np.asarray(image))
        except Exception:  # the header is not complete
            return b"", 0
    differs = (images[0] != images[1]).reshape(len(images[0]), -1).any(axis=1)
    rows = len(differs) if count > 1 else int(differs.argmax())
    return kept + END, rows if differs.any() or not has_all_scans else 0


def _png(encoded: bytes, image: Image.Image) -> str:
    """What is wrong with a PNG, or an empty string."""
    last_row = np.asarray(image.crop((0, image.height - 1, image.width, image.height)))
    width, height, depth, colours, _, _, is_interlaced = struct.unpack(">IIBBBBB", encoded[16:29])
    if last_row.any() and not is_interlaced:  # decoded from top to bottom into zeros
        return ""
    passes = ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(height - y) // down), -(-(width - x) // right)) for y, x, down, right in passes]
    bits = depth * CHANNELS[colours]
    expected = sum(rows * (1 + (columns * bits + 7) // 8) for rows, columns in sizes if rows > 0 and columns > 0)
    return "" if _inflated(encoded, expected) >= expected else "rows are missing"


def _inflated(encoded: bytes, limit: int) -> int:
    """The number of bytes in the IDAT chunks of a PNG, at most `limit`."""
    decoder, size, position = zlib.decompressobj(), 0, 8
    while size < limit and position + 8 <= len(encoded):
        length, name = struct.unpack(">I4s", encoded[position : position + 8])
        data = encoded[position + 8 : position + 8 + length] if name == b"IDAT" else b""
        while data and size < limit:
            try:
                part = decoder.decompress(data, 1024**2)
            except zlib.error:
                return size
            size, data = size + len(part), decoder.unconsumed_tail
        position += 12 + length
    return size if size >= limit else size + len(decoder.flush())


def _webp(encoded: bytes, image: Image.Image) -> str:
    """What is wrong with a WebP, or an empty string."""
    zeros = len(encoded) - len(encoded.rstrip(b"\0"))
    # A large area of one colour ends in zeros: 5 % of a lossy file without any other colour, 2 bytes of a lossless one.
    most = 64 if b"VP8L" in encoded[:64] else max(64, len(encoded) // 10)
    return "" if zeros <= most or image.is_animated else f"the last {zeros:,} bytes are zeros"
