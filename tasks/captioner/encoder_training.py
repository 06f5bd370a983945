"""Training of the encoder's last layer, before the decoder's training."""

import keras
import numpy as np

from shared.runs import Run
from shared.training import assign_weights, weights_as_arrays
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config
from tasks.captioner.data import Split
from tasks.captioner.encoder import build_encoder, load_encoder
from tasks.captioner.objects import learn_objects
from tasks.captioner.words import learn_words, word_fractions


def learned_encoder(run: Run, config: Config, train: Split, vocabulary: WordVocabulary) -> keras.Sequential:
    """The encoder of a run; if it has none, the last layer is learned from the result of `load_split` and saved."""
    if (run.path / "encoder.safetensors").exists():
        return load_encoder(run, config)
    encoder = build_encoder(config)
    last = encoder.layers[-1]
    if config.encoder == "cnn":
        loss = learn_objects(last, train.inputs[:, 0], train.records, config)
        print(f"the encoder has learned to detect objects: {loss:.3g} nats per cell")
    else:
        token_ids = [[vocabulary.encode(caption) for caption in captions] for captions in train.captions]
        features = np.stack([grids.mean(axis=(1, 2), dtype=np.float32) for grids in train.inputs])
        fractions = word_fractions(token_ids, len(vocabulary.reserved), config.encoder_words)
        kernel, bias = learn_words(features, fractions, config.ridge_penalty)
        assign_weights(last, {"scores/kernel": kernel, "scores/bias": bias})
        learned = min(config.encoder_words, len(vocabulary) - len(vocabulary.reserved))
        print(f"the encoder has learned {learned:,} words")
    run.save_weights(weights_as_arrays(last), "encoder")
    return encoder
