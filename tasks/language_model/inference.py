"""Scoring, generating and filling text with a model that is loaded once; keras is imported when it is loaded."""

import hashlib
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.bounds import check_bounds, check_product
from shared.errors import UserError, check_list
from shared.outputs import write_output
from shared.runs import as_safetensors, read_tensors
from tasks.language_model.config import Config, MinP, Temperature, TopK, TopP, find_run

if TYPE_CHECKING:
    from shared.training import Loaded
    from shared.vocabulary import Vocabulary
    from tasks.language_model.model import FillModel, LanguageModel

# --- scoring -------------------------------------------------------------------------------------------------------

TOKENS = 1024  # per call, padding included: their logits take 140 MB with 33,000 words
CHUNK = 64  # lines that are read ahead, to batch lines of similar length


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """The score of a line.

    Attributes:
        text: the line.
        tokens: its tokens, known or not, and `</s>`.
        log_probs: natural log-probability of each token given those before it, float32 `(tokens,)`.
        unknown: whether each token is unknown to the model.
    """

    text: str
    tokens: list[str]
    log_probs: np.ndarray
    unknown: list[bool]

    @property
    def log_prob(self) -> float:
        """Natural log-probability of the line."""
        return float(self.log_probs.sum())

    @property
    def perplexity(self) -> float:
        """Perplexity per token, `</s>` included."""
        return bounded_exp(-self.log_prob / len(self.tokens))

    @property
    def without_end(self) -> float | None:
        """Perplexity per token without `</s>`; None for an empty line."""
        return bounded_exp(-float(self.log_probs[:-1].mean())) if len(self.tokens) > 1 else None

    @property
    def bits_per_character(self) -> float:
        """-log2 p of the line per character; the end of the line counts as one."""
        return -self.log_prob / math.log(2) / (len(self.text) + 1)


def bounded_exp(x: float) -> float:
    """exp(x), without overflow."""
    return math.exp(min(x, 700))


