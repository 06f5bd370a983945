"""Fusion with a language model, which rescores the n-best list of a translator.

    score = (log p(translation | source) + weight log p(translation)) / ((5 + length) / 6)^exponent

The notation is that of `shared.decoding.beam_search`. The language model is the SavedModel of a run of the task
`language_model`: text in, log-probability out, whatever its vocabulary.
"""

from collections.abc import Sequence

from shared.backend import require_tensorflow
from shared.decoding import length_penalty
from shared.errors import shortened
from shared.runs import Run, RunError


class LanguageModel:
    """The newest SavedModel of a run of the language model; RunError if there is no such run, or it has none.

    Args:
        model: run or folder.
        weight: weight of its log-probabilities.
    """

    def __init__(self, model: str, weight: float):
        require_tensorflow("--language-model")
        import tensorflow as tf

        from shared.export import latest_export

        run = Run.find(model, "language_model", model)
        if (path := latest_export(run)) is None:
            raise RunError(f"{run.path} has no SavedModel; write one: python -m tasks.language_model.export {model}")

        self.weight = weight
        try:
            self._score = tf.saved_model.load(str(path)).score
        except Exception as error:  # TensorFlow raises many kinds for a damaged folder
            raise RunError(f"{path}: not a SavedModel of a language model ({shortened(str(error))})") from None

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        """Log-probabilities of lines, in nats."""
        return self._score(list(texts))["log_prob"].numpy().tolist()

    def scores(self, translations: Sequence[tuple[str, float, int]], exponent: float) -> list[float]:
        """The combined scores of translations: (text, the translator's log-probability, tokens including the end)."""
        language = self.log_probs([text for text, _, _ in translations])
        rows = [(log_prob, of_text, n) for (_, log_prob, n), of_text in zip(translations, language, strict=True)]
        return [(log_prob + self.weight * of_text) / length_penalty(n, exponent) for log_prob, of_text, n in rows]
