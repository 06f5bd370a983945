"""The splits of speechocean762 that experts have scored."""

from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets.speechocean762.expert_scores import PHONE_SCORES, SCORES, ExpertScores, read_expert_scores
from shared.errors import UserError
from shared.phones import PhoneVocabulary
from tasks.phoneme_recognizer.config import Config
from tasks.phoneme_recognizer.data import Split, read_split

CORPUS = "speechocean762"


@dataclass(frozen=True)
class JudgedSplit(Split):
    """The utterances of a split of the corpus, with the experts' scores of each and the ids of its phones."""

    scores: list[ExpertScores]
    label_ids: list[list[int]]

    @property
    def speakers(self) -> list[str]:
        """The speaker of each utterance."""
        return [utterance.speaker for utterance in self.utterances]

    @property
    def lengths(self) -> list[int]:
        """The length of each sound, in samples."""
        return [utterance.length for utterance in self.utterances]


def load_judged(split: str, config: Config, data_dir: Path | None = None) -> JudgedSplit:
    """A split with the experts' scores, its phones in the set of the configuration.

    Args:
        data_dir: folder of a copy of the corpus; default: that in $QUATRAIN_DATA, else the download.

    Raises:
        UserError: there is no copy, it lacks the scores, or they are damaged or of other phones.
    """
    folder = datasets.files_of(CORPUS, data_dir)
    found = read_expert_scores(folder)
    if not found:
        raise UserError(f"{folder} holds no experts' scores; resource/{SCORES} or {PHONE_SCORES} was expected")
    loaded, scores = read_split(config, datasets.load(CORPUS, split, data_dir)), []
    for record in loaded.records:
        own = found.get(record["name"])
        if own is None or list(own.phones) != record["phones"].split():
            raise UserError(f"{CORPUS}: utterance {record['name']} has no experts' scores of its phones")
        scores.append(own)
    vocabulary = PhoneVocabulary(config.classes)
    label_ids = [vocabulary.encode(utterance.phones) for utterance in loaded.utterances]
    return JudgedSplit(loaded.records, loaded.utterances, scores, label_ids)
