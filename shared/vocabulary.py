"""Text to ids and back, special ids included: whole words, or subwords that spell any Unicode text without loss.

Every vocabulary starts with the same four specials, so that models and searches need not ask:

    0 <pad>   1 <s>   2 </s>   3 <unk>

They stand for positions, never for text: a text that spells "</s>" is encoded like any other text. `encode` adds no
specials, the caller frames sequences with `start_id` and `end_id`. Both kinds encode in ways that stock TensorFlow
string ops can repeat inside a SavedModel: split at ASCII white space, or longest match from left to right.
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
from typing import ClassVar, Self, TypeVar

from shared.metrics import caption_tokens
from shared.runs import Run, RunError, write_bytes

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
REPLACEMENT = "\ufffd"  # stands for what is not text: lone surrogates, broken UTF-8

# By name, because the name is saved with the vocabulary.
NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "lower": str.lower,
    # Every sign that is neither letter, digit nor white space stands by itself.
    "words": lambda text: " ".join(re.findall(r"\w+|[^\w\s]", text)),
    "captions": lambda text: " ".join(caption_tokens(text)),  # lower case, no punctuation, as captions are scored
}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ASCII_SPACE = re.compile(r"[ \t\n\r\f\v]+")


class Vocabulary(ABC):
    """What both kinds share: the table of tokens, special ids, files. See `WordVocabulary` and `SubwordVocabulary`.

    Attributes:
        table: the token of each id, specials first.
        normalisation: a name in `NORMALISATIONS`.
    """

    kind: ClassVar[str]
    reserved: ClassVar[tuple[str, ...]] = SPECIALS  # the tokens every table of this kind starts with
    pad_id: ClassVar[int] = 0
    start_id: ClassVar[int] = 1
    end_id: ClassVar[int] = 2
    unknown_id: ClassVar[int] = 3

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        """Raises ValueError when the table does not start with the reserved tokens, or repeats or lacks a token."""
        self.table = tuple(table)
        self.normalisation = normalisation
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"Expected a normalisation among {sorted(NORMALISATIONS)}. Received: {normalisation!r}")
        for place, token in enumerate(self.table):
            if not isinstance(token, str) or not token or _LONE_SURROGATE.search(token):
                raise ValueError(f"Expected every token to be a non-empty text. Received: {token!r} for id {place}")
        if self.table[: len(self.reserved)] != self.reserved:
            raise ValueError(
                f"Expected a {self.kind} table to start with {' '.join(self.reserved[:5])} ... "
                f"({len(self.reserved)} reserved tokens). Received: {list(self.table[:5])}"
            )
        if len(set(self.table)) != len(self.table):
            token, count = Counter(self.table).most_common(1)[0]
            raise ValueError(f"Expected every token once. Received: {token!r} {count} times")

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start or end. Any text is accepted."""

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The tokens that a text is split into, known or not: one for each id of `encode`."""

    @abstractmethod
    def begins_word(self, index: int) -> bool:
        """Whether a token begins a word, as white space tells words apart; else it goes on with the one before it."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids up to the first `end_id`; padding and start are skipped."""

    def normalise(self, text: str) -> str:
        """The form of a text that this vocabulary speaks of: `decode(encode(text))` when nothing is lost."""
        return _LONE_SURROGATE.sub(REPLACEMENT, NORMALISATIONS[self.normalisation](text))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The token of each id, specials included, for people to read."""
        return [self.table[self._checked(index)] for index in ids]

    @abstractmethod
    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        """What to write for each id as it comes, a line's end for `end_id`.

        Args:
            begun: whether the line has begun already, so that a first word needs a space before it.
        """

    @property
    def size(self) -> int:
        """Number of ids, specials included: the width of an embedding or of a softmax."""
        return len(self.table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the contents, in hexadecimal; two vocabularies with the same one encode alike."""
        canonical = json.dumps(self._contents(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write a JSON file, one token a line."""
        text = json.dumps(self._contents(), ensure_ascii=False, indent=0) + "\n"
        write_bytes(path, text.encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; on `Vocabulary` itself, of either kind.

        Raises ValueError, naming the file, for anything else than a whole vocabulary of the kind asked for.
        """
        try:
            contents = json.loads(Path(path).read_text(encoding="utf-8"))
            vocabulary = _from_contents(contents)
        except (ValueError, RecursionError) as error:  # json and UTF-8 errors are ValueErrors
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

    def _spoken(self, ids: Iterable[int]) -> Iterable[int]:
        """The ids that `decode` turns into text."""
        for index in ids:
            if index == self.end_id:
                return
            if index not in (self.pad_id, self.start_id):
                yield self._checked(index)


class WordVocabulary(Vocabulary):
    """Words between ASCII white space; a word outside the table becomes `unknown_id`.

    A text of known words comes back as `normalise` gives it, with one space between words. A literal "<unk>" in a text,
    as in the Penn Treebank files, is a word like any other that is not in the table, and so becomes `unknown_id`.
    """

    kind = "words"

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        super().__init__(table, normalisation)
        for token in self.table:
            if _ASCII_SPACE.search(token):
                raise ValueError(f"Expected words without white space. Received: {token!r}")
        first = len(SPECIALS)
        self._ids = {word: index for index, word in enumerate(self.table[first:], start=first)}

    @classmethod
    def build(
        cls, texts: Iterable[str], *, min_count: int = 1, max_size: int | None = None, normalisation: str = "none"
    ) -> Self:
        """The words seen at least `min_count` times, most frequent first, at most `max_size` ids with the specials."""
        speller = cls(SPECIALS, normalisation)
        counts = Counter(word for text in texts for word in speller.words(text))
        words = [word for word, count in counts.items() if count >= min_count and word not in SPECIALS]
        words.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIALS, *words][:max_size], normalisation)

    def normalise(self, text: str) -> str:
        return " ".join(self.words(text))

    def words(self, text: str) -> list[str]:
        """The words of a text after normalisation, known or not."""
        return [word for word in _ASCII_SPACE.split(super().normalise(text)) if word]

    def encode(self, text: str) -> list[int]:
        return [self._ids.get(word, self.unknown_id) for word in self.words(text)]

    def pieces(self, text: str) -> list[str]:
        return self.words(text)

    def begins_word(self, index: int) -> bool:
        del index
        return True

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.table[index] for index in self._spoken(ids))

    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        for index in ids:
            ends = index == self.end_id
            yield "\n" if ends else " " * begun + self.table[index]
            begun = not ends


