"""A small translator, trained in seconds to translate numbers in reverse order, for all tests of this package."""

from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest

import shared.runs
from shared.cli import TrainingOptions
from shared.runs import Run
from tasks.translator.config import SCENES, Config
from tasks.translator.conventions import find_values
from tasks.translator.inference import PairScorer, Translator
from tasks.translator.train import train
from tasks.translator.translation import Translation

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}

needs_right_words = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="the tiny model that JAX trains translates some sentences wrongly"
)


@dataclass(frozen=True)
class Trained:
    """The run and its configuration."""

    run: Run
    config: Config


def write_files(folder) -> dict[str, str]:
    """Writes two files of numbers, one reversed; some lines end in digits, which are rare words."""
    names = list(WORDS)
    lines = [
        [names[(number // 5**digit + digit) % 5] for digit in range(1 + number % 4)] + [str(number)] * (number > 400)
        for number in range(500)
    ]
    (folder / "a.en").write_text("\n".join(" ".join(line) for line in lines))
    (folder / "a.de").write_text("\n".join(" ".join(WORDS.get(word, word) for word in line[::-1]) for line in lines))
    return {"source_file": str(folder / "a.en"), "target_file": str(folder / "a.de")}


@pytest.fixture(scope="package")
def trained(tmp_path_factory):
    """A run named `a-en-de` in a `saved_models` of its own."""
    folder = tmp_path_factory.mktemp("translator")
    config = replace(
        SCENES, corpus="files", **write_files(folder), units=24, embedding_units=24, min_count=3, batch_size=16,
        epochs=36, learning_rate=1e-2, warmup_steps=20, weight_average=0.9, max_length=9,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        train(config, TrainingOptions())
        yield Trained(Run(folder / "saved_models" / "translator" / "a-en-de"), config)


@pytest.fixture(scope="package")
def translator(trained):
    return Translator.load("a-en-de", beam=3)


@pytest.fixture(scope="package")
def scorer(trained):
    return PairScorer.load("a-en-de")


def translation(words, attention, source_words) -> Translation:
    """A translation of words with attention `(words, source words + 1)`."""
    attention = np.array(attention, float)
    return Translation(
        text=" ".join(words), log_prob=-1.0, score=-0.5, tokens=[*words], token_log_probs=np.zeros(len(words)),
        words=words, probabilities=np.arange(len(words)) / 10, source_words=source_words, attentions=[attention],
        unknown=[],
    )  # fmt: skip


def found(sentence: str, source: str, target: str) -> list[tuple[str, str]]:
    """The values of a sentence, each with its first form."""
    return [(sentence[value.start : value.stop], value.forms[0]) for value in find_values(sentence, source, target)]
