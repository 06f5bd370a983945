"""Measures a trained captioner on a split, or captions that you have.

    python -m tasks.captioner.evaluate [--model RUN] [--split dev|test] [--beam 3] [--json]
    python -m tasks.captioner.evaluate --corpus photos/                          # photos that it was not trained on
    python -m tasks.captioner.evaluate --outputs mine.csv --corpus photos/       # captions of any captioner

The metrics are added to the run's metrics.json, unless the run is a released model. Those of the finder, if the run has
one, say how well sentences and photos find each other (`retrieval.py`); `pointing` says how often words point at what
they name, by the attention or by the finder (`pointing.py`). `--outputs` needs no model: it is a file of captions in
any of the formats that a corpus may have, such as what `caption --json` or `caption --csv` writes, or a text with one
caption a line, in the order of the photos; the first caption of a photo counts.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from shared import commands
from shared.bounds import MAX_BEAM, Bounds
from shared.cli import EvaluationOptions, Results, command, parse
from shared.outputs import check_outputs
from shared.runs import Run
from tasks.captioner.config import PRESETS, Config, find_run, has_finder

if TYPE_CHECKING:
    from shared.steps import Batches
    from shared.vocabulary import WordVocabulary
    from tasks.captioner.data import Split
    from tasks.captioner.inference import Caption
    from tasks.captioner.model import Captioner, CaptionSearch, LoadedCaptioner

BATCH = 50  # images per search


@dataclass(frozen=True, kw_only=True)
class Arguments(EvaluationOptions):
    corpus: str | None = None
    """Corpus, folder of photos or file of captions to measure on; default: the run's. All of it, unless it gives
    splits."""
    outputs: Path | None = None
    """Captions to measure, instead of the model's."""
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config."""

    def is_own(self, config: Config) -> bool:
        """Whether the corpus to measure on is the run's."""
        return self.corpus in (None, config.corpus) or str(Path(self.corpus).expanduser().resolve()) == config.corpus

    def corpus_of(self, config: Config) -> Config:
        """A configuration with the corpus to measure on."""
        if self.corpus is None:
            return config
        if self.is_own(config):
            return replace(config, **{f"{self.split}_corpus": ""})
        own = self.corpus != "scenes"
        others = {"dev_corpus": self.corpus, "test_corpus": self.corpus} if own else {}
        return replace(config, corpus=self.corpus, **others)


