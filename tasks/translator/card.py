"""The model card of a translator."""

from shared.card import all_terms, write_card
from shared.runs import Run

TERMS = {
    "scenes": "Trained on the scenes of this project, written by `datasets/scenes`. The weights carry its terms.",
    "multi30k": (
        "Trained on Multi30k (Elliott et al. 2016), captions of Flickr photos: **for research and education only**."
    ),
    "tatoeba": "Trained on sentences of Tatoeba (CC BY 2.0) as published by manythings.org.",
    "everyday": (
        "Trained on sentences of Tatoeba (https://tatoeba.org, CC BY 2.0 FR) by its contributors, as published by "
        "manythings.org, and on synthetic sentences of this project. Free for any use with this attribution."
    ),
    "files": "Trained on the user's own files; their terms hold.",
    "letters": "Trained on the CMU Pronouncing Dictionary (https://github.com/cmusphinx/cmudict), free for any use.",
}

# Text only, single models, test_2016; tokenised, lower-cased BLEU.
PUBLISHED = {
    ("en", "de"): {"LIUM-CVC, GRU + conditional GRU (test)": {"BLEU lower case": 39.00}},
    ("en", "fr"): {"LIUM-CVC, GRU + conditional GRU (test)": {"BLEU lower case": 59.02}},
    ("de", "en"): {"PyTorch tutorial, GRU + attention (test)": {"BLEU lower case": 28.30}},
}

DECODERS = {
    "inside": "a conditional GRU with attention inside its recurrence",
    "between": "two LSTMs with attention between them",
    "fixed": "an LSTM without attention, which receives the sentence as one vector,",
}


def terms(run: Run) -> str:
    """The terms of the data that a run was trained on, also by way of the run that it started from."""
    config = run.config["config"]
    return all_terms(run, TERMS["letters" if config["source"] == "letters" else config["corpus"].partition("/")[0]])


def write(run: Run) -> None:
    """Writes the model card of a run."""
    config = run.config["config"]
    corpus, source, target = config["corpus"].partition("/")[0], config["source"], config["target"]
    write_card(
        run,
        title=f"Translator from {source} to {target}, trained on {config['corpus']}",
        summary=f"A bidirectional GRU encodes a sentence, {DECODERS[config['decoder']]} generates its translation."
        " See `tasks/translator/README.md`.",
        terms=terms(run),
        usage=f'python -m tasks.translator.translate "..." --model {run.name}\n'
        f"python -m tasks.translator.evaluate --model {run.name} --split dev\n"
        f"python -m tasks.translator.export {run.name}",
        published=PUBLISHED.get((source, target)) if corpus == "multi30k" else None,
        remarks="`BLEU` is that of sacreBLEU with the signature under `protocol`; `exact`: fraction of translations"
        " that equal the reference; `AER`, on scenes: alignment error rate of attention; `copied`: fraction of numbers,"
        " dates, names, addresses and so on that the translations of synthetic sentences have, from templates that were"
        " not trained on.",
    )
