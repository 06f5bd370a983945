"""Measures a trained translator, or an ensemble, on a split.

    python -m tasks.translator.evaluate [--model RUN ...] [--split dev|test] [--beam 5] [--worst 5] [--json]

    BLEU               sacreBLEU, with its signature, and its 95 % interval by bootstrap
    BLEU lower case    the same, both sides in lower case, as in published results on Multi30k
    chrF               character n-grams (Popović 2015)
    exact              fraction of translations that equal the reference
    BLEU by length     by number of words of the sentence
    AER                alignment error rate on scenes, whose true alignment is known: 1 - 2 |A and S| / (|A| + |S|) for
                       the alignment A by attention with the reference as output (Och and Ney 2003, all links sure)

The metrics of a single model are saved with its run, unless it is released.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.bounds import CountOrZero
from shared.cli import EvaluationOptions, command, parse
from shared.runs import Run
from tasks.translator import card
from tasks.translator.config import Config, find_run
from tasks.translator.options import SearchOptions

if TYPE_CHECKING:
    from tasks.translator.inference import LoadedTranslator

RESAMPLES = 1000  # of the bootstrap
LENGTHS = (1, 8, 12, 16, 24)  # words of a sentence at which the buckets start


@dataclass(frozen=True, kw_only=True)
class Arguments(SearchOptions, EvaluationOptions):
    worst: CountOrZero = 0
    """Print this number of translations, those with the lowest chrF."""


def translation_scores(outputs: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """The metrics of translations, in percent; `exact` is a fraction."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu = BLEU(force=True)
    score = bleu.corpus_score(outputs, [references], n_bootstrap=RESAMPLES)
    signature = str(bleu.get_signature())
    interval = json.loads(score.format(width=12, signature=signature, is_json=True))  # lacks the two if the mean is 0
    mean, half = interval.get("confidence_mean", 0.0), interval.get("confidence_var", 0.0)
    return {
        "BLEU": round(score.score, 2),
        "BLEU interval": f"{mean - half:.1f} to {mean + half:.1f}",
        "BLEU lower case": round(BLEU(lowercase=True, force=True).corpus_score(outputs, [references]).score, 2),
        "chrF": round(CHRF().corpus_score(outputs, [references]).score, 2),
        "exact": round(sum(map(str.__eq__, outputs, references)) / len(outputs), 4),
        "BLEU by length": _by_length(outputs, sources, references),
        "protocol": signature,
    }


def _by_length(outputs: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    import sacrebleu

    scores = {}
    for start, end in zip(LENGTHS, (*LENGTHS[1:], math.inf), strict=True):
        if indices := [i for i, source in enumerate(sources) if start <= len(source.split()) < end]:
            bleu = sacrebleu.corpus_bleu([outputs[i] for i in indices], [[references[i] for i in indices]], force=True)
            scores[f"{start}+" if end == math.inf else f"{start}-{end - 1}"] = round(bleu.score, 1)
    return scores


def alignment_error_rate(alignments: Sequence[set], references: Sequence[set]) -> float:
    """1 - 2 |A and S| / (|A| + |S|), with the links (source index, target index) of all sentences counted together."""
    links = sum(map(len, alignments)) + sum(map(len, references))
    return 1 - 2 * sum(len(a & s) for a, s in zip(alignments, references, strict=True)) / max(links, 1)


def measure(run: Run, options: Arguments, model: "LoadedTranslator | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; saves them and writes the card, unless the run is released.

    Args:
        run: the first of `options.model`; metrics of an ensemble or with a language model are not saved.
        model: the loaded run, if it is in memory already.

    Raises UserError if the runs, the corpus or the language model cannot be used.
    """
    from tasks.translator.data import load_alignments, load_split
    from tasks.translator.inference import PairScorer, Translator, hard_alignment

    search: dict[str, Any] = {"beam": options.beam, "language_model": options.load_language_model()}
    translator = Translator(model, **search) if model else Translator.load(str(run.path), *options.model[1:], **search)
    config, is_single = translator.config, len(translator.loaded) == 1
    split = load_split(config, options.split, options.data_dir)
    outputs = [best[0].text for best in translator(translator.accepted(split.sources))]
    scores = translation_scores(outputs, split.sources, split.targets)
    metrics: dict[str, Any] = {"pairs": len(outputs), "beam": config.beam, **scores}
    if config.corpus == "scenes" and config.decoder != "fixed" and is_single:
        pairs = PairScorer(translator.loaded[0])(list(zip(split.sources, split.targets, strict=True)))
        alignments = [set(hard_alignment(pair.attention[:-1])) for pair in pairs]
        references = load_alignments(config, options.split, options.data_dir)
        metrics["AER"] = round(alignment_error_rate(alignments, references), 4)
    if is_single and not options.language_model:
        with run.results() as may_write:
            if may_write:
                run.save_metrics(options.split, metrics)
                card.write(run)
    print_worst(options.worst, outputs, split.sources, split.targets)
    return metrics


def print_worst(count: int, outputs: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> None:
    """Prints the translations with the lowest chrF on standard error: source, output, reference."""
    import sacrebleu

    chrf = [sacrebleu.sentence_chrf(output, [references[i]]).score for i, output in enumerate(outputs)]
    for i in sorted(range(len(chrf)), key=chrf.__getitem__)[:count]:
        print(f"{chrf[i]:5.1f}  {sources[i]}\n     > {outputs[i]}\n     = {references[i]}", file=sys.stderr)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.evaluate", __doc__)
    runs = [find_run(model) for model in options.model or (None,)]
    import datasets

    config = runs[0].read_config(Config)
    commands.evaluate(
        options,
        runs[0],
        measure,
        " + ".join(run.name for run in runs),
        models=[*(run.path for run in runs[1:]), *options.language_models()],
        corpora=datasets.user_paths([config.source_file, config.target_file], options.data_dir),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
