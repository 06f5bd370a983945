"""Goes on from a prompt.

    python -m tasks.language_model.generate --prompt "the meaning of"
    python -m tasks.language_model.generate --prompt "the" --samples 5 --temperature 0.8 --top-p 0.9 --seed 3
    python -m tasks.language_model.generate --prompt "Once upon a time" --max-tokens 0 --save-state begun.safetensors
    python -m tasks.language_model.generate --load-state begun.safetensors --prompt "there was"

Words appear as they are drawn, a line's end where the model says `</s>`. A state that was saved is what the model knows
after all words so far, whatever their number: prompt once, branch as often as you like.
"""

import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.cli import Results, command, parse
from shared.errors import UserError
from shared.runs import read_tensors, write_tensors
from tasks.language_model.config import find_run

if TYPE_CHECKING:
    from shared.vocabulary import Vocabulary
    from tasks.language_model.model import LanguageModel

PART = 64  # tokens of a prompt read at a time


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; see `shared.decoding.choose`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self):
        if not self.temperature > 0:
            raise UserError(f"--temperature {self.temperature}: above 0 was expected; 0.01 takes the most probable")
        if self.top_k < 0:
            raise UserError(f"--top-k {self.top_k}: 0 or more was expected")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top-p {self.top_p}: above 0, and 1 at most, was expected")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"--min-p {self.min_p}: from 0 to 1 was expected")


