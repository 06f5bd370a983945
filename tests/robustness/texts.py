"""Hostile texts: lines, corpora of lines, transcripts, captions, a dictionary and n-best lists.

Only LF and CRLF end a line, so the bytes say how many lines an answer has to have.
"""

import codecs
import gzip
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.robustness.cases import Case, choose, never
from tests.robustness.mutations import mutate
from tests.robustness.sounds import SAMPLE_RATE, signal

WORDS = ("a", "dog", "runs", "über", "das", "Gras", "日本", "🐕", "don't", "...", "x" * 300)
# What Python's `str.splitlines` and `str.strip` take for ends of lines or white space, and what is no text at all.
ODD = (
    "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\0", "\ufeff", "\u00a0", "\u200b",
    "\u202e", "\t", "  ", "|||", "#", "</s>", "<unk>", "___", "\ud800", "e" + "\u0301" * 50,
)  # fmt: skip
PRONOUNCED = {"dog": "D AO1 G", "runs": "R AH1 N Z", "a": "AH0", "cat": "K AE1 T", "sees": "S IY1 Z"}


def line(rng: np.random.Generator, words: tuple[str, ...] = WORDS, odd: float = 0.2) -> str:
    """A line of words, with an odd character for a fraction of them."""
    parts = [choose(rng, ODD) if rng.random() < odd else choose(rng, words) for _ in range(int(rng.integers(1, 9)))]
    return choose(rng, (" ", " ", "")).join(parts).replace("\n", " ")


def encode(rng: np.random.Generator, lines: list[str]) -> bytes:
    """The lines as bytes, of some encoding, with one of the ends of lines, with or without a byte order mark."""
    end, last = choose(rng, ("\n", "\n", "\r\n")), bool(rng.integers(2))
    text = end.join(lines) + end * last
    if rng.random() < 0.1:
        return text.encode(choose(rng, ("utf-16", "latin-1", "utf-32")), "replace")
    return b"\xef\xbb\xbf" * (rng.random() < 0.1) + text.encode("utf-8", "surrogatepass")


