"""Trains the phoneme recognizer.

    python -m tasks.phoneme_recognizer.train                          # spoken scenes (needs the extra speech-synthesis)
    python -m tasks.phoneme_recognizer.train spoken_manual            # many words, to begin with
    python -m tasks.phoneme_recognizer.train speechocean762           # people; begins with the run before
    python -m tasks.phoneme_recognizer.train timit --data-dir TIMIT
    python -m tasks.phoneme_recognizer.train speechocean762 --corpus recordings  # sound files with transcripts
    python -m tasks.phoneme_recognizer.train streaming                # reads forwards alone

The same command again resumes an interrupted run. The run lies in saved_models/phoneme_recognizer/<run>/.
"""

import sys
from dataclasses import replace
from pathlib import Path

from shared.cli import TrainingOptions, command, training_arguments
from shared.native.ahead import compile_ahead
from shared.runs import plain_name
from tasks.phoneme_recognizer.config import PRESETS, RELEASED, TASK, Config


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, fits the temperature, then reports on the development split."""
    import keras
    import numpy as np

    from shared.losses import mean_nats, told_nats
    from shared.ngrams import count_ngrams
    from shared.plots import draw_history
    from shared.runs import Run
    from shared.training import Evaluation, Trainer, load_trained, model_weights
    from tasks.phoneme_recognizer.aligner import add_times
    from tasks.phoneme_recognizer.calibration import fit_belief, fit_temperature
    from tasks.phoneme_recognizer.data import fingerprint, load_split, training_batches
    from tasks.phoneme_recognizer.evaluate import Arguments, measure, recognize_split, score, spell_split
    from tasks.phoneme_recognizer.model import Listener, Speller, build_model, measure_bands
    from tasks.phoneme_recognizer.recognition import SoundRecognizer
    from tasks.phoneme_recognizer.scoring import phone_error_rate

    training, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    prints = {
        name: fingerprint(name, options.data_dir if place == 0 else None) for place, name in enumerate(config.corpora)
    }
    begun = Run.find(config.begin, TASK, RELEASED) if config.begin else None
    if begun:
        prints["begin"] = begun.fingerprint
    has_times = bool(begun and begun.read_config(Config).frame_weight)  # or will have
    if config.frame_weight and not has_times and all(utterance.spans is None for utterance in training.utterances):
        print(
            f"{config.corpus} has no times: CTC alone is long in learning, and tells where a phone is, not how long;"
            " better begin with a run that knows times: --begin RUN"
        )
        config = replace(config, frame_weight=0.0)

    run = Run.create(TASK, options.run or run_name(config), config, prints)
    labels = [utterance.label_ids for utterance in training.utterances]
    ngrams = count_ngrams([ids.tolist() for ids in labels], len(config.phones) + 1, config.ngram_order)
    run.save_weights(ngrams._asdict(), "ngrams")

    keras.utils.set_random_seed(config.seed)
    model = build_model(config)
    if begun:
        load_trained(begun, model)
        model.temperature.assign(1)
        model.belief.assign([1, 0])
        training = add_times(training, SoundRecognizer(model)) if has_times else training
    elif config.normalisation == "corpus":
        measure_bands(model, (training.samples(number) for number in range(0, len(labels), max(1, len(labels) // 500))))
    hours = sum(utterance.seconds for utterance in training.utterances) / 3600
    print(f"{run.name}: {model.count_params():,} parameters, {hours:.1f} hours an epoch")
    listener, speller = Listener(model), Speller(model)
    optimizer = keras.optimizers.Adam(
        global_clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.weight_average
    )
    listener.compile(optimizer, mean_nats, metrics=[keras.metrics.MeanMetricWrapper(told_nats, name="nats_per_token")])

    def evaluate() -> Evaluation:
        references, hypotheses = spell_split(speller, dev)
        error = phone_error_rate(references, hypotheses)
        samples = [(" ".join(hypotheses[i]), " ".join(references[i])) for i in (0, len(references) // 2)]
        return Evaluation(metrics={"dev PER": error}, score=-error, samples=samples)

    state = Trainer(
        listener,
        training_batches(config, training),
        run,
        evaluate,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        patience=config.patience,
        kept=model,
        tensorboard=options.tensorboard,
    ).fit()

    fit_temperature(model, dev)
    recognizer = SoundRecognizer(model, ngrams if config.beam else None, config.beam)
    if config.beam:
        model.belief.assign(fit_belief(*score(dev, recognize_split(recognizer, dev), config)[2:]))
    run.save_weights({name: np.asarray(weight) for name, weight in model_weights(model).items()})
    run.save_model(model)
    draw_history(state.history, ["perplexity", "dev PER"], run.path / "plots" / "history.png")
    measure(run, Arguments(data_dir=options.data_dir), recognizer)
    print(f"trained: {run.path}")


def run_name(config: Config) -> str:
    """That of the corpus that is measured, or of its folder, in signs that a run's name may have."""
    name = Path(config.corpora[0]).name + ("" if config.bidirectional else "-streaming")
    return plain_name(name, "corpus")


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "spoken_scenes", "tasks.phoneme_recognizer.train", __doc__)
    compile_ahead(config.cell)
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
