"""The recognizer: mel spectra, convolutions, a stack of recurrent layers, and two heads.

    samples `(batch, samples)`, 16,000 Hz
      -> log-mel energies x `(batch, frames, mels)`, of mean 0 and standard deviation 1 in speech   [shared/features.py]
      -> relu(norm(conv(x))): first over 5 frames and 3 bands, then, once or twice, over 3 frames with stride 2;
         each convolution halves the bands                                            `(batch, time, bands x channels)`
      -> forward and backward LSTM, h_t = (h_t->, h_t<-), stacked                             [Graves et al. 2013, 2.1]
      -> frame head: p(phone or silence in each of the 2 or 4 frames of step t) = softmax(V h_t)
      -> CTC head: p(phone or blank at t) = softmax(W h_t + mean over the frames of V h_t)         [Graves et al. 2006]

The CTC head decides which phones there are. It is trained without times, and emits each phone at one or two steps of
its own choice. The frame head decides when they start and end: it is trained where times are known, and the CTC head's
labels are aligned to it, each near the steps that emit it. Silence is not a label but the time between phones. CTC
alone first learns to output blanks only, and needs many steps to leave that state; so its head starts at zero and is
added to the logits of the frame head.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from shared import ctc
from shared.any_size import AnySize
from shared.audio import SAMPLE_RATE
from shared.dense import Dense
from shared.features import log_mel
from shared.fine_tuning import transfer
from shared.frames import HOP, WINDOW, frame_count
from shared.loaded import Loaded
from shared.masks import is_real
from shared.ngrams import NGrams
from shared.phones import PhoneVocabulary
from shared.recurrent import Stack
from shared.runs import Run, RunError, current_fields
from shared.training import build_bounded, build_trained
from shared.views import repeat_batch
from tasks.phoneme_recognizer import normalisation
from tasks.phoneme_recognizer.config import Config
from tasks.phoneme_recognizer.spectrum import SpectrumMask, VocalTract

ops: Any = keras.ops  # Keras declares no result types for its operations


NEAR = 5  # frames around the peak of a phone in which its times are sought
FAR_PENALTY = 3.0  # nats that each frame of a phone beyond these costs: so that what no phone covers is silence


def convolutions(config: Config) -> list[tuple[int, int]]:
    """Kernel size and stride of each convolution, in frames."""
    return [(5, 1), *[(3, 2)] * (config.frames // 2)]


def front_widths(config: Config) -> list[int]:
    """Width of a frame before the first convolution and after each."""
    bands, widths = config.mels, [config.mels]
    for _ in convolutions(config):
        bands = (bands + 1) // 2
        widths.append(bands * config.front_channels)
    return widths


class Logits(NamedTuple):
    """Outputs of the two heads."""

    ctc_logits: Any  # (batch, time, vocab); class 0 is the blank
    ctc_lengths: Any  # (batch,) int32
    frame_logits: Any  # (batch, frames, vocab); class 0 is silence
    frame_lengths: Any  # (batch,) int32


class Segments(NamedTuple):
    """Phones with times; one hypothesis per utterance, or several, best first."""

    label_ids: Any  # (batch, beam, target) int32, 0 for padding
    starts: Any  # (batch, beam, target), seconds
    ends: Any  # (batch, beam, target), seconds
    probabilities: Any  # (batch, beam, target), of the phone in its segment
    label_lengths: Any  # (batch, beam) int32
    log_probs: Any  # (batch, beam), of the whole hypothesis


@keras.saving.register_keras_serializable("quatrain")
class PhonemeRecognizer(keras.Model):
    """Samples in, logits of phones out.

    Args:
        config: the run's configuration.
        num_classes: size of the vocabulary, id 0 included.

    Attributes:
        mean, deviation: `(mels,)`, statistics of the training corpus; used if `config.normalisation` is `running` or
            `corpus`.
        temperature: divides the CTC logits when probabilities are computed; fitted after training.
        belief: `(2,)`, slope and offset of the log-odds of phones found with n-grams, whose probabilities the acoustic
            model alone underestimates (Platt 1999); fitted after training with the run's own search, if it has a beam.
    """

    def __init__(self, config: Config, num_classes: int, name: str = "phoneme_recognizer", **kwargs):
        super().__init__(name=name, dtype="float32", **kwargs)  # the layers have the precision of the training
        self.config, self.num_classes = config, num_classes
        self.tract = VocalTract(config.vocal_tract_range, name="tract")
        self.mask = SpectrumMask(config.frequency_mask_width, config.time_mask_width, name="mask")
        self.convolutions = [
            keras.layers.Conv2D(config.front_channels, (size, 3), strides=(stride, 2), name=f"convolution_{i}")
            for i, (size, stride) in enumerate(convolutions(config))
        ]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(len(self.convolutions))]
        options: dict[str, Any] = {"bidirectional": config.bidirectional, "dropout": config.dropout}
        self.stack = Stack(config.cell, config.units, config.num_layers, name="stack", **options)
        self.output_dropout = keras.layers.Dropout(config.dropout, name="output_dropout")
        initializer = "zeros" if config.frame_weight else "glorot_uniform"
        self.ctc_head = Dense(num_classes, kernel_initializer=initializer, name="ctc_head")
        by_frame, trainable = config.frames * num_classes, config.frame_weight > 0
        self.frame_head = Dense(by_frame, name="frame_head", trainable=trainable)
        self.mean = self.add_weight(shape=(config.mels,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(config.mels,), initializer="ones", trainable=False, name="deviation")
        self.temperature = self.add_weight(shape=(), initializer="ones", trainable=False, name="temperature")
        self.belief = self.add_weight(
            shape=(2,), initializer=lambda shape, dtype=None: ops.array([1, 0], dtype), trainable=False, name="belief"
        )

    def build(self, input_shape: Any = None):
        del input_shape
        config, channels = self.config, 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build((None, None, None, channels))
            channels = config.front_channels
            norm.build((None, None, None, channels))
        self.stack.build((None, None, front_widths(config)[-1]))
        width = config.units * (2 if config.bidirectional else 1)
        self.ctc_head.build((None, None, width))
        self.frame_head.build((None, None, width))
        self.built = True

    def features(self, samples: Any, lengths: Any) -> tuple[Any, Any]:
        """`(batch, samples)` -> normalised bands `(batch, frames, mels)`, 0 in the padding; lengths in frames."""
        bands = log_mel(samples, self.config.mels)
        lengths = ops.cast(frame_count(lengths), "int32")
        real = is_real(bands, lengths)[:, :, None]
        match self.config.normalisation:
            case "speech":
                normalised = normalisation.over_speech(bands, real)
            case "utterance":
                normalised = normalisation.over_frames(bands, real)
            case _:
                normalised, _ = self.normalise_piece(bands)
        return ops.where(real, normalised, 0.0), lengths

    def normalise_piece(self, bands: Any, state: Any = None) -> tuple[Any, Any]:
        """Bands `(batch, frames, mels)` of a piece of a stream, normalised without later ones; the state after it.

        `state` is that of the piece before.
        """
        if self.config.normalisation == "corpus":
            return (bands - self.mean) / self.deviation, None
        below_peak, state = normalisation.below_peak(bands, state)
        return ops.maximum((below_peak - self.mean) / self.deviation, normalisation.QUIETEST), state

    def convolve(self, index: int, frames: Any) -> Any:
        """Convolution `index`, norm and relu, of frames `(batch, frames, bands x channels)` padded in time already."""
        batch, count, width = ops.shape(frames)
        channels = self.config.front_channels if index else 1
        x = ops.reshape(frames, (batch, count, width // channels, channels))
        x = self.convolutions[index](ops.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0))))
        x = ops.relu(self.norms[index](x))
        return ops.reshape(x, (batch, ops.shape(x)[1], front_widths(self.config)[index + 1]))

    def heads(self, outputs: Any) -> tuple[Any, Any]:
        """Outputs of the stack `(batch, time, units)` -> logits of CTC `(batch, time, vocab)` and of frames."""
        batch, steps, _ = ops.shape(outputs)
        frames = self.config.frames
        by_frame = ops.reshape(self.frame_head(outputs), (batch, steps, frames, self.num_classes))
        ctc_logits = self.ctc_head(outputs)
        if self.config.frame_weight:
            ctc_logits = ctc_logits + ops.stop_gradient(ops.mean(by_frame, axis=2))
        by_frame = ops.reshape(by_frame, (batch, frames * steps, self.num_classes))
        return ops.cast(ctc_logits, "float32"), ops.cast(by_frame, "float32")

    def logits(self, samples: Any, lengths: Any, training: bool = False, views: int = 1) -> Logits:
        """Run the network on `(batch, samples)` float32 with lengths `(batch,)` int32 in samples.

        `views` copies of the batch, one after the other along its axis, each have their own masks and dropout.
        """
        x, frame_lengths = (repeat_batch(tensor, views) for tensor in self.features(samples, lengths))
        x = self.mask(self.tract(x, training=training), training=training)
        frames, lengths = ops.shape(x)[1], frame_lengths
        for index, (size, stride) in enumerate(convolutions(self.config)):
            # Symmetric padding: with stride 2, that of Keras' "same" depends on the longest sound in the batch.
            x = self.convolve(index, ops.pad(x, ((0, 0), (size // 2, size // 2), (0, 0))))
            lengths = (lengths + stride - 1) // stride
            x = ops.where(is_real(x, lengths)[:, :, None], x, 0.0)
        outputs, _ = self.stack(x, mask=is_real(x, lengths), training=training)
        outputs = self.output_dropout(outputs, training=training)
        ctc_logits, frame_logits = self.heads(outputs)
        return Logits(ctc_logits, lengths, frame_logits[:, :frames], frame_lengths)

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """`samples` and `lengths` -> the fields of `Logits`."""
        return self.logits(inputs["samples"], inputs["lengths"], training)._asdict()

    def decode(
        self, samples: Any, lengths: Any, beam: int = 0, n_best: int = 1, ngrams: NGrams | None = None, **search: float
    ) -> Segments:
        """Recognize the phones of sounds.

        Args:
            samples, lengths: as in `logits`.
            beam: width of the prefix search; 0 selects the best path.
            n_best: number of hypotheses to return, at most the beam.
            ngrams, search: arguments of `shared.ctc.beam_search`.
        """
        logits = self.logits(samples, lengths)
        log_probs = self.log_probs(logits)
        if beam:
            best = ctc.beam_search(log_probs, logits.ctc_lengths, beam, ngrams, **search)
            label_ids, label_lengths = best.labels[:, :n_best], best.label_lengths[:, :n_best]
        else:
            label_ids, label_lengths = (x[:, None] for x in ctc.best_path(log_probs, logits.ctc_lengths))
        label_ids = ctc.trimmed(label_ids, label_lengths)
        segments = self.align(logits, lengths, label_ids, label_lengths)
        if ngrams is None:
            return segments
        clipped = ops.clip(segments.probabilities, 1e-6, 1 - 1e-6)
        probabilities = ops.sigmoid(self.belief[0] * ops.log(clipped / (1 - clipped)) + self.belief[1])
        return segments._replace(probabilities=ops.where(label_ids != ctc.BLANK, probabilities, 0.0))

    def log_probs(self, logits: Logits) -> Any:
        """Log-probabilities of the CTC head at the fitted temperature, `(batch, time, vocab)`."""
        return ops.log_softmax(ops.cast(logits.ctc_logits, "float32") / self.temperature, axis=-1)

    def posteriors(self, samples: Any, lengths: Any) -> tuple[Any, Any]:
        """Probabilities of silence and of each phone every 10 ms, `(batch, frames, vocab)`; lengths in frames.

        They are those of the frame head or, if it is untrained, those of the CTC head, repeated within each step.
        """
        logits = self.logits(samples, lengths)
        if self.config.frame_weight:
            return ops.softmax(logits.frame_logits, axis=-1), logits.frame_lengths
        repeated = ops.repeat(ops.exp(self.log_probs(logits)), self.config.frames, axis=1)
        return repeated[:, : ops.shape(logits.frame_logits)[1]], logits.frame_lengths

    def align(self, logits: Logits, lengths: Any, label_ids: Any, label_lengths: Any, are_all: bool = True) -> Segments:
        """Find the times and probabilities of given phones.

        The CTC head finds each phone; the frame head, its start and end near there.

        Args:
            logits: of the sounds.
            lengths: `(batch,)`, in samples.
            label_ids, label_lengths: `(batch, beam, target)` and `(batch, beam)`.
            are_all: whether the phones are all that is said. If not, the probability of a phone is that of its own
                segment; else it counts too that nothing is said between it and its neighbours.
        """
        batch, beam, count = ops.shape(label_ids)

        def flat(x):
            return ops.reshape(x, (batch * beam, *ops.shape(x)[2:]))

        def repeated(x):
            return x if beam == 1 else ops.repeat(x, beam, axis=0)

        labels, counts, samples = flat(label_ids), flat(label_lengths), repeated(lengths)
        log_probs, ctc_lengths = repeated(self.log_probs(logits)), repeated(logits.ctc_lengths)
        by_ctc = ctc.align(log_probs, ctc_lengths, labels, counts)
        margin = None if are_all else -(-NEAR // self.config.frames)  # in steps
        probabilities = ops.exp(ctc.label_log_probs(log_probs, ctc_lengths, labels, by_ctc, margin))
        probabilities = ops.where(labels != ctc.BLANK, probabilities, 0.0)
        if self.config.frame_weight:
            frame_log_probs = repeated(ops.log_softmax(logits.frame_logits, axis=-1))
            frames = self.config.frames
            near = ops.maximum(frames * by_ctc.starts - NEAR, 0), frames * by_ctc.ends + NEAR
            frame_lengths, outside = repeated(logits.frame_lengths), (*near, FAR_PENALTY)
            by_frame = ctc.align(frame_log_probs, frame_lengths, labels, counts, outside, sums=False)
            times = [_seconds(frame, samples) for frame in (by_frame.starts, by_frame.ends)]
        else:  # CTC alone: the steps of the phone's peak
            times = [_seconds(self.config.frames * step, samples) for step in (by_ctc.starts, by_ctc.ends)]
        starts, ends = (ops.where(labels != ctc.BLANK, time, 0.0) for time in times)
        starts, ends, probabilities = (ops.reshape(x, (batch, beam, count)) for x in (starts, ends, probabilities))
        log_probs = ops.reshape(by_ctc.log_probs, (batch, beam))
        return Segments(label_ids, starts, ends, probabilities, label_lengths, log_probs)

    def get_config(self):
        return {"config": asdict(self.config), "num_classes": self.num_classes, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PhonemeRecognizer":
        fields = Config(**current_fields(Config, config["config"]))
        # Models saved by older versions have no num_classes.
        return cls(fields, config.get("num_classes", len(PhoneVocabulary(fields.classes))), config["name"])


def _seconds(frames: Any, samples: Any) -> Any:
    """Times `(batch, target)` at which frames start, half way between the middles of two; 0 for the first.

    The frame after the last starts at the end of the sound, which has `samples` `(batch,)`.
    """
    boundary = ops.cast(frames, "float32") * HOP + (WINDOW - HOP) / 2
    length = ops.cast(samples, "float32")[:, None]
    last = ops.cast(frame_count(samples), "int32")[:, None]
    boundary = ops.where(frames >= last, length, ops.where(frames <= 0, 0.0, boundary))
    return boundary / SAMPLE_RATE


LoadedRecognizer = Loaded[Config, PhoneVocabulary, PhonemeRecognizer]


class RecognizerFunction(AnySize):
    """A function of a recognizer, compiled once for all sizes; call `predict_on_batch` with NumPy arrays."""

    max_rows = 64
    shortest: ClassVar = {"samples": SAMPLE_RATE}

    def __init__(self, model: PhonemeRecognizer, **search: Any):
        super().__init__()
        self.model, self.search = model, search

    def examples(self) -> list[dict[str, Any]]:
        """Tones and noise of two lengths."""
        rng, examples = np.random.default_rng(0), []
        for lengths in ((9000, 6500), (12_000,)):
            time = np.arange(max(lengths)) / SAMPLE_RATE
            tones = [0.1 * np.sin(2 * np.pi * rng.integers(200, 2000) * time * (1 + time)) for _ in lengths]
            noise = rng.normal(0, 0.01, (len(lengths), len(time)))
            samples = ((noise + tones) * (np.arange(len(time)) < np.array(lengths)[:, None])).astype(np.float32)
            examples.append({"samples": samples, "lengths": np.array(lengths, np.int32)})
        return examples


class PhoneDecoder(RecognizerFunction):
    """`PhonemeRecognizer.decode` with the options `search`."""

    def decode(self, samples: Any, lengths: Any) -> Segments:
        """`PhonemeRecognizer.decode` with this decoder's search."""
        return self.model.decode(samples, lengths, **self.search)

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`samples` and `lengths` -> the fields of `Segments`."""
        return self.decode(inputs["samples"], inputs["lengths"])._asdict()


class PosteriorFunction(RecognizerFunction):
    """`PhonemeRecognizer.posteriors`."""

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """`samples` and `lengths` -> probabilities `(batch, frames, vocab)` and lengths in frames."""
        return self.model.posteriors(inputs["samples"], inputs["lengths"])


class CTCFunction(RecognizerFunction):
    """`PhonemeRecognizer.log_probs`."""

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """`samples` and `lengths` -> log-probabilities of labels `(batch, time, vocab)` and the number of steps."""
        logits = self.model.logits(inputs["samples"], inputs["lengths"])
        return self.model.log_probs(logits), logits.ctc_lengths


class BestPathDecoder(RecognizerFunction):
    """The labels of the best path without times."""

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """`samples` and `lengths` -> label ids `(batch, time)` and their number `(batch,)`."""
        logits = self.model.logits(inputs["samples"], inputs["lengths"])
        return ctc.best_path(logits.ctc_logits, logits.ctc_lengths)


class PhoneAligner(RecognizerFunction):
    """`PhonemeRecognizer.align` of known labels."""

    shortest: ClassVar = {"samples": SAMPLE_RATE, "label_ids": 16}  # of a second of speech

    def examples(self) -> list[dict[str, Any]]:
        labels = np.array([[3, 1, 4], [2, 5, 0]], np.int32), np.array([3, 2], np.int32)
        return [
            {**sounds, "label_ids": labels[0][:count], "label_lengths": labels[1][:count]}
            for sounds in super().examples()
            for count in [len(sounds["lengths"])]
        ]

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`samples`, `lengths`, `label_ids` `(batch, target)`, `label_lengths` `(batch,)` -> fields of `Segments`."""
        logits = self.model.logits(inputs["samples"], inputs["lengths"])
        labels = inputs["label_ids"][:, None], inputs["label_lengths"][:, None]
        return self.model.align(logits, inputs["lengths"], *labels, are_all=False)._asdict()