class TextScorer:
    """Computes log-probabilities of lines.

    >>> scorer = TextScorer.load()
    >>> scorer(["the cat sat"])[0].log_prob

    Args:
        loaded: a causal model.
        carry: score each line after all lines before it, in this call and earlier ones, as one text.
    """

    def __init__(self, loaded: "Loaded[Config, Vocabulary, LanguageModel]", carry: bool = False):
        from tasks.language_model.model import TextReader

        self.vocabulary, self.model, self.carry = loaded.vocabulary, loaded.model, carry
        self.reader = TextReader(loaded.model)
        self.last_id: int = self.vocabulary.end_id  # of the text so far, and the state before it, if it is carried
        self.states = self._initial_states(1)

    @classmethod
    def load(cls, model: str | None = None, carry: bool = False) -> "TextScorer":
        """The scorer of a run, by name or folder; default: the released model, else the newest run."""
        from tasks.language_model.model import load_model

        return cls(load_model(find_run(model)), carry)

    def __call__(self, lines: Iterable[str]) -> list[TextScore]:
        """The scores of lines, in their order; ListError for one line that is not in a list."""
        check_list(lines, "lines")
        lines = list(lines)
        ids = [[*self.vocabulary.encode(line), self.vocabulary.end_id] for line in lines]
        nats = self._carried(ids) if self.carry else self._independent(ids)
        return [
            TextScore(
                text=line,
                tokens=[*self.vocabulary.pieces(line), self.vocabulary.table[self.vocabulary.end_id]],
                log_probs=-line_nats,
                unknown=[token == self.vocabulary.unknown_id for token in line_ids],
            )
            for line, line_ids, line_nats in zip(lines, ids, nats, strict=True)
        ]

    def stream(self, lines: Iterable[str]) -> Iterator[TextScore]:
        """Yield the scores of lines as they arrive, in their order; the stream may be endless."""
        check_list(lines, "lines")
        lines = iter(lines)
        while chunk := list(islice(lines, 1 if self.carry else CHUNK)):
            yield from self(chunk)

    def _independent(self, ids: list[list[int]]) -> list[np.ndarray]:
        """-log p of the tokens of each line on its own."""
        from shared.batching import pad

        nats: dict[int, np.ndarray] = {}
        for indices in self.reader.batches([len(line_ids) for line_ids in ids], TOKENS):
            start_ids = np.full(len(indices), self.vocabulary.end_id, np.int32)
            rows, _ = self._read(pad([ids[i] for i in indices]), start_ids, self._initial_states(len(indices)))
            nats |= {i: row[: len(ids[i])] for i, row in zip(indices, rows, strict=True)}
        return [nats[i] for i in range(len(ids))]

    def _carried(self, ids: list[list[int]]) -> list[np.ndarray]:
        """-log p of the tokens of each line, given all lines before it."""
        if not ids:
            return []
        targets = np.concatenate(ids).astype(np.int32)[None]
        nats, self.states = self._read(targets, np.array([self.last_id], np.int32), self.states)
        self.last_id = int(targets[0, -1])
        return np.split(nats[0], np.cumsum([len(line_ids) for line_ids in ids])[:-1])

    def _read(
        self, targets: np.ndarray, start_ids: np.ndarray, states: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """-log p of each target `(batch, time)`, computed in parts of bounded size, and the states after the last."""
        inputs = np.concatenate([start_ids[:, None], targets[:, :-1]], axis=1)
        nats, steps = [], max(1, TOKENS // len(targets))
        for first in range(0, targets.shape[1], steps):
            part = slice(first, first + steps)
            batch = {"token_ids": inputs[:, part], "target_ids": targets[:, part], "states": states}
            batch["lengths"] = np.full(len(targets), targets[:, part].shape[1], np.int32)
            part_nats, states = self.reader.predict_on_batch(batch)
            nats.append(part_nats[:, : targets[:, part].shape[1]])
        return np.concatenate(nats, axis=1), states

    def _initial_states(self, rows: int) -> list[np.ndarray]:
        return [np.asarray(state) for state in self.model.initial_state(rows)]


# --- generating ----------------------------------------------------------------------------------------------------

PART = 64  # tokens of a prompt per call
MAX_SCORES = 50_000_000  # of a step, or of a text with blanks; several copies are in memory


@dataclass(frozen=True)
class Sampling:
    """How a token is sampled; see `shared.decoding.choose`.

    Raises:
        UserError: a value is out of range.
    """

    temperature: Temperature = 1.0
    top_k: TopK = 0
    top_p: TopP = 1.0
    min_p: MinP = 0.0

    def __post_init__(self):
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """A sampled continuation of a prompt.

    Attributes:
        text: the text after the prompt, up to the first stop text.
        tokens: the sampled tokens, up to the one that completes a stop text.
        log_prob: natural log-probability of all of them under the model.
    """

    text: str
    tokens: list[str]
    log_prob: float


class TextGenerator:
    """Continues text.

    >>> generator = TextGenerator.load()
    >>> generator("the meaning of", max_tokens=20)[0].text

    `read`, `save` and `restore` change the state; a call leaves it unchanged, so that many can branch from it.

    Args:
        loaded: a causal model.

    Attributes:
        states: the recurrent state before `token`, a list of `(1, units)`.
        token: the last token that was read, the input of the next step.
    """

    def __init__(self, loaded: "Loaded[Config, Vocabulary, LanguageModel]"):
        from tasks.language_model.model import PromptReader, TokenSampler

        self.vocabulary, self.model = vocabulary, model = loaded.vocabulary, loaded.model
        self.states: list[Any] = [np.asarray(state) for state in model.initial_state(1)]
        self.token: int = vocabulary.end_id
        self.reader = PromptReader(model)
        self.sampler = TokenSampler(model, [vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id])

    @classmethod
    def load(cls, model: str | None = None) -> "TextGenerator":
        """The generator of a run, by name or folder; default: the released model, else the newest run."""
        from tasks.language_model.model import load_model

        return cls(load_model(find_run(model)))

    def __call__(
        self,
        prompt: str,
        max_tokens: int = 50,
        samples: int = 1,
        sampling: Sampling | None = None,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[Continuation]:
        """Independent continuations of a prompt, which follows whatever was read before.

        Args:
            prompt: any text; may be empty.
            max_tokens: maximum number of tokens to sample.
            samples: number of continuations.
            sampling: how tokens are sampled.
            seed: equal seeds give equal results.
            stop: texts that end a continuation; they are not part of it.

        Raises:
            ListError: `stop` is one text.
        """
        check_list(stop, "texts")
        states, token = self.states, self.token
        self.read(prompt)
        writers = [_Writer(self.vocabulary, self.has_line_begun, stop) for _ in range(samples)]
        for token_ids, log_probs in self.draw(max_tokens, samples, sampling, seed):
            for writer, token_id, log_prob in zip(writers, token_ids, log_probs, strict=True):
                writer.write(int(token_id), float(log_prob))
            if all(writer.is_stopped for writer in writers):
                break
        self.states, self.token = states, token
        return [writer.finish() for writer in writers]

    def read(self, prompt: str) -> None:
        """Reads a prompt after whatever was read before; unknown words are read as `<unk>`."""
        if not prompt:  # subword vocabularies would encode it as a space
            return
        *ids, last = [self.token, *self.vocabulary.encode(prompt)]
        for first in range(0, len(ids), PART):
            token_ids = np.array([ids[first : first + PART]], np.int32)
            lengths = np.array([token_ids.shape[1]], np.int32)
            inputs = {"token_ids": token_ids, "lengths": lengths, "states": self.states}
            self.states = self.reader.predict_on_batch(inputs)
        self.token = last

    @property
    def has_line_begun(self) -> bool:
        """Whether the text read so far ends within a line."""
        return self.token != self.vocabulary.end_id

    def draw(
        self, max_tokens: int, samples: int = 1, sampling: Sampling | None = None, seed: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield sampled ids int32 `(samples,)` and their log-probabilities `(samples,)`, step by step.

        The state does not change. The first sample of a seed does not depend on the number of samples.
        """
        kinds = {"temperature": np.float32, "top_k": np.int32, "top_p": np.float32, "min_p": np.float32}
        check_product("scores of a step", MAX_SCORES, ("samples", samples), ("tokens known", len(self.vocabulary)))
        options = {name: kinds[name](value) for name, value in asdict(sampling or Sampling()).items()}
        generators = [np.random.default_rng([seed, index]) for index in range(samples)]
        states = [np.repeat(state, samples, axis=0) for state in self.states]
        token_ids = np.full(samples, self.token, np.int32)
        for _ in range(max_tokens):
            uniform = np.array([[generator.random()] for generator in generators], np.float32)
            token_ids, log_probs, states = self.sampler.predict_on_batch(
                {"token_ids": token_ids[:, None], "states": states, "uniform": uniform, "sampling": options}
            )
            yield token_ids, log_probs

    def save(self, path: Path) -> None:
        """Writes the states, the last token, and a hash of the model."""
        states = {f"state_{i}": np.asarray(state) for i, state in enumerate(self.states)}
        write_output(path, as_safetensors(states | {"token": np.array(self.token), "model": self._model_hash()}))

    def restore(self, path: Path) -> None:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is damaged, or from another model.
        """
        tensors = read_tensors(path)
        shapes = {f"state_{i}": np.shape(state) for i, state in enumerate(self.states)}
        fits = tensors.keys() == shapes.keys() | {"token", "model"}
        fits = fits and np.array_equal(tensors["model"], self._model_hash()) and tensors["token"].shape == ()
        if not fits or any(tensors[name].shape != shape for name, shape in shapes.items()):
            raise UserError(f"{path}: the state of another model; load it with the model that saved it")
        states, token = [tensors[name] for name in shapes], tensors["token"]
        if any(state.dtype != np.float32 or not np.isfinite(state).all() for state in states):
            raise UserError(f"{path}: the file is damaged; states of finite float32 values were expected")
        if token.dtype.kind not in "iu" or not 0 <= token < len(self.vocabulary):
            raise UserError(f"{path}: the file is damaged; a token from 0 to {len(self.vocabulary) - 1} was expected")
        self.states, self.token = states, int(token)

    def _model_hash(self) -> np.ndarray:
        """SHA-256 of the vocabulary and the weights, uint8 `(32,)`."""
        from shared.training import weights_as_arrays

        digest = hashlib.sha256(self.vocabulary.fingerprint.encode())
        for weight in weights_as_arrays(self.model).values():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return np.frombuffer(digest.digest(), np.uint8)


class _Writer:
    """Assembles one continuation from its tokens."""

    def __init__(self, vocabulary: "Vocabulary", has_line_begun: bool, stop: Sequence[str]):
        self.vocabulary, self.stop = vocabulary, stop
        self.pending: deque[int | None] = deque()  # None ends the text
        self.spelling = vocabulary.spell(iter(self.pending.popleft, None), has_line_begun)
        self.text, self.ids, self.log_prob, self.is_stopped = "", [], 0.0, False

    def write(self, token_id: int, log_prob: float) -> None:
        if self.is_stopped:
            return
        self.ids.append(token_id)
        self.log_prob += log_prob
        self.pending.append(token_id)
        known = len(self.text)
        self.text += next(self.spelling)
        before_stop = text_before(self.text, self.stop, known)
        if before_stop is not None:
            self.text, self.is_stopped = before_stop, True

    def finish(self) -> Continuation:
        if not self.is_stopped:
            self.pending.append(None)
            self.text += "".join(self.spelling)  # an incomplete character
        return Continuation(text=self.text, tokens=self.vocabulary.tokens(self.ids), log_prob=self.log_prob)


def text_before(text: str, stop: Sequence[str], start: int = 0) -> str | None:
    """The text before the first stop text that ends after index `start`; None if there is none."""
    indices = [index for index in (text.find(one, max(0, start - len(one))) for one in stop) if index >= 0]
    return text[: min(indices)] if indices else None


# --- filling -------------------------------------------------------------------------------------------------------

BLANK = re.compile("__+")


@dataclass(frozen=True, kw_only=True)
class Filled:
    """Predictions for the blanks of a text.

    Attributes:
        text: the text with blanks.
        blanks: for each blank the most probable words and their probabilities, best first.
    """

    text: str
    blanks: list[list[tuple[str, float]]]


class BlankFiller:
    """Predicts the words in blanks; a blank is two or more underscores.

    >>> filler = BlankFiller.load()
    >>> filler("the ___ sat on the mat").blanks[0][0]

    Args:
        loaded: a bidirectional model.
        top: number of words for each blank.
    """

    def __init__(self, loaded: "Loaded[Config, Vocabulary, FillModel]", top: int = 5):
        from tasks.language_model.model import BlankPredictor

        self.predictor, self.vocabulary, self.top = BlankPredictor(loaded.model), loaded.vocabulary, top

    @classmethod
    def load(cls, model: str | None = None, top: int = 5) -> "BlankFiller":
        """The filler of a run, by name or folder; default: the released model, else the newest bidirectional run."""
        from tasks.language_model.model import load_model

        return cls(load_model(find_run(model, "both ways")), top)

    def __call__(self, text: str) -> Filled:
        """Fills the blanks of one line; raises UserError for a text without a blank."""
        vocabulary = self.vocabulary
        first, *others = BLANK.split(text)
        if not others:
            raise UserError(f"{text!r}: no blank in it; write one as ___")
        check_product("scores", MAX_SCORES, ("blanks", len(others)), ("tokens known", len(vocabulary)))
        ids, indices = [vocabulary.end_id, *vocabulary.encode(first)], []  # a line follows the end of another
        for part in others:
            indices.append(len(ids))
            ids += [vocabulary.start_id, *vocabulary.encode(part)]
        token_ids = np.array([[*ids, vocabulary.end_id]], np.int32)
        inputs = {"token_ids": token_ids, "blank_indices": np.array([indices], np.int32)}
        inputs["lengths"] = np.array([token_ids.shape[1]], np.int32)
        logits = self.predictor.predict_on_batch(inputs)[0, : len(indices)].astype("float64")
        probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        return Filled(text=text, blanks=[self._best_words(blank) for blank in probabilities])

    def _best_words(self, probabilities: np.ndarray) -> list[tuple[str, float]]:
        """The most probable words, special tokens excluded."""
        first_word = self.vocabulary.unknown_id + 1
        best = first_word + np.argsort(-probabilities[first_word:])[: self.top]
        return [(self.vocabulary.table[word], float(probabilities[word])) for word in best]
