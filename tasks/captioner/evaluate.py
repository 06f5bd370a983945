"""Measures a trained captioner on a split.

    python -m tasks.captioner.evaluate [--model RUN] [--split dev|test] [--beam 3] [--json]

The metrics are added to the run's metrics.json, unless the run is a released model.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from shared import commands
from shared.bounds import MAX_BEAM, Bounds
from shared.cli import EvaluationOptions, command, parse
from shared.runs import Run
from tasks.captioner.config import Config, find_run

if TYPE_CHECKING:
    from shared.vocabulary import WordVocabulary
    from tasks.captioner.data import Split
    from tasks.captioner.inference import Caption
    from tasks.captioner.model import CaptionSearch, LoadedCaptioner

BATCH = 50  # images per search


@dataclass(frozen=True, kw_only=True)
class Arguments(EvaluationOptions):
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config."""


def measure(run: Run, options: Arguments, model: "LoadedCaptioner | None" = None) -> dict[str, Any]:
    """The metrics of a run on a split; unless the run is released, they are saved with it and its card is written.

    `model` is the result of `load_model`, if it is in memory.
    """
    import datasets
    from shared.metrics import CAPTION_PROTOCOL, novelty
    from tasks.captioner import card
    from tasks.captioner.data import load_split, read_references, with_grids
    from tasks.captioner.encoder import load_encoder
    from tasks.captioner.model import CaptionSearch, load_model

    config, vocabulary, captioner = model or load_model(run)
    config = replace(config, beam=options.beam or config.beam)
    split = with_grids(load_split(config, options.split, options.data_dir), load_encoder(run, config))
    captions = caption_split(CaptionSearch(captioner, None, config), vocabulary, split)
    metrics = split_metrics(captions, split, config)
    references = read_references(config, datasets.load(config.corpus, "train", options.data_dir))
    training_captions = (vocabulary.normalise(text) for image in references for text in image)
    metrics["novelty"] = novelty([" ".join(best[0].tokens) for best in captions], training_captions)
    record = {"images": len(captions), "beam": config.beam, "protocol": CAPTION_PROTOCOL}
    record |= {name: round(value, 4) for name, value in metrics.items()}
    with run.results() as may_write:
        if may_write:
            run.save_metrics(options.split, record)
            card.write(run)
    return record


def caption_split(search: "CaptionSearch", vocabulary: "WordVocabulary", split: "Split") -> "list[list[Caption]]":
    """The captions, best first, of every image of a split with grids; uses the first view."""
    from tasks.captioner.inference import read_captions

    captions = []
    for start in range(0, len(split.records), BATCH):
        grids = split.inputs[start : start + BATCH, 0].astype("float32")
        captions += read_captions(search.predict_on_batch(grids), vocabulary, search.grid_shape)
    return captions


def split_metrics(captions: "Sequence[Sequence[Caption]]", split: "Split", config: Config) -> dict[str, float]:
    """The metrics of the best caption of each image; for scenes with `scene_metrics`."""
    from shared.metrics import caption_scores, distinct

    texts = [best[0].text for best in captions]
    metrics = caption_scores(texts, split.captions) | {"distinct": distinct(texts)}
    return metrics | (scene_metrics(captions, split) if config.corpus == "scenes" else {})


def scene_metrics(captions: "Sequence[Sequence[Caption]]", split: "Split") -> dict[str, float]:
    """For scenes: the best captions, parsed and compared with the scene, as fractions.

    `true`: images whose caption is correct in every object, attribute and relation; `true_seen` and `true_novel` for
    scenes without and with a colour-shape pair that is not in the training split. `pointing`: shape words in true
    captions whose attention peaks inside the box of the object; shapes that occur twice in a scene are left out.
    `related`: true captions with a relation, among true captions of two or more objects; captions without a relation
    are more easily true.
    """
    import numpy as np

    from datasets.scenes.parser import describes
    from datasets.scenes.parser import parse as parse_caption
    from datasets.scenes.world import scene_of

    true, pointing, related = {False: [], True: []}, [], []
    for best, record in zip(captions, split.records, strict=True):
        caption = best[0]
        text = " ".join(caption.tokens)
        description, is_true = parse_caption(text), describes(text, scene_of(record))
        true[record["novel"]].append(is_true)
        if is_true and description is not None and len(description.objects) > 1:
            related.append(bool(description.relations))
        for word, attention in zip(caption.tokens, caption.attention, strict=True):
            if is_true and record["shapes"].count(word) == 1:
                row, column = np.unravel_index(np.argmax(attention), attention.shape)
                y, x = (row + 0.5) / attention.shape[0], (column + 0.5) / attention.shape[1]
                top, left, bottom, right = record["boxes"][record["shapes"].index(word)]
                pointing.append(top <= y <= bottom and left <= x <= right)
    outcomes = {"true": true[False] + true[True], "true_seen": true[False], "true_novel": true[True]}
    outcomes |= {"pointing": pointing, "related": related}
    return {name: float(np.mean(values)) for name, values in outcomes.items() if values}


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.captioner.evaluate", __doc__)
    import datasets

    run = find_run(options.model)
    corpora = datasets.user_paths([run.read_config(Config).corpus], options.data_dir)
    commands.evaluate(options, run, measure, corpora=corpora)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
