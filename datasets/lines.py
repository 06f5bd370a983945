"""Lines of text files."""

from pathlib import Path

from datasets import CorpusError
from shared.descriptors import make_regular
from shared.files import MediaError
from shared.plain_text import decode
from shared.text import as_lines


def read_text(path: Path, markup: bool = False) -> str:
    """Return the text of a file, which may be compressed and in any encoding of `shared.plain_text`; LF ends its lines.

    Args:
        path: The file.
        markup: Accept XML, HTML and JSON, for a caller that parses them.

    Raises:
        CorpusError: The file does not exist, cannot be read, is not text, is damaged or is not UTF-8.
    """
    try:
        make_regular(path)  # it is read for each split
        return with_line_feeds(decode(path.read_bytes(), markup))
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist.") from None
    except MediaError as error:
        raise CorpusError(f"{path} {error}.") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); a text file was expected.") from None


def with_line_feeds(text: str) -> str:
    """The text with LF at the end of each line, instead of CRLF or, if there is no other, CR; other CRs are spaces."""
    text = text.replace("\r\n", "\n")
    return text.replace("\r", " " if "\n" in text.strip() else "\n")


def read_lines(path: Path) -> list[str]:
    """Return the stripped lines of a file of plain text; raises CorpusError as `read_text`."""
    return [line.strip() for line in as_lines(read_text(path))]
