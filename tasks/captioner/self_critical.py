"""Self-critical training: after cross-entropy, the captioner is rewarded for what it is measured by.

Several captions of an image are sampled from the model, and each is scored by CIDEr-D against the image's references.
A caption that beats the mean of the others is made more likely, one that falls behind less likely: REINFORCE with the
baseline of Luo 2020, "A better variant of self-critical sequence training", section 3, after Rennie et al. 2017. The
end of a caption counts as a word, lest captions learn to break off.

    batch: inputs   grid (images, rows, columns, channels), token_ids (images, samples, target)
           targets  (images, samples, target), the sampled words
           weights  (images, samples, target), the advantage of the sample over the number of tokens
"""

import keras
import numpy as np

from shared.batching import BucketedBatches
from shared.decoding import sample
from shared.metrics import CiderD, caption_tokens
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config
from tasks.captioner.data import Split, readable
from tasks.captioner.model import Captioner

END = "</s>"  # counts as a word of the references and of the samples


class Sampler(keras.Model):
    """Captions drawn from the model, compiled once: call `draw`."""

    def __init__(self, captioner: Captioner, samples: int, max_length: int):
        super().__init__()
        self.captioner, self.samples, self.max_length = captioner, samples, max_length
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        """Grids -> token ids (batch, samples, target), ended by the end token, then padding."""
        return sample(
            **self.captioner.search_space(inputs, self.max_length),
            samples=self.samples,
            seed=self.seed_generator,
            forbidden_ids=(WordVocabulary.pad_id, WordVocabulary.start_id),
        ).token_ids

    def draw(self, inputs: np.ndarray, seed: int) -> np.ndarray:
        """What `call` returns; the same seed draws the same."""
        self.seed_generator.state.assign([seed, 0])
        return self.predict_on_batch(inputs)


def self_critical_batches(
    config: Config, train: Split, vocabulary: WordVocabulary, model: Captioner
) -> BucketedBatches:
    """Batches of captions sampled from `model` as it stands, with their advantages."""
    reward = CiderD([[[*caption_tokens(caption), END] for caption in image] for image in train.captions])
    sampler = Sampler(model, config.reward_samples, config.max_length)

    def words(token_ids: np.ndarray) -> list[str]:
        spoken = [int(i) for i in token_ids if i not in (vocabulary.pad_id, vocabulary.end_id)]
        text = readable(" ".join(vocabulary.tokens(spoken)))
        return [*caption_tokens(text), *([END] if vocabulary.end_id in token_ids else [])]

    def make_batch(indices: np.ndarray, rng: np.random.Generator):
        inputs = train.inputs[indices, rng.integers(train.inputs.shape[1], size=len(indices))]
        token_ids = sampler.draw(inputs, int(rng.integers(2**31)))
        length = (token_ids != vocabulary.pad_id).any(axis=(0, 1)).sum()
        token_ids = token_ids[:, :, :length]
        rewards = reward.score_indexed(
            np.repeat(indices, config.reward_samples), [words(caption) for image in token_ids for caption in image]
        ).reshape(len(indices), config.reward_samples)
        others = (rewards.sum(axis=1, keepdims=True) - rewards) / (config.reward_samples - 1)
        real = token_ids != vocabulary.pad_id
        weights = np.float32((rewards - others)[:, :, None] * real / real.sum())
        before = np.concatenate([np.full_like(token_ids[:, :, :1], vocabulary.start_id), token_ids[:, :, :-1]], axis=2)
        return {"grid": inputs, "token_ids": before}, token_ids, weights

    # All lengths equal: nothing to bucket by before the captions are drawn.
    images = max(1, config.batch_size // config.reward_samples)
    return BucketedBatches([1] * len(train.records), images, make_batch, config.seed + 1)
