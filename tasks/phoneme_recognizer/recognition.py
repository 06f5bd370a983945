"""From sounds of any length to phones with times: what every command calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shared.audio import SAMPLE_RATE
from shared.errors import UserError
from shared.ngrams import NGrams
from shared.phones import SILENCE, fold_all
from shared.runs import Run
from tasks.phoneme_recognizer.config import RELEASED, TASK, Config

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.model import PhonemeRecognizer

PIECE = 30 * SAMPLE_RATE  # samples heard at once, at most; longer sounds are cut where they are quietest
SEARCHED = 10 * SAMPLE_RATE  # samples before that, in which a quiet place is looked for
QUIET = SAMPLE_RATE // 10  # samples over which loudness is measured; an even number of frames, as the others are
BATCH = 60 * SAMPLE_RATE  # samples in a batch, padding included
GAP = 1e-3  # seconds of silence that are none: times are rounded


class Phone(NamedTuple):
    """One phone of an utterance, and how probable it is that it was said there."""

    phone: str
    start: float  # seconds
    end: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What was said.

    Attributes:
        phones: in order; what lies between them is silence.
        log_prob: natural logarithm of the probability of all of them together.
        seconds: how long the sound is.
    """

    phones: list[Phone]
    log_prob: float
    seconds: float

    def scored(self, silence: bool = False) -> list[str]:
        """The phones among the 39 that are scored, silences in a row being one, or without them."""
        return fold_all([phone.phone for phone in self.with_silence()], 39, silence)

    def with_silence(self) -> list[Phone]:
        """The phones, and what lies between them, from 0 to the end."""
        spans, at = [], 0.0
        for phone in self.phones:
            if phone.start - at > GAP:
                spans.append(Phone(SILENCE, at, phone.start, 1.0))
            spans.append(phone)
            at = phone.end
        return [*spans, Phone(SILENCE, at, self.seconds, 1.0)] if self.seconds - at > GAP else spans

    def boundaries(self) -> np.ndarray:
        """Where one phone or silence ends and the next begins, in seconds."""
        return np.array([span.start for span in self.with_silence()[1:]])


