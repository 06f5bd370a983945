"""Text of unknown files: compressions, encodings, and what is no text."""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from shared.files import MediaError
from shared.plain_text import as_utf8, decode

TEXT = "Grüße, 日本!\r\nzweite Zeile 🐕\n" * 300
COMPRESSED = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
ENCODED = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a mark": TEXT.encode("utf-8-sig"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
} | {name: compress(TEXT.encode()) for name, compress in COMPRESSED.items()}


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
@pytest.mark.parametrize("name", ENCODED)
def test_any_encoding_and_compression_in_blocks_of_any_size(name, size):
    content = ENCODED[name]
    blocks = [content[first : first + size] for first in range(0, len(content), size)]
    assert b"".join(as_utf8(blocks)).decode() == TEXT


@pytest.mark.parametrize("name", COMPRESSED)
def test_files_that_are_compressed_in_parts_or_in_another_encoding(name):
    compress = COMPRESSED[name]
    assert decode(compress(b"one\n") + compress(b"two\n")) == "one\ntwo\n"
    assert decode(compress("zwölf\n".encode("utf-16"))) == "zwölf\n"
    assert decode(compress(b"")) == decode(b"") == ""


@pytest.mark.parametrize("name", COMPRESSED)
def test_damaged_compression(name):
    content = COMPRESSED[name](TEXT.encode())
    with pytest.raises(MediaError, match=f"is damaged: its {name} data ends too early"):
        decode(content[:-20])
    with pytest.raises(MediaError, match=f"is damaged: its {name} data cannot be decompressed"):
        decode(content + b"and more")


def _zip() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    return file.getvalue()


def _tar(mode: str) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (_zip(), "a ZIP archive or an office document"),
        (_tar("w"), "a tar archive"),
        (_tar("w:gz"), "a tar archive"),
        (gzip.compress(gzip.compress(b"text")), "compressed twice, inside by gzip"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\0", "an image"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a sound"),
        (b"{\\rtf1\\ansi Hello}", "an RTF document"),
        (b"\x28\xb5\x2f\xfd\x04\0", "compressed by Zstandard"),
        ("The cat sat.\n".encode("utf-16-le"), "UTF-16 without a byte order mark .iconv -f UTF-16LE"),
        ("The cat sat.\n".encode("utf-16-be"), "UTF-16 without a byte order mark .iconv -f UTF-16BE"),
        (b"some text\0\0\1", "binary data, with NUL characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # compressed content holds the time
)
def test_what_is_no_text_is_refused_by_name(content, kind):
    with pytest.raises(MediaError, match=rf"^is {kind}.*; plain text in UTF-8 was expected$"):
        decode(content)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('<?xml version="1.0"?>\n<tmx version="1.4">', "XML"),
        ("<tmx>", "XML"),
        ("\n<!DOCTYPE html>\n", "HTML"),
        ('{"source": "a", "target": "b"}\n', "JSON"),
    ],
)
def test_markup_is_for_those_who_parse_it(content, kind):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        with pytest.raises(MediaError, match=f"is {kind}; plain text was expected"):
            decode(content.encode(encoding))
        assert decode(content.encode(encoding), markup=True) == content


def test_texts_that_begin_like_something_else():
    for text in ("RIFFs are fun", "BZh is short", "ID3 tags", "<unk> of <b>", '{ "a"', "PK", "Rar!"):
        assert decode(text.encode()) == text


def test_other_bytes_are_named_by_their_line():
    with pytest.raises(MediaError, match=r"is not UTF-8: line 2 has other bytes; iconv"):
        decode(b"one\nGr\xfc\xdfe\n")
    with pytest.raises(MediaError, match="has a NUL character in line 3"):
        decode(b"a" * 70_000 + b"\n\nb\0")


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.slow
def test_archive_bombs_are_refused_in_blocks_that_fit_in_memory(name, monkeypatch):
    monkeypatch.setattr("shared.plain_text.SMALL", 2**20)
    bomb = COMPRESSED[name](b"text " * 2_000_000)
    sizes = []
    with pytest.raises(MediaError, match=f"^is an archive bomb: 1 MiB and more than 100 times its {name} data"):
        sizes.extend(map(len, as_utf8([bomb])))
    assert max(sizes) <= 65536 + 16
    assert sum(sizes) <= 2**20
    monkeypatch.undo()
    assert len(decode(bomb)) == 10_000_000
