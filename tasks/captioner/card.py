"""The model card of a captioner."""

from shared.card import all_terms, write_card
from shared.runs import Run
from tasks.captioner.config import has_finder

ENCODER = (
    "The image encoder is MobileNetV2 with ImageNet weights (Apache-2.0), which Keras downloads on first use; the run"
    " has only the layers that were trained on its features."
)
TERMS = {
    "scenes": (
        "Trained on the scenes of this project, rendered by `datasets/scenes`. The weights are under the project's"
        " licence."
    ),
    "flickr8k": (
        "Trained on Flickr8k (Hodosh, Young and Hockenmaier 2013): **for research and education only**; the photos"
        f" belong to their Flickr users. {ENCODER}"
    ),
    "flickr30k": f"Trained on Flickr30k: **for research and education only**; the photos belong to others. {ENCODER}",
    "coco": f"Trained on COCO: its captions are CC BY 4.0, its photos belong to their Flickr users. {ENCODER}",
}

# On Karpathy's test split; reimplementations with frozen VGG16 features and beam 3.
PUBLISHED = {
    "scenes": {},
    "flickr8k": {
        "Show and Tell, VGG16 (test)": {
            "BLEU-1": 0.608, "BLEU-2": 0.424, "BLEU-3": 0.290, "BLEU-4": 0.198, "ROUGE-L": 0.447, "CIDEr-D": 0.478,
        },
        "adaptive attention, VGG16 (test)": {
            "BLEU-1": 0.624, "BLEU-2": 0.440, "BLEU-3": 0.303, "BLEU-4": 0.205, "ROUGE-L": 0.457, "CIDEr-D": 0.524,
        },
    },
}  # fmt: skip

OF_CONFIDENCE = (
    " `ECE`, `word ECE`: expected calibration errors of the confidences of captions and of words, calibrated on dev."
)
OF_PHOTOS = (
    "`distinct`: number of different captions, divided by the number of captions; `novelty`: captions that are not a"
    " training caption, word for word. `pointing`: words whose best cell is in the right photo of two side by side, by"
    " the attention or by the finder, with 95 % interval and chance (`pointing.py`)."
)
REMARKS = {
    "scenes": (
        "`true`: captions that are correct in every object, attribute and relation; `true_seen` and `true_novel`:"
        " the same for scenes without and with a colour-shape pair that is not in the training split. `pointing`:"
        " shape words, and colours, in true captions whose attention peaks inside the box of the object, with 95 %"
        " interval and chance. `related`: true captions"
        " with a relation, among those of several objects. `distinct`: number of different captions, divided by the"
        " number of captions. `novelty`: captions that are not a training caption, word for word."
    ),
    "flickr8k": (f"{OF_PHOTOS} The test split has only the 200 of the official 1,000 photos that were available."),
}
OF_FINDER = (
    " `finder`: sentences found for a photo and photos for a sentence, among those of the split: R@k is the fraction of"
    " queries whose own sentence or photo is among the first k (`retrieval.py`)."
)


def terms(run: Run) -> str:
    """The terms of the data that a run was trained on, also by way of the run that it started from."""
    corpus = run.config["config"]["corpus"]
    return all_terms(run, TERMS.get(corpus, f"Trained on {corpus}; its terms apply to the weights. {ENCODER}"))


def write(run: Run) -> None:
    """Write the model card of a run."""
    corpus = run.config["config"]["corpus"]
    find = f'\npython -m tasks.captioner.find --model {run.name} "a dog runs" photos/' if has_finder(run) else ""
    write_card(
        run,
        title=f"Captioner, trained on {corpus}",
        summary=(
            "An LSTM decoder with adaptive attention (Lu et al. 2017) over the grid of a convolutional encoder; writes"
            " captions of images. See `tasks/captioner/README.md`."
        ),
        terms=terms(run),
        usage=(
            f"python -m tasks.captioner.caption --model {run.name} photo.jpg\n"
            f"python -m tasks.captioner.evaluate --model {run.name} --split dev\n"
            f"python -m tasks.captioner.export {run.name}{find}"
        ),
        published=PUBLISHED.get(corpus, {}),
        remarks=REMARKS.get(corpus, OF_PHOTOS) + OF_CONFIDENCE + (OF_FINDER if has_finder(run) else ""),
    )
