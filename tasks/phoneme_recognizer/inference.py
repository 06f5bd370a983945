"""Recognizes phones, with times, in sounds of any length; aligns phones that are known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shared.audio import SAMPLE_RATE, pad_samples
from shared.errors import UserError, check_list
from shared.frames import HOP, frame_count
from shared.kept import Runtime, kept_functions, runs_on_keras
from shared.labels import LOG_ZERO, min_frames
from shared.loaded import Loaded
from shared.ngrams import NGrams
from shared.packing import pad
from shared.phones import SILENCE, PhoneVocabulary, SpokenWord, fold_all
from shared.runs import Run
from tasks.phoneme_recognizer.config import Config, find_run
from tasks.phoneme_recognizer.lattice import Lattice

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.model import LoadedRecognizer

MAX_PIECE = 30 * SAMPLE_RATE  # samples; longer sounds are cut in pauses
MIN_PIECE = 3 * SAMPLE_RATE  # samples of a piece before a pause
CUT_RANGE = 10 * SAMPLE_RATE  # samples at the end of a piece without pauses, in which it is cut
CUT_WINDOW = SAMPLE_RATE // 20  # samples over which loudness is averaged; a multiple of the frames' hop, as the others
PAUSE = 6  # quiet windows
PAUSE_LEVEL = 1e-3  # mean square of a quiet window, relative to that of speech: -30 dB
SPEECH = 20  # windows that are at least as loud as speech is
MAX_BATCH = 60 * SAMPLE_RATE  # samples in a batch, padding included; see `AnySize.batches`
MIN_SILENCE = 1e-3  # seconds; shorter gaps between phones come from rounding
MARGIN = SAMPLE_RATE // 2  # samples of silence before and after the words of a piece that is aligned


class Phone(NamedTuple):
    """One phone, its times in seconds, and the probability that it and no other was said there."""

    phone: str
    start: float
    end: float
    probability: float


class Word(NamedTuple):
    """A word of a text that is aligned with a sound."""

    word: str
    phones: list[Phone]

    @property
    def start(self) -> float:
        """In seconds."""
        return self.phones[0].start

    @property
    def end(self) -> float:
        """In seconds."""
        return self.phones[-1].end

    @property
    def probability(self) -> float:
        """The mean of its phones."""
        return float(np.mean([phone.probability for phone in self.phones]))


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The phones of a sound."""

    phones: list[Phone]  # in order, with silence between them
    log_prob: float  # natural logarithm of the probability of the whole sequence
    seconds: float  # duration of the sound
    words: list[Word] = field(default_factory=list)  # of an alignment, unless its phones were given

    def scored(self, silence: bool = False) -> list[str]:
        """The phones folded to the 39 scored classes, with or without silences."""
        return fold_all([phone.phone for phone in self.with_silence()], 39, silence)

    def with_silence(self) -> list[Phone]:
        """The phones and the silences between them, from 0 to the end."""
        spans, end = [], 0.0
        for phone in self.phones:
            if phone.start - end > MIN_SILENCE:
                spans.append(Phone(SILENCE, end, phone.start, 1.0))
            spans.append(phone)
            end = phone.end
        return [*spans, Phone(SILENCE, end, self.seconds, 1.0)] if self.seconds - end > MIN_SILENCE else spans

    def boundaries(self) -> np.ndarray:
        """Times in seconds at which one phone or silence ends and the next starts, `(boundaries,)`."""
        return np.array([span.start for span in self.with_silence()[1:]])


