"""Trains the translator.

    python -m tasks.translator.train                                # scenes, English to German, built in
    python -m tasks.translator.train multi30k-de-en                 # captions of photos
    python -m tasks.translator.train tatoeba --source eng --target deu
    python -m tasks.translator.train multi30k-en-de --corpus files --source-file a.en --target-file a.de

The same command again resumes an interrupted run. The run lies in saved_models/translator/<run>/.
"""

import sys
from dataclasses import replace
from pathlib import Path

from shared.cli import TrainingOptions, command, training_arguments
from shared.native.ahead import compile_ahead
from shared.runs import plain_name
from tasks.translator.config import PRESETS, TASK, Config

SAMPLED = 500  # pairs of development that are translated after each epoch, by greedy search


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end; what is best on the development split is kept."""
    import keras
    import sacrebleu

    from shared.losses import SequenceCrossEntropy, nats_per_token
    from shared.plots import draw_history
    from shared.runs import Run
    from shared.training import Evaluation, Trainer
    from tasks.translator.data import build_vocabularies, fingerprint, load_split, training_batches
    from tasks.translator.model import build_model
    from tasks.translator.translation import Translator

    keras.utils.set_random_seed(config.seed)
    training, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    run = Run.create(
        TASK, options.run or run_name(config), config, {config.corpus: fingerprint(config, options.data_dir)}
    )
    source, target = build_vocabularies(config, training)
    source.save(run.path / "vocabulary.json")
    if not config.joint:
        target.save(run.path / "target_vocabulary.json")
    batches = training_batches(config, training, source, target)

    model = build_model(config, len(source), len(target))
    print(f"{run.name}: {model.count_params():,} parameters, {len(training.sources):,} pairs an epoch")
    greedy = Translator([model], source, target, replace(config, beam=1))
    optimizer = keras.optimizers.Adam(
        global_clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.weight_average
    )
    model.compile(optimizer, SequenceCrossEntropy(config.label_smoothing), metrics=[nats_per_token])
    sources, references = dev.sources[:SAMPLED], dev.targets[:SAMPLED]

    def evaluate() -> Evaluation:
        found = [best[0].text for best in greedy(sources)]
        bleu = sacrebleu.corpus_bleu(found, [references]).score
        samples = [(found[place], references[place]) for place in (0, len(found) // 2)]
        return Evaluation(metrics={"dev BLEU": bleu}, score=bleu, samples=samples)

    state = Trainer(
        model,
        batches,
        run,
        evaluate,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        patience=config.patience,
        tensorboard=options.tensorboard,
    ).fit()
    draw_history(state.history, ["perplexity", "dev BLEU"], run.path / "plots" / "history.png")
    print(f"trained: {run.path}")


def run_name(config: Config) -> str:
    """Corpus and languages, in signs that a run's name may have; scenes, from English, by their name alone."""
    name = Path(config.source_file).stem if config.corpus == "files" else config.corpus.replace("/", "-")
    if config.corpus != "scenes" or config.source != "en":
        name += f"-{config.source}-{config.target}"
    name += "" if config.decoder == "inside" else f"-{config.decoder}"
    return plain_name(name, "files")


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "scenes", "tasks.translator.train", __doc__)
    compile_ahead("gru")
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
