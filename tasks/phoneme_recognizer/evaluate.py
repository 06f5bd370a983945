"""Measures a trained phoneme recognizer on a split.

    python -m tasks.phoneme_recognizer.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.phoneme_recognizer.evaluate --corpus timit --split test     # another corpus than it learned from
    python -m tasks.phoneme_recognizer.evaluate --noise --worst 5

PER without silence, and with it where the corpus tells of silence; where phones have times, how near boundaries are;
how far the probabilities are from what holds (ECE). Confusions and reliability are drawn. The numbers are added to the
run's metrics.json, unless the run is a released model.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.cli import Results, command, parse
from shared.runs import Run
from tasks.phoneme_recognizer.config import RELEASED, TASK, Config

if TYPE_CHECKING:
    import numpy as np

    from tasks.phoneme_recognizer.data import Split
    from tasks.phoneme_recognizer.model import Speller
    from tasks.phoneme_recognizer.recognition import Recognition, SoundRecognizer

SNRS = (20, 10, 5, 0)  # decibels
HEARD = 200  # utterances in memory at a time


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    corpus: str | None = None
    """Another corpus, or folder, than the one that it learned from."""
    beam: int | None = None
    """Of prefix search with what three phones in a row are like; by default the run's own, 0: the best path."""
    noise: bool = False
    """Also in noise of 20, 10, 5 and 0 dB."""
    worst: int = 0
    """Also print so many utterances with the most errors."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


def spell_split(speller: "Speller", split: "Split") -> tuple[list[list[str]], list[list[str]]]:
    """What was said in each utterance of a split, and what the best path spells; of the 39 classes, without silence."""
    from shared.phones import SILENCE, fold_all
    from tasks.phoneme_recognizer.data import pad_samples
    from tasks.phoneme_recognizer.recognition import batches

    table = ("", *speller.model.config.phones)
    hypotheses: list[list[str]] = [[] for _ in split.utterances]
    for places in batches([utterance.length for utterance in split.utterances]):
        samples, lengths = pad_samples([split.samples(place) for place in places])
        labels, counts = speller.predict_on_batch({"samples": samples, "lengths": lengths})
        for place, row, count in zip(places, labels, counts, strict=True):
            phones = fold_all([table[label] for label in row[:count]], 39)
            hypotheses[place] = [phone for phone in phones if phone != SILENCE]
    return [without_silence(utterance.phones) for utterance in split.utterances], hypotheses


def without_silence(phones) -> list[str]:
    from shared.phones import SILENCE

    return [phone for phone in phones if phone != SILENCE]


def measure(run: Run, options: Arguments) -> tuple[dict[str, Any], list[str]]:
    """The numbers of a run on a split, and its worst utterances; kept with the run, and its card written, unless it is
    a released model.

    Raises:
        UserError: the corpus cannot be had.
    """
    import numpy as np

    from tasks.phoneme_recognizer import card
    from tasks.phoneme_recognizer.data import add_noise, load_split
    from tasks.phoneme_recognizer.plots import draw_confusions, draw_reliability
    from tasks.phoneme_recognizer.recognition import SoundRecognizer
    from tasks.phoneme_recognizer.scoring import PROTOCOL

    config = run.read_config(Config)
    corpus = options.corpus or config.corpora[0]
    recognizer = SoundRecognizer.load(str(run.path), options.beam)
    split = load_split(replace(config, corpus=corpus), options.split, options.data_dir)
    recognitions = recognize_split(recognizer, split)
    metrics, counts, (probabilities, right) = score(split, recognitions, config)
    record: dict[str, Any] = {"corpus": corpus, "utterances": len(recognitions)}
    record |= {name: round(value, 4) for name, value in metrics.items()} | {"protocol": PROTOCOL}
    if options.noise:
        rng = np.random.default_rng(config.seed)
        for snr in SNRS:
            noisy = recognize_split(recognizer, split, lambda sound, snr=snr: add_noise(sound, snr, rng))
            record[f"PER at {snr} dB"] = round(score(split, noisy, config)[0]["PER"], 4)
    if not run.is_released:
        name = options.split if options.corpus is None else f"{options.corpus} {options.split}"
        run.save_metrics(name, record)
        draw_confusions(counts, run.path / "plots" / f"confusions-{options.split}.png")
        draw_reliability(probabilities, right, run.path / "plots" / f"reliability-{options.split}.png")
        card.write(run)
    return record, worst_utterances(split, recognitions, options.worst)


def recognize_split(
    recognizer: "SoundRecognizer", split: "Split", change: Callable[["np.ndarray"], "np.ndarray"] = lambda sound: sound
) -> "list[Recognition]":
    """The best recognition of every utterance, of its sound as it is, or changed."""
    recognitions = []
    for start in range(0, len(split.utterances), HEARD):
        numbers = range(start, min(start + HEARD, len(split.utterances)))
        recognitions += [best[0] for best in recognizer([change(split.samples(number)) for number in numbers])]
    return recognitions


def score(split: "Split", recognitions: "list[Recognition]", config: Config):
    """Metrics, confusions, and the probabilities that were told with whether they were right."""
    import numpy as np

    from shared.audio import SAMPLE_RATE
    from tasks.phoneme_recognizer.scoring import (
        aligned,
        boundary_f1,
        calibration_error,
        confusions,
        error_rates,
        phone_error_rate,
    )

    references = [without_silence(utterance.phones) for utterance in split.utterances]
    hypotheses = [recognition.scored() for recognition in recognitions]
    counts = confusions(references, hypotheses)
    metrics = error_rates(counts)

    probabilities, right, apart = [], [], []
    labels = [place for place, phone in enumerate(config.phones, start=1) if is_scored(phone)]
    everything = zip(split.utterances, recognitions, references, hypotheses, strict=True)
    for utterance, recognition, reference, hypothesis in everything:
        phones = [phone for phone in recognition.phones if is_scored(phone.phone)]
        spans = None if utterance.spans is None else utterance.spans[np.isin(utterance.spans[:, 0], labels)]
        for ours, theirs in aligned(reference, hypothesis):
            if theirs is None:
                continue
            is_right = ours is not None and reference[ours] == hypothesis[theirs]
            probabilities.append(phones[theirs].probability)
            right.append(is_right)
            if is_right and spans is not None:
                apart.append(abs(phones[theirs].start - spans[ours, 1] / SAMPLE_RATE))
    metrics["ECE"] = calibration_error(np.array(probabilities), np.array(right))
    if all(utterance.spans is not None for utterance in split.utterances):
        with_silence = [recognition.scored(silence=True) for recognition in recognitions]
        metrics["PER with silence"] = phone_error_rate([u.phones for u in split.utterances], with_silence)
        metrics["boundary median ms"] = 1000 * float(np.median(apart)) if apart else float("nan")
        turns = [_boundaries(utterance.spans) for utterance in split.utterances if utterance.spans is not None]
        metrics["boundary F1"] = boundary_f1(turns, [recognition.boundaries() for recognition in recognitions])
    return metrics, counts, (np.array(probabilities), np.array(right))


def is_scored(phone: str) -> bool:
    """Whether a phone is among the 39 that are scored, and no silence."""
    from shared.phones import SILENCE, fold

    return fold(phone, 39) not in (None, SILENCE)


def worst_utterances(split: "Split", recognitions: "list[Recognition]", count: int) -> list[str]:
    """What was said and what was recognized, of the utterances with the most errors for their length."""
    from tasks.phoneme_recognizer.scoring import phone_error_rate

    told = [
        (phone_error_rate([reference], [hypothesis]), number, reference, hypothesis)
        for number, (reference, hypothesis) in enumerate(
            (without_silence(utterance.phones), recognition.scored())
            for utterance, recognition in zip(split.utterances, recognitions, strict=True)
        )
    ]
    return [
        f"{split.records[split.utterances[number].place]['name']}  PER {error:.0%}\n"
        f"    said        {' '.join(reference)}\n    recognized  {' '.join(hypothesis)}"
        for error, number, reference, hypothesis in sorted(told, key=lambda row: -row[0])[:count]
    ]


def _boundaries(spans: "np.ndarray") -> "np.ndarray":
    """Where one phone or silence ends and another begins, in seconds; silences in a row are one."""
    import numpy as np

    from shared.audio import SAMPLE_RATE

    is_new = np.append(True, (spans[1:, 0] > 0) | (spans[:-1, 0] > 0))
    return spans[is_new, 1][1:] / SAMPLE_RATE


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.evaluate", __doc__)
    run = Run.find(options.model, TASK, RELEASED)
    results = Results(options.json, options.output)
    record, worst = measure(run, options)
    record = {"run": run.name, "split": options.split, **record}
    lines = [f"{name:18} {value}" for name, value in record.items()]
    results.write(record | ({"worst": worst} if worst else {}), "\n".join([*lines, *worst]))
    results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
