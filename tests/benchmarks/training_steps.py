"""The training step of every preset, on a synthetic corpus with the sizes of the real one.

    python -m tests.benchmarks.training_steps       # a process for another backend, controlled by standard input

Vocabulary, lengths and batch size are those of the preset; words, sounds and grids are random. To a line `task preset`
the process builds the model and answers with a JSON object; to each line `step` it trains a batch of median length and
answers with the seconds: those of the clock or, with `--processor-time`, those that its threads computed.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from shared.losses import SequenceCrossEntropy, mean_nats, nats_per_token, output_nats
from shared.steps import Batches, steps_of
from shared.vocabulary import SPECIALS, WordVocabulary

PRESETS = {
    "language_model": (
        "penn_treebank", "awd", "wikitext2", "mogrifier", "wikitext2_fill", "zaremba_medium", "zaremba_small",
        "vanilla", "python_manual", "fill",
    ),
    "translator": ("multi30k-en-de", "scenes", "tatoeba", "sutskever"),
    "phoneme_recognizer": ("speechocean762", "timit", "spoken_scenes", "spoken_manual", "streaming"),
    "captioner": ("flickr8k", "scenes"),
}  # fmt: skip
"""The presets of each task with different sizes, those whose models are released first."""

UNITS = {"language_model": "tokens", "translator": "tokens", "phoneme_recognizer": "frames", "captioner": "images"}

WORDS = {
    "python_manual": 2373, "penn_treebank": 10_003, "wikitext2": 33_280, "multi30k": 5000, "tatoeba": 5000,
    "scenes": 58, "flickr8k": 1406,
}  # fmt: skip
"""Size of the vocabulary of each corpus."""

LENGTHS = {
    "multi30k": (14.8, 5.0), "tatoeba": (5.3, 1.4), "scenes": (15.4, 6.0), "flickr8k": (10.7, 3.8),
    "spoken_scenes": (3.3, 1.3), "spoken_manual": (2.4, 0.8), "speechocean762": (4.1, 1.2), "timit": (3.1, 0.9),
}  # fmt: skip
"""Mean and standard deviation of the length of a sentence in tokens, or of a sound in seconds."""

PHONES_PER_SECOND = 11
BATCHES = 48  # of the synthetic corpus
RATE = 1e-5  # random examples cannot be learned


class Training:
    """The steps of a compiled model, as `Trainer` runs them, and the batches of an epoch.

    Args:
        count: the number of tokens, frames or images of a batch.
    """

    def __init__(self, model: Any, batches: Batches, count: Callable[[Any], int]):
        self.model, self.batches, self.count, self.steps = model, batches, count, steps_of(model)
        self.clock = time.perf_counter
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self.steps.prepare(batches)
        batches.epoch = 0
        self.calls = list(self._calls())
        median = batches.by_length()[len(batches) // 2]
        self.chosen = [batches[i] for i in next(call for call in self.calls if median in call)]
        self._loaded = self.steps.load(self.chosen)

    def _calls(self) -> Iterator[range]:
        """The indices of the batches of each call of the epoch."""
        index = 0
        while index < len(self.batches):
            call = range(index, index + self.steps.count(self.batches, index))
            yield call
            index = call.stop

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)

    @property
    def units(self) -> float:
        """Tokens, frames or images of a step of the chosen call."""
        return sum(map(self.count, self.chosen)) / len(self.chosen)

    @property
    def compilations(self) -> int:
        """The number of functions that the calls of the epoch compile; on JAX one for each size and number of steps."""
        if keras.backend.backend() != "jax":
            return self.steps.compilations
        return len({(self.batches.size(call[0]), len(call)) for call in self.calls})

    def step(self, calls: int = 1) -> float:
        """Runs the call with the batch of median length several times; returns the mean seconds of a step."""
        start = self.clock()
        for _ in range(calls):
            self.steps.run(self._loaded, [RATE] * len(self.chosen))
        results = self.steps.read()
        if not np.isfinite([result.loss for result in results]).all():
            raise ValueError("the loss is not finite")
        return (self.clock() - start) / len(results)


def build(task: str, preset: str, **fields: Any) -> Training:
    """The training of a preset; `fields` replaces fields of its configuration."""
    config = replace(importlib.import_module(f"tasks.{task}.config").PRESETS[preset], **fields)
    keras.utils.set_random_seed(config.seed)
    return BUILD[task](config, np.random.default_rng(config.seed))


def language_model(config: Any, rng: np.random.Generator) -> Training:
    from tasks.language_model.data import Split, training_batches
    from tasks.language_model.model import BlankReader, StreamReader, build_model

    vocabulary = vocabulary_of(config.corpus)
    count = config.batch_size * config.sequence_length
    lines = [" ".join(random_words(vocabulary, rng, config.sequence_length - 1)) for _ in range(BATCHES)]
    split = Split(lines * (count // config.sequence_length))
    model: Any = build_model(config, vocabulary)
    reader: Any = BlankReader(model) if config.reads == "both ways" else StreamReader(model, config.batch_size)
    nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
    reader.compile(config.build_optimizer(), mean_nats, metrics=[nats])
    return Training(reader, training_batches(config, split, vocabulary), lambda batch: batch[0]["token_ids"].size)


def translator(config: Any, rng: np.random.Generator) -> Training:
    from tasks.translator.data import Split, training_batches
    from tasks.translator.model import build_model
    from tasks.translator.vocabularies import Vocabularies

    vocabulary = vocabulary_of(config.corpus)
    lengths = random_lengths(config.corpus, rng, BATCHES * config.batch_size)
    sides = [[" ".join(random_words(vocabulary, rng, length)) for length in lengths] for _ in range(2)]
    model: Any = build_model(config, Vocabularies(vocabulary, vocabulary))
    model.compile(config.build_optimizer(), SequenceCrossEntropy(config.label_smoothing), metrics=[nats_per_token])
    batches = training_batches(config, Split(*sides), Vocabularies(vocabulary, vocabulary))
    return Training(model, batches, lambda batch: int(np.count_nonzero(batch[1])))


def phoneme_recognizer(config: Any, rng: np.random.Generator) -> Training:
    from shared.audio import SAMPLE_RATE
    from shared.frames import HOP
    from shared.phones import PhoneVocabulary
    from tasks.phoneme_recognizer.data import Split, Utterance, training_batches
    from tasks.phoneme_recognizer.model import build_model
    from tasks.phoneme_recognizer.objective import CTCTrainingModel

    # Augmentation is the work of another thread.
    config, vocabulary = replace(config, augment_probability=0.0), PhoneVocabulary(config.classes)
    utterances, records = [], []
    for i, seconds in enumerate(random_lengths(config.corpora[0], rng, BATCHES * config.batch_size, 0.5)):
        length = int(seconds * SAMPLE_RATE)
        ends = np.linspace(0, length, 2 + int(seconds * PHONES_PER_SECOND)).astype(np.int32)
        ids = rng.integers(1, len(vocabulary), len(ends) - 1)
        phones = tuple(vocabulary.decode(ids.tolist()))
        spans = np.stack([ids, ends[:-1], ends[1:]], axis=1).astype(np.int32)
        utterances.append(Utterance(index=i, length=length, phones=phones, spans=spans, reference=phones))
        records.append({"audio": rng.integers(-9999, 9999, length).astype(np.int16)})
    model: Any = CTCTrainingModel(build_model(config, vocabulary))
    nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
    model.compile(config.build_optimizer(), mean_nats, metrics=[nats])
    batches = training_batches(config, Split(records, utterances), vocabulary)
    return Training(model, batches, lambda batch: int(batch[0]["lengths"].sum()) // HOP)


def captioner(config: Any, rng: np.random.Generator) -> Training:
    from tasks.captioner.data import Split, training_batches
    from tasks.captioner.encoder import grid_shape
    from tasks.captioner.model import build_model

    vocabulary = vocabulary_of(config.corpus)
    lengths = random_lengths(config.corpus, rng, BATCHES * config.batch_size)
    captions = [[" ".join(random_words(vocabulary, rng, length))] for length in lengths]
    grids = rng.random((len(captions), 1, *grid_shape(config)), np.float32).astype(np.float16)
    model: Any = build_model(config, vocabulary)
    model.compile(config.build_optimizer(), SequenceCrossEntropy(config.label_smoothing), metrics=[nats_per_token])
    batches = training_batches(config, Split(records=[], captions=captions, inputs=grids), vocabulary)
    return Training(model, batches, lambda batch: len(batch[1]))


BUILD = {
    "language_model": language_model,
    "translator": translator,
    "phoneme_recognizer": phoneme_recognizer,
    "captioner": captioner,
}


def vocabulary_of(corpus: str) -> WordVocabulary:
    """Numbers in place of the words of a corpus."""
    return WordVocabulary([*SPECIALS, *map(str, range(WORDS[corpus] - len(SPECIALS)))])


def random_words(vocabulary: WordVocabulary, rng: np.random.Generator, count: int) -> list[str]:
    """Words with frequencies by Zipf's law."""
    words = vocabulary.table[len(SPECIALS) :]
    odds = 1 / np.arange(1, len(words) + 1)
    return rng.choice(words, int(count), p=odds / odds.sum()).tolist()


def random_lengths(corpus: str, rng: np.random.Generator, count: int, least: float = 2) -> Any:
    """Lengths of the examples of a corpus, normally distributed."""
    return np.maximum(rng.normal(*LENGTHS[corpus], count), least)


def main() -> None:
    training: Any = None
    for line in sys.stdin:
        if line.strip() == "step":
            print(training.step(), flush=True)
            continue
        start = time.perf_counter()
        training = build(*line.split())
        training.step()
        first = time.perf_counter() - start
        training.clock = time.process_time if "--processor-time" in sys.argv else time.perf_counter
        training.step()
        print(json.dumps({"units": training.units, "compilations": training.compilations, "first": first}), flush=True)


if __name__ == "__main__":
    main()
