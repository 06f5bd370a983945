"""The model card of a language model."""

from shared.card import all_terms, write_card
from shared.runs import Run
from tasks.language_model.config import Config

NAMES = {"simple_rnn": "simple RNN", "lstm": "LSTM", "gru": "GRU", "mogrifier_lstm": "Mogrifier LSTM"}

TERMS = {
    "python_manual": "Trained on the language reference that comes with Python (PSF licence, `pydoc_data.topics`).",
    "penn_treebank": (
        "Trained on the Penn Treebank as prepared by Mikolov et al.: articles of the Wall Street Journal, licensed by"
        " the Linguistic Data Consortium. **For research only**; do not pass the weights on without a licence."
    ),
    "wikitext2": (
        "Trained on WikiText-2 (Merity et al. 2017): good and featured articles of the English Wikipedia, **CC BY-SA**."
        " Generated text may repeat parts of them and then has the same licence."
    ),
    "english_text": (
        "Trained on WikiText-2 (Merity et al. 2017), articles of the English Wikipedia, **CC BY-SA**, and on English"
        " sentences of Tatoeba's contributors (tatoeba.org), CC BY 2.0 FR. Generated text may repeat parts of both and"
        " then has these licences."
    ),
    "sst2": (
        "Trained on sentences of film reviews with labels of the Stanford Sentiment Treebank (Socher et al. 2013); no"
        " terms are stated. **For research only.**"
    ),
}

# Test perplexities of single models, from their authors' code or papers.
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

CAUSAL = (
    "`perplexity`: per token, `</s>` at the end of each line included, in one stream with carried state."
    " `perplexity_temperature`, `perplexity_cache`, `perplexity_dynamic`: the same with a softmax temperature, a neural"
    " cache, and dynamic evaluation, fitted to the development split; `perplexity_dynamic_cache`: with the last two."
    " `word_perplexity`, of subwords or characters: per word, separated by white space, and end of line. Published"
    " figures are for the test split."
)
BIDIRECTIONAL = (
    "`perplexity`: of masked words, given both sides. `right`, `right_in_five`: fraction of masked words that are the"
    " most probable prediction, or among the five most probable."
)

LABELS = (
    "`accuracy`: fraction of texts whose most probable label is right. `macro_F1`: mean of F1 over the labels."
    " `calibration_error`: mean difference between the probability of a label and how often it is right."
    " `confusion`: number of texts by true and most probable label. The temperature of the probabilities and the"
    " epoch are chosen on the development split."
)


def terms(run: Run) -> str:
    """The terms of the data that a run was trained on, also by way of the run that it started from."""
    corpus = run.read_config(Config).corpus
    return all_terms(run, TERMS.get(corpus, f"Trained on {corpus}; the terms of that text apply to the weights."))


def write(run: Run) -> None:
    """Writes the `README.md` of a run that has metrics."""
    config = run.read_config(Config)
    if config.reads == "for a label":
        _write_classifier(run, config)
        return
    is_causal = config.reads == "forwards"
    kind, predicted = ("causal", "next token") if is_causal else ("bidirectional", "masked word")
    causal_verbs = ['score --model {} "the cat sat"', 'generate --model {} --prompt "the"']
    verbs = [*causal_verbs, "export {}"] if is_causal else ['fill --model {} "the ___ sat on the mat"']
    commands = [command.format(run.name) for command in [*verbs, "evaluate --model {}"]]
    write_card(
        run,
        title=f"Language model, trained on {config.corpus}",
        summary=(
            f"A {kind} model with {NAMES[config.cell]} layers of {' and '.join(map(str, config.widths))} units;"
            f" it predicts the probability of each {predicted}. See `tasks/language_model/README.md`."
        ),
        terms=terms(run),
        usage="\n".join(f"python -m tasks.language_model.{command}" for command in commands),
        published=PUBLISHED.get(config.corpus, {}) if is_causal and config.vocabulary == "words" else {},
        remarks=CAUSAL if is_causal else BIDIRECTIONAL,
    )


def _write_classifier(run: Run, config: Config) -> None:
    verbs = 'classify --model {} "A warm and funny film."', "export {}", "evaluate --model {}"
    write_card(
        run,
        title=f"Classifier of texts, trained on {config.corpus}",
        summary=(
            f"A language model with {NAMES[config.cell]} layers of {' and '.join(map(str, config.widths))} units, and a"
            f" head that predicts the label of a text. See `tasks/language_model/README.md`."
        ),
        terms=terms(run),
        usage="\n".join(f"python -m tasks.language_model.{verb.format(run.name)}" for verb in verbs),
        remarks=LABELS,
    )
