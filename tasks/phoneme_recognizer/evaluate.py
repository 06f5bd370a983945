"""Measures a trained phoneme recognizer on a split.

    python -m tasks.phoneme_recognizer.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.phoneme_recognizer.evaluate --corpus timit --split test     # another corpus than it learned from
    python -m tasks.phoneme_recognizer.evaluate --noise --worst 5

PER without silence, and with it where the corpus tells of silence; where phones have times, how near boundaries are;
how far the probabilities are from what holds (ECE); what was most often taken for what. The numbers are added to the
run's metrics.json, and confusions and reliability drawn into its plots/, unless the run is a released model.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.cli import Results, check_number, command, parse
from shared.phones import SILENCE, fold, fold_all
from shared.runs import Run
from tasks.phoneme_recognizer.config import MAX_BEAM, RELEASED, TASK, Config

if TYPE_CHECKING:
    import numpy as np

    from tasks.phoneme_recognizer.data import Split
    from tasks.phoneme_recognizer.model import Speller
    from tasks.phoneme_recognizer.recognition import Recognition, SoundRecognizer

SNRS = (20, 10, 5, 0)  # decibels
HEARD = 200  # utterances in memory at a time
TOLD = 10  # confusions, the most frequent ones


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    corpus: str | None = None
    """Another corpus, or folder, than the one that it learned from."""
    beam: int | None = None
    """Of prefix search with what phones are like after others; by default the run's own, 0: the best path."""
    noise: bool = False
    """Also in noise of 20, 10, 5 and 0 dB."""
    worst: int = 0
    """Also print so many utterances with the most errors."""
    plots: Path | None = None
    """Draw confusions and reliability into this folder; those of a run of your own are in its plots/ anyway."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


def spell_split(speller: "Speller", split: "Split") -> tuple[list[list[str]], list[list[str]]]:
    """What was said in each utterance of a split, and what the best path spells; of the 39 classes, without silence."""
    from tasks.phoneme_recognizer.data import pad_samples
    from tasks.phoneme_recognizer.recognition import batches

    table = ("", *speller.model.config.phones)
    hypotheses: list[list[str]] = [[] for _ in split.utterances]
    for places in batches([utterance.length for utterance in split.utterances]):
        samples, lengths = pad_samples([split.samples(place) for place in places])
        labels, counts = speller.predict_on_batch({"samples": samples, "lengths": lengths})
        for place, row, count in zip(places, labels, counts, strict=True):
            hypotheses[place] = fold_all([table[label] for label in row[:count]], 39, silence=False)
    return [fold_all(utterance.phones, 39, silence=False) for utterance in split.utterances], hypotheses


def measure(run: Run, options: Arguments, recognizer: "SoundRecognizer | None" = None) -> dict[str, Any]:
    """The numbers of a run on a split; kept with the run, and its card written, unless it is a released model.

    Args:
        recognizer: the run's, if it is loaded already.

    Raises:
        UserError: the corpus cannot be had.
    """
    from tasks.phoneme_recognizer import card
    from tasks.phoneme_recognizer.data import CORPORA, load_split
    from tasks.phoneme_recognizer.plots import draw_confusions, draw_reliability
    from tasks.phoneme_recognizer.recognition import SoundRecognizer
    from tasks.phoneme_recognizer.scoring import PROTOCOL

    config = run.read_config(Config)
    corpus = options.corpus or config.corpora[0]
    # Of a folder that it did not learn from, all may be measured.
    is_new = corpus not in (*CORPORA, *config.corpora)
    part = "all" if is_new else options.split
    name = part if options.corpus is None else f"{Path(corpus).name} {part}"
    recognizer = recognizer or SoundRecognizer.load(str(run.path), options.beam)
    split = load_split(replace(config, corpus=corpus), part, options.data_dir)
    recognitions = recognize_split(recognizer, split)
    metrics, counts, probabilities, right = score(split, recognitions, config)
    record: dict[str, Any] = {"corpus": corpus, "utterances": len(recognitions), "beam": recognizer.beam}
    record |= {metric: round(value, 4) for metric, value in metrics.items()}
    wrong = Counter({f"{ours} as {theirs}": n for (ours, theirs), n in counts.items() if ours and theirs != ours})
    record["confusions"] = dict(wrong.most_common(TOLD))
    record["protocol"] = PROTOCOL
    noisy = measure_noise(recognizer, split) if options.noise else {}
    own = None if run.is_released else run.path / "plots"
    if own:
        run.save_metrics(name, record)
        if noisy:
            run.save_metrics(f"{name} in noise", noisy)
        card.write(run)
    for folder in filter(None, (own, options.plots)):
        draw_confusions(counts, folder / f"confusions-{name.replace(' ', '-')}.png")
        draw_reliability(probabilities, right, folder / f"reliability-{name.replace(' ', '-')}.png")
    worst = {"worst": worst_utterances(split, recognitions, options.worst)} if options.worst else {}
    return {"run": run.name, "split": part, **record, **noisy, **worst}


def measure_noise(recognizer: "SoundRecognizer", split: "Split") -> dict[str, float]:
    """PER by signal-to-noise ratio."""
    import numpy as np

    from tasks.phoneme_recognizer.data import add_noise

    rng, found = np.random.default_rng(recognizer.config.seed), {}
    for snr in SNRS:
        noisy = recognize_split(recognizer, split, lambda sound, snr=snr: add_noise(sound, snr, rng))
        found[f"PER at {snr} dB"] = round(score(split, noisy, recognizer.config)[0]["PER"], 4)
    return found


def recognize_split(
    recognizer: "SoundRecognizer", split: "Split", change: Callable[["np.ndarray"], "np.ndarray"] = lambda sound: sound
) -> "list[Recognition]":
    """The best recognition of every utterance, of its sound as it is, or changed."""
    recognitions = []
    for start in range(0, len(split.utterances), HEARD):
        numbers = range(start, min(start + HEARD, len(split.utterances)))
        recognitions += [best[0] for best in recognizer([change(split.samples(number)) for number in numbers])]
    return recognitions


def score(
    split: "Split", recognitions: "list[Recognition]", config: Config
) -> "tuple[dict[str, float], Counter[tuple[str, str]], np.ndarray, np.ndarray]":
    """Metrics, confusions, and the probability told of each phone with whether it was right."""
    import numpy as np

    from shared.audio import SAMPLE_RATE
    from tasks.phoneme_recognizer.scoring import aligned, boundary_f1, calibration_error, confusions, error_rates

    references = [fold_all(utterance.phones, 39, silence=False) for utterance in split.utterances]
    hypotheses = [recognition.scored() for recognition in recognitions]
    counts = confusions(references, hypotheses)
    metrics = error_rates(counts)

    told, right, apart = [], [], []
    labels = [place for place, phone in enumerate(config.phones, start=1) if is_scored(phone)]
    everything = zip(split.utterances, recognitions, references, hypotheses, strict=True)
    for utterance, recognition, reference, hypothesis in everything:
        phones = [phone for phone in recognition.phones if is_scored(phone.phone)]
        spans = None if utterance.spans is None else utterance.spans[np.isin(utterance.spans[:, 0], labels)]
        for ours, theirs in aligned(reference, hypothesis):
            if theirs is None:
                continue
            is_right = ours is not None and reference[ours] == hypothesis[theirs]
            told.append(phones[theirs].probability)
            right.append(is_right)
            if is_right and spans is not None:
                apart.append(abs(phones[theirs].start - spans[ours, 1] / SAMPLE_RATE))
    metrics["ECE"] = calibration_error(np.array(told), np.array(right))
    if all(utterance.spans is not None for utterance in split.utterances):
        with_silence = [recognition.scored(silence=True) for recognition in recognitions]
        rates = error_rates(confusions([utterance.phones for utterance in split.utterances], with_silence))
        metrics |= {f"{name} with silence": rate for name, rate in rates.items()}
        if apart:
            metrics["boundary median ms"] = 1000 * float(np.median(apart))
        turns = [_boundaries(utterance.spans) for utterance in split.utterances if utterance.spans is not None]
        metrics["boundary F1"] = boundary_f1(turns, [recognition.boundaries() for recognition in recognitions])
    return metrics, counts, np.array(told), np.array(right)


def is_scored(phone: str) -> bool:
    """Whether a phone is among the 39 that are scored, and no silence."""
    return fold(phone, 39) not in (None, SILENCE)


def worst_utterances(split: "Split", recognitions: "list[Recognition]", count: int) -> list[dict[str, Any]]:
    """Name, PER, what was said and what was recognized, of the utterances with the most errors for their length."""
    from tasks.phoneme_recognizer.scoring import phone_error_rate

    told = [
        {
            "name": split.records[utterance.place]["name"],
            "PER": round(phone_error_rate([said], [recognized]), 4),
            "said": " ".join(said),
            "recognized": " ".join(recognized),
        }
        for utterance, recognition in zip(split.utterances, recognitions, strict=True)
        for said, recognized in [(fold_all(utterance.phones, 39, silence=False), recognition.scored())]
    ]
    return sorted(told, key=lambda row: -row["PER"])[:count]


def _boundaries(spans: "np.ndarray") -> "np.ndarray":
    """Where one phone or silence ends and another begins, in seconds; silences in a row are one."""
    import numpy as np

    from shared.audio import SAMPLE_RATE

    is_new = np.append(True, (spans[1:, 0] > 0) | (spans[:-1, 0] > 0))
    return spans[is_new, 1][1:] / SAMPLE_RATE


def as_text(record: dict[str, Any]) -> str:
    """A line for each number, and three for each of the worst utterances."""
    lines = []
    for name, value in record.items():
        if name == "worst":
            for row in value:
                lines.append(f"{row['name']}  PER {row['PER']:.0%}")
                lines += [f"    said        {row['said']}", f"    recognized  {row['recognized']}"]
        elif isinstance(value, dict):
            lines.append(f"{name:27} {', '.join(f'{key} {number}' for key, number in value.items())}")
        else:
            lines.append(f"{name:27} {value}")
    return "\n".join(lines)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.evaluate", __doc__)
    check_number("--beam", options.beam, 0, MAX_BEAM)
    check_number("--worst", options.worst, 0)
    run = Run.find(options.model, TASK, RELEASED)
    results = Results(options.json, options.output)
    record = measure(run, options)
    results.write(record, as_text(record))
    results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
