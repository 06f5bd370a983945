"""What the translator keeps of numbers, addresses and names that are put into the sentences of a test split.

    python -m tests.benchmarks.kept [RUN ...]

For each kind: sentences, the percentage that have the span in their translation, and BLEU, as is and kept. Then BLEU
of the split itself, of it in lower case, and of it in capitals, both compared in lower case.
"""

import random
import re
import sys
from collections.abc import Iterator

from tasks.translator.config import Config, find_run
from tasks.translator.data import Split, load_split
from tasks.translator.inference import Translator
from tasks.translator.scoring import Bleu

NUMBERS = {
    "de": ("zwei", "drei", "vier", "fünf"), "en": ("two", "three", "four", "five"),
    "fr": ("deux", "trois", "quatre", "cinq"),
}  # fmt: skip
MEN = {"de": "Ein Mann ", "en": "A man ", "fr": "Un homme "}
ADDRESSES = (
    "https://www.example.com/a?b=1", "info@example.org", "www.uni-bonn.de", "@alice_b", "#sunset2024", "http://t.co/Xy7Z",
)  # fmt: skip
NAMES = (
    "Kofi Annan", "Angela Merkel", "Marek Hamšík", "Xi Jinping", "Giulia Rossi", "Priya Raghavan", "Olufemi Adeyemi",
    "Maeve O'Connor",
)  # fmt: skip
Case = tuple[str, str, str]  # sentence, reference, span


def with_numbers(split: Split, source: str, target: str, rng: random.Random) -> Iterator[Case]:
    """A number word that each side has once becomes a number in digits."""
    for sentence, reference in zip(split.sources, split.targets, strict=True):
        for words in zip(NUMBERS[source], NUMBERS[target], strict=True):
            patterns = [re.compile(rf"\b{word}\b", re.IGNORECASE) for word in words]
            if len(patterns[0].findall(sentence)) == len(patterns[1].findall(reference)) == 1:
                number = rng.choice([f"{rng.randint(11, 99)}", f"{rng.randint(100, 9999)}", f"{rng.randint(1, 99)},50"])
                yield patterns[0].sub(number, sentence), patterns[1].sub(number, reference), number
                break


def with_addresses(split: Split, source: str, target: str, rng: random.Random) -> Iterator[Case]:
    """An address in brackets at the end."""
    for texts in list(zip(split.sources, split.targets, strict=True))[:200]:
        address = rng.choice(ADDRESSES)
        sentence, reference = (f"{text.rstrip(' .')} ({address})." for text in texts)
        yield sentence, reference, address


def with_names(split: Split, source: str, target: str, rng: random.Random) -> Iterator[Case]:
    """A name in the stead of "a man"."""
    for sentence, reference in zip(split.sources, split.targets, strict=True):
        if sentence.startswith(MEN[source]) and reference.startswith(MEN[target]):
            name = rng.choice(NAMES)
            yield f"{name} {sentence[len(MEN[source]) :]}", f"{name} {reference[len(MEN[target]) :]}", name


def translated(translate: Translator, sentences: list[str]) -> list[str]:
    return [best[0].text for best in translate(translate.accepted(sentences))]


def measure(name: str) -> None:
    """Prints the table of a run."""
    run = find_run(name)
    config = run.read_config(Config)
    split = load_split(config, "test")
    keeping = Translator.load(name)
    as_is = Translator(*keeping.loaded, as_is=True)
    print(f"{name}\n{'':16}{'sentences':>10}{'as is':>16}{'kept':>16}")
    for kind in (with_numbers, with_addresses, with_names):
        sentences, references, spans = zip(*kind(split, config.source, config.target, random.Random(1)), strict=True)
        cells = []
        for translate in (as_is, keeping):
            outputs = translated(translate, list(sentences))
            share = sum(span in output for span, output in zip(spans, outputs, strict=True)) / len(outputs)
            cells.append(f"{share:8.0%}{Bleu(config.target, references).score(outputs):8.1f}")
        print(f"{kind.__name__:16}{len(sentences):10}{''.join(cells)}", flush=True)
    for label, change, lowercase in (
        ("split", str, False),
        ("lower case", str.lower, True),
        ("capitals", str.upper, True),
    ):
        bleu = Bleu(config.target, split.targets, lowercase=lowercase)
        sentences = [change(sentence) for sentence in split.sources]
        cells = [f"{bleu.score(translated(translate, sentences)):16.2f}" for translate in (as_is, keeping)]
        print(f"{label:16}{len(sentences):10}{''.join(cells)}", flush=True)


if __name__ == "__main__":
    for model in sys.argv[1:] or ("multi30k-de-en", "multi30k-en-de", "multi30k-en-fr"):
        measure(model)