def count_lines(content: bytes) -> int:
    """The lines of a file; the last one needs no end."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-32" if content.startswith(codecs.BOM_UTF32_LE) else "utf-16"
        content = content.decode(encoding, "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    return content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


def fewer(what: str, expected: int) -> Callable[[Any], str]:
    """What an answer with a length lacks of `expected` items."""
    return lambda answer: "" if len(answer) >= expected else f"{expected - len(answer)} of {expected} {what}"


def _hostile(rng: np.random.Generator, lines: list[str]) -> tuple[str, bytes]:
    content = encode(rng, lines)
    if content and rng.random() < 0.5:
        mutated = mutate(rng, content)
        return mutated.description, mutated.content
    return f"{len(lines)} lines", content


def draw_lines(rng: np.random.Generator, folder: Path) -> Case:
    """A file of lines, as `--file` names it."""
    from shared.text import read_lines

    description, content = _hostile(rng, [line(rng) for _ in range(int(rng.integers(0, 20)))])
    path = folder / "lines.txt"
    path.write_bytes(content)
    missing = fewer("lines", count_lines(content))
    return Case(description=description, read=lambda: list(read_lines(str(path))), missing=missing)


def draw_corpus(rng: np.random.Generator, folder: Path) -> Case:
    """Text to train a language model on: lines, splits, vocabularies."""
    from shared.text import read_corpus, split_lines
    from shared.vocabulary import SubwordVocabulary, WordVocabulary

    description, content = _hostile(rng, [line(rng) for _ in range(int(rng.integers(0, 60)))])
    path = folder / "corpus.txt"
    path.write_bytes(content)

    def read() -> list[str]:
        lines = read_corpus(path)
        train = split_lines(lines)["train"]
        words, characters = WordVocabulary.build(train), SubwordVocabulary.characters(train)
        for text in train:
            if characters.decode(characters.encode(text)) != characters.normalise(text):
                raise AssertionError(f"{text!r} is not decoded to itself")
            words.decode(words.encode(text))
        return lines

    return Case(description=description, read=read, missing=fewer("lines", count_lines(content)))


def draw_aligned(rng: np.random.Generator, folder: Path) -> Case:
    """Two aligned files, plain or compressed, one of them damaged."""
    from datasets.aligned_files import read_pairs, read_split

    count = int(rng.integers(1, 150))
    description, content = _hostile(rng, [line(rng) for _ in range(count)])
    other = "\n".join(f"satz {index}" for index in range(count_lines(content) + int(rng.random() < 0.1))).encode()
    expected = count_lines(content)
    if rng.random() < 0.3:
        content = gzip.compress(content)
        if rng.random() < 0.5:
            mutated = mutate(rng, content)
            description, content = f"{description}; compressed: {mutated.description}", mutated.content
            expected = expected if mutated.is_cut else 0
    source, target = folder / "a.en", folder / "a.de"
    source.write_bytes(content)
    target.write_bytes(other)

    def read() -> list[tuple[str, str]]:
        pairs = read_pairs((source, target))
        for pair in read_split({"train": (source, target)}, "train"):
            json.dumps(pair).encode()
        return pairs

    return Case(description=description, read=read, missing=fewer("pairs", expected))


def draw_transcripts(rng: np.random.Generator, folder: Path) -> Case:
    """A folder of sounds with a table of transcripts, or a text beside each, and a dictionary."""
    import soundfile

    from datasets.sound_folder import SoundFolder

    words = tuple(PRONOUNCED)
    texts = {f"{index:02}": line(rng, words, odd=0.1) for index in range(12)}
    for name in texts:
        soundfile.write(folder / f"{name}.wav", signal(1, 1600), SAMPLE_RATE)
    table = [f"{name}{choose(rng, ('', '.wav'))}\t{text}" for name, text in texts.items()]
    description, content = _hostile(rng, table)
    (folder / "transcripts.tsv").write_bytes(content)
    dictionary = [f"{word} {phones}" for word, phones in PRONOUNCED.items()]
    if rng.random() < 0.2:
        dictionary.insert(0, f"dog {choose(rng, ('X9', '', 'D AO1 QQ', 'd ao g', '#', '0', 'SIL', 'é'))}")
    _install_dictionary(folder, "\n".join(dictionary).encode())

    rows = [row.partition("\t") for row in content.decode("utf-8", "replace").split("\n")]
    intact = {name: text for name, _, text in rows} if len({name for name, *_ in rows}) == len(rows) else {}

    def missing(utterances: list) -> str:
        if lacking := len(texts) - len(utterances):
            return f"{lacking} of {len(texts)} sounds"
        for (_, path, text, *_), _ in utterances:
            expected = intact.get(path.stem) or intact.get(path.name) or ""
            if len("".join(text.split())) < len("".join(expected.split())):
                return f"the end of the transcript of {path.name}"
        return _unknown(phone for *_, phones in utterances for phone in phones)

    return Case(description=description, read=lambda: list(SoundFolder(folder, "all").utterances), missing=missing)


def draw_dictionary(rng: np.random.Generator, folder: Path) -> Case:
    """A damaged pronouncing dictionary: what it gives must be phones."""
    from datasets.pronunciation import Pronouncer

    entries = [f"{word} {phones}" for word, phones in PRONOUNCED.items()] + [";;; a comment", "dog(2) D AA1 G # two"]
    description, content = _hostile(rng, entries)
    _install_dictionary(folder, content)

    def read() -> list[str]:
        words = Pronouncer()("A dog runs, a cat sees.").words
        return [phone for word in words for phones in word.pronunciations for phone in phones]

    return Case(description=description, read=read, missing=_unknown)


def _install_dictionary(folder: Path, content: bytes) -> None:
    from datasets import cmudict

    path = folder / "data" / "cmudict" / "cmudict.dict"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    os.environ["QUATRAIN_DATA"] = str(folder / "data")
    cmudict.load_dictionary.cache_clear()


def _unknown(phones: Iterable[str]) -> str:
    """The phones that no vocabulary has, which would be left out of the training."""
    from shared.phones import SETS

    return " ".join(sorted({phone for phone in phones if phone not in SETS[61]}))


def draw_captions(rng: np.random.Generator, folder: Path) -> Case:
    """The captions of Flickr8k: a line for each of five captions of an image."""
    from datasets.flickr8k.flickr8k_dataset_builder import find_problem, read_captions

    lines = [f"{image}.jpg#{number}\t{line(rng)}" for image in range(4) for number in range(5)]
    content = encode(rng, lines)
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")

    def read() -> list[str]:
        captions = read_captions(text)
        for of_image in captions.values():
            find_problem(b"", of_image)
        return [caption for of_image in captions.values() for caption in of_image if caption]

    is_text = text.count("\t") >= len(lines)

    def missing(captions: list[str]) -> str:
        received, expected = (
            "".join("".join(of).split()) for of in (captions, [row.split("\t", 1)[1] for row in lines])
        )
        expected = "".join(expected.encode("utf-8", "replace").decode().split())
        return (
            "" if len(received) >= len(expected) else f"{len(expected) - len(received)} of {len(expected)} characters"
        )

    return Case(description=f"{len(lines)} captions", read=read, missing=missing if is_text else never)


def draw_nbest(rng: np.random.Generator, folder: Path) -> Case:
    """An n-best list in the format of Moses, rescored by a model that finds all hypotheses alike."""
    from shared.text import read_lines
    from tasks.language_model.rescoring import rescore

    numbers = ("0.5", "-3", "1e400", "nan", "-inf", "", "x", "٣", "1_0", "0x10")
    lines = [
        f"{index // 2} ||| {line(rng)} ||| F0= 1 ||| {choose(rng, numbers[:2] if rng.random() < 0.9 else numbers)}"
        for index in range(int(rng.integers(1, 12)))
    ]
    description, content = _hostile(rng, lines)
    path = folder / "nbest.txt"
    path.write_bytes(content)

    def scorer(texts: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(log_prob=-1.0) for _ in texts]

    def read() -> list:
        return list(rescore(scorer, read_lines(str(path)), 0.5))

    return Case(description=description, read=read, missing=fewer("hypotheses", count_lines(content)))
