"""Times for corpora that have none: a trained recognizer aligns the phones of each utterance with its sound."""

from dataclasses import replace

import numpy as np

from shared.audio import SAMPLE_RATE
from shared.phones import PhoneVocabulary
from tasks.phoneme_recognizer.data import Split
from tasks.phoneme_recognizer.inference import MAX_BATCH, Recognition, SoundRecognizer


def add_times(split: Split, recognizer: SoundRecognizer) -> Split:
    """The split with spans for the utterances that lack them, by forced alignment."""
    vocabulary, utterances = recognizer.vocabulary, list(split.utterances)
    untimed = [i for i, utterance in enumerate(utterances) if utterance.spans is None]
    for batch in recognizer.aligner.batches([utterances[i].length for i in untimed], MAX_BATCH):
        indices = [untimed[i] for i in batch]
        label_ids = [np.array(vocabulary.encode(utterances[i].phones), np.int32) for i in indices]
        aligned = recognizer.align_batch([split.samples(i) for i in indices], label_ids)
        for i, recognition in zip(indices, aligned, strict=True):
            utterances[i] = replace(utterances[i], spans=as_spans(recognition, vocabulary))
    return Split(split.records, utterances)


def as_spans(recognition: Recognition, vocabulary: PhoneVocabulary) -> np.ndarray:
    """Ids, first samples and samples after the last of phones and silences, `(spans, 3)` int32."""
    spans = [
        (vocabulary.ids.get(phone, 0), round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        for phone, start, end, _ in recognition.with_silence()
    ]
    return np.array(spans, np.int32).reshape(-1, 3)
