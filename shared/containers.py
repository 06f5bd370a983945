"""Takes sound files apart as far as it takes to see whether they are whole.

Decoders end quietly where a file ends. The containers say where it should: Ogg and MP3 by their pages and frames, the
others by the size of their samples. Joined files (chained Ogg, `cat a.flac b.flac`) are separated.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shared import mpeg
from shared.files import MediaError
from shared.mpeg import Part, cut_short

UNKNOWN_SIZE = 0x7FFF_0000  # a size of at least this marks a stream of unknown length
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_NOT_ZERO = re.compile(rb"[^\0]")
MAX_PARTS = 1000


def parts(content: bytes) -> list[Part]:
    """The streams of a sound file, in order.

    Raises:
        MediaError: the file is of another kind, cut short or damaged.
    """
    start = mpeg.after_tags(content, 0) if content.startswith(b"ID3") else 0
    content = content[start:] if start else content
    if mpeg.is_frame(content) or (start and not content.startswith(tuple(_CONTAINERS))):
        found = mpeg.parts(content)
    elif find := next((find for magic, find in _CONTAINERS.items() if content.startswith(magic)), None):
        found = find(content)
    else:  # libsndfile knows more formats; their decoders are old, and see no untrusted file
        known = "WAV, FLAC, Ogg, MP3, AIFF, AU or NIST SPHERE was expected"
        raise MediaError(f"is not a sound file that can be read; {known}, or --rate for samples without a header")
    if len(found) > MAX_PARTS:
        raise MediaError(f"consists of {len(found):,} sounds, the limit is {MAX_PARTS:,}; split it first")
    return found


def has_header(content: bytes) -> bool:
    """Whether content starts like a file of a kind that is known here, MPEG audio excepted: it has no magic number."""
    return content.startswith((*_CONTAINERS, b"ID3"))


# RIFF, AIFF, AU and SPHERE: the size of the samples


class _Size(NamedTuple):
    """Where the header says how many bytes of samples there are."""

    start: int  # of the samples
    announced: int
    at: int  # of the size
    format: str  # of the size, for `struct`
    extra: int = 0  # bytes that the size counts beside the samples


def _sized(find: Callable[[bytes], _Size | None]) -> Callable[[bytes], list[Part]]:
    def take_apart(content: bytes) -> list[Part]:
        size = find(content)
        if size is None:
            return [Part(content)]
        present = len(content) - size.start
        if present < 0:
            raise cut_short("it ends before its samples")
        has_more = size.announced < present and not _is_tail(content, size.start, max(size.announced, 0))
        if size.announced >= UNKNOWN_SIZE or (size.announced <= 0 and has_more):
            written = bytearray(content)  # a stream: nobody went back to write the size
            struct.pack_into(size.format, written, size.at, present + size.extra)
            return [Part(bytes(written))]
        if has_more:
            counted = f"its header counts {size.announced:,} of {present:,} bytes of samples"
            raise MediaError(f"is damaged: {counted}; a header that counts all was expected")
        return [Part(content, min(present, size.announced), size.announced)]

    return take_apart


def _is_tail(content: bytes, start: int, size: int) -> bool:
    """Whether the bytes behind `size` bytes of samples are chunks, tags or zeros, and not further samples."""
    start += size + (size % 2 and content.startswith(b"\0", start + size))  # padding
    if (size and not _NOT_ZERO.search(content, start)) or mpeg.after_tags(content, start) > start:
        return True
    if content.startswith(b"riff"):  # the names of its chunks are any 16 bytes
        return start + 24 <= len(content) and struct.unpack_from("<Q", content, start + 16)[0] <= len(content) - start
    if not content.startswith((b"RIFF", b"RIFX", b"RF64", b"FORM")):
        return False
    order = ">" if content.startswith((b"RIFX", b"FORM")) else "<"
    for name, first, length in _chunks(content, start, order):
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        start = first + length
    return start <= len(content) <= start + 8


def _chunks(content: bytes, position: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of the chunks of RIFF and AIFF."""
    while position + 8 <= len(content):
        name, size = struct.unpack_from(f"{order}4sI", content, position)
        yield name, position + 8, size
        position += 8 + size
        position += size % 2 and content[position : position + 1] == b"\0"  # some writers leave the padding out


def _riff(content: bytes) -> _Size | None:
    order = ">" if content.startswith((b"RIFX", b"FORM")) else "<"
    long_size = None  # of RF64: 64 bits, in the chunk ds64
    for name, start, size in _chunks(content, 12, order):
        if name == b"ds64" and size >= 16 and start + 16 <= len(content):
            long_size = _Size(0, struct.unpack_from("<Q", content, start + 8)[0], start + 8, "<Q")
        elif name == b"SSND":
            return _Size(start + 8, size - 8, start - 4, ">I", extra=8)
        elif name == b"data" and long_size and size == 0xFFFF_FFFF:
            is_known = long_size.announced < 2**63
            return long_size._replace(start=start, announced=long_size.announced if is_known else 0)
        elif name == b"data":
            return _Size(start, size, start - 4, f"{order}I")
        if start + size > len(content):
            raise cut_short("it ends before its samples")
    return None


