"""Measures a trained phoneme recognizer on a split.

    python -m tasks.phoneme_recognizer.evaluate [--model RUN] [--split dev|test] [--json]
    python -m tasks.phoneme_recognizer.evaluate --corpus timit --split test     # a corpus it was not trained on
    python -m tasks.phoneme_recognizer.evaluate --corpus recordings   # your own: a folder or a table, all of it
    python -m tasks.phoneme_recognizer.evaluate --noise --worst 5
    python -m tasks.phoneme_recognizer.evaluate --scores              # of pronunciation, against those of experts
    python -m tasks.phoneme_recognizer.evaluate --outputs phones.txt --references true.txt    # no model recognizes

Measures the phone error rate (PER) without silence, and with it where the corpus labels it; its confidence interval
over speakers, and the rates of groups of them; the error rate over articulatory features (PFER); errors of boundaries
where times are known; the expected calibration error of the probabilities (ECE); the most frequent confusions. Metrics
are added to the run's metrics.json, and plots of confusions and reliability to its plots/, unless it is released.
`--outputs` scores phone strings that exist, whatever made them, against `--references`, `--corpus` or the split.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from shared.bounds import MAX_BEAM, Bounds, CountOrZero
from shared.cli import EvaluationOptions, Results, command, parse
from shared.commands import as_lines, evaluate
from shared.errors import UserError
from shared.outputs import check_outputs
from shared.phones import fold_all
from shared.runs import Run
from tasks.phoneme_recognizer.config import Config, check_scorer, find_run, split_fraction

if TYPE_CHECKING:
    import numpy as np

    from shared.phones import PhoneVocabulary
    from tasks.phoneme_recognizer.data import Split, Utterance
    from tasks.phoneme_recognizer.inference import Recognition, SoundRecognizer
    from tasks.phoneme_recognizer.model import BestPathDecoder, LoadedRecognizer

SNRS = (20, 10, 5, 0)  # dB
CHUNK = 200  # utterances in memory at a time
MAX_CONFUSIONS = 10  # the most frequent ones


@dataclass(frozen=True, kw_only=True)
class Arguments(EvaluationOptions):
    corpus: str | None = None
    """Corpus, folder or table to measure on; default: the run's first. All of an unknown folder is measured."""
    beam: Annotated[int | None, Bounds(0, MAX_BEAM)] = None
    """Beam width of the prefix search, 0 for the best path; default: the value in the run's config."""
    noise: bool = False
    """Also measure in noise of 20, 10, 5 and 0 dB."""
    scores: bool = False
    """Also measure how scores of pronunciation agree with those of experts; for speechocean762."""
    outputs: Path | None = None
    """Score these phones instead of recognizing: a name and its phones a line, or --json of recognize."""
    references: Path | None = None
    """Phones that --outputs are scored against, in the same form; default: those of the corpus."""
    dictionary: Path | None = None
    """Pronunciations of your own, as in CMUdict, for a folder or table; default: those of the run's training."""
    worst: CountOrZero = 0
    """Number of utterances with the highest PER to print."""
    plots: Path | None = None
    """Also draw confusions and reliability into this folder."""

    def __post_init__(self):
        if self.corpus and ("+" in self.corpus or split_fraction(self.corpus)[1] is not None):
            expected = "one whole corpus was expected; measure several one after the other"
            raise UserError(f"--corpus {self.corpus}: {expected}")


