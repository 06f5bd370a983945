"""Measures a trained translator, or several together, on a split.

    python -m tasks.translator.evaluate [--model RUN ...] [--split dev|test] [--beam 5] [--worst 5] [--json]

    BLEU               of sacreBLEU, with its signature, and the interval that holds it 95 times of 100 (bootstrap)
    BLEU lower case    the same of both sides in lower case: published figures of Multi30k are such
    chrF               character n-grams (Popović 2015)
    exact              translations that are the reference, word for word
    BLEU by length     of sentences with so many words
    AER                of scenes, whose true alignment is known: 1 - 2 |A and S| / (|A| + |S|), attention over the
                       reference taken for the alignment A (Och and Ney 2003, with sure links S alone)

The numbers of a single model are added to the run's metrics.json, unless it is a released model.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.cli import Results, check_number, command, parse
from shared.runs import Run
from tasks.translator.config import RELEASED, TASK, Config
from tasks.translator.translate import MAX_BEAM

if TYPE_CHECKING:
    from tasks.translator.score import PairScorer

RESAMPLES = 1000  # of the bootstrap
LENGTHS = (1, 8, 12, 16, 24)  # words of a sentence, from where a bucket begins


def translation_scores(found: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """All numbers of translations but the alignment's, in per cent but `exact`, a share."""
    from sacrebleu.metrics import BLEU, CHRF  # pyright: ignore[reportPrivateImportUsage]

    cased, lower, chrf = BLEU(force=True), BLEU(lowercase=True, force=True), CHRF()
    drawn = cased.corpus_score(found, [references], n_bootstrap=RESAMPLES)
    return {
        "BLEU": round(drawn.score, 2),
        "BLEU interval": f"{drawn._mean - drawn._ci:.1f} to {drawn._mean + drawn._ci:.1f}",
        "BLEU lower case": round(lower.corpus_score(found, [references]).score, 2),
        "chrF": round(chrf.corpus_score(found, [references]).score, 2),
        "exact": round(sum(map(str.__eq__, found, references)) / len(found), 4),
        "BLEU by length": _by_length(found, sources, references),
        "protocol": str(cased.get_signature()),
    }


def _by_length(found: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    import sacrebleu

    scores = {}
    for least, beyond in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        inside = [
            place
            for place, source in enumerate(sources)
            if least <= len(source.split()) and (beyond is None or len(source.split()) < beyond)
        ]
        if inside:
            name = f"{least}+" if beyond is None else f"{least}-{beyond - 1}"
            theirs = [[references[place] for place in inside]]
            scores[name] = round(sacrebleu.corpus_bleu([found[place] for place in inside], theirs, force=True).score, 1)
    return scores


def alignment_error_rate(found: Sequence[set], true: Sequence[set]) -> float:
    """1 - 2 |A and S| / (|A| + |S|) of links, pairs of places, of all sentences together."""
    links = sum(map(len, found)) + sum(map(len, true))
    return 1 - 2 * sum(len(ours & theirs) for ours, theirs in zip(found, true, strict=True)) / max(links, 1)


def measure_alignment(scorer: "PairScorer", config: Config, split: str) -> float:
    """AER on scenes, as where the model looks when it is told what to write."""
    import datasets
    from tasks.translator.data import LANGUAGES, corpus_name
    from tasks.translator.translation import hard_alignment

    names = [LANGUAGES["scenes"][language] for language in (config.source, config.target)]
    pairs, true = [], []
    for record in datasets.load(corpus_name(config), split):
        for source, target, links in zip(record[names[0]], record[names[1]], record["alignments"], strict=True):
            pairs.append((source, target))
            true.append({(int(i), int(j)) if config.source == "en" else (int(j), int(i)) for i, j in links})
    found = [set(hard_alignment(score.attention[:-1])) for score in scorer(pairs)]
    return alignment_error_rate(found, true)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: tuple[str, ...] = ()
    """Run or folder, or several that translate together; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    beam: int | None = None
    """Hypotheses kept in search; by default the run's own."""
    language_model: str | None = None
    """Run or folder of an exported language model that has a say in which translation is best."""
    language_model_weight: float = 0.2
    """What its logarithms count beside the translator's."""
    worst: int = 0
    """Print so many of the translations that are farthest from their references."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


def print_worst(count: int, found: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> None:
    """On standard error, worst first: the sentence, what was written, what was expected."""
    import sacrebleu

    near = [sacrebleu.sentence_chrf(text, [reference]).score for text, reference in zip(found, references, strict=True)]
    for place in sorted(range(len(near)), key=near.__getitem__)[:count]:
        print(
            f"{near[place]:5.1f}  {sources[place]}\n     > {found[place]}\n     = {references[place]}", file=sys.stderr
        )


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.evaluate", __doc__)
    check_number("--beam", options.beam, 1, MAX_BEAM)
    runs = [Run.find(model, TASK, RELEASED) for model in (options.model or (None,))]
    results = Results(options.json, options.output)
    from tasks.translator import card
    from tasks.translator.data import load_split
    from tasks.translator.fusion import LanguageModel
    from tasks.translator.score import PairScorer
    from tasks.translator.translation import Translator

    says = LanguageModel(options.language_model, options.language_model_weight) if options.language_model else None
    translator = Translator.load(*(str(run.path) for run in runs), beam=options.beam, language_model=says)
    config = translator.config
    split = load_split(config, options.split, options.data_dir)
    found = [best[0].text for best in translator(split.sources)]
    metrics = translation_scores(found, split.sources, split.targets)
    if config.corpus == "scenes" and config.decoder != "fixed" and len(runs) == 1:
        scorer = PairScorer(translator.models[0], translator.source, translator.target)
        metrics["AER"] = round(measure_alignment(scorer, config, options.split), 4)
    record = {"pairs": len(found), "beam": config.beam, **metrics}
    if len(runs) == 1 and not says and not runs[0].is_released:
        runs[0].save_metrics(options.split, record)
        card.write(runs[0])
    record = {"run": " + ".join(run.name for run in runs), "split": options.split, **record}
    results.write(record, "\n".join(f"{name:16} {value}" for name, value in record.items()))
    results.close()
    print_worst(options.worst, found, split.sources, split.targets)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