def measure(run: Run, options: Arguments, model: "LoadedCaptioner | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; unless the run is released, they are saved with it and its card is written.

    Raises UserError if it was trained on some of the photos.

    Those of another beam than the run's are not saved. With metrics of its own development split, the confidence of its
    captions and words is calibrated. `ECE` and `word ECE` are the expected calibration errors. `model` is the result of
    `load_model`, if it is in memory.
    """
    from shared.metrics import CAPTION_PROTOCOL, novelty
    from tasks.captioner import card
    from tasks.captioner.calibration import calibration_errors, captions_and_right, words_and_right
    from tasks.captioner.confidence import Calibration, Confidence
    from tasks.captioner.data import check_photos, load_split, open_records, read_references, with_grids
    from tasks.captioner.encoder import load_encoder
    from tasks.captioner.finder import load_finder
    from tasks.captioner.model import CaptionSearch, load_model
    from tasks.captioner.pointing import measure_pointing
    from tasks.captioner.retrieval import measure_finder

    config, vocabulary, captioner = loaded = model or load_model(run)
    is_own_search = options.beam in (None, config.beam)
    config = replace(config, beam=options.beam or config.beam)
    measured = options.corpus_of(config)
    if options.corpus:
        check_photos(config, measured, options.split, options.data_dir)
    encoder = load_encoder(run, config)
    finder = load_finder(run, config, vocabulary) if has_finder(run) else None
    split = with_grids(load_split(measured, options.split, options.data_dir), encoder)
    captions = caption_split(CaptionSearch(captioner, None, config, vocabulary, finder), vocabulary, split)
    metrics: dict[str, Any] = {**split_metrics(captions, split, measured)}
    outcomes = captions_and_right(captions, split, measured.corpus), words_and_right(captions, split)
    calibrates = options.corpus is None and options.split == "dev" and is_own_search
    confidence = Calibration(*(Confidence.fit(*of) for of in outcomes)) if calibrates else Calibration.load(run)
    metrics |= calibration_errors(confidence, outcomes) if confidence else {}
    if finder:
        metrics |= {f"finder {name}": value for name, value in measure_finder(finder, vocabulary, split).items()}
    metrics |= measure_pointing(captions, split, run, loaded, encoder, finder)
    if options.corpus is None:
        references = read_references(open_records(config, "train", options.data_dir))
        training_captions = (vocabulary.normalise(text) for image in references for text in image)
        metrics["novelty"] = novelty([" ".join(best[0].tokens) for best in captions], training_captions)
    part = part_of(options, config)
    record = {"corpus": options.corpus, "split": part} if options.corpus else {}
    record |= {"images": len(captions), "beam": config.beam, "protocol": CAPTION_PROTOCOL}
    record |= {name: value if isinstance(value, dict) else round(value, 4) for name, value in metrics.items()}
    with run.results() as may_write:
        if may_write and is_own_search:
            name = f"{Path(options.corpus).name} {part}" if options.corpus else part
            run.save_metrics(name, record)
            if confidence and calibrates:
                confidence.save(run)
            card.write(run)
    return record


def part_of(options: Arguments, config: Config) -> str:
    """The part of the corpus that is measured: the split, or all of photos that have none."""
    from datasets.photo_folder import gives_splits
    from tasks.captioner.data import PREPARED

    corpus = options.corpus
    is_split = not corpus or options.is_own(config) or corpus in PREPARED or gives_splits(corpus, options.data_dir)
    return options.split if is_split else "all"


def caption_split(search: "CaptionSearch", vocabulary: "WordVocabulary", split: "Split") -> "list[list[Caption]]":
    """The captions, best first, of every image of a split with grids; uses the first view."""
    from tasks.captioner.inference import read_captions

    captions = []
    for start in range(0, len(split.records), BATCH):
        grids = split.inputs[start : start + BATCH, 0].astype("float32")
        captions += read_captions(search.predict_on_batch(grids), vocabulary, search.config.grid)
    return captions


def split_loss(model: "Captioner", batches: "Batches") -> float:
    """The cross-entropy of the captions of a split, in nats per word, end included, from its `training_batches`."""
    import numpy as np
    from keras import ops

    from shared.losses import token_nats

    nats = words = 0.0
    for index in range(len(batches)):
        inputs, targets = batches[index]
        is_real = targets != 0
        nats += float(np.sum(ops.convert_to_numpy(token_nats(targets, model.predict_on_batch(inputs))) * is_real))
        words += float(is_real.sum())
    return nats / words


def split_metrics(captions: "Sequence[Sequence[Caption]]", split: "Split", config: Config) -> dict[str, float]:
    """The metrics of the best caption of each image; for scenes with `scene_metrics`."""
    from shared.metrics import caption_scores, distinct

    texts = [best[0].text for best in captions]
    metrics = caption_scores(texts, split.captions) | {"distinct": distinct(texts)}
    return metrics | (scene_metrics(captions, split) if config.corpus == "scenes" else {})


def scene_metrics(captions: "Sequence[Sequence[Caption]]", split: "Split") -> dict[str, float]:
    """For scenes: the best captions, parsed and compared with the scene, as fractions.

    `true`: images whose caption is correct in every object, attribute and relation; `true_seen` and `true_novel` for
    scenes without and with a colour-shape pair that is not in the training split. `pointing`, `pointing of colours`:
    `scene_outcomes`. `related`: true captions with a relation, among true captions of two or more objects; captions
    without a relation are more easily true.
    """
    import numpy as np

    from datasets.scenes.parser import describes
    from datasets.scenes.parser import parse as parse_caption
    from datasets.scenes.world import scene_of
    from tasks.captioner.pointing import scene_outcomes

    true, related = {False: [], True: []}, []
    for best, record in zip(captions, split.records, strict=True):
        text = " ".join(best[0].tokens)
        description, is_true = parse_caption(text), describes(text, scene_of(record))
        true[record["novel"]].append(is_true)
        if is_true and description is not None and len(description.objects) > 1:
            related.append(bool(description.relations))
    outcomes = {"true": true[False] + true[True], "true_seen": true[False], "true_novel": true[True]}
    outcomes |= {name: [hit for _, hit, _ in found] for name, found in scene_outcomes(captions, split).items()}
    outcomes |= {"related": related}
    return {name: float(np.mean(values)) for name, values in outcomes.items() if values}


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.captioner.evaluate", __doc__)

    if options.outputs is not None and options.corpus is not None:
        evaluate_given(options.outputs, options, PRESETS["photos"])
        return
    run = find_run(options.model)
    config = run.read_config(Config)
    if options.outputs is not None:
        evaluate_given(options.outputs, options, config)
        return
    corpora = corpora_of(replace(config, corpus=options.corpus or config.corpus), options)
    commands.evaluate(options, run, measure, corpora=corpora)


def corpora_of(config: Config, options: Arguments) -> list[Path]:
    """The user's files and folders that the corpora of a configuration are read from."""
    import datasets

    return datasets.user_paths([config.corpus, config.dev_corpus, config.test_corpus], options.data_dir)


def evaluate_given(path: Path, options: Arguments, config: Config) -> None:
    """Write the metrics of the captions in a file."""
    from tasks.captioner.data import open_records
    from tasks.captioner.given import measure_given

    measured = options.corpus_of(config)
    reads = {"the file of captions": [path], "a file of the corpus": corpora_of(measured, options)}
    check_outputs({"--output": [options.output]}, reads)
    records = open_records(measured, options.split, options.data_dir)
    record = {"outputs": str(path), "split": part_of(options, config), **measure_given(path, records)}
    with Results(options.json, options.output) as results:
        results.write(record, commands.as_lines(record))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
