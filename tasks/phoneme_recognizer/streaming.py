"""Recognition of a stream: piece by piece, with the same posteriors as for the whole sound.

The model reads in one direction, so its output depends on the past and on the 3 or 5 frames of 10 ms that the
convolutions look ahead. States are carried from piece to piece, and each convolution keeps the frames that its next
output needs.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from shared.audio import CANCELLATION, SAMPLE_RATE, Headerless, Mono
from shared.cli import print_error
from shared.errors import UserError
from shared.features import HOP, WINDOW, frame_count, log_mel
from shared.files import MediaError
from tasks.phoneme_recognizer.config import find_run
from tasks.phoneme_recognizer.model import LoadedRecognizer, PhonemeRecognizer, convolutions, front_widths, load_model

ops: Any = keras.ops  # Keras declares no result types for its operations

Peak = tuple[str, float]  # a phone, and the time of its peak in seconds


class _Convolution:
    """One convolution over a stream, padded with zeros at its start and end."""

    def __init__(self, model: PhonemeRecognizer, index: int, width: int):
        self.model, self.index = model, index
        self.size, self.stride = convolutions(model.config)[index]
        self.padding = np.zeros((1, self.size // 2, width), np.float32)
        self.kept = self.padding

    def feed(self, frames: np.ndarray) -> np.ndarray:
        """`(1, frames, width)` -> the outputs that depend on no later frame."""
        x = np.concatenate([self.kept, frames], axis=1)
        count = max((x.shape[1] - self.size) // self.stride + 1, 0)
        self.kept = x[:, count * self.stride :]
        if not count:
            return np.zeros((1, 0, front_widths(self.model.config)[self.index + 1]), np.float32)
        return np.asarray(self.model.convolve(self.index, x[:, : (count - 1) * self.stride + self.size]))

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
        if config.bidirectional or config.normalisation == "utterance":
            raise UserError(
                "the model needs the whole sound; a model for streams is trained with:"
                " python -m tasks.phoneme_recognizer.train streaming"
            )
        self.samples = np.zeros(0, np.float32)
        self.convolutions = [_Convolution(self.model, i, width) for i, width in enumerate(front_widths(config)[:-1])]
        self.states = self.model.stack.initial_state(1)
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
            bands = np.asarray(log_mel(self.samples[None], self.model.config.mels))
            x = (bands - np.asarray(self.model.mean)) / np.asarray(self.model.deviation)
        self.samples = self.samples[count * HOP :]
        for convolution in self.convolutions:
            x = convolution.finish(x) if is_last else convolution.feed(x)
        if not x.shape[1]:
            return np.zeros((0, self.model.num_classes), np.float32)
        outputs, self.states = self.model.stack(x, initial_state=self.states)
        logits, _ = self.model.heads(outputs)
        return np.asarray(ops.log_softmax(logits / self.model.temperature, axis=-1))[0]

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
