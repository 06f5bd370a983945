"""Training of the scene encoder: object detection, with a label for every cell of the grid.

A CNN that has to learn shapes from captions alone needs ten times as many steps: half of the words of a caption are
random choices, and the gradient reaches a cell only through an attention that is not trained yet.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from datasets.scenes.world import COLOURS, SHAPES, SIZES
from shared.batching import BucketedBatches
from shared.gathering import take_each
from shared.optimizers import Adam
from shared.training import TrainingError, cosine_factor, warmup_factor
from tasks.captioner.config import Config
from tasks.captioner.encoder import split_logits

ops: Any = keras.ops  # Keras declares no result types for its operations

VALUES_OF = {"shapes": SHAPES, "colours": COLOURS, "sizes": tuple(SIZES)}  # fields of the records, as in ATTRIBUTES

EMPTY, IGNORED = 0, -1  # labels of a cell; the label of a value is 1 + its index


def cell_labels(record: dict[str, Any], side: int) -> np.ndarray:
    """The labels of a scene's `side` x `side` cells: int32 `(side, side, attributes)`.

    The cell of an object's centre has the object's values, the eight cells around it IGNORED, all others EMPTY.
    """
    labels = np.full((side, side, len(VALUES_OF)), EMPTY, np.int32)
    centres = [
        (int((top + bottom) / 2 * side), int((left + right) / 2 * side)) for top, left, bottom, right in record["boxes"]
    ]
    for row, column in centres:
        labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = IGNORED
    for i, centre in enumerate(centres):
        labels[centre] = [1 + values.index(record[field][i]) for field, values in VALUES_OF.items()]
    return labels


@keras.saving.register_keras_serializable("quatrain")
class CellCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the attributes of cells, in nats: the mean over objects plus the mean over empty cells.

    `y_true` are labels `(batch, rows, columns, attributes)`, `y_pred` logits `(batch, rows, columns, LOGITS)`.
    """

    def __init__(self, name: str = "cell_cross_entropy"):
        super().__init__(name=name, reduction="sum")

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "int32")
        nats = []
        for i, logits in enumerate(split_logits(y_pred)):
            classes = ops.maximum(labels[..., i], EMPTY)
            nats.append(-take_each(ops.log_softmax(logits, axis=-1), classes))
        nats = ops.stack(nats, axis=-1)
        masks = (ops.cast(mask, nats.dtype) for mask in (labels > EMPTY, ops.equal(labels, EMPTY)))
        return sum(ops.sum(nats * mask) / ops.maximum(ops.sum(mask), 1) for mask in masks)


def learn_objects(network: keras.Model, images: np.ndarray, records: Sequence[dict[str, Any]], config: Config) -> float:
    """Train `network`, the result of `small_cnn`, in place to detect the objects of images and their records.

    Returns the loss of the last epoch. `images` is uint8 `(images, height, width, 3)`.

    Raises:
        TrainingError: the loss is not finite.
    """
    network.trainable = True
    detector = keras.Model(network.input, network.get_layer("attributes").output)
    side = detector.output_shape[1]
    labels = np.stack([cell_labels(record, side) for record in records])
    size, lengths = config.encoder_batch_size, [1] * len(records)
    batches = BucketedBatches(lengths, size, lambda indices, *_: (images[indices], labels[indices]), config.seed)
    detector.compile(Adam(), CellCrossEntropy())
    detector.optimizer.build(detector.trainable_variables)  # else the first step is compiled twice
    steps, loss = config.encoder_epochs * len(batches), math.nan
    for step in range(steps):
        epoch, index = divmod(step, len(batches))
        decay = warmup_factor(step, config.encoder_warmup_steps) * cosine_factor(step, steps)
        detector.optimizer.learning_rate = config.encoder_learning_rate * decay
        if index == 0:
            batches.epoch = epoch
            detector.reset_metrics()
        loss = float(detector.train_on_batch(*batches[index]))
        if not math.isfinite(loss):
            raise TrainingError(f"the encoder's loss is {loss} at step {step + 1}; a lower learning rate may help")
    network.trainable = False
    return loss