class SubwordVocabulary(Vocabulary):
    """Pieces of words, matched longest first from left to right; characters without a piece are spelt in UTF-8 bytes.

    Nothing is lost: `decode(encode(text)) == normalise(text)` for every text. A space belongs to the word after it, and
    a text is encoded with one space in front, so that its first word is spelt like the same word elsewhere; `decode`
    takes that space away. The table: specials, the 256 bytes "<0x00>" to "<0xFF>", pieces.

    Attributes:
        token_bytes: the UTF-8 that each id stands for, empty for specials but `unknown_id`; joining those of a
            sequence, reading it as UTF-8 and dropping one leading space is what `decode` does.
    """

    kind = "subwords"
    reserved = (*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)))
    first_byte_id: ClassVar[int] = len(SPECIALS)

    def __init__(self, table: Sequence[str], normalisation: str = "none") -> None:
        super().__init__(table, normalisation)
        first = len(self.reserved)
        pieces = self.table[first:]
        self.token_bytes = (
            *(b"", b"", b"", REPLACEMENT.encode()),
            *(bytes([byte]) for byte in range(256)),
            *(piece.encode() for piece in pieces),
        )
        self._ids = {piece: index for index, piece in enumerate(pieces, start=first)}
        lengths: dict[str, set[int]] = {}
        for piece in pieces:
            lengths.setdefault(piece[0], set()).add(len(piece))
        # Which lengths to try at a character, longest first: a look-up each, so time stays in proportion to the text.
        self._lengths = {character: sorted(found, reverse=True) for character, found in lengths.items()}

    @classmethod
    def train(cls, texts: Sequence[str], size: int, *, normalisation: str = "none") -> Self:
        """Pieces by byte-pair encoding (Sennrich et al. 2016, section 3.2); at most `size` ids, fewer on small corpora.

        Pieces stay inside a word, a number or a run of punctuation. The same texts give the same table.
        """
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        room = size - len(cls.reserved)
        if room < 1:
            raise ValueError(f"Expected a size over {len(cls.reserved)}, the reserved tokens. Received: {size}")
        speller = cls(cls.reserved, normalisation)
        texts = [" " + speller.normalise(text) for text in texts]
        # Characters get half of the room at most. The rest, rare ones, is cut out of the training texts.
        counts = Counter(character for text in texts for character in text)
        alphabet = sorted(counts, key=lambda character: (-counts[character], character))[: max(1, room // 2)]
        if len(alphabet) < len(counts):
            rare = re.compile(f"[^{re.escape(''.join(alphabet))}]")
            texts = [part for text in texts for part in rare.split(text)]

        tokenizer = Tokenizer(models.BPE())
        words = Regex(r" ?\w+| ?[^\w\s]+|\s")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(words, behavior="isolated")
        trainer = trainers.BpeTrainer(vocab_size=room, min_frequency=2, max_token_length=16, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        pieces = tokenizer.get_vocab()
        return cls([*cls.reserved, *sorted(pieces, key=pieces.__getitem__)], normalisation)

    @classmethod
    def characters(
        cls, texts: Iterable[str], *, min_count: int = 1, max_size: int | None = None, normalisation: str = "none"
    ) -> Self:
        """Each character by itself, most frequent first; what is rarer than that is spelt in bytes.

        Arguments as in `WordVocabulary.build`. The space that `encode` puts in front of each text is counted too.
        """
        speller = cls(cls.reserved, normalisation)
        counts = Counter(character for text in texts for character in " " + speller.normalise(text))
        pieces = [character for character, count in counts.items() if count >= min_count]
        pieces.sort(key=lambda character: (-counts[character], character))
        return cls([*cls.reserved, *pieces][:max_size], normalisation)

    def encode(self, text: str) -> list[int]:
        text = " " + self.normalise(text)
        known, lengths, none = self._ids, self._lengths, ()
        ids: list[int] = []
        place = 0
        while place < len(text):
            for length in lengths.get(text[place], none):
                index = known.get(text[place : place + length])
                # A slice cut short by the end of the text may still be a piece: its own length finds it later.
                if index is not None and place + length <= len(text):
                    ids.append(index)
                    place += length
                    break
            else:
                ids.extend(self.first_byte_id + byte for byte in text[place].encode())
                place += 1
        return ids

    def pieces(self, text: str) -> list[str]:
        return self.tokens(self.encode(text))

    def begins_word(self, index: int) -> bool:
        return self.token_bytes[index].startswith(b" ")

    def decode(self, ids: Iterable[int]) -> str:
        spelt = b"".join(self.token_bytes[index] for index in self._spoken(ids))
        return spelt.decode(errors="replace").removeprefix(" ")

    def spell(self, ids: Iterable[int], begun: bool = False) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may take several ids
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
    """A vocabulary of a run; RunError when its file is missing, damaged or of another kind."""
    path = run.path / f"{name}.json"
    try:
        return kind.load(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: {error}") from None


def _from_contents(contents: object) -> Vocabulary:
    if not isinstance(contents, dict) or contents.keys() != {"kind", "normalisation", "tokens"}:
        got = sorted(contents) if isinstance(contents, dict) else type(contents).__name__
        raise ValueError(f"Expected an object with kind, normalisation and tokens. Received: {got}")
    kinds = {kind.kind: kind for kind in (WordVocabulary, SubwordVocabulary)}
    if not isinstance(contents["kind"], str) or contents["kind"] not in kinds:
        raise ValueError(f"Expected a kind among {sorted(kinds)}. Received: {contents['kind']!r}")
    if not isinstance(contents["normalisation"], str):
        raise ValueError(f"Expected the name of a normalisation. Received: {contents['normalisation']!r}")
    if not isinstance(contents["tokens"], list):
        raise ValueError(f"Expected tokens to be a list. Received: {type(contents['tokens']).__name__}")
    return kinds[contents["kind"]](contents["tokens"], contents["normalisation"])
