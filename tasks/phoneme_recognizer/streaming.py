"""Recognition of a stream: piece by piece, with the same posteriors as for the whole sound.

The model reads in one direction, so its output depends on the past and on the 3 or 5 frames of 10 ms that the
convolutions look ahead. States are carried from piece to piece, and each convolution keeps the frames that its next
output needs.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import keras
import numpy as np

from shared.audio import CANCELLATION, SAMPLE_RATE, Headerless, Mono
from shared.cli import print_error
from shared.errors import UserError
from shared.features import log_mel
from shared.files import MediaError
from shared.frames import HOP, WINDOW, frame_count
from shared.masks import is_real
from tasks.phoneme_recognizer.config import find_run
from tasks.phoneme_recognizer.model import (
    LoadedRecognizer,
    PhonemeRecognizer,
    RecognizerFunction,
    convolutions,
    front_widths,
    load_model,
)

ops: Any = keras.ops  # Keras declares no result types for its operations

Peak = tuple[str, float]  # a phone, and the time of its peak in seconds


class Bands(RecognizerFunction):
    """`samples` `(1, samples)` -> bands `(1, frames, mels)`."""

    shortest: ClassVar = {"samples": WINDOW + 7 * HOP}

    def call(self, inputs: dict[str, Any]) -> Any:
        return log_mel(inputs["samples"], self.model.config.mels)


class Convolve(RecognizerFunction):
    """`frames` `(1, frames, width)` -> the outputs of a convolution."""

    shortest: ClassVar = {"frames": 8}

    def call(self, inputs: dict[str, Any]) -> Any:
        return self.model.convolve(frames=inputs["frames"], **self.search)


class Step(RecognizerFunction):
    """`inputs` `(1, time, width)` of the stack, their `lengths` `(1,)`, `states` -> log-probabilities, new states."""

    shortest: ClassVar = {"inputs": 4}

    def call(self, inputs: dict[str, Any]) -> tuple[Any, list[Any]]:
        x = inputs["inputs"]
        outputs, states = self.model.stack(x, initial_state=inputs["states"], mask=is_real(x, inputs["lengths"]))
        logits, _ = self.model.heads(outputs)
        return ops.log_softmax(logits / self.model.temperature, axis=-1), states


class _Convolution:
    """One convolution over a stream, padded with zeros at its start and end."""

    def __init__(self, model: PhonemeRecognizer, index: int, width: int):
        self.function, self.width = Convolve(model, index=index), front_widths(model.config)[index + 1]
        self.size, self.stride = convolutions(model.config)[index]
        self.padding = np.zeros((1, self.size // 2, width), np.float32)
        self.kept = self.padding

    def feed(self, frames: np.ndarray) -> np.ndarray:
        """`(1, frames, width)` -> the outputs that depend on no later frame."""
        x = np.concatenate([self.kept, frames], axis=1)
        count = max((x.shape[1] - self.size) // self.stride + 1, 0)
        self.kept = x[:, count * self.stride :]
        if not count:
            return np.zeros((1, 0, self.width), np.float32)
        return self.function.predict_on_batch({"frames": x})[:, :count]

    def finish(self, frames: np.ndarray) -> np.ndarray:
        """The outputs for the last frames."""
        return self.feed(np.concatenate([frames, self.padding], axis=1))


class StreamRecognizer:
    """A recognizer that is fed sound as it arrives, made of the result of `load_model`.

    Raises:
        UserError: the model is bidirectional, or normalises by statistics of the whole utterance.
    """

    def __init__(self, loaded: LoadedRecognizer):
        config, self.vocabulary, self.model = loaded
        if config.bidirectional or config.normalisation not in ("running", "corpus"):
            raise UserError(
                "the model needs the whole sound; a model for streams is trained with:"
                " python -m tasks.phoneme_recognizer.train streaming"
            )
        self.samples = np.zeros(0, np.float32)
        self.convolutions = [_Convolution(self.model, i, width) for i, width in enumerate(front_widths(config)[:-1])]
        self.bands, self.advance = Bands(self.model), Step(self.model)
        self.states = [np.asarray(state) for state in self.model.stack.initial_state(1)]
        self.peak = None  # state of the normalisation
        self.step, self.label = 0, 0  # number of steps so far, and the label of the last one

    @classmethod
    def load(cls, model: str | None = None) -> "StreamRecognizer":
        """Load a run or folder, by default the released model; raises UserError if it cannot recognize streams."""
        return cls(load_model(find_run(model)))

    def feed(self, samples: np.ndarray) -> list[Peak]:
        """Feed float32 `(samples,)` at 16,000 Hz; return the phones that later samples cannot change."""
        return list(self._peaks(self.posteriors(samples)))

    def finish(self) -> list[Peak]:
        """Return the phones at the end of the stream."""
        return list(self._peaks(self.posteriors(np.zeros(0, np.float32), is_last=True)))

    def posteriors(self, samples: np.ndarray, is_last: bool = False) -> np.ndarray:
        """Log-probabilities `(time, vocab)` of the steps that later samples cannot change."""
        self.samples = np.concatenate([self.samples, samples])
        x = np.zeros((1, 0, self.model.config.mels), np.float32)
        if count := int(frame_count(len(self.samples))):
            x = self.bands.predict_on_batch({"samples": self.samples[None]})[:, :count]
            x, self.peak = self.model.normalise_piece(x, self.peak)
            x = np.asarray(x)
        self.samples = self.samples[count * HOP :]
        for convolution in self.convolutions:
            x = convolution.finish(x) if is_last else convolution.feed(x)
        if not x.shape[1]:
            return np.zeros((0, self.model.num_classes), np.float32)
        inputs = {"inputs": x, "lengths": np.array([x.shape[1]], np.int32), "states": self.states}
        log_probs, self.states = self.advance.predict_on_batch(inputs)
        return log_probs[0, : x.shape[1]]

    def _peaks(self, log_probs: np.ndarray) -> Iterator[Peak]:
        """The best path."""
        for label in log_probs.argmax(axis=-1):
            if label not in (0, self.label):
                seconds = (self.model.config.frames * self.step * HOP + WINDOW / 2) / SAMPLE_RATE
                yield self.vocabulary.table[label], seconds
            self.step, self.label = self.step + 1, label


def listen(
    recognizer: StreamRecognizer,
    write: Callable[[list[Peak]], None],
    encoding: Headerless | None = None,
    channel: int | None = None,
) -> None:
    """Recognize raw samples on standard input until it ends or Ctrl-C; `write` is called after each piece.

    Args:
        encoding: by default 16 bits, 16,000 Hz, one channel.
        channel: the channel to recognize, from 1; by default their mean.

    Raises:
        UserError: standard input is closed, or holds values that are not finite.
    """
    encoding = encoding or Headerless()
    mono = Mono(encoding.rate, encoding.channels, channel)
    try:
        with suppress(KeyboardInterrupt):
            for content in read_live(encoding):
                write(recognizer.feed(mono.feed(encoding.decode(content))))
    except MediaError as error:
        raise UserError(f"standard input {error}") from None
    rest = mono.feed(np.zeros((0, encoding.channels), np.float32), is_last=True)
    if len(rest):
        write(recognizer.feed(rest))
    write(recognizer.finish())
    if mono.has_cancelled:
        print_error(f"standard input {CANCELLATION}")


def read_live(encoding: Headerless) -> Iterator[bytes]:
    """The content of standard input in pieces of whole samples, of at most 0.1 s."""
    if sys.stdin is None:
        raise UserError("--live: standard input is closed")
    size = encoding.frame_size
    rest = b""
    while content := sys.stdin.buffer.read1(encoding.rate // 10 * size):
        content = rest + content
        whole = len(content) // size * size
        rest = content[whole:]
        yield content[:whole]