def _wave64(content: bytes) -> _Size | None:
    position = 40
    while position + 24 <= len(content):
        name, size = struct.unpack_from("<16sQ", content, position)
        if name.startswith(b"data"):
            is_known = size < 2**63
            return _Size(position + 24, size - 24 if is_known else 0, position + 16, "<Q", extra=24)
        position += max(24, (size + 7) // 8 * 8)
    return None


def _au(content: bytes) -> _Size | None:
    if len(content) < 24:
        return None
    order = ">" if content.startswith(b".snd") else "<"
    start, size = struct.unpack_from(f"{order}II", content, 4)
    return _Size(start, size, 8, f"{order}I")


def _sphere(content: bytes) -> list[Part]:
    size = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", content)
    start = int(size[1]) if size else 1024
    header = content[:start]
    if coding := re.search(rb"\nsample_coding -s\d+ ([^\n]*embedded[^\n]*)", header):
        name = coding[1].decode("ascii", "replace").strip()
        raise MediaError(f"is compressed SPHERE ({name}); unpack it: sph2pipe -f wav FILE.sph FILE.wav")

    count = re.search(rb"\nsample_count -i (\d{1,18})\b", header)
    return [Part(content, frames=int(count[1]) if count else None)]


# FLAC


def _flac(content: bytes) -> list[Part]:
    starts = [match.start() for match in re.finditer(rb"fLaC[\0\x80]\0\0\x22", content)]
    if not starts:
        return [Part(content)]
    streams = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    for stream in streams:
        if len(stream) >= 26 and not (stream[21] & 15 or any(stream[22:26])) and not _ends_with_frame(stream):
            raise cut_short("its last frame is incomplete")
    return [Part(stream) for stream in streams]


def _ends_with_frame(stream: bytes) -> bool:
    """Whether the last frame of FLAC of unknown length is whole: the checksum of a frame with its checksum is 0."""
    first, is_last = 4, False
    while not is_last and first + 4 <= len(stream):
        is_last, size = bool(stream[first] & 0x80), int.from_bytes(stream[first + 1 : first + 4], "big")
        first += 4 + size
    header, end = stream[first : first + 4], len(stream)
    if len(header) < 4:
        return False
    for _ in range(64):  # other bytes may look like a header
        end = stream.rfind(header[:2], max(first, len(stream) - 2**18), end + 1)  # a frame has less than 100 KB
        if end < 0:
            return False
        found = stream[end : end + 4]
        is_header = len(found) == 4 and not (found[2] ^ header[2]) & 15 and not (found[3] ^ header[3]) & 15
        if is_header and not _crc16(stream[end:]):
            return True
    return False


def _crc16(content: bytes) -> int:
    value = 0
    for byte in content:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value


def _crc16_of(byte: int) -> int:
    value = byte << 8
    for _ in range(8):
        value = (value << 1 ^ (0x8005 if value & 0x8000 else 0)) & 0xFFFF
    return value


_CRC16 = [_crc16_of(byte) for byte in range(256)]


# Ogg (RFC 3533)


class _Page(NamedTuple):
    start: int
    body: int
    end: int
    flags: int  # 2: first of its stream, 4: last
    serial: int
    number: int


def _pages(content: bytes) -> Iterator[_Page]:
    position = 0
    while content.startswith(b"OggS", position):
        table = position + 27
        body = table + (content[table - 1] if table <= len(content) else 0)
        end = body + sum(content[table:body])
        if body == table or end > len(content):
            raise cut_short("its last page is incomplete")
        page = bytearray(content[position:end])
        checksum = struct.unpack_from("<I", page, 22)[0]
        page[22:26] = bytes(4)
        if _ogg_checksum(page) != checksum:
            raise MediaError(f"is damaged at byte {position:,}: the checksum of a page is wrong")
        flags, _, serial, number = struct.unpack_from("<BqII", content, position + 5)
        yield _Page(position, body, end, flags, serial, number)
        position = end


def _ogg_checksum(page: bytes | bytearray) -> int:
    """CRC-32 with the bits of zlib's in the reverse order, and without its inversions."""
    value = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def _ogg(content: bytes) -> list[Part]:
    links: list[list[_Page]] = []  # a link starts when all streams before it have ended
    expected: dict[int, int] = {}  # the next page of each stream that has not ended
    end = 0
    for page in _pages(content):
        if not expected:
            links.append([])
        if expected.get(page.serial, page.number) != page.number:
            raise MediaError(f"is damaged at byte {page.start:,}: pages are missing before it")
        expected[page.serial] = page.number + 1
        if page.flags & 4:
            del expected[page.serial]
        links[-1].append(page)
        end = page.end
    if expected:
        raise cut_short("its last page is missing")
    if content[end : end + 4] in (b"O", b"Og", b"Ogg"):
        raise cut_short("its last page is incomplete")
    return [part for link in links for part in _link(content, link)]


def _link(content: bytes, pages: list[_Page]) -> list[Part]:
    first, last = pages[0], pages[-1]
    if content.startswith(b"\x7fFLAC", first.body):  # behind these 9 bytes the packets are a FLAC file
        packets = b"".join(content[page.body : page.end] for page in pages if page.serial == first.serial)
        return _flac(packets[9:])
    return [Part(content[first.start : last.end])]


_CONTAINERS: dict[bytes, Callable[[bytes], list[Part]]] = {
    b"OggS": _ogg,
    b"fLaC": _flac,
    b"RIFF": _sized(_riff),
    b"RIFX": _sized(_riff),
    b"RF64": _sized(_riff),
    b"FORM": _sized(_riff),
    b"riff": _sized(_wave64),
    b".snd": _sized(_au),
    b"dns.": _sized(_au),
    b"NIST_1A": _sphere,
}
