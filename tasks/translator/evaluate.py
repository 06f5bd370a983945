"""Measures a trained translator, or an ensemble, on a split.

    python -m tasks.translator.evaluate [--model RUN ...] [--split dev|test] [--beam 5] [--worst 5] [--json]
    python -m tasks.translator.evaluate --from en --to fr     # the released model of the direction
    python -m tasks.translator.evaluate --source-file a.de --target-file a.en       # or --pairs-file a.tmx: your own
    python -m tasks.translator.evaluate --outputs a.out --source-file a.de --target-file a.en     # no model translates

    BLEU               sacreBLEU, with its signature, and its 95 % interval by bootstrap; the tokenizer is that of the
                       target language
    BLEU lower case    the same, both sides in lower case
    BLEU Moses         BLEU of tokens of Moses, in lower case and with normalised punctuation, by sacremoses, as in
                       published results on Multi30k; not of languages that another tokenizer than 13a suits
    chrF               character n-grams (Popović 2015)
    exact              fraction of translations that equal the reference
    BLEU by length     by number of words of the sentence
    copied             fraction of numbers, dates, times, prices, names, addresses and so on that the translations of
                       synthetic sentences have as the target language writes them, by kind; for models that were
                       trained on such sentences, from other templates
    AER                alignment error rate on scenes, whose true alignment is known: 1 - 2 |A and S| / (|A| + |S|) for
                       the alignment A by attention with the reference as output (Och and Ney 2003, all links sure)

The metrics of a single model on a split of its corpus, by the search of its config, are saved with its run, unless it
is released. `--outputs` scores translations that exist, one a line, whatever made them: of the files that are named,
else of the split.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared import commands
from shared.bounds import CountOrZero
from shared.cli import EvaluationOptions, command, parse
from shared.errors import UserError
from shared.runs import Run
from tasks.translator import card
from tasks.translator.config import Config, own_files
from tasks.translator.options import SearchOptions
from tasks.translator.scoring import alignment_error_rate, copied, translation_scores
from tasks.translator.synthetic import copying_cases

if TYPE_CHECKING:
    from tasks.translator.data import Split
    from tasks.translator.inference import LoadedTranslator


@dataclass(frozen=True, kw_only=True)
class Arguments(SearchOptions, EvaluationOptions):
    source_file: Path | None = None
    """Measure on these sentences of your own, one a line, instead of a split."""
    target_file: Path | None = None
    """Their translations, line by line."""
    pairs_file: Path | None = None
    """Instead of the two: TMX, tab-separated text, CSV or JSON lines."""
    outputs: Path | None = None
    """Score these translations, one a line, instead of translating."""
    bleu_tokenizer: Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"] | None = None
    """Tokenizer of BLEU; default: that of the target language."""
    worst: CountOrZero = 0
    """Print this number of translations, those with the lowest chrF."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The user's files to measure on, see `own_files`; outputs can be scored without the sentences."""
        source = self.source_file or (self.target_file if self.outputs else None)
        return own_files(source, self.target_file, self.pairs_file)


def measure(run: Run, options: Arguments, model: "LoadedTranslator | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; saves them and writes the card, unless the run is released.

    Args:
        run: the first of `options.model`; metrics of an ensemble, with a language model or by other options than the
            run's are not saved.
        model: the loaded run, if it is in memory already.

    Raises UserError if the runs, the corpus or the language model cannot be used, or the corpus has changed.
    """
    from tasks.translator.data import check_corpus, load_alignments, load_files, load_outputs, load_split
    from tasks.translator.inference import PairScorer, Translator

    config = run.read_config(Config)
    if options.outputs:
        split, outputs = load_outputs(options.outputs, config, options.split, options.data_dir, options.files)
        return _scores(outputs, split, config, options)
    if options.files:
        split = load_files(options.files, config)
    else:
        check_corpus(run, config)
        split = load_split(config, options.split, options.data_dir)
    is_own_search = options.beam in (None, config.beam) and not options.as_is and not options.language_model
    search: dict[str, Any] = {
        "beam": options.beam, "language_model": options.load_language_model(), "as_is": options.as_is
    }  # fmt: skip
    translator = Translator(model, **search) if model else Translator.load(str(run.path), *options.model[1:], **search)
    config, is_single = translator.config, len(translator.loaded) == 1
    outputs = [best[0].text for best in translator(translator.accepted(split.sources))]
    metrics = {"beam": config.beam, **_scores(outputs, split, config, options)}
    if config.synthetic_pairs and not options.files:
        cases = copying_cases(config.source, config.target, options.split)
        metrics["copied"] = copied(cases, [best[0].text for best in translator([case.sentence for case in cases])])
    if config.corpus == "scenes" and config.decoder != "fixed" and is_single and not options.files:
        scorer = PairScorer(translator.loaded[0])
        pairs = scorer(list(zip(split.sources, split.targets, strict=True)))
        alignments = [set(scorer.alignment(pair)) for pair in pairs]
        references = load_alignments(config, options.split, options.data_dir)
        metrics["AER"] = round(alignment_error_rate(alignments, references), 4)
    if is_single and is_own_search and not options.bleu_tokenizer and not options.files:
        with run.results() as may_write:
            if may_write:
                run.save_metrics(options.split, metrics)
                card.write(run)
    return metrics


def _scores(outputs: Sequence[str], split: "Split", config: Config, options: Arguments) -> dict[str, Any]:
    """The metrics of translations of a split; prints the worst of them if asked."""
    scores = translation_scores(outputs, split.targets, split.sources, config.target, options.bleu_tokenizer)
    print_worst(options.worst, outputs, split.sources, split.targets)
    measured = {"split": ", ".join(map(str, dict.fromkeys(options.files)))} if options.files else {}
    return {**measured, "pairs": len(outputs), **scores}


def print_worst(count: int, outputs: Sequence[str], sources: Sequence[str], references: Sequence[str]) -> None:
    """Prints the translations with the lowest chrF on standard error: source, output, reference."""
    import sacrebleu

    chrf = [sacrebleu.sentence_chrf(output, [references[i]]).score for i, output in enumerate(outputs)]
    for i in sorted(range(len(chrf)), key=chrf.__getitem__)[:count]:
        print(f"{chrf[i]:5.1f}  {sources[i]}\n     > {outputs[i]}\n     = {references[i]}", file=sys.stderr)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.evaluate", __doc__)
    if options.outputs and not options.outputs.exists():
        raise UserError(f"--outputs {options.outputs}: no such file; translations, one a line, were expected")
    files = options.files
    runs = list(map(options.find_run, options.model or (None,)))
    import datasets

    config = runs[0].read_config(Config)
    commands.evaluate(
        options,
        runs[0],
        measure,
        str(options.outputs or " + ".join(run.name for run in runs)),
        models=[*(run.path for run in runs[1:]), *options.language_models()],
        corpora=[
            *datasets.user_paths(
                map(str, (path for files in config.files.values() for path in files)), options.data_dir
            ),
            *files,
            *([options.outputs] if options.outputs else []),
        ],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
