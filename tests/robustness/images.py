"""Hostile images. The pixels of the intact file show whether a cut one lost some in silence."""

import functools
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from shared.media import read_image
from tests.robustness.cases import Case, choose, never
from tests.robustness.mutations import EXTREMES, Mutated, mutate

PNG = b"\x89PNG\r\n\x1a\n"
WHOLE = 0.02  # fraction of intact inputs


@functools.cache
def seeds() -> dict[str, bytes]:
    """Small images of every kind that is read."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :52]
    pixels = np.stack([3 * x + y, 4 * y, 2 * (x + y)], axis=-1) + rng.integers(0, 40, (37, 52, 3))
    colour = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    other, exif = colour.rotate(180), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    clear = colour.convert("RGBA")
    clear.putalpha(colour.convert("L"))
    deep = Image.fromarray((pixels[..., 0].clip(0, 255) * 256 + 7).astype(np.uint16))
    several = {"save_all": True, "append_images": [other]}
    made = {
        "jpeg": (colour, "JPEG", {}),
        "jpeg progressive": (colour, "JPEG", {"progressive": True}),
        "jpeg with restarts": (colour, "JPEG", {"restart_marker_blocks": 3}),
        "jpeg 4:4:4": (colour, "JPEG", {"subsampling": 0, "quality": 95}),
        "jpeg grey": (colour.convert("L"), "JPEG", {}),
        "jpeg cmyk": (colour.convert("CMYK"), "JPEG", {}),
        "jpeg exif": (colour, "JPEG", {"exif": exif, "comment": b"a comment"}),
        "png": (colour, "PNG", {}),
        "png grey": (colour.convert("L"), "PNG", {}),
        "png grey alpha": (clear.convert("LA"), "PNG", {}),
        "png palette": (colour.convert("P"), "PNG", {"transparency": 3}),
        "png two colours": (colour.convert("1"), "PNG", {}),
        "png alpha": (clear, "PNG", {"pnginfo": None, "optimize": True}),
        "png 16 bits": (deep, "PNG", {}),
        "png animated": (colour, "PNG", several),
        "gif": (colour, "GIF", {}),
        "gif animated": (colour, "GIF", several),
        "gif interlaced": (colour, "GIF", {"interlace": 1, "transparency": 2}),
        "bmp": (colour, "BMP", {}),
        "bmp palette": (colour.convert("P"), "BMP", {}),
        "bmp two colours": (colour.convert("1"), "BMP", {}),
        "webp": (colour, "WEBP", {}),
        "webp lossless": (clear, "WEBP", {"lossless": True}),
        "webp animated": (colour, "WEBP", several),
    }
    encoded = {}
    for name, (image, kind, options) in made.items():
        with io.BytesIO() as file:
            image.save(file, kind, **options)
            encoded[name] = file.getvalue()
    encoded["png interlaced"] = interlaced(np.asarray(colour))
    encoded["png many parts"] = split_data(encoded["png"], 300)
    return encoded


@functools.cache
def pixels_of(name: str) -> np.ndarray:
    """The pixels of a seed."""
    return read_image(seeds()[name])


def draw(rng: np.random.Generator, folder: Path) -> Case:
    """A mutation of a seed, of its bytes or of its structure."""
    name = choose(rng, sorted(seeds()))
    content, whole = seeds()[name], rng.random() < WHOLE
    if whole:
        mutated = Mutated("intact", content, is_cut=True)
    elif rng.random() < 0.3 and name.startswith(("jpeg", "png", "gif")):
        mutated = {"j": edit_jpeg, "p": edit_png, "g": edit_gif}[name[0]](rng, content)
    else:
        mutated = mutate(rng, content)

    def missing(pixels: np.ndarray) -> str:
        expected = pixels_of(name)
        if pixels.shape != expected.shape:
            return f"pixels of shape {pixels.shape}, not {expected.shape}"
        differing = int((pixels != expected).any(axis=-1).sum())
        return f"{differing} of {expected[..., 0].size} pixels" if differing else ""

    return Case(
        description=f"{name}: {mutated.description}",
        read=lambda: read_image(mutated.content),
        missing=missing if mutated.is_cut else never,
        is_whole=whole,
    )


def edit_jpeg(rng: np.random.Generator, content: bytes) -> Mutated:
    """Ends the compressed data early, with an end marker or with zeros; or changes a header."""
    start = content.index(b"\xff\xda") + 14  # the data of the first scan
    end = int(rng.integers(start, len(content) - 8))
    edit = int(rng.integers(3))
    if edit == 0:
        return Mutated(f"ended by FFD9 at {end} of {len(content)}", content[:end] + b"\xff\xd9", is_cut=True)
    if edit == 1:
        return Mutated(f"zeros from {end} of {len(content)}", content[:end].ljust(len(content), b"\0"), is_cut=True)
    frame = next(content.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in content)
    position, value = frame + 5 + 2 * int(rng.integers(2)), int(choose(rng, EXTREMES)) % 2**16
    changed = content[:position] + struct.pack(">H", value) + content[position + 2 :]
    return Mutated(f"side {value} in the frame header", changed)


def edit_png(rng: np.random.Generator, content: bytes) -> Mutated:
    """Leaves out rows or a part of the compressed data, or changes the header; the checksums are right."""
    parts = list(chunks(content))
    data = b"".join(body for kind, body in parts if kind == b"IDAT")
    edit, fraction = int(rng.integers(3)), float(rng.random())
    if edit == 0:
        rows = zlib.decompress(data)
        kept = zlib.compress(rows[: int(fraction * len(rows))])
        return Mutated(f"{fraction:.0%} of the rows", join([*_without_data(parts, kept)]), is_cut=True)
    if edit == 1:
        kept = data[: int(fraction * len(data))]
        return Mutated(f"{fraction:.0%} of the compressed data", join([*_without_data(parts, kept)]), is_cut=True)
    header, position = bytearray(parts[0][1]), int(rng.integers(13))
    header[position] = int(choose(rng, EXTREMES)) % 256
    return Mutated(f"byte {position} of the header {header[position]}", join([(b"IHDR", bytes(header)), *parts[1:]]))


def edit_gif(rng: np.random.Generator, content: bytes) -> Mutated:
    """Ends the blocks of compressed data early, and the file with them."""
    end = int(rng.integers(len(content) // 2, len(content)))
    return Mutated(f"ended by a trailer at {end} of {len(content)}", content[:end] + b"\0;", is_cut=True)


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kinds and contents of a PNG's chunks."""
    position = len(PNG)
    while position < len(png):
        (size,) = struct.unpack_from(">I", png, position)
        yield png[position + 4 : position + 8], png[position + 8 : position + 8 + size]
        position += size + 12


def join(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, with their checksums."""
    joined = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return PNG + b"".join(joined)


def split_data(png: bytes, size: int) -> bytes:
    """The same PNG with its data in chunks of at most `size` bytes."""
    parts = []
    for kind, body in chunks(png):
        pieces = [body[i : i + size] for i in range(0, len(body), size)] if kind == b"IDAT" else [body]
        parts += [(kind, piece) for piece in pieces]
    return join(parts)


def interlaced(pixels: np.ndarray) -> bytes:
    """A PNG with Adam7 interlacing, which Pillow does not write."""
    rows, (height, width) = b"", pixels.shape[:2]
    for y, x, down, right in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::down, x::right])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return join([(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def _without_data(parts: list[tuple[bytes, bytes]], data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks with all data replaced by one chunk."""
    is_written = False
    for kind, body in parts:
        if kind != b"IDAT":
            yield kind, body
        elif not is_written:
            is_written = True
            yield kind, data
