"""TFDS builder of the spoken scenes: captions of `scenes` in the voices of espeak-ng, every phone timed."""

import numpy as np

from datasets.scenes.language import write_captions
from datasets.scenes.world import sample_scene
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, in_some_voice

SEED = 1
SPLITS = {"train": 2700, "dev": 200, "test": 400}


def make_requests() -> dict[str, list[Request]]:
    """What is said in each split: no sentence of one is heard in another."""
    requests: dict[str, list[Request]] = {}
    taken: set[str] = set()  # in the splits before
    for number, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([SEED, number])
        of_split = requests.setdefault(split, [])
        while len(of_split) < count:
            (caption,) = write_captions(rng, sample_scene(rng), 1)
            request = in_some_voice(caption.english.replace(" .", ".").replace(" ,", ","), split, rng)
            if request.text not in taken:
                of_split.append(request)
        taken |= {request.text for request in of_split}
    return requests


class Builder(SpokenBuilder):
    """Captions of rendered scenes, spoken, with phones timed to the sample."""

    def requests(self) -> dict[str, list[Request]]:
        return make_requests()
