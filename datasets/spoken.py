"""What the spoken corpora share: a text, a voice by chance, sound with every phone timed."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from datasets.records import timed_speech
from datasets.speech import ACCENTS, SPEAKERS, Request, check_engine, say_all

SHARD = 100  # utterances that one process says
VOICES = {"dev": SPEAKERS[3::12], "test": SPEAKERS[7::6]}
VOICES["train"] = tuple(speaker for speaker in SPEAKERS if speaker not in {*VOICES["dev"], *VOICES["test"]})
RATES, PITCHES, RANGES = (120, 240), (15, 85), (20, 80)  # words a minute; of the engine's 0 to 100


def in_some_voice(text: str, split: str, rng: np.random.Generator) -> Request:
    """A text in one of the voices of a split; no speaker of one split is heard in another."""
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES[split])}"
    rate, pitch, spread = (int(rng.integers(low, high + 1)) for low, high in (RATES, PITCHES, RANGES))
    return Request(text, voice, rate, pitch, spread)


class SpokenBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Texts in the voices of espeak-ng; `requests` says which."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.1.0": "Samples are kept as bytes.", "1.0.0": "First release."}

    def requests(self) -> dict[str, list[Request]]:
        """What is said in each split."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(features=timed_speech(), disable_shuffling=True)  # record i is request i

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing to download
        check_engine()
        return {split: self._generate_examples(split, requests) for split, requests in self.requests().items()}

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
