"""TFDS builder of the spoken scenes: captions of `scenes` in the voices of espeak-ng, every phone timed."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets.records import timed_speech
from datasets.scenes.language import write_captions
from datasets.scenes.world import sample_scene
from datasets.spoken_scenes.speech import ACCENTS, SPEAKERS, Request, check_engine, say_all

SEED = 1
SPLITS = {"train": 2700, "dev": 200, "test": 400}
SHARD = 100  # utterances that one process says
VOICES = {"dev": SPEAKERS[3::12], "test": SPEAKERS[7::6]}
VOICES["train"] = tuple(speaker for speaker in SPEAKERS if speaker not in {*VOICES["dev"], *VOICES["test"]})
RATES, PITCHES, RANGES = (120, 240), (15, 85), (20, 80)  # words a minute; of the engine's 0 to 100


def make_requests() -> dict[str, list[Request]]:
    """What is said in each split: no sentence and no speaker of one is heard in another."""
    requests: dict[str, list[Request]] = {}
    taken: set[str] = set()  # in the splits before
    for number, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng([SEED, number])
        of_split = requests.setdefault(split, [])
        while len(of_split) < count:
            (caption,) = write_captions(rng, sample_scene(rng), 1)
            text = caption.english.replace(" .", ".").replace(" ,", ",")
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES[split])}"
            rate, pitch, spread = (int(rng.integers(low, high + 1)) for low, high in (RATES, PITCHES, RANGES))
            if text not in taken:
                of_split.append(Request(text, voice, rate, pitch, spread))
        taken |= {request.text for request in of_split}
    return requests


class Builder(tfds.core.GeneratorBasedBuilder):
    """Captions of rendered scenes, spoken, with phones timed to the sample."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=timed_speech(), disable_shuffling=True)  # record i is request i

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing to download
        check_engine()
        return {split: self._generate_examples(split, requests) for split, requests in make_requests().items()}

    def _generate_examples(self, split: str, requests: list[Request]) -> Iterator[tuple[int, dict]]:
        shards = [requests[start : start + SHARD] for start in range(0, len(requests), SHARD)]
        speeches = (speech for shard in say_all(shards) for speech in shard)
        for index, (request, speech) in enumerate(zip(requests, speeches, strict=True)):
            yield (
                index,
                {
                    "audio": speech.samples,
                    "phones": speech.phones,
                    "starts": np.array(speech.starts, np.int32),
                    "ends": np.array(speech.ends, np.int32),
                    "text": request.text,
                    "speaker": request.voice,
                    "name": f"{split}-{index:05d}",
                },
            )
