"""What the model card of a translator says, besides its numbers."""

from shared.card import write_card
from shared.runs import Run

TERMS = {
    "scenes": "Trained on the scenes of this project, written by `datasets/scenes`. The weights carry its terms.",
    "multi30k": (
        "Trained on Multi30k (Elliott et al. 2016), captions of Flickr photos: **for research and education only**."
    ),
    "tatoeba": "Trained on sentences of Tatoeba (CC BY 2.0) as published by manythings.org.",
    "files": "Trained on the user's own files; their terms hold.",
}

# Text only, single models, test_2016; tokenised, lower-cased BLEU but where said.
PUBLISHED = {
    ("en", "de"): {"LIUM-CVC, GRU + conditional GRU (test)": {"BLEU lower case": 39.00}},
    ("en", "fr"): {"LIUM-CVC, GRU + conditional GRU (test)": {"BLEU lower case": 59.02}},
    ("de", "en"): {"PyTorch tutorial, GRU + attention (test)": {"BLEU lower case": 28.30}},
}

DECODERS = {
    "inside": "a conditional GRU with attention inside its recurrence",
    "between": "two LSTMs with attention between them",
    "fixed": "an LSTM that knows the sentence by one vector, without attention",
}


def write(run: Run) -> None:
    """Writes the model card of a trained translator."""
    config = run.config["config"]
    corpus = config["corpus"].partition("/")[0]
    direction = config["source"], config["target"]
    write_card(
        run,
        title=f"Translator from {direction[0]} to {direction[1]}, trained on {config['corpus']}",
        summary=(
            f"A bidirectional GRU reads a sentence, {DECODERS[config['decoder']]} writes its translation. See"
            " `tasks/translator/README.md`."
        ),
        terms=TERMS[corpus],
        usage=(
            f'python -m tasks.translator.translate "..." --model {run.name}\n'
            f"python -m tasks.translator.evaluate --model {run.name} --split dev\n"
            f"python -m tasks.translator.export {run.name}"
        ),
        published=PUBLISHED.get(direction) if corpus == "multi30k" else None,
        remarks=(
            "`BLEU` is sacreBLEU's, of the signature under `protocol`; `exact`: translations that are the reference"
            " word for word; `AER`, on scenes: attention against the true alignment."
        ),
    )
