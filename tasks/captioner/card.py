"""What the model card of a captioner says, besides its numbers."""

from shared.card import write_card
from shared.runs import Run

TERMS = {
    "scenes": (
        "Trained on the scenes of this project, rendered by `datasets/scenes`. The weights carry the project's terms."
    ),
    "flickr8k": (
        "Trained on Flickr8k (Hodosh, Young and Hockenmaier 2013): **for research and education only**; the photos"
        " belong to their Flickr users. The image encoder is MobileNetV2 with ImageNet weights (Apache-2.0), which"
        " Keras fetches on first use; only what was learned from its features is here."
    ),
}

# Karpathy's split, test; from reimplementations with frozen VGG16 features at beam 3.
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

REMARKS = {
    "scenes": (
        "`true`: the caption, parsed back, is right in every object, attribute and relation; `true_seen` and"
        " `true_novel` without and with a colour-shape pair that training never showed. `pointing`: the peak of"
        " attention at a shape word lies in that object's box, in true captions. `related`: true captions"
        " of several objects that tell a relation."
    ),
    "flickr8k": (
        "`distinct`: different captions among all; `novelty`: captions that are no training caption word for word."
        " The photos of the test split at hand were 200 of the official 1,000."
    ),
}


def write(run: Run) -> None:
    """Writes the model card of a trained captioner."""
    corpus = run.config["config"]["corpus"]
    write_card(
        run,
        title=f"Captioner, trained on {corpus}",
        summary=(
            "An LSTM with adaptive attention (Lu et al. 2017) over the grid of a convolutional network:"
            " an image in, English captions out. See `tasks/captioner/README.md`."
        ),
        terms=TERMS[corpus],
        usage=(
            f"python -m tasks.captioner.caption --model {run.name} photo.jpg\n"
            f"python -m tasks.captioner.evaluate --model {run.name} --split dev\n"
            f"python -m tasks.captioner.export {run.name}"
        ),
        published=PUBLISHED[corpus],
        remarks=REMARKS[corpus],
    )
