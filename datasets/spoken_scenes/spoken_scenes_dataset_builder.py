"""TFDS builder of the spoken scenes: captions of `scenes`, synthesized with phone times."""

import numpy as np

from datasets.scenes.language import write_captions
from datasets.scenes.world import sample_scene
from datasets.speech import Request
from datasets.spoken import SpokenBuilder, random_request

SEED = 1
SPLITS = {"train": 2700, "dev": 200, "test": 400}


def make_requests() -> dict[str, list[Request]]:
    """Return the utterances of each split; no sentence is in two splits."""
    requests: dict[str, list[Request]] = {}
    taken: set[str] = set()  # sentences of the splits before
    for index, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([SEED, index])
        of_split = requests.setdefault(split, [])
        while len(of_split) < count:
            (caption,) = write_captions(rng, sample_scene(rng), 1)
            request = random_request(caption.english.replace(" .", ".").replace(" ,", ","), split, rng)
            if request.text not in taken:
                of_split.append(request)
        taken |= {request.text for request in of_split}
    return requests


class Builder(SpokenBuilder):
    """Synthesized captions of rendered scenes with phone times in samples."""

    def requests(self) -> dict[str, list[Request]]:
        return make_requests()
