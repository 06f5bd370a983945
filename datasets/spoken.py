"""Base class of the spoken corpora: texts in random voices, with the start and end of each phone."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets.records import timed_speech_features
from datasets.speech import ACCENTS, SPEAKERS, Request, check_engine, synthesize_all

SHARD = 100  # utterances per process of the engine
VOICES = {"dev": SPEAKERS[3::12], "test": SPEAKERS[7::6]}
VOICES["train"] = tuple(speaker for speaker in SPEAKERS if speaker not in {*VOICES["dev"], *VOICES["test"]})
RATES, PITCHES, RANGES = (120, 240), (15, 85), (20, 80)  # words per minute; the others on the engine's 0 to 100


def random_request(text: str, split: str, rng: np.random.Generator) -> Request:
    """Return a request for a text in a random voice of a split; the splits have disjoint speakers."""
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES[split])}"
    rate, pitch, spread = (int(rng.integers(low, high + 1)) for low, high in (RATES, PITCHES, RANGES))
    return Request(text, voice, rate, pitch, spread)


class SpokenBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builder of synthesized utterances, record i from request i; a subclass implements `requests`."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.2.0": "The noise of breathy voices is reproducible.",
        "1.1.0": "Samples are stored as bytes.",
        "1.0.0": "First release.",
    }

    def requests(self) -> dict[str, list[Request]]:
        """Return the utterances of each split."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=timed_speech_features(), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing to download
        check_engine()
        return {split: self._generate_examples(split, requests) for split, requests in self.requests().items()}

    def _generate_examples(self, split: str, requests: list[Request]) -> Iterator[tuple[int, dict]]:
        shards = [requests[start : start + SHARD] for start in range(0, len(requests), SHARD)]
        speeches = (speech for shard in synthesize_all(shards) for speech in shard)
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