def build_model(config: Config, vocabulary: PhoneVocabulary) -> PhonemeRecognizer:
    """An untrained recognizer; raises UserError if it would be too large."""

    def build() -> PhonemeRecognizer:
        model = PhonemeRecognizer(config, len(vocabulary))
        model.build()
        return model

    return build_bounded(build)


def start_from(initial: LoadedRecognizer, model: PhonemeRecognizer, after: PhoneVocabulary) -> None:
    """Gives a recognizer the weights of a run, which has the same phones."""
    del after
    transfer(initial.model, model)


def load_model(run: Run) -> LoadedRecognizer:
    """The configuration, vocabulary and trained model of a run; raises RunError if they do not fit together."""
    config = run.read_config(Config)
    vocabulary = PhoneVocabulary(config.classes)
    model = build_trained(run, lambda: build_model(config, vocabulary))
    if not float(model.temperature) > 0 or not bool(ops.all(model.deviation > 0)):
        raise RunError(f"{run.path}: a temperature and deviations above 0 were expected in weights.safetensors")
    return Loaded(config, vocabulary, model)


def load_ngrams(run: Run) -> NGrams:
    """The phone n-grams of the run's training corpus; raises RunError if they do not fit the vocabulary."""
    path, vocab = run.path / "ngrams.safetensors", len(PhoneVocabulary(run.read_config(Config).classes))
    specs = run.weight_specs("ngrams")
    shapes = {spec.shape for spec in specs.values()}
    if specs.keys() != set(NGrams._fields) or len(shapes) != 1 or next(iter(shapes))[1:] != (vocab,):
        raise RunError(f"{path}: log_probs and following of shape (states, {vocab}) were expected")
    ngrams = NGrams(**run.load_weights("ngrams"))
    if ngrams.log_probs.dtype != np.float32 or ngrams.following.dtype.kind not in "iu":
        raise RunError(f"{path}: float32 for log_probs and integers for following were expected")
    states = len(ngrams.following)
    if not states or not np.isin(ngrams.following, np.arange(states)).all():
        raise RunError(f"{path}: states from 0 to {states - 1} were expected in following")
    return ngrams


def measure_bands(model: PhonemeRecognizer, sounds: Iterable[np.ndarray]) -> None:
    """Set the model's mean and deviation of each band to those of sounds, float32 `(samples,)` each.

    With the normalisation `running` they are those of loud frames, relative to the peak.
    """
    count, total, squares = 0, 0.0, 0.0
    for sound in sounds:
        bands = log_mel(sound[None], model.config.mels)
        if model.config.normalisation == "running":
            bands, _ = normalisation.below_peak(bands)
            bands = bands[normalisation.loudness_of(bands) >= -normalisation.SPEECH_RANGE]
        bands = np.asarray(bands, np.float64).reshape(-1, model.config.mels)
        count, total, squares = count + len(bands), total + bands.sum(0), squares + np.square(bands).sum(0)
    mean = total / max(count, 1)
    model.mean.assign(mean)
    model.deviation.assign(np.sqrt(np.maximum(squares / max(count, 1) - np.square(mean), 1e-2)))
