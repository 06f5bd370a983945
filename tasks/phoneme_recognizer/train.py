"""Trains the phoneme recognizer.

    python -m tasks.phoneme_recognizer.train                          # spoken scenes (needs the extra speech-synthesis)
    python -m tasks.phoneme_recognizer.train spoken_manual            # a large vocabulary; the initial run of the next
    python -m tasks.phoneme_recognizer.train speechocean762           # people; starts from the run above
    python -m tasks.phoneme_recognizer.train english                  # many more people; starts from the run above
    python -m tasks.phoneme_recognizer.train timit --data-dir TIMIT
    python -m tasks.phoneme_recognizer.train english --corpus recordings  # your own, from the released run
    python -m tasks.phoneme_recognizer.train --from mine --corpus more  # from another run, with its sizes
    python -m tasks.phoneme_recognizer.train english --corpus data/train --dev-corpus data/dev  # Kaldi's
    python -m tasks.phoneme_recognizer.train streaming                # one direction, for --live

The same command resumes an interrupted run. The run is in saved_models/phoneme_recognizer/<run>/.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shared.audio import SAMPLE_RATE, duration
from shared.cli import TrainingOptions, command, training_arguments
from shared.native.precompile import compile_ahead
from shared.runs import Run, safe_name
from tasks.phoneme_recognizer.config import PRESETS, RELEASED, SCORER, TASK, Config, find_run

if TYPE_CHECKING:
    from shared.training import OtherRun, State
    from tasks.phoneme_recognizer.data import Split
    from tasks.phoneme_recognizer.model import LoadedRecognizer

BAND_UTTERANCES = 500  # approximate number of utterances that the statistics of bands are computed from


def train(config: Config, options: TrainingOptions) -> None:
    """Train to the end, calibrate the probabilities, and measure the run on the development split."""
    from shared.plots import draw_history
    from shared.training import load_initial, training_run
    from tasks.phoneme_recognizer import card
    from tasks.phoneme_recognizer.calibration import calibrate
    from tasks.phoneme_recognizer.data import fingerprint, load_split
    from tasks.phoneme_recognizer.evaluate import Arguments, measure
    from tasks.phoneme_recognizer.model import load_model

    name = options.run or run_name(config)
    initial = load_initial(TASK, name, config, find_run, load_model, card.terms)
    training, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    if config.frame_weight and not initial and all(x.spans is None for x in training.utterances):
        print(
            f"{config.corpus} has no phone times: CTC alone learns slowly and finds peaks, not durations; better start"
            " from a run that was trained with times: --from RUN"
        )
        config = replace(config, frame_weight=0.0)

    with training_run(TASK, name, config, fingerprint(config, options.data_dir), initial) as run:
        loaded, training = prepare(run, config, training, initial)
        state = fit(run, loaded, training, dev, options)
        (run.path / f"{SCORER}.safetensors").unlink(missing_ok=True)  # of the weights before
        calibrate(run, loaded, dev)
        draw_history(state.history, ["perplexity", "dev PER"], run.path / "plots" / "history.png")
        measure(run, Arguments(data_dir=options.data_dir), loaded)
    print(f"trained: {run.path}")


def with_initial_run(config: Config) -> Config:
    """The configuration with the released run in place of a preset's initial run, for sounds of one's own.

    A preset's own corpus starts from the run that is trained before it.
    """
    from tasks.phoneme_recognizer.data import CORPORA

    if not config.initial_run or config.corpora[0] in CORPORA:
        return config
    print(f"starts from the released run {RELEASED}; --from RUN names another")
    return replace(config, initial_run=RELEASED)


def without_other_splits(config: Config) -> Config:
    """The configuration without the dev and test corpora of a preset or initial run, unless it trains on them."""
    others = [
        name
        for name in ("dev_corpus", "test_corpus")
        if not {*getattr(config, name).split("+")} <= {*config.corpora, ""}
    ]
    return replace(config, **dict.fromkeys(others, ""))


def with_absolute_paths(config: Config) -> Config:
    """The configuration with absolute paths, so that the run is valid in any folder."""
    from tasks.phoneme_recognizer.data import absolute

    names = "corpus", "dev_corpus", "test_corpus", "dictionary"
    return replace(config, **{name: absolute(getattr(config, name)) for name in names})


def prepare(
    run: Run, config: Config, training: "Split", initial: "OtherRun | None"
) -> "tuple[LoadedRecognizer, Split]":
    """Write the n-grams of a run; return the model before its training, and the training split.

    The model starts from the weights of the run `initial`, if there is one, whose recognizer also chooses the
    pronunciations and adds times to the utterances that lack them, if it has learned times.
    """
    from shared.loaded import Loaded
    from shared.ngrams import count_ngrams
    from tasks.phoneme_recognizer.aligner import add_times
    from tasks.phoneme_recognizer.data import build_vocabulary
    from tasks.phoneme_recognizer.inference import SoundRecognizer
    from tasks.phoneme_recognizer.model import build_model, measure_bands, start_from

    vocabulary = build_vocabulary(config, training, initial and initial.loaded.vocabulary)
    model = build_model(config, vocabulary)
    loaded = Loaded(config, vocabulary, model)
    if initial:
        start_from(initial.loaded, model, vocabulary)
    is_measured = initial is not None and initial.loaded.config.normalisation == config.normalisation
    if config.normalisation in ("running", "corpus") and not is_measured:
        step = max(1, len(training.utterances) // BAND_UTTERANCES)
        measure_bands(model, (training.samples(i) for i in range(0, len(training.utterances), step)))
    if initial and config.frame_weight:
        training = add_times(training, SoundRecognizer(loaded))
    label_ids = [vocabulary.encode(utterance.phones) for utterance in training.utterances]
    ngrams = count_ngrams(label_ids, len(vocabulary), config.ngram_order, config.ngram_min_count)
    run.save_weights(ngrams._asdict(), "ngrams")
    seconds = sum(utterance.length for utterance in training.utterances) / SAMPLE_RATE
    print(f"{run.name}: {model.count_params():,} parameters, {duration(seconds)} an epoch")
    return loaded, training


def fit(run: Run, loaded: "LoadedRecognizer", training: "Split", dev: "Split", options: TrainingOptions) -> "State":
    """Train the model; the weights with the lowest PER on the development split are kept."""
    import keras

    from shared.losses import mean_nats, output_nats
    from shared.training import Evaluation, Trainer
    from tasks.phoneme_recognizer.data import training_batches
    from tasks.phoneme_recognizer.evaluate import decode_split
    from tasks.phoneme_recognizer.model import BestPathDecoder
    from tasks.phoneme_recognizer.nearest import references_of
    from tasks.phoneme_recognizer.objective import CTCTrainingModel
    from tasks.phoneme_recognizer.scoring import phone_error_rate

    config, vocabulary, model = loaded
    trained, decoder = CTCTrainingModel(model), BestPathDecoder(model)
    nats = keras.metrics.MeanMetricWrapper(output_nats, name="nats_per_token")
    trained.compile(config.build_optimizer(), mean_nats, metrics=[nats])

    def evaluate() -> Evaluation:
        hypotheses = decode_split(decoder, vocabulary, dev)
        references = references_of(dev.utterances, hypotheses)
        per = phone_error_rate(references, hypotheses)
        samples = [(" ".join(hypotheses[i]), " ".join(references[i])) for i in (0, len(references) // 2)]
        return Evaluation(metrics={"dev PER": per}, score=-per, samples=samples)

    batches = training_batches(config, training, vocabulary)
    trainer = Trainer(trained, batches, run, evaluate, config, model_to_save=model, tensorboard=options.tensorboard)
    return trainer.fit()


def run_name(config: Config) -> str:
    """The name of the preset for a corpus, else that of the first corpus or of its folder; a valid run name."""
    name = next((name for name, preset in PRESETS.items() if preset.corpus == config.corpus), None)
    name = name or Path(config.corpora[0]).name
    return safe_name(name + ("" if config.bidirectional else "-streaming"), "corpus")


@command
def main(arguments: list[str]) -> None:
    program = "tasks.phoneme_recognizer.train"
    config, options = training_arguments(arguments, PRESETS, "spoken_scenes", program, __doc__, find_run)
    given = [argument.partition("=")[0] for argument in arguments]
    if "--corpus" in given and not {"--dev-corpus", "--test-corpus"} & {*given}:
        config = without_other_splits(config)
    config = with_absolute_paths(config)
    if not any(argument.startswith(("--from", "--initial")) for argument in arguments):
        config = with_initial_run(config)
    compile_ahead(config.cell)
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
