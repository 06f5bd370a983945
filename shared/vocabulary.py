"""Vocabularies: text to ids and back, by whole words or by lossless subwords.

Every vocabulary starts with the same four special tokens:

    0 <pad>   1 <s>   2 </s>   3 <unk>

Text never encodes to start, end or padding: "</s>" is text like any other. `encode` adds no specials; callers add
`start_id` and `end_id`. TensorFlow's string operations can do both encodings inside a SavedModel: splitting at ASCII
white space, or longest match from left to right.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from shared.atomic import write_bytes
from shared.bounds import MAX_VOCABULARY
from shared.errors import FieldError, check_list, shortened, shown
from shared.files import parse_json, read_regular
from shared.letters import LETTERS, MARKS, SPACES, compiled
from shared.metrics import caption_tokens
from shared.runs import Run, RunError

if TYPE_CHECKING:
    import numpy as np

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
REPLACEMENT = "\ufffd"  # replaces lone surrogates and invalid UTF-8
MAX_BYTES = 2**25  # of a vocabulary file: 100 for each of `MAX_VOCABULARY` tokens
# For Python's `re` and TensorFlow's RE2: white space between words, and line breaks, which no line of a corpus has.
SPACE, NEWLINES = r"[ \t\n\r\f\v]+", r"[\r\n]+"


def words_and_signs(text: str) -> str:
    """Text with spaces around all but letters with their marks, digits and underscores."""
    return " ".join(compiled(f"[{LETTERS}][{LETTERS}{MARKS}]*|[^{LETTERS}{SPACES}][{MARKS}]*").findall(text))


# By name, because vocabularies save the name.
NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "lower": str.lower,
    "words": words_and_signs,
    "captions": lambda text: " ".join(caption_tokens(text)),  # lower case, no punctuation, as captions are scored
}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(SPACE)


class Vocabulary(ABC):
    """Base class of `WordVocabulary` and `SubwordVocabulary`: the token table, special ids, files.

    `table` has the token of each id; raises ValueError if it does not start with the reserved tokens, or has an invalid
    or repeated token. `normalisation` is a key of `NORMALISATIONS`.
    """

    kind: ClassVar[str]
    reserved: ClassVar[tuple[str, ...]] = SPECIALS  # the first tokens of every table of this kind
    pad_id: ClassVar[int] = 0
    start_id: ClassVar[int] = 1
    end_id: ClassVar[int] = 2
    unknown_id: ClassVar[int] = 3

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        self.table = tuple(table)
        self.normalisation = normalisation
        if normalisation not in NORMALISATIONS:
            raise ValueError(
                f"Expected a normalisation among {sorted(NORMALISATIONS)}. Received: {shown(normalisation)}"
            )
        for index, token in enumerate(self.table):
            if not isinstance(token, str) or not token or _LONE_SURROGATE.search(token):
                raise ValueError(
                    f"Expected every token to be a non-empty text. Received: {shown(token)} for id {index}"
                )
        if self.table[: len(self.reserved)] != self.reserved:
            raise ValueError(
                f"Expected a {self.kind} table to start with {' '.join(self.reserved[:5])} ... "
                f"({len(self.reserved)} reserved tokens). Received: {shortened(str(list(self.table[:5])))}"
            )
        if len(set(self.table)) != len(self.table):
            token, count = Counter(self.table).most_common(1)[0]
            raise ValueError(f"Expected every token once. Received: {shown(token)} {count} times")

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of any text, without start and end."""

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The tokens of a text, known or not, one per id of `encode`."""

    @abstractmethod
    def begins_word(self, index: int) -> bool:
        """Whether the token begins a word; otherwise it continues the word of the previous token."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first `end_id`, without padding and start; raises ValueError as `tokens` does."""

    def normalise(self, text: str) -> str:
        """The normalised text: equal to `decode(encode(text))` if all words are known."""
        return _LONE_SURROGATE.sub(REPLACEMENT, NORMALISATIONS[self.normalisation](text))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The token of each id, including specials; raises ValueError for an id outside the table."""
        return [self.table[self._checked(index)] for index in ids]

    @abstractmethod
    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        """Yield the text to write for each id as it arrives, a newline for `end_id`.

        If `begun`, the text continues a line, so its first word needs a leading space.
        """

    @property
    def size(self) -> int:
        """The number of ids, including specials; also `len`."""
        return len(self.table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the contents in hexadecimal; equal fingerprints mean equal encodings."""
        canonical = json.dumps(self._contents(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write a JSON file, one token a line."""
        write_bytes(path, (json.dumps(self._contents(), ensure_ascii=False, indent=0) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file written by `save`; `Vocabulary.load` accepts every kind.

        Raises ValueError, naming the file, if it is not a vocabulary of this kind; OSError if it cannot be read.
        """
        try:
            vocabulary = _from_contents(parse_json(read_regular(Path(path), MAX_BYTES)))
        except ValueError as error:  # those of JSON and UTF-8 are ValueErrors too
            raise ValueError(f"{path} is not a vocabulary: {error}") from None
        if not isinstance(vocabulary, cls):
            raise ValueError(f"{path} holds a vocabulary of {vocabulary.kind}. Expected: {cls.kind}")
        return vocabulary

    def _contents(self) -> dict[str, str | list[str]]:
        return {"kind": self.kind, "normalisation": self.normalisation, "tokens": list(self.table)}

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.table):
            raise ValueError(f"Expected ids from 0 to {len(self.table) - 1}. Received: {index}")
        return int(index)

    def _text_ids(self, ids: Iterable[int]) -> Iterable[int]:
        """The ids that `decode` converts to text."""
        for index in ids:
            if index == self.end_id:
                return
            if index not in (self.pad_id, self.start_id):
                yield self._checked(index)


def _by_frequency(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda token: (-counts[token], token))


class WordVocabulary(Vocabulary):
    """Words separated by ASCII white space; a word outside the table becomes `unknown_id`.

    A text of known words decodes to its normalised form, with one space between words. The table never contains the
    word "<unk>" of the Penn Treebank files, so it becomes `unknown_id`.
    """

    kind = "words"

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        super().__init__(table, normalisation)
        for token in self.table:
            if _SPACE.search(token):
                raise ValueError(f"Expected words without white space. Received: {shown(token)}")
        self._ids = {word: index for index, word in enumerate(self.table) if word not in SPECIALS}

    @classmethod
    def build(
        cls, texts: Iterable[str], *, min_count: int = 1, max_size: int | None = None, normalisation: str = "none"
    ) -> Self:
        """Build from words with a count of at least `min_count`, most frequent first; `max_size` includes specials."""
        check_list(texts, "texts")
        empty = cls(SPECIALS, normalisation)
        counts = Counter(word for text in texts for word in empty.words(text))
        words = [word for word in _by_frequency(counts) if counts[word] >= min_count and word not in SPECIALS]
        return cls([*SPECIALS, *words][:max_size], normalisation)

    def normalise(self, text: str) -> str:
        return " ".join(self.words(text))

    def words(self, text: str) -> list[str]:
        """The words of a text after normalisation, known or not."""
        return [word for word in _SPACE.split(super().normalise(text)) if word]

    def encode(self, text: str) -> list[int]:
        return [self._ids.get(word, self.unknown_id) for word in self.words(text)]

    def pieces(self, text: str) -> list[str]:
        return self.words(text)

    def begins_word(self, index: int) -> bool:
        return True

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.table[index] for index in self._text_ids(ids))

    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        for index in ids:
            ends = index == self.end_id
            yield "\n" if ends else " " * begun + self.table[index]
            begun = not ends


