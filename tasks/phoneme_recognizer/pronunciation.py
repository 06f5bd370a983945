"""Scores the pronunciation of phones, words and utterances whose text is known.

Scores are between 0 and 100: 100 is what the experts of speechocean762 call right (their 2), 50 a heavy accent (1), 0
wrong or missing (0). That of a word or an utterance is the mean of its phones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.audio import SAMPLE_RATE, pad_samples
from shared.packing import pad
from shared.runs import Run
from tasks.phoneme_recognizer.config import check_scorer, find_run
from tasks.phoneme_recognizer.inference import MAX_BATCH, MAX_PIECE, Recognition, SoundRecognizer, Word, cut_between
from tasks.phoneme_recognizer.scorer import MAX_SCORE, PhoneScorer, ScoringFunction, load_scorer

BEST = 100.0
PASS = 50.0  # below this score it is said what was said instead
MIN_INSERTION_ODDS = 3.0  # nats by which a phone before, between or after others must be more probable than none


class PhoneScore(NamedTuple):
    """How well a phone was said."""

    score: float  # 0 to 100
    goodness: float  # at most 0; see `goodness.py`
    said: str | None  # what was likelier said instead, empty for nothing; None if the phone is likeliest or good enough
    inserted: str | None  # a phone that was said between this one and the next
    inserted_before: str | None  # one that was said before this one, the first of the sound or of a part of it


@dataclass(frozen=True, kw_only=True)
class Pronunciation:
    """How well the phones of a recognition were said."""

    phones: list[PhoneScore]  # one for each phone of the recognition
    words: list[float]  # one for each of its words, 0 to 100

    @property
    def score(self) -> float:
        """Of the utterance, 0 to 100."""
        return float(np.mean([phone.score for phone in self.phones]))


class BatchScores(NamedTuple):
    """Scores of one utterance of a batch, as the experts give them, and what they are based on; see `Evidence`."""

    scores: np.ndarray  # (target,), 0 to 2
    goodness: np.ndarray  # (target,)
    said_ids: np.ndarray  # (target,)
    said_odds: np.ndarray  # (target,)
    inserted_ids: np.ndarray  # (target + 1,)
    inserted_odds: np.ndarray  # (target + 1,)


class PronunciationScorer:
    """Scores the pronunciation of sounds that its recognizer has aligned with their text.

    >>> scorer = PronunciationScorer.load()
    >>> scorer(sound, scorer.recognizer.align_words(sound, words)).score
    """

    def __init__(self, recognizer: SoundRecognizer, scorer: PhoneScorer):
        self.recognizer = recognizer
        self.vocabulary = recognizer.vocabulary
        self.scorer = scorer
        self.function = ScoringFunction(recognizer.model, scorer)

    @classmethod
    def load(cls, model: str | None = None) -> "PronunciationScorer":
        """Recognizer and scorer of a run, by name or folder; raises UserError if it has no scorer that fits."""
        run = find_run(model)
        check_scorer(run)
        return cls.of(SoundRecognizer.load(str(run.path)), run)

    @classmethod
    def of(cls, recognizer: SoundRecognizer, run: Run) -> "PronunciationScorer":
        """The scorer of a recognizer that is loaded, and of its run."""
        return cls(recognizer, load_scorer(run, len(recognizer.vocabulary)))

    def __call__(self, sound: np.ndarray, aligned: Recognition) -> Pronunciation:
        """Score the phones of a sound, float32 `(samples,)` at 16,000 Hz, as they were aligned with it.

        A sound of more than 30 s is scored in pieces. Raises UserError for a word that is longer.
        """
        words = aligned.words or [Word(phone.phone, [phone]) for phone in aligned.phones]
        pieces = [(0, len(sound), range(len(words)))]
        if len(sound) > MAX_PIECE:
            times = [(int(word.start * SAMPLE_RATE), int(word.end * SAMPLE_RATE)) for word in words]
            pieces = list(cut_between(times, [word.word for word in words], len(sound)))
        phones = []
        sounds = [sound[start:end] for start, end, _ in pieces]
        label_ids = [
            self.vocabulary.encode(phone.phone for i in indices for phone in words[i].phones) for *_, indices in pieces
        ]
        for found in self.batch_scores(sounds, label_ids):
            phones += self._phone_scores(found)
        ends = np.cumsum([len(word.phones) for word in aligned.words])
        parts = np.split([phone.score for phone in phones], ends[:-1]) if aligned.words else []
        return Pronunciation(phones=phones, words=[float(np.mean(part)) for part in parts])

    def _phone_scores(self, found: BatchScores) -> list[PhoneScore]:
        """The scores of phones; of a phone said instead and one inserted beside it, the likelier one explains both."""
        scores, table = BEST / MAX_SCORE * found.scores, self.vocabulary.table
        odds, of_new = found.said_odds, found.inserted_odds
        is_other = (scores < PASS) & (odds > np.maximum(0, np.maximum(of_new[:-1], of_new[1:])))
        beside = np.maximum(np.append(-np.inf, odds), np.append(odds, -np.inf))
        is_inserted = of_new > np.maximum(MIN_INSERTION_ODDS, beside)
        said = [table[i] if other else None for i, other in zip(found.said_ids, is_other, strict=True)]
        new = [table[i] if extra else None for i, extra in zip(found.inserted_ids, is_inserted, strict=True)]
        before = [new[0], *[None] * (len(said) - 1)]
        return [
            PhoneScore(float(score), float(goodness), *others)
            for score, goodness, *others in zip(scores, found.goodness, said, new[1:], before, strict=True)
        ]

    def batch_scores(self, sounds: Sequence[np.ndarray], label_ids: Sequence[Sequence[int]]) -> list[BatchScores]:
        """The scores of phones, by their ids, in sounds of at most 30 s each."""
        found: dict[int, BatchScores] = {}
        for batch in self.function.batches([len(sound) for sound in sounds], MAX_BATCH):
            outputs = self.function.predict_on_batch(
                as_inputs([sounds[i] for i in batch], [label_ids[i] for i in batch])
            )
            for row, i in enumerate(batch):
                count = len(label_ids[i])
                counts = {"inserted_ids": count + 1, "inserted_odds": count + 1}
                fields = (outputs[name][row, : counts.get(name, count)] for name in BatchScores._fields)
                found[i] = BatchScores(*fields)
        return [found[i] for i in range(len(sounds))]


def as_inputs(sounds: Sequence[np.ndarray], label_ids: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """The inputs of `EvidenceFunction`."""
    samples, lengths = pad_samples(sounds)
    label_lengths = np.array([len(ids) for ids in label_ids], np.int32)
    return {"samples": samples, "lengths": lengths, "label_ids": pad(label_ids), "label_lengths": label_lengths}
