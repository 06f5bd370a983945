"""The vocabularies of a translator, and sentences as the inputs of its encoder; without Keras."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.packing import pad
from shared.runs import Run
from shared.vocabulary import Vocabulary, load_vocabulary
from tasks.translator.config import Config


class Vocabularies(NamedTuple):
    """The vocabularies of both languages; the same one twice if it is joint."""

    source: Vocabulary
    target: Vocabulary

    def save(self, folder: Path) -> None:
        """Writes `vocabulary.json` and, unless it is joint, `target_vocabulary.json`."""
        self.source.save(folder / "vocabulary.json")
        if self.target is not self.source:
            self.target.save(folder / "target_vocabulary.json")


def load_vocabularies(run: Run, config: Config) -> Vocabularies:
    """The vocabularies of a run; raises RunError if a file is missing or damaged."""
    source = load_vocabulary(run, Vocabulary)
    return Vocabularies(
        source, source if config.joint_vocabulary else load_vocabulary(run, Vocabulary, "target_vocabulary")
    )


def source_batch(sentences: Sequence[Sequence[int]]) -> np.ndarray:
    """Token ids of sentences -> the encoder's input `(batch, source)` int32."""
    return pad([[*ids, Vocabulary.end_id] for ids in sentences])
