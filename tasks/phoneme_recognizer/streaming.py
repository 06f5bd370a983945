"""Listening while somebody speaks: fed piece by piece, CTC tells the same posteriors as of the whole sound.

What is heard next may depend on what was heard before, never on what is still to come, but for the few frames that the
convolutions look ahead: 3 of 10 ms, or 5. So states are carried, and each convolution keeps the frames that its next
output sees as well.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from shared.audio import SAMPLE_RATE
from shared.errors import UserError
from shared.features import HOP, WINDOW, frame_count, log_mel
from shared.runs import Run
from tasks.phoneme_recognizer.model import PhonemeRecognizer, convolutions, front_widths, load_model

ops: Any = keras.ops  # Keras declares no result types for its operations


class _Frames:
    """Frames that a convolution has yet to see: at first, as at the end, zeros."""

    def __init__(self, model: PhonemeRecognizer, number: int, width: int):
        self.model, self.number = model, number
        self.size, self.stride = convolutions(model.config)[number]
        self.edge = np.zeros((1, self.size // 2, width), np.float32)
        self.waiting = self.edge

    def feed(self, frames: np.ndarray) -> np.ndarray:
        """(1, frames, width) -> as many outputs as are certain by now."""
        seen = np.concatenate([self.waiting, frames], axis=1)
        count = max((seen.shape[1] - self.size) // self.stride + 1, 0)
        self.waiting = seen[:, count * self.stride :]
        if not count:
            return np.zeros((1, 0, front_widths(self.model.config)[self.number + 1]), np.float32)
        used = seen[:, : (count - 1) * self.stride + self.size]
        return np.asarray(self.model.convolve(self.number, used))

    def finish(self, frames: np.ndarray) -> np.ndarray:
        """The last frames, and what follows from there being no more."""
        return self.feed(np.concatenate([frames, self.edge], axis=1))


class StreamRecognizer:
    """A recognizer that is fed sound as it comes.

    Raises:
        UserError: the model reads backwards too, or normalises by what it can know at the end only.
    """

    def __init__(self, model: PhonemeRecognizer):
        config = model.config
        if config.bidirectional or config.normalisation == "utterance":
            raise UserError(
                "the model needs the whole sound; one for streams is trained with:"
                " python -m tasks.phoneme_recognizer.train streaming"
            )
        self.model = model
        self.samples = np.zeros(0, np.float32)
        self.frames = [_Frames(model, number, width) for number, width in enumerate(front_widths(config)[:-1])]
        self.states = model.stack.initial_state(1)
        self.heard, self.last = 0, 0  # frames of 10 ms that were told of; the label of the last one

    @classmethod
    def load(cls, run: Run) -> "StreamRecognizer":
        """Of a trained run; RunError when its files do not fit together."""
        return cls(load_model(run)[1])

    def feed(self, samples: np.ndarray) -> list[tuple[str, float]]:
        """Phones that are heard in what is certain by now, and where they peak, in seconds; samples float32."""
        return list(self._spelt(self.posteriors(samples)))

    def finish(self) -> list[tuple[str, float]]:
        """The phones that were still uncertain."""
        return list(self._spelt(self.posteriors(np.zeros(0, np.float32), is_last=True)))

    def posteriors(self, samples: np.ndarray, is_last: bool = False) -> np.ndarray:
        """Natural logarithms (steps, phones + 1) of what is certain by now."""
        self.samples = np.concatenate([self.samples, samples])
        count = int(frame_count(len(self.samples)))
        bands = np.asarray(log_mel(self.samples[None], self.model.config.mels)) if count else np.zeros(0)
        self.samples = self.samples[count * HOP :]
        frames = (bands - np.asarray(self.model.mean)) / np.asarray(self.model.deviation) if count else None
        x = np.zeros((1, 0, self.model.config.mels), np.float32) if frames is None else frames
        for convolution in self.frames:
            x = convolution.finish(x) if is_last else convolution.feed(x)
        if not x.shape[1]:
            return np.zeros((0, self.model.classes), np.float32)
        outputs, self.states = self.model.stack(x, initial_state=self.states)
        logits, _ = self.model.heads(outputs)
        return np.asarray(ops.log_softmax(logits / self.model.temperature, axis=-1))[0]

    def _spelt(self, log_probs: np.ndarray) -> Iterator[tuple[str, float]]:
        for label in log_probs.argmax(axis=-1):
            if label not in (0, self.last):
                yield (
                    self.model.config.phones[label - 1],
                    (self.model.config.frames * self.heard * HOP + WINDOW / 2) / SAMPLE_RATE,
                )
            self.heard, self.last = self.heard + 1, label
