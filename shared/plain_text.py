"""Text in files of unknown content: decompressed and decoded, or refused with what it looks like.

Compression (gzip, bzip2, xz) and encoding (UTF-8, or UTF-16 and UTF-32 with a byte order mark) are recognised by the
content, never by the name of the file.
"""

import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.files import MediaError

BLOCK = 65536  # bytes read at a time
PART = 4096  # compressed bytes at a time
SMALL = 2**26  # bytes of text that any archive may become
XZ_MEMORY = 2**27  # bytes that an xz file may ask for; `xz -9` needs half of them
MAX_RATIO = 100  # of the bytes of a text and its archive; text is compressed to a tenth
HEAD = 16  # bytes that tell encodings and compressions apart
WANTED = "plain text in UTF-8 was expected"

DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
}
COMPRESSIONS = {
    re.compile(rb"\x1f\x8b"): "gzip",
    re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"): "bzip2",
    re.compile(rb"\xfd7zXZ\0"): "xz",
}
MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
SIGNATURES = {
    re.compile(pattern, re.DOTALL): name
    for pattern, name in {
        rb"PK\x03\x04": "a ZIP archive or an office document",
        rb"PK\x05\x06": "an empty ZIP archive",
        rb"7z\xbc\xaf": "a 7-Zip archive",
        rb"Rar!\x1a": "a RAR archive",
        rb".{257}ustar": "a tar archive",
        rb"\x28\xb5\x2f\xfd": "compressed by Zstandard",
        rb"%PDF-": "a PDF document",
        rb"%!PS-": "a PostScript document",
        rb"\{\\rtf\d": "an RTF document",
        rb"\xd0\xcf\x11\xe0": "a document of an older office program",
        rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II\*\0|MM\0\*": "an image",
        rb"RIFF.{4}WAVE|fLaC\0|ID3[\2-\4]|\xff[\xf2\xf3\xfb]": "a sound",
        rb".{4}ftyp|OggS\0|RIFF.{4}AVI |\x1aE\xdf\xa3": "a sound, film or image",
        rb"SQLite format 3\0": "an SQLite database",
        rb"PAR1": "a Parquet table",
        rb"ARROW1\0": "an Arrow table",
        rb"\x89HDF": "an HDF5 file",
        rb"\x93NUMPY": "a NumPy array",
        rb"\x80[\2-\5]": "a pickle",
        rb"\x7fELF": "a program",
    }.items()
}
MARKUP = {
    re.compile(rb"\s*<\?xml\b|\s*<(tmx|xliff|tei)\b", re.IGNORECASE): "XML",
    re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE): "HTML",
    re.compile(rb'\s*\[?\s*\{\s*"[^"\n]*"\s*:'): "JSON",
}


def as_utf8(blocks: Iterable[bytes], markup: bool = False) -> Iterator[bytes]:
    """Yield the text of a file in UTF-8, without compression and byte order mark, as its blocks arrive.

    Args:
        blocks: the content of the file, in blocks of any size.
        markup: accept XML, HTML and JSON, for a caller that parses them.

    Raises:
        MediaError: it is not text, or damaged. UTF-8 is not checked; the caller decides about invalid bytes.
    """
    head, blocks = _with_head(blocks)
    if compression := _first_match(COMPRESSIONS, head):
        head, blocks = _with_head(_decompressed(blocks, compression))
    mark = next((mark for mark in MARKS if head.startswith(mark)), b"")
    encoding = MARKS.get(mark, "utf-8")
    if encoding in ("utf-16", "utf-32"):
        head, blocks = _with_head(_transcoded(blocks, encoding))
    _check(head.removeprefix(codecs.BOM_UTF8)[:BLOCK], markup)
    for block in blocks:
        yield block.removeprefix(mark)
        mark = b""


