"""Decodes what libsndfile does not, such as m4a, WebM and AMR, by the program `ffmpeg` where it is installed.

The demuxer is chosen here, from the content: left to itself, ffmpeg takes a playlist for a sound, and opens the files
and addresses in it.
"""

import shlex
import shutil
import struct
import subprocess
from pathlib import Path

from shared import containers
from shared.files import MediaError
from shared.mpeg import after_tags

_MAGIC = {  # offset and bytes: demuxer and name
    (4, b"ftyp"): ("mov", "an MPEG-4 file"),
    (4, b"moov"): ("mov", "a QuickTime file"),
    (4, b"mdat"): ("mov", "a QuickTime file"),
    (4, b"wide"): ("mov", "a QuickTime file"),
    (0, b"\x1a\x45\xdf\xa3"): ("matroska", "a Matroska or WebM file"),
    (0, b"#!AMR"): ("amr", "an AMR file"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"): ("asf", "a Windows Media file"),
    (0, b"caff"): ("caf", "a Core Audio file"),
    (28, b"Speex   "): ("ogg", "an Ogg Speex file"),
}
SUFFIXES = {".m4a", ".aac", ".webm", ".mka", ".amr", ".wma", ".caf", ".spx"}  # of sounds, not of films
_MAX_SECONDS = 600  # for one file
_AMR_SIZES = (13, 14, 16, 18, 20, 21, 27, 32, 6)  # bytes of a frame, by its type
_AMR_WIDE_SIZES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6)


def demuxer(content: bytes) -> tuple[str, str] | None:
    """ffmpeg's demuxer for a content, and the name of the format; None if it is for libsndfile."""
    for (offset, magic), found in _MAGIC.items():
        if content.startswith(magic, offset):
            return found
    start = after_tags(content, 0) if content.startswith(b"ID3") else 0
    is_adts = len(content) > start + 7 and content[start] == 0xFF and content[start + 1] & 0xF6 == 0xF0
    return ("aac", "an AAC file") if is_adts else None


def decode(content: bytes, kind: tuple[str, str], name: str, folder: Path, max_bytes: int, max_seconds: int) -> Path:
    """Decode into a WAVE64 file of 16 bits in `folder`, at most `max_bytes` and a little over `max_seconds` long.

    `name` is that of the file in messages.

    Raises:
        MediaError: ffmpeg is not installed, or the file is damaged, cut short, without sound or too large.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        command = f"ffmpeg -i {shlex.quote(name)} -ar 16000 -ac 1 out.wav"
        raise MediaError(f"is {kind[1]}, which needs ffmpeg; install it, or convert the file elsewhere: {command}")
    if (expected := expected_bytes(content, kind[0])) > len(content):
        raise containers.cut_short(f"{len(content):,} of {expected:,} bytes")
    source, result = folder / "source", folder / "sound.w64"
    command = [program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file", "-f", kind[0]]
    command += ["-i", f"file:{source}", "-map", "0:a:0", "-t", str(max_seconds + 1), "-fs", str(max_bytes)]
    command += ["-c:a", "pcm_s16le", "-f", "w64", f"file:{result}"]
    try:
        source.write_bytes(content)
        with open(folder / "errors", "w+b") as errors:
            code = subprocess.run(command, stdout=errors, stderr=errors, timeout=_MAX_SECONDS, check=False).returncode
            errors.seek(0)
            lines = errors.read(4096).decode("utf-8", "replace").replace(str(source), "").splitlines()
    except subprocess.TimeoutExpired:
        raise MediaError(f"was not decoded by ffmpeg within {_MAX_SECONDS} s; convert it to WAV first") from None
    except OSError as error:  # such as a full disk
        raise MediaError(f"is {kind[1]}, which ffmpeg could not decode ({error}); convert it to WAV first") from None
    if any("matches no streams" in line for line in lines):
        raise MediaError(f"is {kind[1]} without sound; a sound file was expected")
    if code or lines or not result.exists():
        reason = " ".join((lines[0] if lines else f"exit code {code}").split())
        raise MediaError(f"is {kind[1]} that is damaged or cut short (ffmpeg: {reason}); a complete file was expected")
    if result.stat().st_size >= max_bytes - 2**20:
        raise MediaError("is too long; cut it into parts first")
    source.unlink()
    return result


def expected_bytes(content: bytes, demuxer: str) -> int:
    """The size of a file by those of its parts, 0 if it is unknown; ffmpeg may skip an incomplete part silently."""
    return _ENDS[demuxer](content) if demuxer in _ENDS else 0


def _end_of_aac(content: bytes) -> int:
    position = after_tags(content, 0) if content.startswith(b"ID3") else 0
    while content[position : position + 1] == b"\xff":
        size = int.from_bytes(content[position + 3 : position + 6].ljust(3, b"\xff"), "big") >> 5 & 0x1FFF
        position += max(size, 7)
    return position


def _end_of_amr(content: bytes) -> int:
    is_wide = content.startswith(b"#!AMR-WB\n")
    sizes, position = (_AMR_WIDE_SIZES, 9) if is_wide else (_AMR_SIZES, 6)
    while position < len(content):
        kind = content[position] >> 3 & 15
        position += sizes[kind] if kind < len(sizes) else 1
    return position


def _end_of_boxes(content: bytes) -> int:
    """Of MPEG-4: the size of a box counts its header; 0 stands for the rest of the file."""
    position = 0
    while position < len(content):
        size, _, long = struct.unpack(">IIQ", content[position : position + 16].ljust(16, b"\xff"))
        position += max(size if size != 1 else long, 8) if size else len(content) - position
    return position


def _end_of_chunks(content: bytes) -> int:
    """Of Core Audio: a size of -1 stands for the rest of the file."""
    position = 8
    while position < len(content):
        (size,) = struct.unpack(">q", content[position + 4 : position + 12].ljust(8, b"\x7f"))
        position += 12 + size if size >= 0 else len(content) - position
    return position


def _end_of_windows_media(content: bytes) -> int:
    """The size of the file, in the object of file properties; 0 in a broadcast."""
    start = content.find(bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365"), 0, 2**16)
    if start < 0 or start + 92 > len(content):
        return 0
    size, flags = struct.unpack_from("<Q40xI", content, start + 40)
    return 0 if flags & 1 else size


def _end_of_ogg(content: bytes) -> int:
    containers.parts(content)
    return 0


_ENDS = {  # by demuxer
    "aac": _end_of_aac,
    "amr": _end_of_amr,
    "asf": _end_of_windows_media,
    "caf": _end_of_chunks,
    "mov": _end_of_boxes,
    "ogg": _end_of_ogg,
}