class SoundRecognizer:
    """A trained recognizer for sounds of any length.

    >>> recognizer = SoundRecognizer.load()
    >>> recognizer([read_sound(Path("speech.wav"))])[0][0].phones
    """

    def __init__(self, model: "PhonemeRecognizer", ngrams: NGrams | None = None, beam: int = 0, n_best: int = 1):
        from tasks.phoneme_recognizer.model import Finder, Locator

        self.model, self.config = model, model.config
        weights = {"ngram_weight": self.config.ngram_weight, "label_bonus": self.config.phone_bonus}
        search = {} if ngrams is None else {"ngrams": ngrams, **weights}
        self.beam = max(beam, n_best if n_best > 1 else 0)
        self.finder, self.locator = Finder(model, beam=self.beam, n_best=n_best, **search), Locator(model)

    @classmethod
    def load(cls, model: str | None = None, beam: int | None = None, n_best: int = 1) -> "SoundRecognizer":
        """Loads a run or folder, by default the released model, to search with `beam`, or at least `n_best`.

        Raises:
            UserError: there is no such run, or its files do not fit together.
        """
        run = Run.find(model, TASK, RELEASED)
        from tasks.phoneme_recognizer.model import load_model, load_ngrams

        config, model_ = load_model(run)
        beam = config.beam if beam is None else beam
        return cls(model_, load_ngrams(run) if beam or n_best > 1 else None, beam, n_best)

    def __call__(self, sounds: Sequence[np.ndarray]) -> list[list[Recognition]]:
        """Of each sound, float32 (samples,), what was said, best first.

        A sound that was cut has for its second best the second best of its pieces, and so on.
        """
        pieces = [(number, at, piece) for number, sound in enumerate(sounds) for at, piece in cut(sound)]
        of_pieces: dict[int, list[Recognition]] = {}
        for places in batches([len(piece) for *_, piece in pieces]):
            of_pieces |= zip(places, self._find([pieces[place][2] for place in places]), strict=True)
        found: list[list[list[Recognition]]] = [[] for _ in sounds]
        for place, (number, at, _) in enumerate(pieces):
            found[number].append([_later(recognition, at / SAMPLE_RATE) for recognition in of_pieces[place]])
        return [_joined(parts, len(sound) / SAMPLE_RATE) for parts, sound in zip(found, sounds, strict=True)]

    def _find(self, sounds: list[np.ndarray]) -> list[list[Recognition]]:
        from tasks.phoneme_recognizer.data import pad_samples

        samples, lengths = pad_samples(sounds)
        found = self.finder.predict_on_batch({"samples": samples, "lengths": lengths})
        return read_found(found, lengths, self.config)

    def posteriors(self, sound: np.ndarray) -> np.ndarray:
        """How probable silence and each phone are every 10 ms, (frames, phones + 1)."""
        from shared.features import HOP, frame_count

        told = np.zeros((int(frame_count(len(sound))), len(self.config.phones) + 1), np.float32)
        told[:, 0] = 1  # between two pieces
        for at, piece in cut(sound):
            of_piece, _ = self.model.posteriors(piece[None], np.array([len(piece)], np.int32))
            told[at // HOP : at // HOP + of_piece.shape[1]] = np.asarray(of_piece[0])
        return told

    def align(self, sound: np.ndarray, phones: Sequence[str]) -> Recognition:
        """When phones that are known to have been said were said, and how well they were told from all others.

        Raises:
            UserError: they need more time than the sound lasts, or it is too long to be heard at once.
        """
        from shared.ctc import frames_needed
        from shared.features import frame_count
        from tasks.phoneme_recognizer.data import pad_samples

        ids = {phone: number for number, phone in enumerate(self.config.phones, start=1)}
        labels = np.array([ids[phone] for phone in phones if phone in ids], np.int32)
        if len(sound) > PIECE:
            seconds = len(sound) / SAMPLE_RATE
            raise UserError(f"lasts {seconds:.0f} s; at most {PIECE // SAMPLE_RATE} s can be aligned at once")
        if not len(labels):
            raise UserError("has no phones to be aligned with")
        if frames_needed(labels) > -(-frame_count(len(sound)) // self.config.frames):
            raise UserError(f"lasts {len(sound) / SAMPLE_RATE:.2f} s, too short for {len(labels)} phones")
        samples, lengths = pad_samples([sound])
        inputs = {"samples": samples, "lengths": lengths, "label_ids": labels[None]}
        found = self.locator.predict_on_batch(inputs | {"label_lengths": np.array([len(labels)], np.int32)})
        return read_found(found, lengths, self.config)[0][0]


def cut(sound: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces of at most `PIECE` samples, each with its place, cut where it is quietest; none of less than a frame."""
    from shared.features import frame_count

    at = 0
    while len(sound) - at > PIECE:
        searched = sound[at + PIECE - SEARCHED : at + PIECE]
        loudness = np.square(searched[: len(searched) // QUIET * QUIET].reshape(-1, QUIET)).sum(axis=1)
        end = at + PIECE - SEARCHED + int(np.argmin(loudness)) * QUIET + QUIET // 2
        yield at, sound[at:end]
        at = end
    if frame_count(len(sound) - at):
        yield at, sound[at:]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of sounds of about the same length, as many as fit into `BATCH` samples."""
    from shared.batching import packed

    return packed(lengths, BATCH)


def read_found(found: dict[str, np.ndarray], lengths: np.ndarray, config: Config) -> list[list[Recognition]]:
    """The recognitions of each sound, best first, from what a `Finder` or `Locator` found."""
    table = ("", *config.phones)
    return [
        [
            Recognition(
                phones=[
                    Phone(table[label], float(start), float(end), float(probability))
                    for label, start, end, probability in zip(
                        *(found[name][row, place, :count] for name in ("label_ids", "starts", "ends", "probabilities")),
                        strict=True,
                    )
                ],
                log_prob=float(found["log_probs"][row, place]),
                seconds=length / SAMPLE_RATE,
            )
            for place, count in enumerate(found["label_lengths"][row])
        ]
        for row, length in enumerate(lengths)
    ]


def _later(recognition: Recognition, seconds: float) -> Recognition:
    phones = [phone._replace(start=phone.start + seconds, end=phone.end + seconds) for phone in recognition.phones]
    return Recognition(phones=phones, log_prob=recognition.log_prob, seconds=recognition.seconds)


def _joined(parts: list[list[Recognition]], seconds: float) -> list[Recognition]:
    """The recognitions of a sound from those of its pieces."""
    ranks = zip(*parts, strict=True) if parts else [()]
    return [
        Recognition(
            phones=[phone for part in pieces for phone in part.phones],
            log_prob=sum(part.log_prob for part in pieces),
            seconds=seconds,
        )
        for pieces in ranks
    ]
