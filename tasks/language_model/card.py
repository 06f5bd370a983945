"""What the model card of a language model says, besides its numbers."""

from shared.card import write_card
from shared.runs import Run
from tasks.language_model.config import Config

TERMS = {
    "python_manual": "Trained on the language reference that comes with Python (PSF licence, `pydoc_data.topics`).",
    "penn_treebank": (
        "Trained on the Penn Treebank as Mikolov et al. prepared it: articles of the Wall Street Journal, licensed by"
        " the Linguistic Data Consortium. **For research only**; weights are not to be passed on without a licence."
    ),
    "wikitext2": (
        "Trained on WikiText-2 (Merity et al. 2017): good and featured articles of the English Wikipedia, **CC BY-SA**."
        " What the model writes may repeat them; pass it on under the same licence."
    ),
}

# Test perplexities of single models, as their authors' code or papers have them.
PUBLISHED = {
    "penn_treebank": {
        "Zaremba et al. 2014, medium": {"perplexity": 82.1},
        "AWD-LSTM, without finetuning": {"perplexity": 58.8},
        "AWD-LSTM": {"perplexity": 56.5, "perplexity_cache": 52.5, "perplexity_dynamic": 51.1},
        "Mogrifier LSTM": {"perplexity": 50.1, "perplexity_dynamic": 44.8},
    },
    "wikitext2": {
        "LSTM, 2 x 200, GluonNLP": {"perplexity": 101.64, "perplexity_cache": 73.74},
        "LSTM, 2 x 650, GluonNLP": {"perplexity": 86.91, "perplexity_cache": 65.85},
        "AWD-LSTM": {"perplexity": 64.7, "perplexity_cache": 50.6},
        "Mogrifier LSTM": {"perplexity": 55.1, "perplexity_dynamic": 38.6},
    },
}

FORWARDS = (
    "`perplexity`: per token, `</s>` at the end of each line included, in one stream whose state is carried."
    " `perplexity_temperature`, `perplexity_cache`, `perplexity_dynamic`: the same with a softmax temperature, a neural"
    " cache and dynamic evaluation, fitted to development. Published figures are of the test split."
)
BOTH_WAYS = (
    "`perplexity`: of words made blank, told from both sides. `right`, `right in five`: how often the word itself is"
    " the most probable one, or among the first five."
)


def write(run: Run) -> None:
    """Writes the model card of a trained language model."""
    config = run.read_config(Config)
    forwards = config.reads == "forwards"
    verbs = ['score --model {} "the cat sat"', 'generate --model {} --prompt "the"'] if forwards else []
    verbs = verbs or ['fill --model {} "the ___ sat on the mat"']
    commands = [*verbs, "evaluate --model {} --split dev", *(["export {}"] if forwards else [])]
    write_card(
        run,
        title=f"Language model, trained on {config.corpus}",
        summary=(
            f"{config.cell} layers of {' and '.join(map(str, config.widths))} units read a text {config.reads} and tell"
            f" how probable each {'next token' if forwards else 'word in a blank'} is."
            " See `tasks/language_model/README.md`."
        ),
        terms=TERMS.get(config.corpus, f"Trained on {config.corpus}; what its terms allow, the weights allow."),
        usage="\n".join(f"python -m tasks.language_model.{command.format(run.name)}" for command in commands),
        published=PUBLISHED.get(config.corpus, {}) if forwards and config.vocabulary == "words" else {},
        remarks=FORWARDS if forwards else BOTH_WAYS,
    )
