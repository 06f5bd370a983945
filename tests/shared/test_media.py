"""Images of every format and mode, rotated, damaged or too large; equal pixels from the graph."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared import media
from shared.files import MediaError
from shared.inputs import find_inputs
from shared.media import IMAGES, MAX_PIXELS, prepare, read_image, read_truncated_image, resize
from shared.media_in_graph import decode_image_in_graph, read_images_in_graph

HEIGHT, WIDTH = 22, 37


def photo() -> np.ndarray:
    """A smooth image with noise, `(22, 37, 3)`, which JPEG has to round."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 50, (HEIGHT, WIDTH, 3))
    return np.clip(np.stack([5 * x, 9 * y, 3 * x + 4 * y], axis=-1) + noise, 0, 255).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, name: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    with io.BytesIO() as file:
        image.save(file, name, **options)
        return file.getvalue()


def exif(orientation: int, byte_order: str = "<") -> bytes:
    """An EXIF record with the orientation as the second of three tags, and a wrong one in the thumbnail's directory."""
    mark = b"II*\0" if byte_order == "<" else b"MM\0*"
    first = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(byte_order + "HH", orientation, 0))]
    first.append((0x011A, 4, 1, struct.pack(byte_order + "I", 7)))
    second = [(0x0112, 3, 1, struct.pack(byte_order + "HH", 3, 0))]
    body, position = b"", 8
    for directory, is_last in ((first, False), (second, True)):
        position += 2 + 12 * len(directory) + 4
        body += struct.pack(byte_order + "H", len(directory))
        for tag, kind, count, value in directory:
            body += struct.pack(byte_order + "HHI", tag, kind, count) + value
        body += struct.pack(byte_order + "I", 0 if is_last else position)
    return b"Exif\0\0" + mark + struct.pack(byte_order + "I", 8) + body


def jpeg_with_segments(*segments: tuple[int, bytes]) -> bytes:
    plain = encode(photo(), "JPEG")
    extra = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return plain[:2] + extra + plain[2:]


def ycck_jpeg() -> bytes:
    """A CMYK file with YCbCr in its first three channels, according to its Adobe segment."""
    data = bytearray(encode(Image.fromarray(photo()).convert("CMYK"), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def png_with_orientation_after_the_pixels(orientation: int) -> bytes:
    plain, record = encode(photo(), "PNG"), b"eXIf" + exif(orientation)[6:]
    chunk = struct.pack(">I", len(record) - 4) + record + struct.pack(">I", zlib.crc32(record))
    return plain[:-12] + chunk + plain[-12:]


def rgba() -> Image.Image:
    alpha = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 1)).astype(np.uint8)
    return Image.fromarray(np.concatenate([photo(), alpha], axis=-1))


def grey16() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)