class SubwordVocabulary(Vocabulary):
    """Pieces of words, longest match from left to right; characters without a piece become UTF-8 bytes.

    Lossless: `decode(encode(text)) == normalise(text)` for every text. A space belongs to the word after it. `encode`
    prepends a space, so that the first word is encoded as elsewhere, and `decode` removes it. The table has the
    specials, the 256 bytes "<0x00>" to "<0xFF>", and the pieces. `token_bytes` has the UTF-8 of each id, empty for
    specials except `unknown_id`; `decode` joins them.
    """

    kind = "subwords"
    reserved = (*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)))
    first_byte_id: ClassVar[int] = len(SPECIALS)

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        super().__init__(table, normalisation)
        pieces = self.table[len(self.reserved) :]
        specials = b"", b"", b"", REPLACEMENT.encode()
        single_bytes = (bytes([byte]) for byte in range(256))
        self.token_bytes = (*specials, *single_bytes, *(piece.encode() for piece in pieces))
        self._ids = {piece: index for index, piece in enumerate(pieces, start=len(self.reserved))}
        lengths: dict[str, set[int]] = {}
        for piece in pieces:
            lengths.setdefault(piece[0], set()).add(len(piece))
        # The piece lengths by first character, longest first: one lookup each, so `encode` takes linear time.
        self._lengths = {character: sorted(values, reverse=True) for character, values in lengths.items()}

    @classmethod
    def train(cls, texts: Sequence[str], size: int, *, normalisation: str = "none") -> Self:
        """Learn pieces by byte-pair encoding (Sennrich et al. 2016, section 3.2); at most `size` ids.

        A piece lies inside a word, a number or a sequence of punctuation marks. Equal texts give equal tables. Raises
        ValueError if `size` leaves no room for pieces.
        """
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        check_list(texts, "texts")
        max_pieces = size - len(cls.reserved)
        if max_pieces < 1:
            raise ValueError(f"Expected a size over {len(cls.reserved)}, the reserved tokens. Received: {size}")
        empty = cls(cls.reserved, normalisation)
        texts = [" " + empty.normalise(text) for text in texts]
        # At most half of the pieces are single characters; rarer characters are removed from the training texts.
        counts = Counter(character for text in texts for character in text)
        alphabet = _by_frequency(counts)[: max(1, max_pieces // 2)]
        if len(alphabet) < len(counts):
            rare = re.compile(f"[^{re.escape(''.join(alphabet))}]")
            texts = [part for text in texts for part in rare.split(text)]

        tokenizer = Tokenizer(models.BPE())
        words = Regex(" ?[\\w\u200c\u200d]+| ?[^\\w\\s\u200c\u200d]+|\\s")  # its \\w has marks
        tokenizer.pre_tokenizer = pre_tokenizers.Split(words, behavior="isolated")
        trainer = trainers.BpeTrainer(vocab_size=max_pieces, min_frequency=2, max_token_length=16, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        pieces = tokenizer.get_vocab()
        return cls([*cls.reserved, *sorted(pieces, key=pieces.__getitem__)], normalisation)

    @classmethod
    def check_size(cls, size: int) -> None:
        """Raises FieldError for a `vocabulary_size` that leaves no room for pieces."""
        if size <= len(cls.reserved):
            raise FieldError("vocabulary_size", size, f"above {len(cls.reserved)} was expected")

    @classmethod
    def characters(
        cls, texts: Iterable[str], *, min_count: int = 1, max_size: int | None = None, normalisation: str = "none"
    ) -> Self:
        """Build from single characters, most frequent first; rarer characters become bytes.

        Arguments as in `WordVocabulary.build`. The space that `encode` prepends is counted.
        """
        check_list(texts, "texts")
        empty = cls(cls.reserved, normalisation)
        counts = Counter(character for text in texts for character in " " + empty.normalise(text))
        pieces = [character for character in _by_frequency(counts) if counts[character] >= min_count]
        return cls([*cls.reserved, *pieces][:max_size], normalisation)

    def encode(self, text: str, dropout: float = 0.0, rng: np.random.Generator | None = None) -> list[int]:
        """The ids of any text, without start and end.

        With `dropout` and `rng`, each piece of more than one character is passed over with that probability, so that
        the same text has many segmentations: BPE-dropout (Provilkov et al. 2020) for longest matches (Hiraoka 2022).
        """
        text = " " + self.normalise(text)
        known, lengths, none = self._ids, self._lengths, ()
        draw = rng.random if rng is not None and dropout else None
        ids, start = [], 0
        while start < len(text):
            for length in lengths.get(text[start], none):
                index = known.get(text[start : start + length])
                # A slice that the end of the text shortens is found at its own length.
                if (
                    index is not None
                    and start + length <= len(text)
                    and (draw is None or length == 1 or draw() >= dropout)
                ):
                    ids.append(index)
                    start += length
                    break
            else:
                ids.extend(self.first_byte_id + byte for byte in text[start].encode())
                start += 1
        return ids

    def pieces(self, text: str) -> list[str]:
        return self.tokens(self.encode(text))

    def begins_word(self, index: int) -> bool:
        return self.token_bytes[index].startswith(b" ")

    def decode(self, ids: Iterable[int]) -> str:
        content = b"".join(self.token_bytes[index] for index in self._text_ids(ids))
        return content.decode(errors="replace").removeprefix(" ")

    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may have several ids
        for index in ids:
            ends = index == self.end_id
            text = decoder.decode(self.token_bytes[index], final=ends)
            if text and not begun:
                text, begun = text.removeprefix(" "), True
            yield text + "\n" * ends
            begun = begun and not ends
        yield decoder.decode(b"", final=True)


Kind = TypeVar("Kind", bound=Vocabulary)


def load_vocabulary(run: Run, kind: type[Kind], name: str = "vocabulary") -> Kind:
    """Load a vocabulary of a run; raises RunError if its file is missing, damaged or of another kind."""
    path = run.path / f"{name}.json"
    try:
        return kind.load(path)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # it names the file
        raise RunError(str(error)) from None


def _from_contents(contents: object) -> Vocabulary:
    if not isinstance(contents, dict) or contents.keys() != {"kind", "normalisation", "tokens"}:
        received = shortened(str(sorted(contents))) if isinstance(contents, dict) else type(contents).__name__
        raise ValueError(f"Expected an object with kind, normalisation and tokens. Received: {received}")
    kinds = {kind.kind: kind for kind in (WordVocabulary, SubwordVocabulary)}
    if not isinstance(contents["kind"], str) or contents["kind"] not in kinds:
        raise ValueError(f"Expected a kind among {sorted(kinds)}. Received: {shown(contents['kind'])}")
    if not isinstance(contents["normalisation"], str):
        raise ValueError(f"Expected the name of a normalisation. Received: {shown(contents['normalisation'])}")
    if not isinstance(contents["tokens"], list):
        raise ValueError(f"Expected tokens to be a list. Received: {type(contents['tokens']).__name__}")
    if len(contents["tokens"]) > MAX_VOCABULARY:
        raise ValueError(f"Expected at most {MAX_VOCABULARY:,} tokens. Received: {len(contents['tokens']):,}")
    return kinds[contents["kind"]](contents["tokens"], contents["normalisation"])