def decode(content: bytes, markup: bool = False) -> str:
    """The text of a whole file.

    Args:
        content: the bytes of the file.
        markup: as for `as_utf8`.

    Raises:
        MediaError: it is not text, or damaged, or has a NUL character, or is not UTF-8.
    """
    text = b"".join(as_utf8([content], markup))
    if (nul := text.find(b"\0")) >= 0:
        raise MediaError(f"has a NUL character in line {_line(text, nul)}: binary data; {WANTED}")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise MediaError(f"is not UTF-8: {encoding_hint(_line(text, error.start))}") from None


def encoding_hint(line: int) -> str:
    """Where a text is not UTF-8, and what helps."""
    return f"line {line} has other bytes; iconv -f ENCODING -t UTF-8 converts a text, such as from LATIN1 or GBK"


def _line(text: bytes, index: int) -> int:
    return text.count(b"\n", 0, index) + 1


def _with_head(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `HEAD` or a line if there are as many, and all blocks again."""
    blocks, head = iter(blocks), b""
    for block in blocks:
        head += block
        if len(head) >= HEAD or b"\n" in head:
            break

    def all_blocks() -> Iterator[bytes]:
        yield head
        yield from blocks

    return head, all_blocks()


def _decompressed(blocks: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """The content of compressed blocks; they may hold several compressed files in a row."""
    decompressor = DECOMPRESSORS[compression]()
    read = written = 0  # bytes
    try:
        for block in blocks:
            for first in range(0, len(block), PART):
                rest = block[first : first + PART]
                read += len(rest)
                while rest:
                    if decompressor.eof:
                        if not rest.strip(b"\0"):  # padding, as of tapes
                            break
                        decompressor = DECOMPRESSORS[compression]()
                    for content in _inflated(decompressor, rest):
                        written += len(content)
                        if written > max(SMALL, MAX_RATIO * read):
                            ratio = f"more than {MAX_RATIO} times its {compression} data"
                            raise MediaError(f"is an archive bomb: {SMALL >> 20} MiB and {ratio}; {WANTED}")
                        yield content
                    rest = decompressor.unused_data
    except MediaError:  # a ValueError itself
        raise
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
        raise MediaError(f"is damaged: its {compression} data cannot be decompressed ({error})") from None
    if not decompressor.eof:
        raise MediaError(f"is damaged: its {compression} data ends too early")


def _inflated(decompressor: Any, data: bytes) -> Iterator[bytes]:
    """What compressed data becomes, in blocks that fit in memory."""
    while not decompressor.eof:
        content = decompressor.decompress(data, BLOCK)
        yield content
        data = getattr(decompressor, "unconsumed_tail", b"")  # of zlib; the others keep it
        if len(content) < BLOCK and not data:
            break


def _transcoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Text of UTF-16 or UTF-32 as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in blocks:
            yield decoder.decode(block).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MediaError(f"is damaged: it begins as {encoding.upper()} and has bytes that are not; {WANTED}") from None


def _check(head: bytes, markup: bool) -> None:
    """Raises MediaError if the beginning of a file is not that of a text."""
    if compression := _first_match(COMPRESSIONS, head):
        raise MediaError(f"is compressed twice, inside by {compression}; {WANTED}")
    if kind := _first_match(SIGNATURES, head) or (b"\0" in head and _with_nuls(head)):
        raise MediaError(f"is {kind}; {WANTED}")
    if not markup and (kind := _first_match(MARKUP, head)):
        raise MediaError(f"is {kind}; plain text was expected")


def _first_match(names: dict[re.Pattern[bytes], str], head: bytes) -> str | None:
    return next((name for pattern, name in names.items() if pattern.match(head)), None)


def _with_nuls(head: bytes) -> str:
    """What bytes with NULs look like: every second one is NUL in English in UTF-16."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if 10 * even < odd > len(head) // 8:
        return "UTF-16 without a byte order mark (iconv -f UTF-16LE -t UTF-8 converts it)"
    if 10 * odd < even > len(head) // 8:
        return "UTF-16 without a byte order mark (iconv -f UTF-16BE -t UTF-8 converts it)"
    return "binary data, with NUL characters"