def same_in_graph() -> dict[str, bytes]:
    """Images that both decoders must decode to equal pixels."""
    image = Image.fromarray(photo())
    cases = {
        f"jpeg quality {quality} subsampling {subsampling} progressive {progressive}": encode(
            image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
        )
        for quality, subsampling, progressive in [(30, 2, False), (60, 1, True), (75, 2, True), (95, 0, False)]
    }
    for orientation in range(10):  # 0 and 9 are not orientations
        cases[f"jpeg orientation {orientation} II"] = encode(image, "JPEG", exif=exif(orientation, "<"))
        cases[f"jpeg orientation {orientation} MM"] = encode(image, "JPEG", exif=exif(orientation, ">"))
    tiff = exif(6)[6:]
    cases |= {
        "jpeg grey": encode(image.convert("L"), "JPEG"),
        "jpeg cmyk": encode(image.convert("CMYK"), "JPEG"),
        "jpeg ycck": ycck_jpeg(),
        "jpeg cmyk without an Adobe segment": encode(image.convert("CMYK"), "JPEG").replace(b"Adobe", b"adobe"),
        "jpeg 1 x 1": encode(photo()[:1, :1], "JPEG"),
        "jpeg exif after a comment with the same bytes": jpeg_with_segments(
            (0xFE, b"\xff\xe1\x00\x60" + exif(3)), (0xE0, b"JFIF\0" + exif(8)), (0xE1, b"http://xmp"), (0xE1, exif(6))
        ),
        "jpeg comment only": jpeg_with_segments((0xFE, exif(6)), (0xE2, exif(6)), (0xE1, b"exif\0\0" + tiff)),
        "jpeg exif truncated": jpeg_with_segments((0xE1, exif(6)[:20])),
        "jpeg exif with a directory far away": jpeg_with_segments((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff" + tiff[8:])),
        "jpeg exif without tiff": jpeg_with_segments((0xE1, b"Exif\0\0XX*\0" + tiff[4:])),
        "jpeg exif empty": jpeg_with_segments((0xE1, b"Exif\0\0")),
        "png": encode(image, "PNG"),
        "png orientation 5": encode(image, "PNG", exif=exif(5)),
        "png orientation 8 after the pixels": png_with_orientation_after_the_pixels(8),
        "png grey": encode(image.convert("L"), "PNG"),
        "png grey, a transparent level": encode(image.convert("L"), "PNG", transparency=77),
        "png grey 16": encode(grey16(), "PNG"),
        "png grey 16, a transparent level": encode(grey16(), "PNG", transparency=int(grey16()[3, 5])),
        "png grey alpha": encode(rgba().convert("LA"), "PNG"),
        "png 1 bit": encode(image.convert("1"), "PNG"),
        "png rgb, a transparent colour": encode(image, "PNG", transparency=tuple(map(int, photo()[3, 5]))),
        "png rgba": encode(rgba(), "PNG"),
        "png 1 bit, a transparent level": encode(image.convert("1"), "PNG", transparency=0),
        "png palette of two": encode(image.quantize(2), "PNG"),
        "png palette of four": encode(image.quantize(4), "PNG"),
        "png palette": encode(image.quantize(9), "PNG"),
        "png palette, a transparent entry": encode(image.quantize(9), "PNG", transparency=4),
        "png palette with alpha": encode(rgba().quantize(30), "PNG"),
        "bmp": encode(image, "BMP"),
        "bmp grey": encode(image.convert("L"), "BMP"),
        "bmp palette": encode(image.quantize(9), "BMP"),
        "bmp 32": encode(rgba(), "BMP"),
        "gif": encode(image, "GIF"),
        "gif animated": encode(image, "GIF", save_all=True, append_images=[Image.fromarray(255 - photo())]),
    }
    return cases


CASES = same_in_graph()


def test_lossless_formats_keep_their_pixels():
    for data in (encode(photo(), "PNG"), encode(photo(), "BMP"), encode(photo(), "WEBP", lossless=True)):
        image = read_image(data)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, photo())


def test_sixteen_bits_keep_their_high_byte():
    np.testing.assert_array_equal(read_image(encode(grey16(), "PNG")), np.repeat(grey16()[..., None] >> 8, 3, axis=-1))


def test_transparent_pixels_are_blended_with_white():
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 100, 255, 128]]], np.uint8)
    # 0 * 128 / 255 + 255 * 127 / 255 = 127; 100 * 128 / 255 + 127 = 177.2; 255
    expected = [[[255, 255, 255], [10, 20, 30], [127, 177, 255]]]
    np.testing.assert_array_equal(read_image(encode(pixels, "PNG")), expected)
    np.testing.assert_array_equal(read_image(encode(pixels, "WEBP", lossless=True, exact=True)), expected)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([1, 2, 3, 4, 5, 6])
    for name in ("PNG", "GIF"):
        np.testing.assert_array_equal(read_image(encode(palette, name, transparency=1)), [[[1, 2, 3], [255] * 3]])


MODES = {
    "JPEG": "1 L RGB CMYK YCbCr",
    "PNG": "1 L LA P RGB RGBA",
    "WEBP": "1 L LA P RGB RGBA CMYK YCbCr",
    "BMP": "1 L P RGB RGBA",
    "GIF": "1 L LA P RGB RGBA",
}


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name, modes in MODES.items() for mode in modes.split()])
def test_every_mode_of_every_format_gives_three_channels(name, mode):
    image = rgba() if mode in ("LA", "P", "RGBA") else Image.fromarray(photo())
    data = encode(image.convert(mode), name)
    image = read_image(data)
    assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)


