"""TFDS builder of ordinary English: paragraphs of `wikitext2` written as text, and English sentences of `tatoeba`."""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import groupby, pairwise

import tensorflow_datasets as tfds

import datasets
from datasets.aligned_files import folded
from datasets.builders import LineBuilder
from shared.spelling import Speller

UNKNOWN = "<unk>"
ENDS = {".", "!", "?"}
QUOTE = '"'
LANGUAGES = ("deu", "fra")  # variants of Tatoeba; both have English sentences that the other lacks
FREQUENT = re.compile(r"\b(Tom|Mary)\b")  # they are in a quarter of all sentences of Tatoeba
KEPT = 8  # of the sentences with these names one in this number is kept
TYPESET = 4  # of the lines one in this number has the quotation marks of typesetting


def sentences(tokens: Iterable[str]) -> Iterator[list[str]]:
    """Yield the sentences of a paragraph of WikiText; none ends inside of quotation marks or of brackets.

    >>> [" ".join(one) for one in sentences('" I see . Go on . " He left ( at 5 p.m. . ) . Why ?'.split())]
    ['" I see . Go on . "', 'He left ( at 5 p.m. . ) .', 'Why ?']
    """
    tokens = list(tokens)
    first = brackets = 0
    is_quoted = False
    for index, (token, following) in enumerate(zip(tokens, [*tokens[1:], ""], strict=True)):
        is_quoted ^= token == QUOTE
        brackets += (token == "(") - (token == ")")
        is_end = token in ENDS or (token == QUOTE and tokens[index - 1] in ENDS)
        if is_end and not is_quoted and brackets <= 0 and not following[:1].islower() and following not in ENDS:
            yield tokens[first : index + 1]
            first, brackets = index + 1, 0
    if first < len(tokens):
        yield tokens[first:]


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs of WikiText as ordinary text, without headings.

    A sentence with a rare word, which is `<unk>`, or with a quotation mark that has no other, is left out; what is
    before it and after it are paragraphs of their own.
    """
    for line in lines:
        tokens = line.split()
        if not tokens or tokens[0] == "=":
            continue
        for is_whole, group in groupby(sentences(tokens), key=_is_whole):
            if is_whole:
                yield written(token for sentence in group for token in sentence)


def _is_whole(sentence: list[str]) -> bool:
    joined = " ".join(sentence)
    return UNKNOWN not in joined and joined.count(QUOTE) % 2 == 0 and joined.count("(") == joined.count(")")


def written(tokens: Iterable[str]) -> str:
    """Tokens of WikiText as ordinary text; the full stop of an abbreviation also ends a sentence."""
    speller, text = Speller(), ""
    for before, token in pairwise(["", *tokens]):
        if not (token == "." and len(before) > 1 and before.endswith(".")):
            text += speller.write(token)
    return (text + speller.end()).strip()


def everyday(splits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The sentences of each split, in an order that does not depend on their length.

    A sentence, in any case and punctuation, is in one split only: the last of those that have it.
    """
    chosen: dict[str, tuple[str, str]] = {}
    for split, texts in splits.items():
        for text in texts:
            chosen[folded(text)] = split, text
    hashed = sorted((sha256(key.encode()).hexdigest(), *found) for key, found in chosen.items())
    result: dict[str, list[str]] = {split: [] for split in splits}
    for digest, split, text in hashed:
        if not FREQUENT.search(text) or int(digest, 16) % KEPT == 0:
            result[split].append(text)
    return result


def typeset(text: str) -> str:
    """A text with the quotation marks, apostrophes and ellipses of typesetting.

    >>> typeset('"It isn\\'t," he said ...') == "\u201cIt isn\u2019t,\u201d he said \u2026"
    True
    """
    text = re.sub(r'(^|[\s(\[\u2013\u2014-])"', "\\1\u201c", text).replace('"', "\u201d")
    text = re.sub(r"(^|[\s(\[\u201c])'(?=\w+[ ,\w]*')", "\\1\u2018", text).replace("'", "\u2019")
    return text.replace("...", "\u2026")


def mixed(lines: Iterable[str]) -> list[str]:
    """The lines, some of them as `typeset` writes them."""
    return [typeset(line) if int(sha256(line.encode()).hexdigest(), 16) % TYPESET == 0 else line for line in lines]


class Builder(LineBuilder):
    """Paragraphs of Wikipedia, then everyday sentences; a line is ordinary text."""

    def lines(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        del dl_manager  # what other corpora have
        splits = ("train", "dev", "test")
        known = {
            split: [record["eng"] for language in LANGUAGES for record in datasets.load(f"tatoeba/{language}", split)]
            for split in splits
        }
        found = everyday(known)
        return {
            split: mixed([*paragraphs(record["text"] for record in datasets.load("wikitext2", split)), *found[split]])
            for split in splits
        }
