"""Trains the captioner.

    python -m tasks.captioner.train                                 # scenes, built in: 4 minutes on two cores
    python -m tasks.captioner.train flickr8k --data-dir Flickr8k    # photos: 12 minutes on two cores
    python -m tasks.captioner.train scenes --units 128 --run small  # any number of `config.py`, on the command line

The same command again resumes an interrupted run. The run lies in saved_models/captioner/<run>/.
"""

import sys

from shared.cli import TrainingOptions, command, training_arguments
from shared.native.ahead import compile_ahead
from tasks.captioner.config import PRESETS, TASK, Config


def train(config: Config, options: TrainingOptions) -> None:
    """Trains to the end, then reports on the development split and writes plots and model card."""
    import keras

    import datasets
    from shared.losses import PolicyGradient, SequenceCrossEntropy, nats_per_token
    from shared.metrics import CAPTION_PROTOCOL
    from shared.plots import draw_history
    from shared.runs import Run
    from shared.training import Evaluation, Trainer
    from tasks.captioner import card
    from tasks.captioner.data import build_vocabulary, training_batches
    from tasks.captioner.encoder import learned_encoder, load_grids
    from tasks.captioner.evaluate import describe_split, measure
    from tasks.captioner.model import Describer, build_model
    from tasks.captioner.self_critical import self_critical_batches

    keras.utils.set_random_seed(config.seed)
    fingerprint = datasets.fingerprint(config.corpus, options.data_dir)
    run = Run.create(TASK, options.run or config.corpus, config, {config.corpus: fingerprint})

    encoder = learned_encoder(run, config, options.data_dir)
    train_split, dev = (load_grids(config, split, encoder, options.data_dir) for split in ("train", "dev"))
    vocabulary = build_vocabulary(config, train_split)
    vocabulary.save(run.path / "vocabulary.json")

    model = build_model(config, len(vocabulary))
    describer = Describer(model, None, config)

    def evaluate() -> Evaluation:
        captions = describe_split(describer, vocabulary, dev)
        metrics = measure(captions, dev, config)
        samples = [(captions[i][0].text, dev.captions[i][0]) for i in (0, len(captions) // 2)]
        return Evaluation(metrics=metrics, score=metrics["CIDEr-D"], samples=samples)

    def compile_with(loss: keras.losses.Loss) -> None:
        optimizer = keras.optimizers.Adam(
            global_clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.weight_average
        )
        model.compile(optimizer, loss, metrics=[nats_per_token])

    shared_options = {"patience": config.patience, "tensorboard": options.tensorboard}
    compile_with(SequenceCrossEntropy(config.label_smoothing))
    state = Trainer(
        model,
        training_batches(config, train_split, vocabulary),
        run,
        evaluate,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule=config.schedule,
        **shared_options,
    ).fit()

    if config.reward_epochs:
        model.steady = True  # samples are drawn without dropout, so that is the policy whose gradient is due
        compile_with(PolicyGradient())
        state = Trainer(
            model,
            self_critical_batches(config, train_split, vocabulary, model),
            run,
            evaluate,
            epochs=config.reward_epochs,
            learning_rate=config.reward_learning_rate,
            warmup_steps=0,
            schedule="plateau",
            after=state,
            on_policy=True,
            **shared_options,
        ).fit()

    dev_metrics = {name: round(value, 4) for name, value in evaluate().metrics.items()}
    run.save_metrics(
        "dev", {"images": len(dev.records), "beam": config.beam, "protocol": CAPTION_PROTOCOL} | dev_metrics
    )
    draw_history(state.history, ["perplexity", "BLEU-4", "CIDEr-D"], run.path / "plots" / "history.png")
    card.write(run)
    print(f"trained: {run.path}")


@command
def main(arguments: list[str]) -> None:
    config, options = training_arguments(arguments, PRESETS, "scenes", "tasks.captioner.train", __doc__)
    compile_ahead("lstm")
    train(config, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
