"""Lines of text files."""

import gzip
import zlib
from pathlib import Path

from datasets import CorpusError
from shared.descriptors import make_regular
from shared.text import as_lines

GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path: Path) -> list[str]:
    """Return the stripped lines of a UTF-8 file, plain or compressed by gzip; raises CorpusError if it is not one."""
    try:
        make_regular(path)  # it is read for each split
        content = path.read_bytes()
        text = (gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist.") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8: {error}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); a text file was expected.") from None
    return [line.strip() for line in as_lines(text)]