class SoundRecognizer:
    """A trained recognizer for sounds of any length.

    >>> recognizer = SoundRecognizer.load()
    >>> recognizer([read_sound(Path("speech.wav"))])[0][0].phones

    `loaded` is the result of `load_model`. Beam 0 selects the best path; it is at least `n_best` if that is above 1.
    With the `functions` of `shared.kept`, by the names of the attributes below, its model is None.
    """

    def __init__(
        self,
        loaded: "LoadedRecognizer | Loaded[Config, PhoneVocabulary, None]",
        ngrams: NGrams | None = None,
        beam: int = 0,
        n_best: int = 1,
        functions: Callable[[str], Any] | None = None,
    ):
        self.config, self.vocabulary = loaded.config, loaded.vocabulary
        self.model: Any = loaded.model
        self.beam, self.n_best, self.ngrams = max(beam, n_best if n_best > 1 else 0), n_best, ngrams
        self._functions: Callable[[str], Any] = functions or self._on_keras

    @cached_property
    def decoder(self) -> Any:
        """What recognizes phones: `model.PhoneDecoder`, or the same of `shared.kept`."""
        return self._functions("decoder")

    @cached_property
    def aligner(self) -> Any:
        """What finds the times of phones: `model.PhoneAligner`, or the same of `shared.kept`."""
        return self._functions("aligner")

    @cached_property
    def posterior(self) -> Any:
        """What computes probabilities of frames: `model.PosteriorFunction`, or the same of `shared.kept`."""
        return self._functions("posterior")

    @cached_property
    def posterior_of_labels(self) -> Any:
        """What computes probabilities of labels: `model.CTCFunction`, or the same of `shared.kept`."""
        return self._functions("posterior_of_labels")

    def _on_keras(self, name: str) -> Any:
        from tasks.phoneme_recognizer.model import CTCFunction, PhoneAligner, PhoneDecoder, PosteriorFunction

        if name != "decoder":
            kinds = {"aligner": PhoneAligner, "posterior": PosteriorFunction, "posterior_of_labels": CTCFunction}
            return kinds[name](self.model)
        weights = {"ngram_weight": self.config.ngram_weight, "label_bonus": self.config.phone_bonus}
        search = {} if self.ngrams is None else {"ngrams": self.ngrams, **weights}
        return PhoneDecoder(self.model, beam=self.beam, n_best=self.n_best, **search)

    @classmethod
    def load(
        cls, model: str | None = None, beam: int | None = None, n_best: int = 1, runtime: Runtime = "keras"
    ) -> "SoundRecognizer":
        """Load a run by name or folder, by default the released model; default beam: the value in its config.

        The runtimes `graph` and `onnx` need no Keras after the first use of a run with a beam, see `shared.kept`.

        Raises:
            UserError: the run does not exist, or its files do not fit together.
        """
        run = find_run(model)
        if not runs_on_keras(runtime):
            return cls._without_keras(run, beam, n_best, runtime)
        from tasks.phoneme_recognizer.model import load_model

        return cls.of(load_model(run), run, beam, n_best)

    @classmethod
    def _without_keras(cls, run: Run, beam: int | None, n_best: int, runtime: Runtime) -> "SoundRecognizer":
        config = run.read_config(Config)
        beam = config.beam if beam is None else beam
        settings = {"decoder": {"beam": beam, "n_best": n_best}}
        functions = kept_functions(run, lambda: cls.load(str(run.path), beam, n_best), runtime, settings)
        return cls(Loaded(config, PhoneVocabulary(config.classes), None), None, beam, n_best, functions)

    @classmethod
    def of(cls, loaded: "LoadedRecognizer", run: Run, beam: int | None = None, n_best: int = 1) -> "SoundRecognizer":
        """The recognizer of a run whose model is in memory; arguments as in `load`."""
        from tasks.phoneme_recognizer.model import load_ngrams

        beam = loaded.config.beam if beam is None else beam
        return cls(loaded, load_ngrams(run) if beam or n_best > 1 else None, beam, n_best)

    def __call__(self, sounds: Sequence[np.ndarray]) -> list[list[Recognition]]:
        """Recognize sounds, float32 `(samples,)` at 16,000 Hz; returns the hypotheses of each, best first.

        The n-th hypothesis of a sound that was cut joins the n-th of each piece. Raises ListError for one sound that is
        not in a list.
        """
        check_list(sounds, "sounds", axes=1)
        pieces = [(i, start, piece) for i, sound in enumerate(sounds) for start, piece in cut(sound)]
        of_pieces: dict[int, list[Recognition]] = {}
        for indices in self.decoder.batches([len(piece) for *_, piece in pieces], MAX_BATCH):
            of_pieces |= zip(indices, self._recognize([pieces[i][2] for i in indices]), strict=True)
        parts: list[list[tuple[float, list[Recognition]]]] = [[] for _ in sounds]
        for i, (sound_index, start, _) in enumerate(pieces):
            parts[sound_index].append((start / SAMPLE_RATE, of_pieces[i]))
        return [_joined(of_sound, len(sound) / SAMPLE_RATE) for of_sound, sound in zip(parts, sounds, strict=True)]

    def _recognize(self, sounds: list[np.ndarray]) -> list[list[Recognition]]:
        samples, lengths = pad_samples(sounds)
        outputs = self.decoder.predict_on_batch({"samples": samples, "lengths": lengths})
        return read_segments(outputs, lengths, self.vocabulary)

    def posteriors(self, sound: np.ndarray) -> np.ndarray:
        """Probabilities of silence and of each phone every 10 ms, `(frames, vocab)`."""
        probabilities = np.zeros((int(frame_count(len(sound))), len(self.vocabulary)), np.float32)
        probabilities[:, 0] = 1  # frames across a cut
        for start, piece in cut(sound):
            inputs = {"samples": piece[None], "lengths": np.array([len(piece)], np.int32)}
            of_pieces, (frames,) = self.posterior.predict_on_batch(inputs)
            probabilities[start // HOP : start // HOP + frames] = of_pieces[0, :frames]
        return probabilities

    def align(self, sound: np.ndarray, phones: Sequence[str]) -> Recognition:
        """Find the times of known phones in a sound `(samples,)`, and how probable each is in its segment.

        Phones that are not in the vocabulary, such as silences, are left out. Raises errors as `align_words`.
        """
        check_list(phones, "phones")
        found = self.align_words(sound, [SpokenWord(phone, ((phone,),)) for phone in phones])
        return replace(found, words=[])

    def align_words(self, sound: np.ndarray, words: Sequence[SpokenWord]) -> Recognition:
        """Find the times of known words and their phones in a sound `(samples,)`, and how probable each phone is.

        Of the pronunciations of a word the one that fits the sound is taken. A sound of more than 30 s is searched for
        the words as a whole, then aligned in pieces.

        Raises:
            UserError: no phones are left, they need more frames than the sound has, or they do not fit the sound.
            ListError: the words are one text.
        """
        check_list(words, "words")
        texts, options = [], []
        for text, pronunciations in words:
            known = (self.vocabulary.encode(fold_all(said, self.config.classes)) for said in pronunciations)
            if unique := list(dict.fromkeys(tuple(label_ids) for label_ids in known if label_ids)):
                texts.append(text)
                options.append(unique)
        if not options:
            raise UserError("has no phones to be aligned with; words, or phones such as [s m ao l], were expected")
        shortest = [min(said, key=len) for said in options]
        steps = -(-frame_count(len(sound)) // self.config.frames)
        if min_frames([label for said in shortest for label in said]) > steps:
            count = sum(map(len, shortest))
            raise UserError(f"lasts {len(sound) / SAMPLE_RATE:.2f} s, too short for {count} phones")
        pieces = [(0, len(sound), range(len(options)))]
        chosen = shortest
        if len(sound) > MAX_PIECE or max(map(len, options)) > 1:
            chosen, times = self._search(sound, options)
            pieces = pieces if len(sound) <= MAX_PIECE else list(cut_between(times, texts, len(sound)))

        label_ids = [np.array([label for i in indices for label in chosen[i]], np.int32) for *_, indices in pieces]
        of_pieces: dict[int, Recognition] = {}
        for batch in self.aligner.batches([end - start for start, end, _ in pieces], MAX_BATCH):
            sounds = [sound[pieces[i][0] : pieces[i][1]] for i in batch]
            of_pieces |= zip(batch, self.align_batch(sounds, [label_ids[i] for i in batch]), strict=True)
        if any(piece.log_prob < LOG_ZERO / 2 for piece in of_pieces.values()):
            raise UserError(f"lasts {len(sound) / SAMPLE_RATE:.2f} s; its words do not fit it")
        parts = [(start / SAMPLE_RATE, [of_pieces[i]]) for i, (start, *_) in enumerate(pieces)]
        (joined,) = _joined(parts, len(sound) / SAMPLE_RATE)
        phones = iter(joined.phones)
        found = [Word(text, [next(phones) for _ in said]) for text, said in zip(texts, chosen, strict=True)]
        return replace(joined, words=found)

    def _search(
        self, sound: np.ndarray, options: Sequence[Sequence[tuple[int, ...]]]
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
        """The pronunciation of each word that fits best, and the first sample and the one after the last of each."""
        log_probs, starts = self._ctc_log_probs(sound)
        lattice = Lattice(options)
        path = lattice.best_path(log_probs)
        if path is None:
            raise UserError(f"lasts {len(sound) / SAMPLE_RATE:.2f} s; its {len(options)} words do not fit it")
        starts = np.append(starts, len(sound))
        said = lattice.said(path)
        chosen = [own[found.pronunciation] for own, found in zip(options, said, strict=True)]
        return chosen, [(int(starts[found.first]), int(starts[found.last])) for found in said]

    def _ctc_log_probs(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of the CTC head `(steps, vocab)`, and the first sample of each step `(steps,)`."""
        pieces = list(cut(sound))
        found: dict[int, np.ndarray] = {}
        for batch in self.posterior_of_labels.batches([len(piece) for _, piece in pieces], MAX_BATCH):
            samples, lengths = pad_samples([pieces[i][1] for i in batch])
            outputs, steps = self.posterior_of_labels.predict_on_batch({"samples": samples, "lengths": lengths})
            found |= {i: row[:count] for i, row, count in zip(batch, outputs, steps, strict=True)}
        log_probs = [found[i] for i in range(len(pieces))]
        hop = self.config.frames * HOP
        starts = [start + hop * np.arange(len(rows)) for (start, _), rows in zip(pieces, log_probs, strict=True)]
        return np.concatenate(log_probs), np.concatenate(starts)

    def align_batch(self, sounds: Sequence[np.ndarray], label_ids: Sequence[np.ndarray]) -> list[Recognition]:
        """`align` of several sounds at once, without its checks; `label_ids` are int32 `(target,)` each."""
        samples, lengths = pad_samples(sounds)
        inputs = {
            "samples": samples,
            "lengths": lengths,
            "label_ids": pad([ids.tolist() for ids in label_ids]),
            "label_lengths": np.array([len(ids) for ids in label_ids], np.int32),
        }
        segments = self.aligner.predict_on_batch(inputs)
        return [best for (best,) in read_segments(segments, lengths, self.vocabulary)]


def cut(sound: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Start sample and samples of pieces of at most `MAX_PIECE`, at least a frame each.

    A longer sound may hold several people or recordings, and each piece is normalised by itself. So it is cut in the
    first pause after `MIN_PIECE`; without one, where the end of the piece is quietest.
    """
    start = 0
    while len(sound) - start > MAX_PIECE:
        end = start + _end_of_piece(sound[start : start + MAX_PIECE])
        yield start, sound[start:end]
        start = end
    if frame_count(len(sound) - start):
        yield start, sound[start:]


def _end_of_piece(sound: np.ndarray) -> int:
    """The sample at which a sound is cut best."""
    power = np.square(sound[: len(sound) // CUT_WINDOW * CUT_WINDOW].reshape(-1, CUT_WINDOW)).mean(axis=1)
    is_quiet = power <= PAUSE_LEVEL * np.sort(power)[-min(SPEECH, len(power))]
    edges = np.flatnonzero(np.diff(is_quiet, prepend=False, append=False))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        middle = int(first + after) // 2 * CUT_WINDOW
        if after - first >= PAUSE and middle >= MIN_PIECE:
            return middle
    first = max(len(power) - CUT_RANGE // CUT_WINDOW, 1)
    return (first + int(np.argmin(power[first:]))) * CUT_WINDOW


def cut_between(
    times: Sequence[tuple[int, int]], texts: Sequence[str], samples: int
) -> Iterator[tuple[int, int, range]]:
    """First sample, sample after the last, and words of pieces of at most `MAX_PIECE` that have all words.

    `times` has the first sample of each word and the one after its last. A piece ends at the longest pause in its last
    third, or with the last word. Raises UserError for a word that is longer than a piece.
    """
    start, first = max(0, times[0][0] - MARGIN), 0
    while first < len(times):
        fitting = [i for i in range(first, len(times)) if times[i][1] <= start + MAX_PIECE - MARGIN]
        if not fitting:
            seconds = (times[first][1] - start) / SAMPLE_RATE
            raise UserError(f"has {texts[first]!r} within {seconds:.0f} s only; its words do not fit it")
        last = fitting[-1]
        if last < len(times) - 1:
            late = [i for i in fitting if times[i][1] > start + MAX_PIECE * 2 // 3] or [last]
            last = max(late, key=lambda i: times[i + 1][0] - times[i][1])
        middle = samples if last == len(times) - 1 else (times[last][1] + times[last + 1][0]) // 2
        end = min(times[last][1] + MARGIN, middle)
        yield start, end, range(first, last + 1)
        first = last + 1
        start = max(times[first][0] - MARGIN, middle) if first < len(times) else end


def read_segments(
    segments: Mapping[str, np.ndarray], lengths: np.ndarray, vocabulary: PhoneVocabulary
) -> list[list[Recognition]]:
    """The hypotheses of each sound, best first, from the fields of `Segments` and lengths in samples."""

    def phones(*index) -> list[Phone]:
        columns = (segments[name][index] for name in ("label_ids", "starts", "ends", "probabilities"))
        return [Phone(vocabulary.table[label], *map(float, values)) for label, *values in zip(*columns, strict=True)]

    def hypothesis(row: int, rank: int, count: int) -> Recognition:
        log_prob, seconds = float(segments["log_probs"][row, rank]), lengths[row] / SAMPLE_RATE
        return Recognition(phones=phones(row, rank, slice(count)), log_prob=log_prob, seconds=seconds)

    counts = segments["label_lengths"]
    return [[hypothesis(row, rank, n) for rank, n in enumerate(counts[row])] for row in range(len(lengths))]


def _joined(parts: list[tuple[float, list[Recognition]]], seconds: float) -> list[Recognition]:
    """The hypotheses of a sound from the start in seconds and the hypotheses of each of its pieces."""

    def joined(pieces: Sequence[Recognition]) -> Recognition:
        shifted = [
            phone._replace(start=phone.start + start, end=phone.end + start)
            for (start, _), piece in zip(parts, pieces, strict=True)
            for phone in piece.phones
        ]
        return Recognition(phones=shifted, log_prob=sum(piece.log_prob for piece in pieces), seconds=seconds)

    return [joined(pieces) for pieces in zip(*(hypotheses for _, hypotheses in parts), strict=True)] or [joined(())]
