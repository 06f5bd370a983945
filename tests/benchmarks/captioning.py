"""Times `caption` on many images in one call, start-up apart.

python -m tests.benchmarks.captioning FOLDER [--count 200] [--beam 3]
"""

import argparse
import time
from itertools import islice
from pathlib import Path

from shared.media import IMAGES, read_image
from tasks.captioner.caption import BATCH, ImageCaptioner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--beam", type=int, default=3)
    options = parser.parse_args()

    paths = [path for path, error in islice(IMAGES.find([str(options.folder)]), options.count) if error is None]
    captioner = ImageCaptioner.load(beam=options.beam)
    captioner([read_image(paths[0])] * BATCH)  # start-up: the graph is built for this batch
    captioner([read_image(paths[0])])  # and for any other
    start = time.perf_counter()
    for first in range(0, len(paths), BATCH):
        captioner([read_image(path) for path in paths[first : first + BATCH]])
    print(f"{len(paths) / (time.perf_counter() - start):.1f} images/s, {len(paths)} images, beam {options.beam}")


if __name__ == "__main__":
    main()
