"""The recognizer: what the ear hears every 10 ms, convolutions, a deep stack of LSTMs, two heads.

    samples (batch, samples), 16,000 a second
      -> logarithms of energy in bands x (batch, frames, mels), of mean 0 and deviation 1     [shared/features.py]
      -> relu(norm(conv(x))) over 5 frames and 3 bands, then, once or twice, over 3 at every second frame; each halves
         the bands                                                                    (batch, steps, bands x channels)
      -> forward and backward LSTM h_t = (h_t->, h_t<-), several above one another            [Graves et al. 2013, 2.1]
      -> frame head: p(phone, or silence, in each of the 2 or 4 frames at t) = softmax(V h_t)
      -> CTC head: p(phone, or nothing, at t) = softmax(W h_t + mean of these V h_t)           [Graves et al. 2006]

The CTC head tells which phones there are; it is trained without times, and comes to tell each at one or two frames of
its own choice. The frame head tells when they are: it is trained where times are known, and the labels that the other
has found are aligned to it. Silence is no label: it is what lies between. By itself CTC first learns to say nothing,
and is long in learning more; so it begins with what the frames tell, once they do, and adds to that.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from shared import ctc
from shared.any_size import AnySize
from shared.audio import SAMPLE_RATE
from shared.features import HOP, WINDOW, frame_count, log_mel, stretched
from shared.ngrams import NGrams
from shared.recurrent import Stack
from shared.runs import Run
from shared.training import load_trained
from tasks.phoneme_recognizer.config import Config

ops: Any = keras.ops  # Keras declares no result types for its operations

MASKS = 2  # stripes of each kind that SpecAugment blanks


def convolutions(config: Config) -> list[tuple[int, int]]:
    """Of each convolution how many frames it sees, in the middle its own, and to how many it gives one."""
    return [(5, 1), *[(3, 2)] * (config.frames // 2)]  # 1, 2 or 4 frames of 10 ms to a step


def front_widths(config: Config) -> list[int]:
    """Numbers that tell of a frame before the first convolution and after each."""
    bands, widths = config.mels, [config.mels]
    for _ in convolutions(config):
        bands = (bands + 1) // 2
        widths.append(bands * config.front_channels)
    return widths


class Heard(NamedTuple):
    """What the model makes of a batch of sounds."""

    ctc_logits: Any  # (batch, steps, phones + 1), 0 is nothing
    ctc_lengths: Any  # (batch,) int32
    frame_logits: Any  # (batch, frames, phones + 1), 0 is silence
    frame_lengths: Any  # (batch,) int32


class Found(NamedTuple):
    """Phones of each utterance, one hypothesis or several; all but the last two are (batch, beam, places)."""

    label_ids: Any  # int32, 0 where there are no more
    starts: Any  # seconds
    ends: Any  # seconds
    probabilities: Any  # that this phone was said here
    label_lengths: Any  # (batch, beam) int32
    log_probs: Any  # (batch, beam), of all phones together


@keras.saving.register_keras_serializable("quatrain")
class SpectrumMask(keras.layers.Layer):
    """Blanks stripes of bands and of frames in training (SpecAugment; Park et al. 2019, section 2)."""

    def __init__(self, bands: int, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.bands, self.frames = bands, frames
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, features, training=False):
        """(batch, frames, mels) -> the same; 0 is the mean of what is heard."""
        if not training:
            return features
        for axis, widest in ((1, self.frames), (2, self.bands)) * MASKS:
            batch, size = ops.shape(features)[0], ops.shape(features)[axis]
            drawn = keras.random.uniform((2, batch, 1), seed=self.seed_generator)
            width = drawn[0] * widest
            begin = drawn[1] * (ops.cast(size, "float32") - width)
            place = ops.cast(ops.arange(size), "float32")
            kept = ops.cast((place < begin) | (place >= begin + width), features.dtype)  # (batch, size)
            features = features * ops.expand_dims(kept, 3 - axis)
        return features

    def get_config(self):
        return {**super().get_config(), "bands": self.bands, "frames": self.frames}


@keras.saving.register_keras_serializable("quatrain")
class VocalTract(keras.layers.Layer):
    """Gives each utterance another vocal tract in training (Jaitly and Hinton 2013)."""

    def __init__(self, most: float, **kwargs):
        super().__init__(**kwargs)
        self.most = most
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, features, training=False):
        """(batch, frames, mels) -> the same, all frequencies by up to `most` of themselves higher or lower."""
        if not training or not self.most:
            return features
        batch = ops.shape(features)[:1]
        factors = keras.random.uniform(batch, 1 - self.most, 1 + self.most, seed=self.seed_generator)
        return stretched(features, factors)

    def get_config(self):
        return {**super().get_config(), "most": self.most}


@keras.saving.register_keras_serializable("quatrain")
class PhonemeRecognizer(keras.Model):
    """Sound in, logits of phones out.

    Args:
        config: a `Config`, or its fields.

    Attributes:
        mean, deviation: (mels,), of each band in the training corpus; used if that is what features are normalised by.
        temperature: by which logits are divided when probabilities are told; fitted after training.
        belief: (2,), slope and shift of the log-odds of what was found with n-grams, which makes the sound alone too
            doubtful a witness (Platt 1999); fitted after training to the search of the run, if it has a beam.
    """

    def __init__(self, config: Config | dict[str, Any], name: str = "phoneme_recognizer", **kwargs):
        super().__init__(name=name, **kwargs)
        self.config = config = Config(**config) if isinstance(config, dict) else config
        self.classes = len(config.phones) + 1
        self.tract = VocalTract(config.tract, name="tract")
        self.mask = SpectrumMask(config.masked_bands, config.masked_frames, name="mask")
        self.convolutions = [
            keras.layers.Conv2D(config.front_channels, (size, 3), strides=(stride, 2), name=f"convolution_{i}")
            for i, (size, stride) in enumerate(convolutions(config))
        ]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(len(self.convolutions))]
        self.stack = Stack(
            config.cell,
            config.units,
            config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            name="stack",
        )
        self.output_dropout = keras.layers.Dropout(config.dropout, name="output_dropout")
        initializer = "zeros" if config.frame_weight else "glorot_uniform"
        self.ctc_head = keras.layers.Dense(self.classes, kernel_initializer=initializer, name="ctc_head")
        self.frame_head = keras.layers.Dense(
            config.frames * self.classes, name="frame_head", trainable=config.frame_weight > 0
        )
        self.mean = self.add_weight(shape=(config.mels,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(config.mels,), initializer="ones", trainable=False, name="deviation")
        self.temperature = self.add_weight(shape=(), initializer="ones", trainable=False, name="temperature")
        self.belief = self.add_weight(
            shape=(2,), initializer=lambda shape, dtype=None: ops.array([1, 0], dtype), trainable=False, name="belief"
        )

    def build(self, input_shape=None):
        del input_shape
        config = self.config
        channels = 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build((None, None, None, channels))
            channels = config.front_channels
            norm.build((None, None, None, channels))
        self.stack.build((None, None, front_widths(config)[-1]))
        width = config.units * (2 if config.bidirectional else 1)
        self.ctc_head.build((None, None, width))
        self.frame_head.build((None, None, width))
        self.built = True

    def features(self, samples, lengths):
        """Samples (batch, samples) -> normalised bands (batch, frames, mels), 0 beyond an utterance's end; frames."""
        bands = log_mel(samples, self.config.mels)
        lengths = ops.cast(frame_count(lengths), "int32")
        real = _is_real(bands, lengths)[:, :, None]
        mean, deviation = self.mean, self.deviation
        if self.config.normalisation == "utterance":
            count = ops.cast(ops.maximum(lengths, 1), bands.dtype)[:, None, None]
            mean = ops.sum(ops.where(real, bands, 0.0), axis=1, keepdims=True) / count
            square = ops.sum(ops.where(real, ops.square(bands - mean), 0.0), axis=1, keepdims=True) / count
            deviation = ops.sqrt(square + 1e-2)  # of what hardly varies, such as silence, nothing is made
        return ops.where(real, (bands - mean) / deviation, 0.0), lengths

    def convolve(self, number: int, frames):
        """One convolution with what follows it, on frames (batch, frames, bands x channels) that bring their edges."""
        batch, count, width = ops.shape(frames)
        channels = self.config.front_channels if number else 1
        x = ops.reshape(frames, (batch, count, width // channels, channels))
        x = self.convolutions[number](ops.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0))))
        x = ops.relu(self.norms[number](x))
        return ops.reshape(x, (batch, ops.shape(x)[1], front_widths(self.config)[number + 1]))

    def heads(self, outputs):
        """Logits of CTC (batch, steps, classes), and of frames, several to a step, from the stack's outputs."""
        batch, steps, _ = ops.shape(outputs)
        frames = self.config.frames
        several = ops.reshape(self.frame_head(outputs), (batch, steps, frames, self.classes))
        ctc_logits = self.ctc_head(outputs)
        if self.config.frame_weight:
            ctc_logits = ctc_logits + ops.stop_gradient(ops.mean(several, axis=2))
        return ctc_logits, ops.reshape(several, (batch, frames * steps, self.classes))

    def hear(self, samples, lengths, training=False, readings=1) -> Heard:
        """Sounds float32 (batch, samples), of which `lengths` int32 (batch,) are real.

        With several `readings` the whole batch comes out so many times, one behind the other, each changed by itself.
        """
        x, frame_lengths = (_several(readings, found) for found in self.features(samples, lengths))
        x = self.mask(self.tract(x, training=training), training=training)
        frames, lengths = ops.shape(x)[1], frame_lengths
        for number, (size, stride) in enumerate(convolutions(self.config)):
            # The same zeros on both sides: what Keras pads with depends on how long the batch happens to be.
            x = self.convolve(number, ops.pad(x, ((0, 0), (size // 2, size // 2), (0, 0))))
            lengths = (lengths + stride - 1) // stride
            x = ops.where(_is_real(x, lengths)[:, :, None], x, 0.0)
        outputs, _ = self.stack(x, mask=_is_real(x, lengths), training=training)
        outputs = self.output_dropout(outputs, training=training)
        ctc_logits, frame_logits = self.heads(outputs)
        return Heard(ctc_logits, lengths, frame_logits[:, :frames], frame_lengths)

    def call(self, inputs, training=False):
        """A dictionary of the fields of `Heard`, from `samples` and `lengths`."""
        return self.hear(inputs["samples"], inputs["lengths"], training)._asdict()

    def find(self, samples, lengths, beam: int = 0, n_best: int = 1, ngrams=None, **search) -> Found:
        """The phones of sounds.

        Args:
            samples, lengths: as in `hear`.
            beam: of prefix search; 0: what the best path spells.
            n_best: hypotheses that are told, at most the beam.
            ngrams, search: see `shared.ctc.beam_search`.
        """
        heard = self.hear(samples, lengths)
        log_probs = self.log_probs(heard)
        if beam:
            found = ctc.beam_search(log_probs, heard.ctc_lengths, beam, ngrams, **search)
            label_ids, label_lengths = found.labels[:, :n_best], found.label_lengths[:, :n_best]
        else:
            label_ids, label_lengths = (x[:, None] for x in ctc.best_path(log_probs, heard.ctc_lengths))
        label_ids = label_ids[:, :, : ops.maximum(ops.max(label_lengths), 1)]
        found = self.locate(heard, lengths, label_ids, label_lengths)
        if ngrams is None:
            return found
        told = ops.clip(found.probabilities, 1e-6, 1 - 1e-6)
        told = ops.sigmoid(self.belief[0] * ops.log(told / (1 - told)) + self.belief[1])
        return found._replace(probabilities=ops.where(label_ids != ctc.BLANK, told, 0.0))

    def log_probs(self, heard: Heard):
        """Of the CTC head, as they are told."""
        return ops.log_softmax(ops.cast(heard.ctc_logits, "float32") / self.temperature, axis=-1)

    def posteriors(self, samples, lengths):
        """How probable silence and each phone are every 10 ms, (batch, frames, phones + 1), and frames of each sound.

        By the frame head, or, where it has learned nothing, by the CTC head, each of whose steps is told several times.
        """
        heard = self.hear(samples, lengths)
        if self.config.frame_weight:
            return ops.softmax(heard.frame_logits, axis=-1), heard.frame_lengths
        repeated = ops.repeat(ops.exp(self.log_probs(heard)), self.config.frames, axis=1)
        return repeated[:, : ops.shape(heard.frame_logits)[1]], heard.frame_lengths

    def locate(self, heard: Heard, lengths, label_ids, label_lengths) -> Found:
        """When each of the given phones begins and ends, and how probable it is.

        Args:
            heard: what the model made of the sounds.
            lengths: of these, in samples, (batch,).
            label_ids: (batch, beam, places) int32.
            label_lengths: (batch, beam) int32.
        """
        batch, beam, places = ops.shape(label_ids)

        def flat(x):
            return ops.reshape(x, (batch * beam, *ops.shape(x)[2:]))

        def repeated(x):
            return x if beam == 1 else ops.repeat(x, beam, axis=0)

        labels, counts, samples = flat(label_ids), flat(label_lengths), repeated(lengths)
        log_probs, ctc_lengths = repeated(self.log_probs(heard)), repeated(heard.ctc_lengths)
        by_ctc = ctc.align(log_probs, ctc_lengths, labels, counts)
        told = ops.exp(ctc.label_log_probs(log_probs, ctc_lengths, labels, by_ctc))
        told = ops.where(labels != ctc.BLANK, told, 0.0)
        if self.config.frame_weight:
            by_frame = ctc.align(
                repeated(ops.log_softmax(heard.frame_logits, axis=-1)), repeated(heard.frame_lengths), labels, counts
            )
            turns = [_seconds(turn, samples) for turn in (by_frame.starts, by_frame.ends)]
        else:  # no more is known than that a phone is somewhere around its peak
            turns = [_seconds(self.config.frames * turn, samples) for turn in (by_ctc.starts, by_ctc.ends)]
        starts, ends = (ops.where(labels != ctc.BLANK, turn, 0.0) for turn in turns)
        shape = (batch, beam, places)
        return Found(
            label_ids,
            ops.reshape(starts, shape),
            ops.reshape(ends, shape),
            ops.reshape(told, shape),
            label_lengths,
            ops.reshape(by_ctc.log_probs, (batch, beam)),
        )

    def get_config(self):
        from dataclasses import asdict

        return {"config": asdict(self.config), "name": self.name}


def _is_real(x, lengths):
    """(batch, time), whether a step of x (batch, time, ...) is within its length."""
    return ops.arange(ops.shape(x)[1]) < lengths[:, None]


def _several(times: int, batch):
    """A batch so many times over, one behind the other."""
    return batch if times == 1 else ops.concatenate([batch] * times)


def _seconds(frames, samples):
    """When frames begin, half way between the middles of two; the first with the sound, what follows the last at its
    end."""
    turn = ops.cast(frames, "float32") * HOP + (WINDOW - HOP) / 2
    length = ops.cast(samples, "float32")[:, None]
    last = ops.cast(frame_count(samples), "int32")[:, None]
    turn = ops.where(frames >= last, length, ops.where(frames <= 0, 0.0, turn))
    return turn / SAMPLE_RATE


def disagreement(heard: Heard):
    """What two readings of each utterance make of it that the other does not, in nats, at each step (batch, steps).

    Of a batch that holds all utterances twice, each time with other stripes blanked and other units dropped: the
    divergence of each step's classes from those of the other reading, which are taken for what is true (CR-CTC; Yao et
    al. 2024, equation 3).
    """
    log_probs = ops.log_softmax(heard.ctc_logits, axis=-1)
    halves = ops.split(log_probs, 2)
    others = ops.stop_gradient(ops.concatenate([halves[1], halves[0]]))
    nats = ops.sum(ops.exp(others) * (others - log_probs), axis=-1)
    return ops.where(_is_real(log_probs, heard.ctc_lengths), nats, 0.0)


@keras.saving.register_keras_serializable("quatrain")
class Listener(keras.Model):
    """Tells what the labels of a batch cost; in training also what its frames do, and at first those alone."""

    def __init__(self, model: PhonemeRecognizer, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.steps = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False, name="steps")
        self.built = True

    def call(self, inputs, training=False):
        """-log p in nats per label, of all together, once for each reading (readings,); inputs as in `data`."""
        config = self.model.config
        readings = 2 if training and config.consistency > 0 else 1
        heard = self.model.hear(inputs["samples"], inputs["lengths"], training, readings)
        label_ids, label_lengths, frame_ids = (
            _several(readings, inputs[name]) for name in ("label_ids", "label_lengths", "frame_ids")
        )
        nats = ctc.loss(label_ids, label_lengths, heard.ctc_logits, heard.ctc_lengths)
        labels = ops.cast(ops.sum(label_lengths), nats.dtype)
        if readings > 1:
            self.add_loss(config.consistency * ops.sum(disagreement(heard)) / labels)
        if training and config.frame_weight:
            self.steps.assign(self.steps + 1)
            nats = ops.where(self.steps > config.frames_first, nats, ops.stop_gradient(nats))
            known = ops.cast(frame_ids >= 0, "float32")
            log_probs = ops.log_softmax(heard.frame_logits, axis=-1)
            told = ops.take_along_axis(log_probs, ops.maximum(frame_ids, 0)[:, :, None], axis=-1)[:, :, 0]
            self.add_loss(-config.frame_weight * ops.sum(told * known) / ops.maximum(ops.sum(known), 1))
        return ops.broadcast_to(ops.sum(nats) / labels, ops.shape(nats))

    def get_config(self):
        return {"model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(keras.saving.deserialize_keras_object(config["model"], custom_objects))


class Finder(AnySize):
    """`PhonemeRecognizer.find`, compiled once: call `predict_on_batch` with NumPy arrays."""

    def __init__(self, model: PhonemeRecognizer, **search):
        super().__init__()
        self.model, self.search = model, search

    def find(self, samples, lengths) -> Found:
        """See `PhonemeRecognizer.find`."""
        return self.model.find(samples, lengths, **self.search)

    def call(self, inputs):
        """`samples` and `lengths` -> the fields of `Found`."""
        return self.find(inputs["samples"], inputs["lengths"])._asdict()


class Speller(AnySize):
    """The labels of the best path alone, compiled once."""

    def __init__(self, model: PhonemeRecognizer):
        super().__init__()
        self.model = model

    def call(self, inputs):
        """`samples` and `lengths` -> labels (batch, frames / 2) and how many."""
        heard = self.model.hear(inputs["samples"], inputs["lengths"])
        return ctc.best_path(heard.ctc_logits, heard.ctc_lengths)


class Locator(AnySize):
    """`PhonemeRecognizer.locate` of labels that are known, compiled once."""

    def __init__(self, model: PhonemeRecognizer):
        super().__init__()
        self.model = model

    def call(self, inputs):
        """`samples`, `lengths`, `label_ids` (batch, places), `label_lengths` (batch,) -> the fields of `Found`."""
        heard = self.model.hear(inputs["samples"], inputs["lengths"])
        labels = inputs["label_ids"][:, None], inputs["label_lengths"][:, None]
        return self.model.locate(heard, inputs["lengths"], *labels)._asdict()


def build_model(config: Config) -> PhonemeRecognizer:
    """An untrained recognizer."""
    model = PhonemeRecognizer(config)
    model.build()
    return model


def load_model(run: Run) -> tuple[Config, PhonemeRecognizer]:
    """The configuration and the trained model of a run; RunError when they do not fit together."""
    config = run.read_config(Config)
    model = build_model(config)
    load_trained(run, model)
    return config, model


def load_ngrams(run: Run) -> NGrams:
    """What phones were like after others in the training corpus."""
    return NGrams(**run.load_weights("ngrams"))


def measure_bands(model: PhonemeRecognizer, sounds: Any) -> None:
    """Gives the model mean and deviation of each band over sounds, float32 (samples,) each."""
    count, total, squares = 0, 0.0, 0.0
    for sound in sounds:
        bands = np.asarray(log_mel(sound[None], model.config.mels)[0], np.float64)
        count, total, squares = count + len(bands), total + bands.sum(0), squares + np.square(bands).sum(0)
    mean = total / max(count, 1)
    model.mean.assign(mean)
    model.deviation.assign(np.sqrt(np.maximum(squares / max(count, 1) - np.square(mean), 1e-2)))
