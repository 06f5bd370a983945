"""The first steps of a tiny training of each task: `python -m tests.first_steps FOLDER STEPS MULTIPLE`.

The rows of a batch are filled up to a multiple of MULTIPLE, as for that many devices.
Each process writes its part of every batch, and the weights after every step, to FOLDER/<process>/<task>/<step>/.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from shared import batching
from shared.cli import command
from shared.distribution import end_together, join, part
from shared.runs import write_tensors
from shared.steps import steps_of
from shared.training import weights_as_arrays
from tests.tiny_trainings import TRAININGS

RATE = 0.003  # the presets' peak


@command
def main(arguments: list[str]) -> None:
    folder, steps_per_task, multiple = arguments
    join()
    batching.MAX_BUCKETS = 1  # each size is compiled for seconds
    for task, build in TRAININGS.items():
        keras.utils.set_random_seed(1)
        model, batches = build()
        model.optimizer.build(model.trainable_variables)
        steps = steps_of(model)
        steps.prepare(batches)
        batches.multiple = int(multiple)
        for index in range(int(steps_per_task)):
            path = Path(folder, str(part()[0]), task, str(index))
            arrays = {str(i): np.asarray(array) for i, array in enumerate(keras.tree.flatten(batches[index]))}
            write_tensors(path / "batch.safetensors", arrays)
            steps.run(steps.load([batches[index]]), [RATE])
            steps.synchronize()
            write_tensors(path / "weights.safetensors", weights_as_arrays(model))
    end_together()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
