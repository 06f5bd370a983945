"""Times and pronunciations for corpora that have none: a trained recognizer aligns each utterance with its sound.

Of the pronunciations of a word the one that fits the sound best becomes its label: the best path through all of them
(`tasks.phoneme_recognizer.lattice`). The network runs once for both.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from shared.audio import SAMPLE_RATE, pad_samples
from shared.packing import pad
from shared.phones import PhoneVocabulary, SpokenWord
from tasks.phoneme_recognizer.data import Split, Utterance, fits, with_words
from tasks.phoneme_recognizer.inference import MAX_BATCH, Recognition, SoundRecognizer, read_segments
from tasks.phoneme_recognizer.lattice import Lattice
from tasks.phoneme_recognizer.model import Logits, RecognizerFunction


class LogitsFunction(RecognizerFunction):
    """Both heads' logits, and the log-probabilities of CTC."""

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`samples` and `lengths` -> the fields of `Logits`, and `log_probs` `(batch, time, vocab)`."""
        logits = self.model.logits(inputs["samples"], inputs["lengths"])
        return {**logits._asdict(), "log_probs": self.model.log_probs(logits)}


class LogitsAligner(RecognizerFunction):
    """`PhonemeRecognizer.align` of known labels with logits that are known too."""

    shortest: ClassVar = {"frame_logits": 100, "ctc_logits": 50, "label_ids": 16}  # of a second of speech

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The fields of `Logits`, and `lengths`, `label_ids`, `label_lengths` as in `PhoneAligner`."""
        logits = Logits(**{name: inputs[name] for name in Logits._fields})
        labels = inputs["label_ids"][:, None], inputs["label_lengths"][:, None]
        return self.model.align(logits, inputs["lengths"], *labels, are_all=False)._asdict()


def add_times(split: Split, recognizer: SoundRecognizer) -> Split:
    """The split with spans for the utterances that lack them, and the pronunciations of their words that fit best."""
    vocabulary, utterances = recognizer.vocabulary, list(split.utterances)
    outputs_of, aligned = LogitsFunction(recognizer.model), LogitsAligner(recognizer.model)
    untimed = [i for i, utterance in enumerate(utterances) if utterance.spans is None]
    for batch in outputs_of.batches([utterances[i].length for i in untimed], MAX_BATCH):
        indices = [untimed[i] for i in batch]
        samples, lengths = pad_samples([split.samples(i) for i in indices])
        outputs = outputs_of.predict_on_batch({"samples": samples, "lengths": lengths})
        rows = zip(outputs.pop("log_probs"), outputs["ctc_lengths"], strict=True)
        for i, (log_probs, steps) in zip(indices, rows, strict=True):
            utterances[i] = with_nearest(utterances[i], log_probs[:steps], recognizer)
        label_ids = [vocabulary.encode(utterances[i].phones) for i in indices]
        inputs = {"label_ids": pad(label_ids), "label_lengths": np.array([len(ids) for ids in label_ids], np.int32)}
        segments = aligned.predict_on_batch({**outputs, "lengths": lengths, **inputs})
        for i, (recognition,) in zip(indices, read_segments(segments, lengths, vocabulary), strict=True):
            utterances[i] = replace(utterances[i], spans=as_spans(recognition, vocabulary))
    return Split(split.records, utterances)


def with_nearest(utterance: Utterance, log_probs: np.ndarray, recognizer: SoundRecognizer) -> Utterance:
    """The utterance with the pronunciation of each word that fits `log_probs` `(steps, vocab)` best.

    It stays as it is where words have one pronunciation each, or where the others are too long for its sound.
    """
    if all(len(word.pronunciations) == 1 for word in utterance.words):
        return utterance
    options = [[recognizer.vocabulary.encode(said) for said in word.pronunciations] for word in utterance.words]
    lattice = Lattice(options)
    path = lattice.best_path(log_probs)
    if path is None:
        return utterance
    chosen = with_words(utterance, _chosen(utterance.words, [said.pronunciation for said in lattice.said(path)]))
    return chosen if fits(recognizer.config, chosen) else utterance


def _chosen(words: Sequence[SpokenWord], choices: Sequence[int]) -> list[SpokenWord]:
    """The words with the chosen pronunciation of each before its others."""
    return [
        SpokenWord(text, (said[choice], *(other for other in said if other != said[choice])))
        for (text, said), choice in zip(words, choices, strict=True)
    ]


def as_spans(recognition: Recognition, vocabulary: PhoneVocabulary) -> np.ndarray:
    """Ids, first samples and samples after the last of phones and silences, `(spans, 3)` int32."""
    spans = [
        (vocabulary.ids.get(phone, 0), round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        for phone, start, end, _ in recognition.with_silence()
    ]
    return np.array(spans, np.int32).reshape(-1, 3)
