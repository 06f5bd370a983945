"""Scoring, generating and filling text with a model that is loaded once; keras is imported when it is loaded.

With the runtimes `graph` and `onnx` they need no Keras, after the first use of a run: see `shared.kept`.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shared.bounds import check_bounds, check_product
from shared.errors import UserError, check_list, shown
from shared.kept import Runtime, kept_function, kept_functions, runs_on_keras
from shared.loaded import Loaded
from shared.outputs import write_output
from shared.runs import Tensors, as_safetensors, parse_tensors, read_tensors
from tasks.language_model.config import Config, Form, MinP, Punctuation, Temperature, TopK, TopP, find_run
from tasks.language_model.continuations import Writer
from tasks.language_model.states import initial_states
from tasks.language_model.tokenisation import Part, Tokenisation, load_without_model, signs_apart

if TYPE_CHECKING:
    from shared.vocabulary import Vocabulary
    from tasks.language_model.model import FillModel, LanguageModel

# --- scoring -------------------------------------------------------------------------------------------------------

TOKENS = 1024  # per call, padding included: their logits take 140 MB with 33,000 words
CHUNK = 64  # lines that are read ahead, to batch lines of similar length


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of a line as it is written, with what its tokens have in sum.

    Attributes:
        text: the word.
        log_prob: natural log-probability; None if the model reads nothing of it, such as punctuation that its corpus
            does not have.
        unknown: whether one of its tokens is unknown to the model.
    """

    text: str
    log_prob: float | None
    unknown: bool


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """The score of a line.

    Attributes:
        text: the line.
        form: how it was read, as `text` or as `tokens`; see `tasks.language_model.tokenisation`.
        tokens: its tokens, known or not, and `</s>`.
        log_probs: natural log-probability of each token given those before it, float32 `(tokens,)`.
        unknown: whether each token is unknown to the model.
        parts: the words of the line, each in parts with their tokens.
    """

    text: str
    form: Form
    tokens: list[str]
    log_probs: np.ndarray
    unknown: list[bool]
    parts: list[list[Part]]

    @property
    def unknown_words(self) -> list[str]:
        """The unknown tokens, in order."""
        return [token for token, unknown in zip(self.tokens, self.unknown, strict=True) if unknown]

    def words(self, punctuation: Punctuation = "attached") -> list[Word]:
        """The words of the line, without `</s>`; punctuation belongs to the word beside it, or is apart."""
        return [word for words in self.spaced_words(punctuation) for word in words]

    def spaced_words(self, punctuation: Punctuation = "attached") -> list[list[Word]]:
        """The same in lists; the line has spaces between these, and none inside of one."""
        words, first = [], 0
        for parts in self.parts:
            words.append([])
            for group in [parts] if punctuation == "attached" else signs_apart(parts):
                count = sum(len(part.tokens) for part in group)
                tokens = slice(first, first + count)
                log_prob = float(self.log_probs[tokens].sum()) if count else None
                text = "".join(part.text for part in group)
                words[-1].append(Word(text=text, log_prob=log_prob, unknown=any(self.unknown[tokens])))
                first += count
        return words

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
    def word_perplexity(self) -> float:
        """Perplexity per word, separated by white space, and `</s>`; comparable between models with other tokens."""
        count = sum(len("".join(part.text for part in parts).split()) for parts in self.parts)
        return bounded_exp(-self.log_prob / (count + 1))

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
        form: of the lines: ordinary `text`, or `tokens` in the notation of the model's corpus; `auto` recognises it.
        reader: `model.TextReader` from `shared.kept`; the model is None then.
    """

    def __init__(
        self, loaded: "Loaded[Config, Vocabulary, LanguageModel] | Loaded[Config, Vocabulary, None]",
        carry: bool = False, form: Form = "auto", reader: Any = None,
    ):  # fmt: skip
        self.form: Form = form
        self.tokenisation = Tokenisation(loaded.vocabulary)
        self.config, self.vocabulary, self.carry = loaded.config, loaded.vocabulary, carry
        self.reader = reader or _text_reader(loaded.model)
        self.last_id: int = self.vocabulary.end_id  # of the text so far, and the state before it, if it is carried
        self.states = initial_states(self.config, 1)

    @classmethod
    def load(
        cls, model: str | None = None, carry: bool = False, form: Form = "auto", runtime: Runtime = "keras"
    ) -> "TextScorer":
        """The scorer of a run, by name or folder; default: the released model, else the newest run."""
        run = find_run(model)
        if not runs_on_keras(runtime):
            reader = kept_function(run, "score", {}, lambda: cls.load(str(run.path)).reader, runtime)
            return cls(load_without_model(run), carry, form, reader)
        from tasks.language_model.model import load_model

        return cls(load_model(run), carry, form)

    def __call__(self, lines: Iterable[str]) -> list[TextScore]:
        """The scores of lines, in their order; ListError for one line that is not in a list."""
        check_list(lines, "lines")
        lines = list(lines)
        readings = [self.tokenisation.read(line, self.form) for line in lines]
        ids = [[*reading.token_ids, self.vocabulary.end_id] for reading in readings]
        nats = self._carried(ids) if self.carry else self._independent(ids)
        return [
            TextScore(
                text=line,
                form=reading.form,
                tokens=[*reading.tokens, self.vocabulary.table[self.vocabulary.end_id]],
                log_probs=-line_nats,
                unknown=[token == self.vocabulary.unknown_id for token in line_ids],
                parts=reading.words,
            )
            for line, reading, line_ids, line_nats in zip(lines, readings, ids, nats, strict=True)
        ]

    def stream(self, lines: Iterable[str]) -> Iterator[TextScore]:
        """Yield the scores of lines as they arrive, in their order; the stream may be endless."""
        check_list(lines, "lines")
        lines = iter(lines)
        while chunk := list(islice(lines, 1 if self.carry else CHUNK)):
            yield from self(chunk)

    def _independent(self, ids: list[list[int]]) -> list[np.ndarray]:
        """-log p of the tokens of each line on its own."""
        from shared.packing import pad

        nats: dict[int, np.ndarray] = {}
        for indices in self.reader.batches([len(line_ids) for line_ids in ids], TOKENS):
            start_ids = np.full(len(indices), self.vocabulary.end_id, np.int32)
            rows, _ = self._read(pad([ids[i] for i in indices]), start_ids, initial_states(self.config, len(indices)))
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


def _text_reader(model: Any) -> Any:
    from tasks.language_model.model import TextReader

    return TextReader(model)


# --- generating ----------------------------------------------------------------------------------------------------

PART = 64  # tokens of a prompt per call
LINE = 1000  # tokens of a line that decide about spaces and quotation marks after it
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


class NextWord(NamedTuple):
    """What may come next."""

    token: str
    text: str  # as it is written after what was read, with the space before it
    probability: float


class TextGenerator:
    """Continues text.

    >>> generator = TextGenerator.load()
    >>> generator("the meaning of", max_tokens=20)[0].text

    `read`, `save` and `restore` change the state; a call leaves it unchanged, so that many can branch from it.

    Args:
        loaded: a causal model.
        form: of prompts, as for `TextScorer`; continuations are ordinary text, unless it is `tokens`.
        functions: the functions of `shared.kept` by the names of the attributes here; the model is None then.

    Attributes:
        states: the recurrent state before `token`, a list of `(1, units)`.
        token: the last token that was read, the input of the next step.
        line: what is known of the tokens of the line that was read last, if it is not complete.
        is_spaced: whether that line ends with a space.
    """

    def __init__(
        self, loaded: "Loaded[Config, Vocabulary, LanguageModel] | Loaded[Config, Vocabulary, None]",
        form: Form = "auto", functions: Callable[[str], Any] | None = None,
    ):  # fmt: skip
        self.form: Form = form
        self.tokenisation = Tokenisation(loaded.vocabulary)
        self.model: Any = loaded.model
        self.vocabulary = loaded.vocabulary
        self.states: list[Any] = initial_states(loaded.config, 1)
        self.token: int = self.vocabulary.end_id
        self.line: list[str] = []
        self.is_spaced = False
        self.never = [self.vocabulary.pad_id, self.vocabulary.start_id, self.vocabulary.unknown_id]
        self._functions = functions or self._on_keras

    @classmethod
    def load(cls, model: str | None = None, form: Form = "auto", runtime: Runtime = "keras") -> "TextGenerator":
        """The generator of a run, by name or folder; default: the released model, else the newest run."""
        run = find_run(model)
        if not runs_on_keras(runtime):
            return cls(load_without_model(run), form, kept_functions(run, lambda: cls.load(str(run.path)), runtime))
        from tasks.language_model.model import load_model

        return cls(load_model(run), form)

    def _on_keras(self, name: str) -> Any:
        from tasks.language_model.model import NextToken, PromptReader, TokenSampler

        if name in ("reader", "predictor"):
            return {"reader": PromptReader, "predictor": NextToken}[name](self.model)
        return TokenSampler(self.model, [*self.never, *(self._inside if name == "start_sampler" else [])])

    @cached_property
    def reader(self) -> Any:
        """What reads a prompt: `model.PromptReader`, or the same of `shared.kept`."""
        return self._functions("reader")

    @cached_property
    def predictor(self) -> Any:
        """What computes the probabilities of the next token: `model.NextToken`, or the same of `shared.kept`."""
        return self._functions("predictor")

    @cached_property
    def sampler(self) -> Any:
        """What samples a token: `model.TokenSampler`, or the same of `shared.kept`."""
        return self._functions("sampler")

    @cached_property
    def start_sampler(self) -> Any:
        """What samples the first token after a space: one that begins a word."""
        continues = 0 < len(self._inside) < len(self.vocabulary)  # some tokens continue a word, others begin one
        return self._functions("start_sampler") if continues else self.sampler

    @cached_property
    def _inside(self) -> list[int]:
        return [index for index in range(len(self.vocabulary)) if not self.vocabulary.begins_word(index)]

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
            stop: texts that end a continuation, as ordinary text or as tokens; they are not part of it.

        Raises:
            ListError: `stop` is one text.
        """
        check_list(stop, "texts")
        before = self.position
        self.read(prompt)
        writers = [Writer(self.spell, self.spell_tokens, stop) for _ in range(samples)]
        for token_ids, log_probs in self.draw(max_tokens, samples, sampling, seed):
            for writer, token_id, log_prob in zip(writers, token_ids, log_probs, strict=True):
                writer.write(int(token_id), float(log_prob))
            if all(writer.is_stopped for writer in writers):
                break
        self.position = before
        return [
            Continuation(text=writer.finish(), tokens=self.vocabulary.tokens(writer.ids), log_prob=writer.log_prob)
            for writer in writers
        ]

    @property
    def position(self) -> tuple[list[Any], int, list[str], bool]:
        """All that was read so far, as `states`, `token`, `line` and `is_spaced`; may be set to go back to it."""
        return self.states, self.token, self.line, self.is_spaced

    @position.setter
    def position(self, position: tuple[list[Any], int, list[str], bool]) -> None:
        self.states, self.token, self.line, self.is_spaced = position

    def read(self, prompt: str) -> None:
        """Reads a prompt after whatever was read before; unknown words are read as `<unk>`.

        A space at the end of ordinary text is that of the next word: the first sampled token begins one.
        """
        if prompt:
            self.is_spaced = prompt[-1].isspace()
        text = prompt if self.form == "tokens" else prompt.rstrip()
        if not text:  # subword vocabularies would encode it as a space
            return
        reading = self.tokenisation.read(text, self.form)
        *ids, last = [self.token, *reading.token_ids]
        for first in range(0, len(ids), PART):
            token_ids = np.array([ids[first : first + PART]], np.int32)
            lengths = np.array([token_ids.shape[1]], np.int32)
            inputs = {"token_ids": token_ids, "lengths": lengths, "states": self.states}
            self.states = self.reader.predict_on_batch(inputs)
        self.token = last
        self.line = [*self.line, *reading.tokens][-LINE:]

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that are read as `<unk>`, in order."""
        return self.tokenisation.read(prompt, self.form).unknown_words

    def spell(self, token_ids: Iterable[int]) -> Iterator[str]:
        """Yield the text to write for each sampled id as it arrives, a newline for the end of a line."""
        if self.form == "tokens":
            return self.spell_tokens(token_ids)
        return self.tokenisation.spell(token_ids, self.line, self.is_spaced)

    def spell_tokens(self, token_ids: Iterable[int]) -> Iterator[str]:
        """The same with a space between all tokens, unless they are subwords."""
        return self.vocabulary.spell(token_ids, self.has_line_begun)

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
        begins_word = self.is_spaced and self.has_line_begun and self.form != "tokens"
        sampler = self.start_sampler if begins_word else self.sampler
        for _ in range(max_tokens):
            uniform = np.array([[generator.random()] for generator in generators], np.float32)
            token_ids, log_probs, states = sampler.predict_on_batch(
                {"token_ids": token_ids[:, None], "states": states, "uniform": uniform, "sampling": options}
            )
            yield token_ids, log_probs
            sampler = self.sampler

    def next_words(self, count: int) -> list[NextWord]:
        """The most probable tokens after all that was read, best first; `</s>` is the end of the line."""
        inputs = {"token_ids": np.array([[self.token]], np.int32), "states": self.states}
        log_probs = self.predictor.predict_on_batch(inputs)[0]
        log_probs[self.never] = -np.inf
        best = np.argsort(-log_probs, kind="stable")[:count].tolist()
        return [
            NextWord(self.vocabulary.table[i], "".join(self.spell([i])), float(np.exp(log_probs[i])))
            for i in best
            if log_probs[i] > -np.inf
        ]

    def save(self, path: Path) -> None:
        """Writes the states, the last token, the line that it is of, and a hash of the model."""
        write_output(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        states = {f"state_{i}": np.asarray(state) for i, state in enumerate(self.states)}
        line = np.frombuffer(json.dumps([self.line, self.is_spaced]).encode(), np.uint8)
        return as_safetensors(states | {"token": np.array(self.token), "line": line, "model": self._model_hash()})

    def restore(self, path: Path) -> None:
        """Reads what `save` wrote.

        Raises:
            UserError: the file is damaged, or from another model.
        """
        self._restore(read_tensors(path), str(path))

    def from_bytes(self, content: bytes, name: str = "the state") -> None:
        """Reads what `as_bytes` returned; raises UserError, which begins with `name`, as `restore` does."""
        self._restore(parse_tensors(content, name), name)

    def _restore(self, tensors: Tensors, name: str) -> None:
        shapes = {f"state_{i}": np.shape(state) for i, state in enumerate(self.states)}
        fits = tensors.keys() - {"line"} == shapes.keys() | {"token", "model"}  # older files have no line
        fits = fits and np.array_equal(tensors["model"], self._model_hash()) and tensors["token"].shape == ()
        if not fits or any(tensors[state].shape != shape for state, shape in shapes.items()):
            raise UserError(f"{name}: the state of another model; load it with the model that saved it")
        states, token = [tensors[state] for state in shapes], tensors["token"]
        if any(state.dtype != np.float32 or not np.isfinite(state).all() for state in states):
            raise UserError(f"{name}: the file is damaged; states of finite float32 values were expected")
        if token.dtype.kind not in "iu" or not 0 <= token < len(self.vocabulary):
            raise UserError(f"{name}: the file is damaged; a token from 0 to {len(self.vocabulary) - 1} was expected")
        begun = [self.vocabulary.table[token]] if token != self.vocabulary.end_id else []
        line, is_spaced = _parsed_line(tensors["line"], name) if "line" in tensors else (begun, False)
        self.position = states, int(token), line, is_spaced

    def _model_hash(self) -> np.ndarray:
        """SHA-256 of the vocabulary and the weights, uint8 `(32,)`; raises UserError without a model."""
        if self.model is None:
            raise UserError("a saved state is that of a model on Keras; the runtime keras was expected")
        from shared.training import weights_as_arrays

        digest = hashlib.sha256(self.vocabulary.fingerprint.encode())
        for weight in weights_as_arrays(self.model).values():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return np.frombuffer(digest.digest(), np.uint8)


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
        form: of the texts, as for `TextScorer`.
        predictor: `model.BlankPredictor` from `shared.kept`; the model is None then.
    """

    def __init__(
        self, loaded: "Loaded[Config, Vocabulary, FillModel] | Loaded[Config, Vocabulary, None]",
        top: int = 5, form: Form = "auto", predictor: Any = None,
    ):  # fmt: skip
        self.form: Form = form
        self.tokenisation = Tokenisation(loaded.vocabulary)
        self.predictor, self.vocabulary, self.top = predictor or _blank_predictor(loaded.model), loaded.vocabulary, top

    @classmethod
    def load(
        cls, model: str | None = None, top: int = 5, form: Form = "auto", runtime: Runtime = "keras"
    ) -> "BlankFiller":
        """The filler of a run, by name or folder; default: the released model, else the newest bidirectional run."""
        run = find_run(model, "both ways")
        if not runs_on_keras(runtime):
            predictor = kept_function(run, "fill", {}, lambda: cls.load(str(run.path)).predictor, runtime)
            return cls(load_without_model(run), top, form, predictor)
        from tasks.language_model.model import load_model

        return cls(load_model(run), top, form)

    def __call__(self, text: str) -> Filled:
        """Fills the blanks of one line; raises UserError for a text without a blank."""
        vocabulary = self.vocabulary
        first, *others = BLANK.split(text)
        if not others:
            raise UserError(f"{shown(text)}: no blank in it; write one as ___")
        check_product("scores", MAX_SCORES, ("blanks", len(others)), ("tokens known", len(vocabulary)))
        form = self.tokenisation.read(BLANK.sub(" ", text), self.form).form
        ids, indices = [vocabulary.end_id, *self.tokenisation.read(first, form, is_whole=False).token_ids], []
        for number, part in enumerate(others, 1):
            indices.append(len(ids))
            is_last = number == len(others)
            ids += [vocabulary.start_id, *self.tokenisation.read(part, form, is_last).token_ids]
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


def _blank_predictor(model: Any) -> Any:
    from tasks.language_model.model import BlankPredictor

    return BlankPredictor(model)


def _parsed_line(content: np.ndarray, name: str) -> tuple[list[str], bool]:
    """The `line` and `is_spaced` of a saved state, uint8 JSON; raises UserError, which begins with `name`."""
    try:
        line, is_spaced = json.loads(content.tobytes())
        of_strings = isinstance(line, list) and all(isinstance(token, str) and token for token in line)
        if of_strings and len(line) <= LINE and isinstance(is_spaced, bool):
            return line, is_spaced
    except (ValueError, TypeError, RecursionError):
        pass
    raise UserError(f"{name}: the file is damaged; the tokens of a line were expected")
