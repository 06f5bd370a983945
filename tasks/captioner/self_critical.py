"""Self-critical training: after cross-entropy training, the captioner is rewarded for CIDEr-D, its evaluation metric.

Several captions per image are taken from the model, and each is scored by CIDEr-D against the image's references.
Captions that score above the mean of the others become more probable, those below it less: REINFORCE with the baseline
of Luo 2020, "A better variant of self-critical sequence training", section 3, after Rennie et al. 2017. The end token
counts as a word of the caption; otherwise the model learns to break captions off.

The captions are independent samples, which explore more, or those that the search finds, which are closer to what is
measured (Cornia et al. 2020, "Meshed-memory transformer for image captioning", section 3.3).

    batch: inputs   grid `(images, rows, columns, channels)`, token_ids `(images, captions, target)`
           targets  `(images, captions, target)`, the words of the captions
           weights  `(images, captions, target)`, the advantage of the caption divided by the batch's number of tokens
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from shared.batching import BucketedBatches
from shared.decoding import sample
from shared.metrics import CiderD, caption_tokens
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config
from tasks.captioner.data import Split, random_views
from tasks.captioner.model import Captioner, CaptionSearch
from tasks.captioner.spelling import readable

END = "</s>"  # a word of the references and of the samples


class Sampler(keras.Model):
    """Sampling of captions, compiled once: call `draw`."""

    def __init__(self, captioner: Captioner, samples: int, max_length: int):
        super().__init__()
        self.captioner, self.samples, self.max_length = captioner, samples, max_length
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        """Grids -> token ids `(batch, samples, target)`: words, the end token, padding."""
        forbidden_ids = WordVocabulary.pad_id, WordVocabulary.start_id
        space = self.captioner.search_space(inputs, self.max_length, forbidden_ids)
        return sample(space, samples=self.samples, seed=self.seed_generator).token_ids

    def draw(self, inputs: np.ndarray, seed: int) -> np.ndarray:
        """The result of `call`; the same seed gives the same samples."""
        self.seed_generator.state.assign([seed, 0])
        return self.predict_on_batch(inputs)


def self_critical_batches(
    config: Config, train: Split, vocabulary: WordVocabulary, model: Captioner
) -> BucketedBatches:
    """Batches of captions of the current `model`, with their advantages."""
    reward = CiderD([[[*caption_tokens(caption), END] for caption in image] for image in train.captions])
    sampler = Sampler(model, config.reward_samples, config.max_length)
    search = CaptionSearch(model, None, replace(config, beam=config.reward_samples), vocabulary)

    def draw(inputs: np.ndarray, seed: int) -> np.ndarray:
        by_search = config.reward_captions == "beam"
        return np.asarray(search.predict_on_batch(inputs)["token_ids"]) if by_search else sampler.draw(inputs, seed)

    def words(token_ids: np.ndarray) -> list[str]:
        word_ids = [int(i) for i in token_ids if i not in (vocabulary.pad_id, vocabulary.end_id)]
        text = readable(" ".join(vocabulary.tokens(word_ids)))
        return [*caption_tokens(text), *([END] if vocabulary.end_id in token_ids else [])]

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]):
        inputs = train.inputs[indices, random_views(train, rngs)].astype(np.float32)
        token_ids = draw(inputs, int(rngs[0].integers(2**31)))
        length = sizes.get("target", int((token_ids != vocabulary.pad_id).any(axis=(0, 1)).sum()))
        token_ids = token_ids[:, :, :length]
        rewards = reward.score_indexed(
            np.repeat(indices, config.reward_samples), [words(caption) for image in token_ids for caption in image]
        ).reshape(len(indices), config.reward_samples)
        baseline = (rewards.sum(axis=1, keepdims=True) - rewards) / (config.reward_samples - 1)
        mask = token_ids != vocabulary.pad_id
        weights = np.float32((rewards - baseline)[:, :, None] * mask / mask.sum())
        start = np.full_like(token_ids[:, :, :1], vocabulary.start_id)
        previous = np.concatenate([start, token_ids[:, :, :-1]], axis=2)
        return {"grid": inputs, "token_ids": previous}, token_ids, weights

    # Equal lengths: the captions of a batch are not known before they are made, so there are no buckets.
    images = max(1, config.batch_size // config.reward_samples)
    ones, sizes = [1] * len(train.records), {"target": [config.max_length + 1] * len(train.records)}
    return BucketedBatches(ones, images, make_batch, config.seed + 1, sizes, joint=True)