class TextGenerator:
    """A language model that goes on from what it has read.

    >>> generator = TextGenerator.load("wikitext2")
    >>> generator.read("the meaning of")
    >>> "".join(generator.vocabulary.spell((int(tokens[0]) for tokens, _ in generator.draw(20)), begun=True))

    Attributes:
        states: what the model knows of all that was read, a list of `(1, units)`.
        token: the last token that was read; the model has not been shown it yet.
    """

    def __init__(self, model: "LanguageModel", vocabulary: "Vocabulary"):
        import keras
        import tensorflow as tf

        from shared.decoding import choose

        ops: Any = keras.ops  # Keras declares no result types
        self.model, self.vocabulary = model, vocabulary
        self.states, self.token = model.initial_state(1), vocabulary.end_id
        unspeakable = [vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id]
        forbidden = np.isin(np.arange(len(vocabulary)), unspeakable)

        @tf.function(reduce_retracing=True)
        def read(token_ids, states):
            _, states = model(token_ids, states)
            return states

        @tf.function(reduce_retracing=True)
        def step(token_ids, states, uniform, temperature, top_k, top_p, min_p):
            logits, states = model(token_ids, states)
            log_probs = ops.log_softmax(ops.cast(logits[:, 0], "float32"))
            speakable = ops.where(forbidden, -np.inf, log_probs)
            chosen = choose(speakable, uniform, temperature, top_k, top_p, min_p)
            return chosen, ops.take_along_axis(log_probs, chosen[:, None], axis=-1)[:, 0], states

        self._read, self._step = read, step

    @classmethod
    def load(cls, model: str | None = None) -> "TextGenerator":
        """Loads a run or folder, by default the released model; UserError when there is none that fits together."""
        from tasks.language_model.model import load_model

        _, vocabulary, model_ = load_model(find_run(model))
        return cls(model_, vocabulary)

    def read(self, prompt: str) -> None:
        """Reads a prompt, after whatever was read before; words that the model does not know are read as unknown."""
        if not prompt:  # which subwords spell as a space
            return
        *ids, last = [self.token, *self.vocabulary.encode(prompt)]
        for first in range(0, len(ids), PART):
            self.states = self._read(np.array([ids[first : first + PART]], np.int32), self.states)
        self.token = last

    @property
    def begun(self) -> bool:
        """Whether what was read last has begun a line."""
        return self.token != self.vocabulary.end_id

    def draw(
        self, max_tokens: int, samples: int = 1, sampling: Sampling | None = None, seed: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Tokens and their log-probabilities under the model, `(samples,)` each, one after the other.

        What was read stays as it is: another call begins at the same place. The first sample of a seed is the same
        however many there are.
        """
        import tensorflow as tf

        how = sampling or Sampling()
        numbers = [
            tf.constant(x, kind) for x, kind in zip(astuple(how), ("float32", "int32", *["float32"] * 2), strict=True)
        ]
        generators = [np.random.default_rng([seed, number]) for number in range(samples)]
        states = [tf.repeat(tf.convert_to_tensor(state), samples, axis=0) for state in self.states]
        tokens: Any = np.full(samples, self.token, np.int32)
        for _ in range(max_tokens):
            uniform = np.array([[generator.random()] for generator in generators], np.float32)
            tokens, log_probs, states = self._step(tokens[:, None], states, uniform, *numbers)
            yield tokens.numpy(), log_probs.numpy()

    def save(self, path: Path) -> None:
        """Writes what was read: the states, the last token, and whose they are."""
        states = {f"state_{i}": np.asarray(state) for i, state in enumerate(self.states)}
        token = {"token": np.array(self.token), "model": self._mark()}
        write_tensors(path, states | token)

    def restore(self, path: Path) -> None:
        """Takes up what `save` wrote.

        Raises:
            UserError: the file is damaged, or of another model.
        """
        tensors = read_tensors(path)
        names = {f"state_{i}": tuple(state.shape) for i, state in enumerate(self.states)}
        fits = tensors.keys() == names.keys() | {"token", "model"}
        fits = fits and np.array_equal(tensors["model"], self._mark()) and tensors["token"].shape == ()
        if not fits or any(tensors[name].shape != shape for name, shape in names.items()):
            raise UserError(f"{path}: the state of another model; load it with the one that it was saved with")
        self.states, self.token = [tensors[name] for name in names], int(tensors["token"])

    def _mark(self) -> np.ndarray:
        """What tells this model from others: a hash of its words and weights."""
        mark = hashlib.sha256(self.vocabulary.fingerprint.encode())
        for weight in self.model.weights:
            mark.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return np.frombuffer(mark.digest(), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    prompt: str = ""
    """What to go on from; any text."""
    max_tokens: int = 50
    """Tokens to draw, at most."""
    samples: int = 1
    """How many times."""
    temperature: float = 1.0
    """Below 1 is bolder, above 1 more even."""
    top_k: int = 0
    """Draw among so many most probable tokens; 0: among all."""
    top_p: float = 1.0
    """Draw among the most probable tokens that together have this probability."""
    min_p: float = 0.0
    """Draw among tokens with at least this share of the most probable one's probability."""
    seed: int = 0
    """The same seed draws the same."""
    stop: tuple[str, ...] = ()
    """End before any of these texts; a line's end is written as in your shell, $'\\n' in most."""
    load_state: Path | None = None
    """Go on from a state that was saved."""
    save_state: Path | None = None
    """Save the state after the prompt."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run that reads forwards."""
    json: bool = False
    """One JSON object for each sample: prompt, text (what comes after it), tokens, log_prob (of all of these)."""
    output: Path | None = None
    """Write there instead of to standard output."""


def check(options: Arguments) -> Sampling:
    """How to draw; UserError for whatever can be known to be wrong before a model is loaded."""
    for name, least in (("max_tokens", 0), ("samples", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise UserError(f"--{name.replace('_', '-')} {getattr(options, name)}: at least {least} was expected")
    if options.load_state and not options.load_state.is_file():
        raise UserError(f"--load-state {options.load_state}: no such file")
    if options.save_state and not options.save_state.parent.is_dir():
        raise UserError(f"--save-state {options.save_state}: there is no folder {options.save_state.parent}")
    if "" in options.stop:
        raise UserError("--stop '': a text was expected")
    return Sampling(options.temperature, options.top_k, options.top_p, options.min_p)


def cut(text: str, stop: Sequence[str], begin: int = 0) -> str | None:
    """The text before the first of the stops that end after `begin`; None if there is none."""
    places = [place for place in (text.find(one, max(0, begin - len(one))) for one in stop) if place >= 0]
    return text[: min(places)] if places else None


def generate(generator: TextGenerator, options: Arguments, sampling: Sampling) -> list[dict]:
    """A record for each sample: what was drawn until a stop was complete, and the text before it."""
    samples, vocabulary = range(options.samples), generator.vocabulary
    drawn: list[list[int]] = [[] for _ in samples]
    coming: list[deque[int | None]] = [deque() for _ in samples]
    spellers = [vocabulary.spell(iter(tokens.popleft, None), generator.begun) for tokens in coming]
    texts, log_probs, going = [""] * options.samples, [0.0] * options.samples, set(samples)
    for tokens, costs in generator.draw(options.max_tokens, options.samples, sampling, options.seed):
        for number in sorted(going):
            drawn[number].append(int(tokens[number]))
            log_probs[number] += float(costs[number])
            coming[number].append(drawn[number][-1])
            before = len(texts[number])
            texts[number] += next(spellers[number])
            stopped = cut(texts[number], options.stop, before)
            if stopped is not None:
                texts[number] = stopped
                going.remove(number)
        if not going:
            break
    for number in going:
        coming[number].append(None)  # no more: what is left is part of a character
        texts[number] += "".join(spellers[number])
    return [
        {
            "prompt": options.prompt,
            "text": texts[number],
            "tokens": vocabulary.tokens(drawn[number]),
            "log_prob": round(log_probs[number], 4),
        }
        for number in samples
    ]


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.generate", __doc__)
    sampling = check(options)
    run = find_run(options.model)
    results = Results(options.json, options.output)
    try:
        generator = TextGenerator.load(str(run.path))
        if options.load_state:
            generator.restore(options.load_state)
        generator.read(options.prompt)
        if options.save_state:
            generator.save(options.save_state)
        if not options.max_tokens:
            return
        # As it is drawn, and nothing of it kept; but what a stop will cut off again must not be shown first.
        if options.samples == 1 and not (options.json or options.output or options.stop):
            print(options.prompt, end="", flush=True)
            drawn = (int(tokens[0]) for tokens, _ in generator.draw(options.max_tokens, 1, sampling, options.seed))
            for text in generator.vocabulary.spell(drawn, generator.begun):
                print(text, end="", flush=True)
            print()
            return
        for record in generate(generator, options, sampling):
            results.write(record, options.prompt + record["text"])
    finally:
        results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
