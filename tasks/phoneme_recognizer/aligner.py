"""Times for corpora that have none: a recognizer that knows when tells when the phones that were said were said."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from shared.audio import SAMPLE_RATE
from shared.batching import pad
from tasks.phoneme_recognizer.data import Split, pad_samples
from tasks.phoneme_recognizer.recognition import Recognition, SoundRecognizer, batches, read_found


def add_times(split: Split, aligner: SoundRecognizer) -> Split:
    """The split with spans of all utterances, by forced alignment where they lacked; its phones are the aligner's."""
    lacking = [number for number, utterance in enumerate(split.utterances) if utterance.spans is None]
    utterances = list(split.utterances)
    for number, recognition in align_all(split, lacking, aligner):
        utterances[number] = replace(utterances[number], spans=as_spans(recognition, aligner.config.phones))
    return Split(split.records, utterances)


def align_all(split: Split, numbers: Sequence[int], aligner: SoundRecognizer) -> Iterator[tuple[int, Recognition]]:
    """When the phones of utterances were said, several utterances at a time."""
    for places in batches([split.utterances[number].length for number in numbers]):
        chosen = [numbers[place] for place in places]
        samples, lengths = pad_samples([split.samples(number) for number in chosen])
        labels = [split.utterances[number].label_ids for number in chosen]
        inputs = {
            "samples": samples,
            "lengths": lengths,
            "label_ids": pad([ids.tolist() for ids in labels]),
            "label_lengths": np.array([len(ids) for ids in labels], np.int32),
        }
        found = read_found(aligner.locator.predict_on_batch(inputs), lengths, aligner.config)
        yield from zip(chosen, (best[0] for best in found), strict=True)


def as_spans(recognition: Recognition, phones: Sequence[str]) -> np.ndarray:
    """Ids, first samples and samples after the last, (phones and silences, 3) int32."""
    ids = {phone: number for number, phone in enumerate(phones, start=1)}
    spans = [
        (ids.get(phone, 0), round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        for phone, start, end, _ in recognition.with_silence()
    ]
    return np.array(spans, np.int32).reshape(-1, 3)
