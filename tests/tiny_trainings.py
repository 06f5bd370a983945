"""A tiny training of each task on examples in memory: the compiled model and its batches, without any corpus."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from shared.batching import BucketedBatches
from shared.losses import SequenceCrossEntropy, mean_nats, nats_per_token, output_nats
from shared.phones import PhoneVocabulary
from shared.steps import Batches

RATE = 16_000


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of 2 to 13 words, each followed by the next one of the alphabet."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, 7, count), rng.integers(2, 14, count)
    return [
        " ".join("abcdefg"[(start + i) % 7] for i in range(length))
        for start, length in zip(starts, lengths, strict=True)
    ]


def language_model(**fields: Any) -> tuple[keras.Model, Batches]:
    from tasks.language_model.config import PRESETS
    from tasks.language_model.data import Split, build_vocabulary, training_batches
    from tasks.language_model.model import BlankReader, StreamReader, build_model

    options = {"units": 12, "embedding_units": 12, "num_layers": 2, "batch_size": 4, "sequence_length": 9}
    config = replace(PRESETS["penn_treebank"], tied=True, sampled_softmax_size=6, min_count=1, **options)
    config = replace(config, output_dropout=0.1, activation_penalty=0.1, temporal_penalty=0.1, **fields)
    split = Split(sentences(40))
    vocabulary = build_vocabulary(config, split)
    model: Any = build_model(config, vocabulary)
    reader: Any = BlankReader(model) if config.reads == "both ways" else StreamReader(model, config.batch_size)
    nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
    reader.compile(config.build_optimizer(), mean_nats, metrics=[nats])
    return reader, training_batches(config, split, vocabulary)


def translator(**fields: Any) -> tuple[keras.Model, Batches]:
    from tasks.translator.config import PRESETS
    from tasks.translator.data import Split, build_vocabulary, training_batches
    from tasks.translator.model import build_model

    options = {"units": 5, "embedding_units": 6, "vocabulary": "words", "min_count": 1, "batch_size": 4}
    config = replace(PRESETS["scenes"], **options, **fields)
    split = Split(sentences(30), [" ".join(text.split()[::-1]) for text in sentences(30)])
    vocabulary = build_vocabulary(config, split)
    model: Any = build_model(config, vocabulary)
    model.compile(config.build_optimizer(), SequenceCrossEntropy(config.label_smoothing), metrics=[nats_per_token])
    return model, training_batches(config, split, vocabulary)


def phoneme_recognizer(**fields: Any) -> tuple[keras.Model, Batches]:
    from tasks.phoneme_recognizer.config import PRESETS
    from tasks.phoneme_recognizer.data import read_split, training_batches
    from tasks.phoneme_recognizer.model import build_model, measure_bands
    from tasks.phoneme_recognizer.objective import CTCTrainingModel

    options = {"mels": 16, "front_channels": 3, "units": 5, "num_layers": 2, "frame_only_steps": 1, "batch_size": 4}
    config = replace(PRESETS["spoken_scenes"], **options, **fields)
    split = read_split(config, [spoken(text, i) for i, text in enumerate(sentences(14))])
    vocabulary = PhoneVocabulary(config.classes)
    model = build_model(config, vocabulary)
    measure_bands(model, (split.samples(i) for i in range(4)))
    trained: Any = CTCTrainingModel(model)
    nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
    trained.compile(config.build_optimizer(), mean_nats, metrics=[nats])
    return trained, training_batches(config, split, vocabulary)


def spoken(text: str, seed: int) -> dict[str, Any]:
    """A record of a sound with a tone for each letter, and the times of its phones."""
    rng, phones = np.random.default_rng(seed), dict(zip("abcdefg", ("aa", "iy", "s", "m", "k", "ow", "z"), strict=True))
    letters = text.replace(" ", "")
    ends = np.cumsum(rng.integers(1280, 2240, len(letters)))
    samples = np.zeros(ends[-1])
    starts = np.concatenate([[0], ends[:-1]])
    for letter, start, end in zip(letters, starts, ends, strict=True):
        samples[start:end] = 9000 * np.sin(np.arange(end - start) * (0.1 + 0.2 * "abcdefg".index(letter)))
    spans = {"starts": starts.astype(np.int32), "ends": ends.astype(np.int32)}
    return {"audio": samples.astype(np.int16), "phones": [phones[letter] for letter in letters], **spans}


def captioner(**fields: Any) -> tuple[keras.Model, BucketedBatches]:
    from tasks.captioner.config import PRESETS
    from tasks.captioner.data import Split, build_vocabulary, training_batches
    from tasks.captioner.encoder import grid_shape
    from tasks.captioner.model import build_model

    config = replace(PRESETS["scenes"], units=5, image_size=16, batch_size=4, **fields)
    inputs = np.random.default_rng(0).random((11, 2, *grid_shape(config))).astype(np.float16)
    split = Split(records=[{}] * 11, captions=[sentences(3, i) for i in range(11)], inputs=inputs)
    vocabulary = build_vocabulary(config, split)
    model: Any = build_model(config, vocabulary)
    model.compile(config.build_optimizer(), SequenceCrossEntropy(config.label_smoothing), metrics=[nats_per_token])
    return model, training_batches(config, split, vocabulary)


TRAININGS: dict[str, Callable[..., tuple[keras.Model, Batches]]] = {
    "captioner": captioner,
    "language_model": language_model,
    "phoneme_recognizer": phoneme_recognizer,
    "translator": translator,
}
