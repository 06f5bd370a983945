"""Trains the captioner.

    python -m tasks.captioner.train                                 # scenes, generated: 4 minutes on two cores
    python -m tasks.captioner.train flickr8k --data-dir Flickr8k    # photos: 12 minutes on two cores
    python -m tasks.captioner.train flickr8k_scst                   # then for CIDEr-D, from the run flickr8k
    python -m tasks.captioner.train photos --corpus holiday/        # photos of your own, with captions
    python -m tasks.captioner.train scenes --units 128 --run small  # any field of `config.py` is an option
    python -m tasks.captioner.train --from flickr8k --epochs 2 --run more  # starts from the weights of a run

With few photos of your own, batches become smaller and epochs more than those of the preset, and the best epoch is
that of the lowest loss on the development photos. The same command again resumes an interrupted run. The run is written
to saved_models/captioner/<run>/.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import TrainingOptions, command, training_arguments
from shared.errors import FieldError
from shared.native.precompile import compile_ahead
from shared.runs import safe_name
from tasks.captioner.config import CORPORA, FINDER, PRESETS, TASK, Config, find_run, has_finder

if TYPE_CHECKING:
    from shared.runs import Run
    from shared.training import OtherRun
    from shared.vocabulary import WordVocabulary
    from tasks.captioner.data import Split

FEW = 200  # images of a development split of which CIDEr-D is chance


def train(config: Config, options: TrainingOptions) -> None:
    """Train to the end, then measure the best weights on the development split."""
    from shared.distillation import load_teachers
    from shared.training import load_initial, training_run
    from tasks.captioner import card
    from tasks.captioner.data import build_vocabulary, fingerprint, fitted, load_split
    from tasks.captioner.model import load_model

    name = options.run or run_name(config)
    initial = load_initial(TASK, name, config, find_run, load_model, card.terms)
    train_split, dev = (load_split(config, split, options.data_dir) for split in ("train", "dev"))
    config, chosen = fitted(config, train_split), config
    if config != chosen:
        captions = f"{sum(map(len, train_split.captions)):,} captions"
        print(f"{captions}: batches of {config.batch_size}, {config.epochs} epochs, patience {config.patience}")
    vocabulary = build_vocabulary(config, train_split, initial and initial.loaded.vocabulary)
    teachers = load_teachers(TASK, name, config, vocabulary, find_run, load_model, card.terms)
    with training_run(TASK, name, config, fingerprint(config, options.data_dir), initial, teachers) as run:
        vocabulary.save(run.path / "vocabulary.json")
        fit(run, config, vocabulary, train_split, dev, options, initial, teachers)
    print(f"trained: {run.path}")


def fit(
    run: "Run",
    config: Config,
    vocabulary: "WordVocabulary",
    train_split: "Split",
    dev: "Split",
    options: TrainingOptions,
    initial: "OtherRun | None" = None,
    teachers: "Sequence[OtherRun]" = (),
) -> None:
    """Train encoder and decoder, the decoder in one or two stages; measure the run.

    A training that starts from a run has its encoder.

    Raises:
        FieldError: a teacher has another encoder.
    """
    from shared.distillation import imitating
    from shared.fine_tuning import growth
    from shared.loaded import Loaded
    from shared.losses import PolicyGradient, SequenceCrossEntropy, nats_per_token
    from shared.plots import draw_history
    from shared.training import Evaluation, State, Trainer, agreed_rank, weights_as_arrays
    from tasks.captioner.data import training_batches, with_grids
    from tasks.captioner.encoder_training import learned_encoder
    from tasks.captioner.evaluate import Arguments, caption_split, measure, split_loss, split_metrics
    from tasks.captioner.model import CaptionSearch, build_model, start_from
    from tasks.captioner.self_critical import self_critical_batches

    if initial:
        take_over(initial, run, vocabulary)
    encoder = learned_encoder(run, config, train_split, vocabulary)
    for teacher in teachers:
        if not have_same_encoder(run, teacher.run):
            problem = f"{teacher.run.name} has another encoder; one trained on the same corpus was expected"
            raise FieldError("teachers", config.teachers, problem)
    train_split, dev = (with_grids(split, encoder) for split in (train_split, dev))
    model = build_model(config, vocabulary)
    if initial:
        start_from(initial.loaded, model, vocabulary)
        print(f"from {initial.run.name}: {growth(initial.loaded.vocabulary, vocabulary)}")
    search = CaptionSearch(model, None, config, vocabulary)

    dev_batches = training_batches(config, dev, vocabulary) if len(dev.captions) < FEW else None

    def evaluate(by_loss: bool = True) -> Evaluation:
        captions = caption_split(search, vocabulary, dev)
        metrics = split_metrics(captions, dev, config)
        loss = None
        if by_loss and dev_batches is not None:
            loss = split_loss(model, dev_batches)
            metrics["dev perplexity"] = exp(min(loss, 50))
        samples = [(captions[i][0].text, dev.captions[i][0]) for i in (0, len(captions) // 2)]
        score = metrics["CIDEr-D"]
        return Evaluation(metrics=metrics, score=score, samples=samples, loss=loss, is_informative=loss is None)

    by_reward = partial(evaluate, by_loss=False)  # what policies are trained for, whatever the loss
    if config.epochs:
        trained = imitating(model, teachers, config, "token_ids")
        loss = SequenceCrossEntropy(config.label_smoothing)
        trained.compile(config.build_optimizer(), loss, metrics=[nats_per_token])
        batches = training_batches(config, train_split, vocabulary)
        parts = {"model_to_save": model, "tensorboard": options.tensorboard}
        state = Trainer(trained, batches, run, evaluate, config, **parts).fit()
    else:  # the weights of the initial run are those to beat
        evaluation = by_reward()
        print("  ".join(f"{name} {value:.4g}" for name, value in evaluation.metrics.items()))
        state = State(best_score=agreed_rank(evaluation))
        if not (run.path / "weights.safetensors").exists():
            run.save_weights(weights_as_arrays(model))

    if config.reward_epochs:
        if config.epochs and dev_batches is not None:  # epochs were ranked by their loss, these are by their score
            state = replace(state, best_score=agreed_rank(by_reward()))
        rate = config.reward_learning_rate
        recipe = replace(config, epochs=config.reward_epochs, learning_rate=rate, schedule="plateau")
        model.disable_dropout = True  # captions are sampled without dropout, so this is the policy to differentiate
        model.compile(recipe.build_optimizer(), PolicyGradient(), metrics=[nats_per_token])
        batches = self_critical_batches(config, train_split, vocabulary, model)
        stage = {"previous_stage": state, "on_policy": True}
        state = Trainer(model, batches, run, by_reward, recipe, **stage, tensorboard=options.tensorboard).fit()

    draw_history(state.history, ["perplexity", "BLEU-4", "CIDEr-D"], run.path / "plots" / "history.png")
    measure(run, Arguments(data_dir=options.data_dir), Loaded(config, vocabulary, model))


def take_over(initial: "OtherRun", run: "Run", vocabulary: "WordVocabulary") -> None:
    """Gives a new run the encoder of the run that it starts from and, if there are no new words, its finder."""
    knows_all_words = len(vocabulary) == len(initial.loaded.vocabulary)
    for name in ("encoder", *([FINDER] if has_finder(initial.run) and knows_all_words else [])):
        if not (run.path / f"{name}.safetensors").exists():
            run.save_weights(initial.run.load_weights(name), name)


def have_same_encoder(run: "Run", other: "Run") -> bool:
    """Whether the grids of two runs are the same, but for rounding."""
    import numpy as np

    tensors, others = (each.load_weights("encoder") for each in (run, other))
    shapes, other_shapes = ({name: tensor.shape for name, tensor in each.items()} for each in (tensors, others))
    return shapes == other_shapes and all(
        np.allclose(tensors[name], others[name], rtol=0.01, atol=0.01 * np.abs(tensors[name]).max()) for name in tensors
    )


def check_corpora(config: Config) -> Config:
    """Makes the paths of corpora absolute, so that the run is valid in any folder.

    Raises UserError for one that is neither known by its name nor a path.
    """
    paths = {}
    for name in ("corpus", "dev_corpus", "test_corpus"):
        corpus = getattr(config, name)
        if (corpus or name == "corpus") and corpus not in CORPORA:
            if not corpus.strip() or not Path(corpus).exists():
                names = ", ".join(CORPORA)
                expected = f"{names}, a folder of photos with captions, or a file of captions, was expected"
                raise FieldError(name, corpus, expected).of_option()
            paths[name] = str(Path(corpus).resolve())
    return replace(config, **paths)


def run_name(config: Config) -> str:
    """The name of the corpus, or of its file without suffix, and whether the run is trained for its reward only."""
    return safe_name(Path(config.corpus).stem, "photos") + ("" if config.epochs else "_scst")


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "scenes", "tasks.captioner.train", __doc__, find_run)
    config = check_corpora(config)
    compile_ahead("lstm")
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