def measure(run: Run, options: Arguments, model: "LoadedRecognizer | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; saves them with the run and writes its card unless the run is released.

    Those of another beam or dictionary than the run's are not saved. `model` is the result of `load_model`, if it is in
    memory.
    """
    from tasks.phoneme_recognizer import card
    from tasks.phoneme_recognizer.agreement import measure_scores
    from tasks.phoneme_recognizer.data import check_corpus, load_split
    from tasks.phoneme_recognizer.inference import SoundRecognizer
    from tasks.phoneme_recognizer.model import load_model
    from tasks.phoneme_recognizer.plots import draw_confusions, draw_reliability
    from tasks.phoneme_recognizer.populations import by_population
    from tasks.phoneme_recognizer.scoring import PROTOCOL, score

    loaded = model or load_model(run)
    recognizer, config = SoundRecognizer.of(loaded, run, options.beam), loaded.config
    corpus = corpus_of(options, config)
    part, name = part_and_name(options, config)
    if part != "all":
        check_corpus(run, config, corpus, part)
    if options.scores:
        check_scores(run, corpus)
    split = load_split(with_options(config, options), part, options.data_dir)
    recognitions = recognize_split(recognizer, split)
    scores = score(split.utterances, recognitions, recognizer.vocabulary)
    record: dict[str, Any] = {"corpus": corpus, "utterances": len(recognitions), "beam": recognizer.beam}
    record |= {metric: round(value, 4) for metric, value in scores.metrics.items()}
    hypotheses = [recognition.scored() for recognition in recognitions]
    record |= by_population(scores.references, hypotheses, split.utterances)
    frequent = [pair for pair in scores.confusions.most_common() if pair[0][0] not in ("", pair[0][1])]
    record["confusions"] = {f"{phone} as {other or 'nothing'}": n for (phone, other), n in frequent[:MAX_CONFUSIONS]}
    record["protocol"] = PROTOCOL
    noisy = measure_noise(recognizer, split) if options.noise else {}
    agreed = measure_scores(recognizer, run, part, options.data_dir) if options.scores else {}
    folders = [options.plots] if options.plots else []
    with run.results() as may_write:
        if may_write and recognizer.beam == config.beam and options.dictionary is None:
            folders.append(run.path / "plots")
            run.save_metrics(name, record)
            if noisy:
                run.save_metrics(f"{name} in noise", noisy)
            if agreed:
                run.save_metrics(f"{name} scores", agreed)
            card.write(run)
        for folder in folders:
            confusions, reliability = plot_paths(folder, name)
            draw_confusions(scores.confusions, confusions)
            draw_reliability(scores.probabilities, scores.is_right, reliability)
    worst = {}
    if options.worst:
        worst["worst"] = worst_of(list(zip(names_of(split), scores.references, hypotheses, strict=True)), options.worst)
    return {"split": part, **record, **noisy, **agreed, **worst}


def corpus_of(options: Arguments, config: Config) -> str:
    """The corpus that is measured."""
    return options.corpus or {"dev": config.dev_corpus, "test": config.test_corpus}[options.split] or config.corpora[0]


def check_scores(run: Run, corpus: str) -> None:
    """Raise UserError unless the run scores pronunciation and experts have scored that of the corpus."""
    from tasks.phoneme_recognizer.expert_scores import CORPUS

    if CORPUS not in corpus.split("+"):
        problem = f"has no experts' scores of pronunciation; --corpus {CORPUS} was expected with --scores"
        raise UserError(f"{corpus} {problem}")
    check_scorer(run)


def score_given(options: Arguments) -> dict[str, Any]:
    """The scores of the phone strings that `--outputs` names."""
    from tasks.phoneme_recognizer.data import load_split
    from tasks.phoneme_recognizer.given import paired, read_phone_lines, score_phones
    from tasks.phoneme_recognizer.nearest import references_of
    from tasks.phoneme_recognizer.populations import by_population

    outputs, path = read_phone_lines(options.outputs or Path()), options.outputs or Path()
    utterances: list[Utterance] = []
    if options.references:
        lines = read_phone_lines(options.references)
        references = {name or str(index): phones for index, (name, phones) in enumerate(lines)}
        if len(references) < len(lines):
            raise UserError(f"{options.references}: a name occurs twice; one line for each sound was expected")
        of: dict[str, Any] = {"references": str(options.references)}
    else:
        config = Config() if options.corpus else find_run(options.model).read_config(Config)
        part, _ = part_and_name(options, config)
        corpus = corpus_of(options, config)
        split = load_split(with_options(config, options), part, options.data_dir)
        names, utterances = names_of(split), split.utterances
        if repeated := next((name for name, count in Counter(names).items() if count > 1), None):
            raise UserError(f"{corpus}: two sounds are called {repeated}; different names were expected")
        references = {name: utterance.scored() for name, utterance in zip(names, utterances, strict=True)}
        of = {"corpus": corpus, "split": part}
    matched = paired(path, outputs, references)
    nearest = references_of(utterances, matched) if utterances else list(references.values())
    record = {"outputs": str(path), **of, **score_phones(nearest, matched, MAX_CONFUSIONS)}
    record |= by_population(nearest, matched, utterances)
    worst = worst_of(list(zip(references, nearest, matched, strict=True)), options.worst)
    return {**record, **({"worst": worst} if worst else {})}


def names_of(split: "Split") -> list[str]:
    """What each utterance is called; a sound of one's own by its path within the corpus, without its suffix."""
    from datasets.sound_folder import SoundFolder
    from tasks.phoneme_recognizer.data import Joined

    def name_of(records: Sequence[dict[str, Any]], index: int) -> str:
        if isinstance(records, Joined):
            return name_of(*records.origins[index])
        return records.path_of(index) if isinstance(records, SoundFolder) else records[index]["name"]

    return [name_of(split.records, utterance.index) for utterance in split.utterances]


def with_options(config: Config, options: Arguments) -> Config:
    """The configuration of a run, with the corpus and the dictionary that the options name."""
    changes = {"corpus": options.corpus, "dictionary": options.dictionary and str(options.dictionary)}
    if options.corpus:
        changes |= {"dev_corpus": "", "test_corpus": ""}
    return replace(config, **{name: value for name, value in changes.items() if value is not None})


def part_and_name(options: Arguments, config: Config) -> tuple[str, str]:
    """The part of the corpus that is measured, and the name of its metrics."""
    from tasks.phoneme_recognizer.data import CORPORA, absolute

    if options.corpus is None:
        return options.split, options.split
    is_known = options.corpus in CORPORA or absolute(options.corpus) in map(absolute, config.corpora)
    part = options.split if is_known else "all"
    return part, f"{Path(options.corpus).name} {part}"


def plot_paths(folder: Path, name: str) -> list[Path]:
    """The files of the plots of confusions and reliability."""
    return [folder / f"{plot}-{name.replace(' ', '-')}.png" for plot in ("confusions", "reliability")]


def measure_noise(recognizer: "SoundRecognizer", split: "Split") -> dict[str, float]:
    """PER at each of `SNRS`."""
    import numpy as np

    from tasks.phoneme_recognizer.augmentation import add_noise
    from tasks.phoneme_recognizer.scoring import score

    rng, metrics = np.random.default_rng(recognizer.config.seed), {}
    for snr in SNRS:
        noisy = recognize_split(recognizer, split, lambda sound, snr=snr: add_noise(sound, snr, rng))
        per = score(split.utterances, noisy, recognizer.vocabulary).metrics["PER"]
        metrics[f"PER at {snr} dB"] = round(per, 4)
    return metrics


def recognize_split(
    recognizer: "SoundRecognizer", split: "Split", change: Callable[["np.ndarray"], "np.ndarray"] = lambda sound: sound
) -> "list[Recognition]":
    """The best hypothesis for each utterance; `change` is applied to its sound first."""
    recognitions = []
    for start in range(0, len(split.utterances), CHUNK):
        indices = range(start, min(start + CHUNK, len(split.utterances)))
        recognitions += [best[0] for best in recognizer([change(split.samples(i)) for i in indices])]
    return recognitions


def decode_split(decoder: "BestPathDecoder", vocabulary: "PhoneVocabulary", split: "Split") -> list[list[str]]:
    """The best path of each utterance, folded to the 39 scored classes without silence."""
    from shared.audio import pad_samples
    from tasks.phoneme_recognizer.inference import MAX_BATCH

    hypotheses: list[list[str]] = [[] for _ in split.utterances]
    for indices in decoder.batches([utterance.length for utterance in split.utterances], MAX_BATCH):
        samples, lengths = pad_samples([split.samples(i) for i in indices])
        labels, counts = decoder.predict_on_batch({"samples": samples, "lengths": lengths})
        for i, row, count in zip(indices, labels, counts, strict=True):
            hypotheses[i] = fold_all(vocabulary.decode(row[:count]), 39, silence=False)
    return hypotheses


def worst_of(scored: list[tuple[str, list[str], list[str]]], count: int) -> list[dict[str, Any]]:
    """Name, PER, reference and hypothesis of the utterances with the highest PER, from all names and both."""
    from tasks.phoneme_recognizer.scoring import phone_error_rate

    rows = [
        {
            "name": name,
            "PER": round(phone_error_rate([reference], [hypothesis]), 4),
            "said": " ".join(reference),
            "recognized": " ".join(hypothesis),
        }
        for name, reference, hypothesis in scored
    ]
    return sorted(rows, key=lambda row: -row["PER"])[:count]


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.evaluate", __doc__)
    import datasets

    if options.outputs:
        if options.scores or options.noise or options.plots or options.beam is not None:
            raise UserError("--outputs needs no model, and goes with none of --scores, --noise, --plots and --beam")
        reads = {"a file that is read": [options.outputs, options.references, options.dictionary, options.corpus]}
        check_outputs({"--output": [options.output]}, reads)
        record = score_given(options)
        with Results(options.json, options.output) as results:
            results.write(record, as_lines(record))
        return
    if options.references:
        raise UserError("--references are those of --outputs, which was expected with it")
    run = find_run(options.model)
    config = run.read_config(Config)
    names = [options.corpus or "", *config.corpora, *config.dev_corpus.split("+"), *config.test_corpus.split("+")]
    dictionaries = [Path(each) for each in (options.dictionary, config.dictionary) if each]
    corpora = [*datasets.user_paths(names, options.data_dir), *dictionaries]
    pictures = []
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        pictures = plot_paths(options.plots, part_and_name(options, config)[1])
    evaluate(options, run, measure, corpora=corpora, pictures=pictures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
