"""Times the SavedModel of a recognizer on the sounds of a folder, without its start-up.

python -m tests.benchmarks.recognition EXPORT FOLDER [--batch 8]
"""

import argparse
import time
from pathlib import Path

import tensorflow as tf

from shared.audio import SAMPLE_RATE, SOUNDS, pad_samples, read_sound
from shared.inputs import find_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="folder of the SavedModel")
    parser.add_argument("folder", type=Path, help="folder of sound files")
    parser.add_argument("--batch", type=int, default=8, help="sounds per batch")
    options = parser.parse_args()

    inputs = find_inputs(SOUNDS, [str(options.folder)])
    sounds = [read_sound(path) for _, path, error in inputs if path and error is None]
    loaded = tf.saved_model.load(str(options.export))  # the model must outlive its functions
    for batch in (1, options.batch):
        batches = [pad_samples(sounds[start : start + batch]) for start in range(0, len(sounds), batch)]
        loaded.recognize(*batches[0])  # start-up
        start = time.perf_counter()
        for samples, lengths in batches:
            loaded.recognize(samples, lengths)
        seconds = sum(map(len, sounds)) / SAMPLE_RATE
        rate = seconds / (time.perf_counter() - start)
        print(f"{rate:.0f} times real time, {len(sounds)} sounds of {seconds:.0f} s, {batch} at a time")


if __name__ == "__main__":
    main()
