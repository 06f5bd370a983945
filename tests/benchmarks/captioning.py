"""Measures the throughput of `caption` on many images in one call, without start-up.

python -m tests.benchmarks.captioning FOLDER [--count 200] [--beam 3]
"""

import argparse
import time
from itertools import islice
from pathlib import Path

from shared.inputs import find_inputs
from shared.media import IMAGES, read_image
from tasks.captioner.caption import READER
from tasks.captioner.inference import ImageCaptioner

BATCH = READER.max_items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--beam", type=int, default=3)
    options = parser.parse_args()

    inputs = find_inputs(IMAGES, [str(options.folder)])
    paths = [path for _, path, error in islice(inputs, options.count) if path and error is None]
    if not paths:
        parser.error(f"{options.folder}: no images in this folder")
    captioner = ImageCaptioner.load(beam=options.beam)
    captioner([read_image(paths[0])] * BATCH)  # start-up: compiles the graph for this batch size
    captioner([read_image(paths[0])])  # and for all others
    start = time.perf_counter()
    for first in range(0, len(paths), BATCH):
        captioner([read_image(path) for path in paths[first : first + BATCH]])
    print(f"{len(paths) / (time.perf_counter() - start):.1f} images/s, {len(paths)} images, beam {options.beam}")


if __name__ == "__main__":
    main()
