"""Cut images are refused wherever they are cut; complete ones keep every pixel, in Python and in the graph."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from shared.completeness import ADAM7
from shared.files import MediaError
from shared.media import read_image, read_truncated_image

HEIGHT, WIDTH, PARTS = 93, 70, 40


def photo() -> np.ndarray:
    """Smooth shapes with noise, uint8 `(93, 70, 3)`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).normal(0, 9, (HEIGHT, WIDTH, 3))
    waves = np.stack([100 + 60 * np.sin(x / 9), 2 * y, 90 + 50 * np.cos((x + y) / 7)], axis=-1)
    return np.clip(waves + noise, 1, 255).astype(np.uint8)


def encode(image: np.ndarray | Image.Image, name: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    with io.BytesIO() as file:
        image.save(file, name, **options)
        return file.getvalue()


JPEGS = {
    f"quality {quality} {'progressive' if progressive else 'baseline'}": encode(
        photo(), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
    )
    for quality, subsampling, progressive in [(60, 2, False), (75, 2, True), (97, 0, False), (97, 0, True)]
}
JPEGS["restarts"] = encode(photo(), "JPEG", restart_marker_rows=1)
JPEGS["optimised"] = encode(photo(), "JPEG", optimize=True)
JPEGS["grey"] = encode(Image.fromarray(photo()).convert("L"), "JPEG", quality=95)
JPEGS["cmyk"] = encode(Image.fromarray(photo()).convert("CMYK"), "JPEG")


def cuts(data: bytes) -> list[bytes]:
    """A JPEG that ends early in each way at each part of its length."""
    cut = []
    for length in (len(data) * i // PARTS for i in range(1, PARTS)):
        start, rest = data[:length], len(data) - length
        cut += [start, start + b"\xff\xd9", start + bytes(rest), start + bytes(rest - 2) + b"\xff\xd9"]
    return cut


def refusal(data: bytes) -> str:
    """The message of an image that is refused, or an empty string."""
    try:
        read_image(data)
        return ""
    except MediaError as error:
        return str(error)


def is_refused(data: bytes) -> bool:
    return refusal(data) != ""


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
def test_a_cut_jpeg_is_refused_or_has_all_pixels(data):
    whole = read_image(data)
    refused = 0
    for cut in cuts(data):
        if is_refused(cut):
            refused += 1
        else:
            np.testing.assert_array_equal(read_image(cut), whole)
    assert refused > 0.95 * 4 * (PARTS - 1)


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
def test_what_cameras_add_is_not_taken_for_a_cut(data):
    whole, second = read_image(data), 4 + int.from_bytes(data[4:6])  # position of the second segment
    harmless = {
        "zeros before the end": data[:-2] + bytes(700) + data[-2:],
        "fill bytes before the end": data[:-2] + b"\xff" * 50 + data[-2:],
        "bytes before a marker": data[:second] + b"\x12\x34" + data[second:],
        "another picture behind it": data + data[:99],
        "zeros behind it": data + bytes(5000),
        "a thumbnail": with_segment(data, 0xE1, b"Exif\0\0" + data[:300] + b"\xff\xd9"),
        "an unknown segment": with_segment(data, 0xEB, b"\xff\xda\xff\xd9 no scan"),
    }
    for name, changed in harmless.items():
        np.testing.assert_array_equal(read_image(changed), whole, err_msg=name)


def test_a_harmless_warning_does_not_hide_a_cut():
    data = JPEGS["quality 75 progressive"]
    changed = data[:20] + b"\x12\x34" + data[20:]
    assert not is_refused(changed)
    with pytest.raises(MediaError, match="the data end before the last pixel"):
        read_image(changed[: len(changed) - 200] + b"\xff\xd9")


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_one_colour_is_not_taken_for_a_cut(colour):
    picture = photo()
    picture[30:] = colour
    for name, options in [
        ("JPEG", {"optimize": True}), ("JPEG", {"progressive": True}), ("JPEG", {}), ("PNG", {}), ("BMP", {}),
        ("WEBP", {}), ("WEBP", {"lossless": True}),
    ]:  # fmt: skip
        for pixels in (picture, np.full((HEIGHT, WIDTH, 3), colour, np.uint8)):
            assert read_image(encode(pixels, name, **options)).shape == (HEIGHT, WIDTH, 3)


def test_a_progressive_jpeg_without_one_of_its_scans_is_refused():
    data = JPEGS["quality 75 progressive"]
    starts = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xc4"][2:]  # tables before the scans of AC
    assert len(starts) >= 4
    for start in starts:
        with pytest.raises(MediaError, match=r"damaged or truncated JPEG file \(scans are missing\)"):
            read_image(data[:start] + b"\xff\xd9")


def test_a_progressive_jpeg_cut_in_the_header_of_a_scan():
    data = JPEGS["quality 75 progressive"]
    start = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"][1]
    for length in range(2, 8):  # the marker, then up to six bytes of the header
        assert is_refused(data[: start + length])
        image, fraction = read_truncated_image(data[: start + length])
        assert (image.shape, fraction) == ((HEIGHT, WIDTH, 3), 1)
        assert np.abs(image.astype(int) - photo()).mean() < 20  # all rows are there, in less detail


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(pixels: np.ndarray, interlaced: bool, part: float = 1.0, depth: int = 8) -> bytes:
    """A PNG `(height, width, channels)` of unfiltered rows that ends after a part of its decompressed bytes."""
    height, width, channels = pixels.shape
    rows = b""
    for y, x, down, right in ADAM7 if interlaced else ((0, 0, 1, 1),):
        picture = pixels[y::down, x::right]
        if not picture.size:
            continue
        samples = picture.reshape(len(picture), -1)
        lines = np.packbits(samples, axis=1) if depth == 1 else samples
        rows += b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 3: 2, 4: 6}[channels], 0, 0, interlaced)
    data = zlib.compress(rows[: int(len(rows) * part)])
    halves = chunk(b"IDAT", data[:90]) + chunk(b"IDAT", data[90:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + halves + chunk(b"IEND", b"")


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_without_its_last_rows_is_refused(interlaced):
    np.testing.assert_array_equal(read_image(png(photo(), interlaced)), photo())
    for i in range(PARTS):
        with pytest.raises(MediaError, match="damaged or truncated PNG file"):
            read_image(png(photo(), interlaced, i / PARTS))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (5, 9, 1), (9, 5, 3)])
