"""Trains the translator.

    python -m tasks.translator.train                                # scenes, English to German, built in
    python -m tasks.translator.train multi30k-de-en                 # captions of photos
    python -m tasks.translator.train everyday --source de --target en # everyday sentences, numbers, names, addresses
    python -m tasks.translator.train tatoeba --source eng --target deu
    python -m tasks.translator.train multi30k-en-de --corpus files --source-file a.en --target-file a.de
    python -m tasks.translator.train --from multi30k-en-de --corpus files --source-file a.en --target-file a.de
    python -m tasks.translator.train tatoeba --source en --target fr --corpus files --pairs-file memory.tmx

With few pairs of your own, batches and vocabulary become smaller than those of the presets. The same
command again resumes an interrupted training. The run is saved_models/translator/<run>/.
"""

import sys
from collections.abc import Callable
from math import exp
from typing import TYPE_CHECKING

from shared.cli import TrainingOptions, command, training_arguments
from shared.native.precompile import compile_ahead
from shared.runs import safe_name
from tasks.translator.config import PRESETS, TASK, Config, find_run

if TYPE_CHECKING:
    from shared.training import Evaluation, OtherRun
    from tasks.translator.data import Split
    from tasks.translator.inference import LoadedTranslator
    from tasks.translator.vocabularies import Vocabularies

SAMPLED = 500  # development pairs that are translated after each epoch, by greedy search
WEAK = 5.0, 200  # BLEU below which it is chance, for this number of pairs; its error falls with their square root
MANY_UNKNOWN = 0.1  # fraction of unknown words with which a vocabulary of words does not work


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, keeps the best weights on the development split, measures them and writes the card."""
    from shared.distillation import imitating, load_teachers
    from shared.loaded import Loaded
    from shared.losses import SequenceCrossEntropy, nats_per_token
    from shared.plots import draw_history
    from shared.training import Trainer, load_initial, training_run
    from tasks.translator import card
    from tasks.translator.data import (
        augmented,
        build_vocabulary,
        fingerprint,
        fitted,
        load_split,
        training_batches,
        unknown_words,
    )
    from tasks.translator.evaluate import Arguments, measure
    from tasks.translator.model import build_model, load_model, start_from

    name = options.run or run_name(config)
    initial = load_initial(TASK, name, config, find_run, load_model, card.terms)
    training, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    config = fitted(config, training)
    vocabulary = build_vocabulary(config, training, initial and initial.loaded.vocabulary)
    training = augmented(config, training)
    batches = training_batches(config, training, vocabulary)

    teachers = load_teachers(TASK, name, config, vocabulary, find_run, load_model, card.terms)
    with training_run(TASK, name, config, fingerprint(config, options.data_dir), initial, teachers) as run:
        vocabulary.save(run.path)
        model = build_model(config, vocabulary)
        if initial:
            start_from(initial.loaded, model, vocabulary)
            report_start(initial, config, vocabulary)
        print(f"{run.name}: {model.count_params():,} parameters, {len(training.sources):,} pairs an epoch")
        for language, share in unknown_words(config, dev, vocabulary).items():
            hint = "; --vocabulary subwords has none" if share > MANY_UNKNOWN else ""
            print(f"unknown words of {language} in dev: {share:.1%}{hint}")
        loaded = Loaded(config, vocabulary, model)
        trained = imitating(model, teachers, config, "target_ids")
        loss = SequenceCrossEntropy(config.label_smoothing)
        trained.compile(config.build_optimizer(), loss, metrics=[nats_per_token])
        parts = {"model_to_save": model, "tensorboard": options.tensorboard}
        state = Trainer(trained, batches, run, evaluation(loaded, dev), config, **parts).fit()
        draw_history(state.history, ["perplexity", "dev BLEU"], run.path / "plots" / "history.png")
        metrics = measure(run, Arguments(data_dir=options.data_dir), loaded)
        if metrics["BLEU"] < WEAK[0]:
            pairs = f"{len(training.sources):,} pairs are too few, or the sides are no translations of each other"
            print(f"hardly anything was learned (dev BLEU {metrics['BLEU']:.1f}): {pairs}", file=sys.stderr)
    print(f"trained: {run.path}")


def report_start(initial: "OtherRun", config: Config, vocabulary: "Vocabularies") -> None:
    """Prints what the training has from the run that it starts from, and whether the languages are others."""
    from shared.fine_tuning import growth

    for side, before, after in zip(("source", "target"), initial.loaded.vocabulary, vocabulary, strict=True):
        print(f"from {initial.run.name}, {side}: {growth(before, after)}")
    before = initial.loaded.config
    if (before.source, before.target) != (config.source, config.target):
        print(
            f"it translates from {before.source} to {before.target}, this run from {config.source} to {config.target}"
        )


def evaluation(loaded: "LoadedTranslator", dev: "Split") -> "Callable[[], Evaluation]":
    """The evaluation after each epoch: BLEU of greedy translations of development pairs, and their loss."""
    from shared.training import Evaluation
    from tasks.translator.inference import PairScorer, Translator
    from tasks.translator.scoring import Bleu

    translate, score = Translator(loaded, beam=1, as_is=True), PairScorer(loaded)
    sources, references = translate.accepted(dev.sources[:SAMPLED]), dev.targets[:SAMPLED]
    bleu = Bleu(loaded.config.target, references)
    chance = WEAK[0] * max(1.0, (WEAK[1] / len(references)) ** 0.5)

    def evaluate() -> Evaluation:
        outputs = [best[0].text for best in translate(sources)]
        pairs = score(list(zip(sources, references, strict=True)))
        loss = -sum(pair.log_prob for pair in pairs) / sum(len(pair.tokens) for pair in pairs)
        percent = bleu.score(outputs)
        return Evaluation(
            metrics={"dev BLEU": percent, "dev perplexity": exp(min(loss, 50))},
            score=percent,
            samples=[(outputs[i], references[i]) for i in (0, len(outputs) // 2)],
            loss=loss,
            is_informative=percent >= chance,
        )

    return evaluate


def run_name(config: Config) -> str:
    """The default name of a run: corpus and languages; the corpus alone for scenes from English."""
    files = config.files["train"]
    name = files[0].name.split(".")[0] if files else config.corpus.replace("/", "-")
    if config.corpus != "scenes" or config.source != "en":
        name += f"-{config.source}-{config.target}"
    name += "" if config.decoder == "inside" else f"-{config.decoder}"
    return safe_name(name, "files")


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "scenes", "tasks.translator.train", __doc__, find_run)
    compile_ahead("gru")
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