def test_tiff_and_avif():
    for mode in ("RGB", "CMYK", "RGBA"):
        np.testing.assert_array_equal(read_image(encode(Image.fromarray(photo()).convert(mode), "TIFF")), photo())
    np.testing.assert_array_equal(read_image(encode(grey16(), "TIFF"))[..., 0], grey16() >> 8)
    assert np.abs(read_image(encode(photo(), "AVIF", quality=95)).astype(int) - photo()).mean() < 12
    turned = read_image(encode(photo(), "AVIF", exif=exif(6)[6:]))
    assert turned.shape == (WIDTH, HEIGHT, 3)
    for samples in (np.float32, np.int32):
        with pytest.raises(MediaError, match="has samples of 32 bits; 8 or 16 bits were expected"):
            read_image(encode(photo()[..., 0].astype(samples), "TIFF"))


def test_heic_is_read_by_an_extra(monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encode(photo(), "HEIF", quality=95)
    assert np.abs(read_image(data).astype(int) - photo()).mean() < 12
    assert IMAGES.extras == {}
    monkeypatch.setattr(media, "reads_heic", False)
    media._formats.cache_clear()
    with pytest.raises(MediaError, match=r"is a HEIC file, which the extra heic reads: pip install -e '\.\[heic\]'"):
        read_image(data)
    media._formats.cache_clear()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": exif(6)}], ids=str)
def test_what_there_is_of_a_truncated_jpeg(options):
    """Of a sequential one its upper rows, exactly; of a progressive one all, in less detail."""
    noise = np.random.default_rng(5).integers(0, 256, (9, 5, 3)).astype(np.uint8)
    whole = encode(Image.fromarray(noise).resize((80, 144)), "JPEG", quality=95, **options)
    expected = read_image(whole)
    for share in (0.5, 0.8):
        part, fraction = read_truncated_image(whole[: int(share * len(whole))])
        if "progressive" in options:
            assert part.shape == expected.shape
            assert fraction == 1
            assert np.abs(part.astype(int) - expected).mean() < 20
        elif "exif" in options:  # turned: what was above is on the right
            assert part.shape == (80, round(144 * fraction), 3)
            np.testing.assert_array_equal(part, expected[:, -part.shape[1] :])
        else:
            assert 0.3 < fraction < 1
            np.testing.assert_array_equal(part, expected[: round(144 * fraction)])
    zeros = whole[: len(whole) // 2] + bytes(len(whole) // 2)  # as of a download that stopped
    assert read_truncated_image(zeros)[1] == read_truncated_image(whole[: len(whole) // 2])[1]


@pytest.mark.parametrize(
    "data", [encode(photo(), "JPEG"), encode(photo(), "JPEG")[:500], encode(photo(), "PNG")[:-300]]
)
def test_other_files_have_no_part_to_read(data):
    with pytest.raises(MediaError, match=r"is no truncated JPEG of which there is a row|is not an image"):
        read_truncated_image(data)


def test_orientation_is_applied():
    stored = photo()
    turned = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 6: np.rot90(stored, -1)}
    turned |= {5: stored.swapaxes(0, 1), 7: stored[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(stored)}
    for orientation, expected in turned.items():
        for name, options in (("PNG", {}), ("WEBP", {"lossless": True})):
            data = encode(stored, name, exif=exif(orientation), **options)
            np.testing.assert_array_equal(read_image(data), expected)


def test_animations_give_their_first_frame():
    second = Image.fromarray(255 - photo())
    for name, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        data = encode(photo(), name, save_all=True, append_images=[second], **options)
        assert np.abs(read_image(data).astype(int) - photo()).mean() < 12  # GIF has 256 colours only


def header_only_png(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (body, pixels, b"IEND")
    )


BAD = {
    "empty": (b"", "is empty"),
    "text": (
        b"hello, this is no image at all",
        "is not an image that can be read; one of JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF was expected",
    ),
    "a format not on the list": (encode(photo(), "TGA"), "is not an image that can be read"),
    "jpeg without its end": (encode(photo(), "JPEG", quality=95)[:-300], "damaged or truncated JPEG file"),
    "jpeg header": (encode(photo(), "JPEG")[:20], "is not an image|damaged or truncated JPEG"),
    "png without its end": (encode(photo(), "PNG")[:-300], "damaged or truncated PNG file"),
    "gif without its end": (encode(photo(), "GIF")[:-300], "damaged or truncated GIF file"),
    "bmp without its end": (encode(photo(), "BMP")[:-300], "damaged or truncated BMP file"),
    "webp without its end": (encode(photo(), "WEBP")[:-300], "is not an image|damaged or truncated WEBP"),
    "a side that is too long": (header_only_png(70_000, 1), "70000 x 1 pixels; at most 65,535 on a side"),
    "slightly too many pixels": (header_only_png(10_000, MAX_PIXELS // 10_000 + 1), "10000 x 5001 pixels, the limit"),
    "a bomb that Pillow warns of": (header_only_png(10_000, 9_500), "more pixels than the limit"),
    "a bomb that Pillow refuses": (header_only_png(60_000, 60_000), "more pixels than the limit"),
    "no pixels": (header_only_png(0, 5), "is not an image|0 x 5 pixels"),
}


CUT = {
    "tiff": encode(photo(), "TIFF")[:-300],
    "tiff, compressed": encode(photo(), "TIFF", compression="tiff_lzw")[:-300],
    "avif": encode(photo(), "AVIF")[:-30],
}


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_files_that_are_cut_are_refused_without_a_word_of_the_decoder(data, capfd):
    with pytest.raises(MediaError, match=r"is not an image that can be read|damaged or truncated (TIFF|AVIF) file"):
        read_image(data)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_bytes_are_refused_in_one_line(data, message):
    with pytest.raises(MediaError, match=message) as caught:
        read_image(data)
    assert "\n" not in str(caught.value)


def test_bytes_changed_at_random_give_an_image_or_a_media_error():
    generator = np.random.default_rng(3)
    for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        data = np.frombuffer(encode(photo(), name), np.uint8)
        for _ in range(40):
            damaged = data.copy()
            damaged[generator.integers(0, min(len(data), 120), 3)] = generator.integers(0, 256, 3)
            with contextlib.suppress(MediaError):
                assert read_image(damaged.tobytes()).ndim == 3


def test_unreadable_files_are_refused(tmp_path):
    good = tmp_path / "named.txt"
    good.write_bytes(encode(photo(), "PNG"))
    np.testing.assert_array_equal(read_image(good), photo())
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path, "is a folder; an image file"),
        (tmp_path / "missing.jpg", "does not exist"),
        (good / "below.jpg", "cannot be read"),
        (tmp_path / "pipe", "is not a regular file"),
        (Path("nul\0.jpg"), "cannot be read"),
    ]:
        with pytest.raises(MediaError, match=message) as caught:
            read_image(path)
        assert str(path) not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_files_without_permission_are_refused(tmp_path):
    for path in (tmp_path / "locked.png", tmp_path / "locked"):
        path.mkdir() if path.suffix == "" else path.write_bytes(b"x")
        path.chmod(0)
    with pytest.raises(MediaError, match="permission denied"):
        read_image(tmp_path / "locked.png")
    assert "permission denied" in str(find_inputs(IMAGES, [str(tmp_path / "locked")])[0].error)


def test_importing_media_does_not_import_keras():
    code = "import sys, shared.media; sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_resize_keeps_the_right_size_and_covers_the_whole_image():
    images = np.random.default_rng(4).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    same = np.asarray(resize(images, 6))
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, images)
    wide = np.zeros((2, 4, 12, 3), np.uint8)
    wide[0, :, 6:] = 255
    wide[1, 2:] = 100
    squeezed = np.asarray(resize(wide, 2))
    assert (squeezed.shape, squeezed.dtype) == ((2, 2, 2, 3), np.float32)
    # Each half of the wide image is a column; antialiasing mixes in a little of the other half.
    assert squeezed[0, :, 0].max() < 40
    assert squeezed[0, :, 1].min() > 215
    np.testing.assert_allclose(squeezed[1, :, 0], squeezed[1, :, 1], rtol=1e-6)
    np.testing.assert_allclose(squeezed.mean(axis=(1, 2)), [[127.5] * 3, [50] * 3], rtol=1e-5)


def test_resize_of_unknown_size_keeps_images_of_the_right_size():
    import tensorflow as tf

    images = np.random.default_rng(5).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    traced = tf.function(lambda x: resize(x, 5), input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    np.testing.assert_array_equal(traced(images), images)


@pytest.mark.parametrize("size", [3, 6])
def test_prepare_resizes_and_rounds(size):
    images = np.random.default_rng(6).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    prepared = np.asarray(prepare(images, size))
    assert (prepared.shape, prepared.dtype) == ((2, size, size, 3), np.float32)
    np.testing.assert_array_equal(prepared, np.round(resize(images, size)))
    np.testing.assert_array_equal(prepare(prepared.astype(np.uint8), size), prepared)  # a cache of uint8 is lossless


@pytest.fixture(scope="module")
def graph_decoder(tmp_path_factory):
    """`decode_image_in_graph` over a batch, loaded from a SavedModel."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def decode(encoded):
        return tf.map_fn(decode_image_in_graph, encoded, fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8))

    module = tf.Module()
    module.decode = decode
    folder = str(tmp_path_factory.mktemp("decoder"))
    tf.saved_model.save(module, folder)
    return tf.saved_model.load(folder).decode


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_the_graph_gives_the_same_pixels(data, graph_decoder):
    import tensorflow as tf

    np.testing.assert_array_equal(graph_decoder(tf.constant([data]))[0], read_image(data))


@pytest.mark.slow
def test_the_graph_decodes_eagerly_and_in_batches(graph_decoder):
    import tensorflow as tf

    data = [CASES["jpeg orientation 3 II"], CASES["png rgba"], CASES["gif"]]
    expected = np.stack([read_image(one) for one in data])
    np.testing.assert_array_equal(graph_decoder(tf.constant(data)), expected)
    np.testing.assert_array_equal(decode_image_in_graph(tf.constant(data[0])), expected[0])
    assert tf.function(decode_image_in_graph)(tf.constant(data[0])).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("case", BAD)
def test_the_graph_refuses_bad_bytes(case, graph_decoder):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        graph_decoder(tf.constant([BAD[case][0]]))


def test_the_graph_refuses_webp_and_names_the_formats_it_accepts(graph_decoder):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG, PNG, BMP or GIF"):
        graph_decoder(tf.constant([encode(photo(), "WEBP")]))


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.slow
def test_a_bad_file_of_a_batch_is_black_and_has_an_error(position):
    import tensorflow as tf

    read = tf.function(read_images_in_graph, autograph=False)
    good = [CASES["png rgba"], CASES["gif"]]
    damaged = "is a damaged or truncated {} file; a complete file was expected"
    large = b"\x89PNG\r\n\x1a\n" + bytes(8) + (10_000).to_bytes(4, "big") + (5_001).to_bytes(4, "big")
    for file, expected in {
        b"": "is empty (0 bytes); an image file was expected",
        b"\xffno image": "is not an image that can be read; one of JPEG, PNG, BMP, GIF was expected",
        CASES["gif"][:20]: damaged.format("GIF"),
        CASES["png rgba"][:40]: damaged.format("PNG"),
        b"BM": damaged.format("BMP"),
        b"\xff\xd8\xff": damaged.format("JPEG"),
        large: "has 50010000 pixels, the limit is 50,000,000; scale it down first",
    }.items():
        images, error = read(tf.constant([*good[:position], file, *good[position:]]), 8)
        assert [one.decode() for one in error.numpy()] == [expected if row == position else "" for row in range(3)]
        assert not np.any(images[position])
        rows = [row for row in range(3) if row != position]
        for row, one in zip(rows, good, strict=True):
            np.testing.assert_array_equal(images[row], prepare(read_image(one)[None], 8)[0])


@pytest.mark.data
@pytest.mark.slow
def test_the_graph_gives_the_same_pixels_of_photographs():
    import tensorflow as tf

    data = os.environ.get("QUATRAIN_DATA")
    photographs = sorted(Path(data, "flickr8k", "Images").glob("*.jpg"))[:20] if data else []
    if not photographs:
        pytest.skip("QUATRAIN_DATA does not hold flickr8k")
    for path in photographs:
        np.testing.assert_array_equal(decode_image_in_graph(tf.constant(path.read_bytes())), read_image(path))
