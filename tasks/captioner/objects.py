"""What the encoder of scenes learns: which object stands where, told of every cell of the grid.

A CNN that has to learn the shapes from captions alone needs ten times the steps: half of the words of a caption are
chance, and the gradient reaches a cell through an attention that does not know yet where to look.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from datasets.scenes.world import COLOURS, SHAPES, SIZES
from shared.batching import BucketedBatches
from shared.training import TrainingError, cosine, warmed_up
from tasks.captioner.config import Config

ops: Any = keras.ops  # Keras declares no result types for its operations

ATTRIBUTES = {"shapes": SHAPES, "colours": COLOURS, "sizes": tuple(SIZES)}  # the records' fields and their values
VALUES = sum(map(len, ATTRIBUTES.values()))
CHANNELS = 5 * VALUES + 2

NOTHING, EITHER = 0, -1  # labels of a cell, beside 1 + the number of a value


def _split(logits) -> list[Any]:
    """One tensor for each of ATTRIBUTES, (..., 1 + values), from all of them, (..., VALUES + attributes)."""
    ends = np.cumsum([1 + len(values) for values in ATTRIBUTES.values()])
    return ops.split(logits, ends[:-1].tolist(), axis=-1)


@keras.saving.register_keras_serializable("quatrain")
class Arrangement(keras.layers.Layer):
    """From the objects of a scene to all that the decoder may want to know of each.

    Takes the logits of ATTRIBUTES, (batch, rows, columns, VALUES + attributes). For each cell it gives the
    probabilities of the values there, their maxima over the cells to the left, to the right, above and below, and its
    row and column from -1 to 1 (Liu et al. 2018, CoordConv, section 3): (batch, rows, columns, 5 VALUES + 2). All of it
    is multiplied by the probability that an object has its centre there, which is 0 wherever a neighbour is surer: to
    learn of an object, one has to look at it.

    The next column is no "left" or "right" yet: between neighbours it is a matter of pixels.
    """

    def call(self, logits):
        probabilities = [ops.softmax(attribute, axis=-1)[..., 1:] for attribute in _split(logits)]
        present = ops.sum(probabilities[0], axis=-1, keepdims=True)
        values = ops.concatenate(probabilities, axis=-1)
        # An object is seen from the cells around its centre too, not as well. A decoder that may look at them prefers
        # them where they show a pair of shape and colour that it knows to a centre with one that it never met.
        centres = present * ops.cast(present >= ops.max_pool(present, 3, strides=1, padding="same"), values.dtype)
        rows = ops.max(centres * values, axis=2, keepdims=True)  # (batch, rows, 1, VALUES)
        columns = ops.max(centres * values, axis=1, keepdims=True)
        beside = [_before(columns, 2), ops.flip(_before(ops.flip(columns, 2), 2), 2)]
        beside += [_before(rows, 1), ops.flip(_before(ops.flip(rows, 1), 1), 1)]
        place = ops.meshgrid(*(ops.linspace(-1.0, 1.0, side) for side in logits.shape[1:3]), indexing="ij")
        told = [values, *beside, ops.cast(ops.stack(place, axis=-1)[None], values.dtype)]
        shape = ops.shape(values)[:3]
        return centres * ops.concatenate([ops.broadcast_to(part, (*shape, part.shape[-1])) for part in told], axis=-1)


def _before(line, axis: int):
    """For each place along an axis of (batch, rows, columns, channels) the maximum of what comes two before or more."""
    length = line.shape[axis]
    padding, window = [(0, 0)] * 4, [1, 1]
    padding[axis], window[axis - 1] = (length + 1, 0), length
    return ops.take(ops.max_pool(ops.pad(line, padding), window, strides=1), range(length), axis=axis)


def small_cnn(image_size: int) -> keras.Model:
    """A CNN for drawn scenes: images in 0..255 -> grid (batch, image_size / 8, image_size / 8, CHANNELS).

    A cell sees 38 pixels around it: the largest object, but not the whole scene.
    """

    def convolution(x, filters, name, pool=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution_{name}")(x)
        # Maximum pooling learns the shapes of 14-pixel objects in half the epochs that strided convolutions need.
        x = keras.layers.MaxPooling2D(pool)(x) if pool > 1 else x
        x = keras.layers.BatchNormalization(momentum=0.95, name=f"normalization_{name}")(x)
        return keras.layers.ReLU()(x)

    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for i, filters in enumerate((16, 32, 64)):
        x = convolution(x, filters, i, pool=2)
    x = convolution(x, 128, 3)
    logits = keras.layers.Conv2D(VALUES + len(ATTRIBUTES), 1, name="attributes")(x)
    return keras.Model(inputs, Arrangement(name="arrangement")(logits), name="objects")


def cell_labels(record: dict[str, Any], side: int) -> np.ndarray:
    """What the `side` x `side` cells of a scene hold: int32 (side, side, attributes).

    The cell of an object's centre is labelled with its values, the eight around it EITHER, all others NOTHING.
    """
    labels = np.full((side, side, len(ATTRIBUTES)), NOTHING, np.int32)
    centres = [
        (int((top + bottom) / 2 * side), int((left + right) / 2 * side)) for top, left, bottom, right in record["boxes"]
    ]
    for row, column in centres:
        labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = EITHER
    for i, centre in enumerate(centres):
        labels[centre] = [1 + values.index(record[field][i]) for field, values in ATTRIBUTES.items()]
    return labels


@keras.saving.register_keras_serializable("quatrain")
class CellCrossEntropy(keras.losses.Loss):
    """The cross-entropy in nats of the attributes of a cell, objects and empty cells weighing alike.

    Called with `cell_labels` (batch, rows, columns, attributes) and logits (batch, rows, columns, VALUES + attributes).
    """

    def __init__(self, name: str = "cell_cross_entropy"):
        super().__init__(name=name, reduction="sum")

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "int32")
        nats = []
        for i, logits in enumerate(_split(y_pred)):
            chosen = ops.maximum(labels[..., i], NOTHING)
            nats.append(-ops.take_along_axis(ops.log_softmax(logits, axis=-1), chosen[..., None], axis=-1)[..., 0])
        nats = ops.stack(nats, axis=-1)
        held, empty = (ops.cast(kind, nats.dtype) for kind in (labels > NOTHING, ops.equal(labels, NOTHING)))
        return sum(ops.sum(nats * kind) / ops.maximum(ops.sum(kind), 1) for kind in (held, empty))


def learn_objects(network: keras.Model, images: np.ndarray, records: Sequence[dict[str, Any]], config: Config) -> float:
    """Trains the CNN to tell what stands where, in place.

    Args:
        network: as `small_cnn` gives it.
        images: uint8 (images, height, width, 3).
        records: of the images, with their objects.
        config: `encoder_epochs` and so on.

    Returns:
        The loss of the last epoch.

    Raises:
        TrainingError: the loss is not finite.
    """
    network.trainable = True
    detector = keras.Model(network.input, network.get_layer("attributes").output)
    side = detector.output_shape[1]
    labels = np.stack([cell_labels(record, side) for record in records])
    batches = BucketedBatches(
        [1] * len(records),
        config.encoder_batch_size,
        lambda indices, _: (images[indices], labels[indices]),
        config.seed,
    )
    detector.compile(keras.optimizers.Adam(), CellCrossEntropy())
    steps, loss = config.encoder_epochs * len(batches), math.nan
    for step in range(steps):
        batches.epoch, number = divmod(step, len(batches))
        decay = warmed_up(step, config.encoder_warmup_steps) * cosine(step, steps)
        detector.optimizer.learning_rate = config.encoder_learning_rate * decay
        if number == 0:
            detector.reset_metrics()
        loss = float(detector.train_on_batch(*batches[number]))
        if not math.isfinite(loss):
            raise TrainingError(f"the encoder's loss is {loss} at step {step + 1}; a lower learning rate may help")
    network.trainable = False
    return loss