def test_a_black_png_of_any_size_is_complete(shape, interlaced):
    assert not read_image(png(np.zeros(shape, np.uint8), interlaced))[..., :1].any() or shape[-1] == 4
    assert is_refused(png(np.zeros(shape, np.uint8), interlaced, 0.99))
    if shape[-1] == 1:
        assert not is_refused(png(np.zeros(shape, np.uint8), interlaced, depth=1))
        assert is_refused(png(np.zeros(shape, np.uint8), interlaced, 0.99, depth=1))


def test_a_large_black_png_is_complete():
    for rows in range(600, 640):  # over 1 MB from some hundred bytes
        assert not is_refused(encode(np.zeros((rows, 900, 3), np.uint8), "PNG"))


@pytest.mark.parametrize("options", [{}, {"lossless": True}], ids=["lossy", "lossless"])
def test_a_webp_that_ends_in_zeros_is_refused(options):
    data = encode(photo(), "WEBP", quality=90, **options)
    for i in range(1, PARTS - 4):
        length = len(data) * i // PARTS
        assert is_refused(data[:length] + bytes(len(data) - length))
        assert is_refused(data[:length])


@pytest.mark.parametrize("name", ["BMP", "GIF", "PNG"])
def test_other_formats_are_refused_wherever_they_are_cut(name):
    data = encode(photo(), name)
    for i in range(1, PARTS):
        assert is_refused(data[: len(data) * i // PARTS])


def gif_that_ends_early(data: bytes, count: int) -> bytes:
    """The first `count` blocks of the pixels of a GIF with a global palette and no extension."""
    position = 13 + 768 + 10 + 1  # header, palette, descriptor, size of codes
    for _ in range(count):
        position += 1 + data[position]
    return data[:position] + b"\0;"


def test_a_gif_that_ends_early_is_refused():
    data = encode(photo(), "GIF")
    assert data[13 + 768 : 13 + 769] == b","
    for count in range(10):
        assert is_refused(gif_that_ends_early(data, count))


@pytest.fixture(scope="module")
def graph_refuses():
    import tensorflow as tf

    from shared.media_in_graph import decode_image_in_graph

    decode = tf.function(decode_image_in_graph, [tf.TensorSpec((), tf.string)])

    def refuses(data: bytes) -> bool:
        try:
            np.testing.assert_array_equal(decode(tf.constant(data)), read_image(data))
        except tf.errors.InvalidArgumentError:
            return True
        return False

    return refuses


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quality 60 baseline", "quality 97 baseline", "quality 97 progressive", "restarts"])
def test_the_graph_refuses_the_same_jpegs(name, graph_refuses):
    data = JPEGS[name]
    assert not graph_refuses(data)
    assert not graph_refuses(data[:-2] + bytes(700) + data[-2:])
    assert not graph_refuses(data + bytes(700))
    for cut in cuts(data):
        if (message := refusal(cut)) and "scans are missing" not in message:
            assert graph_refuses(cut)


def test_the_graph_refuses_cut_files_of_other_formats(graph_refuses):
    gif, bmp = encode(photo(), "GIF"), encode(photo(), "BMP")
    for i in range(1, 10):
        cut = [png(photo(), False, i / 10), gif_that_ends_early(gif, i), gif[: len(gif) * i // 10]]
        for data in (*cut, bmp[: len(bmp) * i // 10]):
            assert graph_refuses(data)
