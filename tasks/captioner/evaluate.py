"""Measures a trained captioner on a split.

    python -m tasks.captioner.evaluate [--model RUN] [--split dev|test] [--beam 3] [--json]

The numbers are added to the run's metrics.json, unless the run is a released model.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shared.cli import Results, check_number, command, parse
from shared.runs import Run
from tasks.captioner.caption import MAX_BEAM
from tasks.captioner.config import RELEASED, TASK, Config

if TYPE_CHECKING:
    from tasks.captioner.data import Caption, Split
    from tasks.captioner.model import Describer

BATCH = 50  # images searched at a time


def describe_split(describer: "Describer", vocabulary, split: "Split") -> "list[list[Caption]]":
    """The best captions of every image of a split, from its first view."""
    from tasks.captioner.data import read_captions

    captions = []
    for start in range(0, len(split.records), BATCH):
        inputs = split.inputs[start : start + BATCH, 0].astype("float32")
        found = describer.predict_on_batch(inputs)
        captions += read_captions(found, vocabulary, describer.grid_shape)
    return captions


def measure(captions: "list[list[Caption]]", split: "Split", config: Config) -> dict[str, float]:
    """The metrics of the best caption of each image; for scenes also how many are true, and where the model looked."""
    from shared.metrics import caption_scores, distinct

    texts = [best[0].text for best in captions]
    metrics = caption_scores(texts, split.captions) | {"distinct": distinct(texts)}
    return metrics | (measure_truth(captions, split) if config.corpus == "scenes" else {})


def measure_truth(captions: "list[list[Caption]]", split: "Split") -> dict[str, float]:
    """For scenes: captions parsed back and held against the scene that was drawn.

    `true` is the share of images whose caption is right in every object, attribute and relation, with `true_seen` and
    `true_novel` for scenes without and with a colour-shape pair that training never showed. `pointing` is the share
    of shape words, in true captions, at which the peak of attention lies in the box of the object meant; words for a
    shape that two objects share are left out. `related` is the share that tells a relation among true captions of two
    objects and more: without one a caption is true more easily.
    """
    import numpy as np

    from datasets.scenes.parser import describes
    from datasets.scenes.parser import parse as parse_caption
    from datasets.scenes.world import scene_of

    true, pointed, related = {False: [], True: []}, [], []
    for best, record in zip(captions, split.records, strict=True):
        caption = best[0]
        told = parse_caption(" ".join(caption.tokens))
        is_true = describes(" ".join(caption.tokens), scene_of(record))
        true[record["novel"]].append(is_true)
        if is_true and told is not None and len(told.objects) > 1:
            related.append(bool(told.relations))
        for word, attention in zip(caption.tokens, caption.attention, strict=True):
            if is_true and record["shapes"].count(word) == 1:
                row, column = np.unravel_index(np.argmax(attention), attention.shape)
                y, x = (row + 0.5) / attention.shape[0], (column + 0.5) / attention.shape[1]
                top, left, bottom, right = record["boxes"][record["shapes"].index(word)]
                pointed.append(top <= y <= bottom and left <= x <= right)
    shares = {"true": true[False] + true[True], "true_seen": true[False], "true_novel": true[True]}
    shares |= {"pointing": pointed, "related": related}
    return {name: float(np.mean(outcomes)) for name, outcomes in shares.items() if outcomes}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    beam: int | None = None
    """Hypotheses kept in search; by default the run's own."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.captioner.evaluate", __doc__)
    check_number("--beam", options.beam, 1, MAX_BEAM)
    run = Run.find(options.model, TASK, RELEASED)
    results = Results(options.json, options.output)
    import datasets
    from shared.metrics import CAPTION_PROTOCOL, novelty
    from tasks.captioner import card
    from tasks.captioner.data import read_references
    from tasks.captioner.encoder import load_encoder, load_grids
    from tasks.captioner.model import Describer, load_model

    config, vocabulary, model = load_model(run)
    config = replace(config, beam=options.beam or config.beam)
    split = load_grids(config, options.split, load_encoder(run, config), options.data_dir)
    references = read_references(config, datasets.load(config.corpus, "train", options.data_dir))

    captions = describe_split(Describer(model, None, config), vocabulary, split)
    metrics = measure(captions, split, config)
    texts = (vocabulary.normalise(text) for image in references for text in image)
    metrics["novelty"] = novelty([" ".join(best[0].tokens) for best in captions], texts)
    record = {"images": len(captions), "beam": config.beam, "protocol": CAPTION_PROTOCOL}
    record |= {name: round(value, 4) for name, value in metrics.items()}
    if not run.is_released:
        run.save_metrics(options.split, record)
        card.write(run)
    record = {"run": run.name, "split": options.split, **record}
    results.write(record, "\n".join(f"{name:12} {value}" for name, value in record.items()))
    results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
