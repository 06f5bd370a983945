"""A language model that has a say in which translation is best: n-best lists are sorted once more.

The translator knows what the sentence says, the language model what people write. Of each translation found

    score = (log p(translation | sentence) + weight log p(translation)) / ((5 + length) / 6)^penalty

in the notation of `shared.decoding.beam_search`. The language model is a run of this suite, asked through its
SavedModel, text in, numbers out; whatever its vocabulary is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.runs import Run, RunError

if TYPE_CHECKING:
    from tasks.translator.config import Config
    from tasks.translator.translation import Translation


class LanguageModel:
    """The newest SavedModel of a run of the language model.

    Args:
        model: its run or folder.
        weight: of its logarithms.

    Raises:
        RunError: there is no such run, or it has no SavedModel.
    """

    def __init__(self, model: str, weight: float):
        from shared.export import exported

        run = Run.find(model, "language_model", model)
        path = exported(run)
        if path is None:
            raise RunError(f"{run.path} has no SavedModel; write one: python -m tasks.language_model.export {model}")
        import tensorflow as tf

        self.weight = weight
        self._score = tf.saved_model.load(str(path)).score

    def log_probs(self, texts: Sequence[str]) -> list[float]:
        """Natural logarithms of the probabilities of lines."""
        return self._score(list(texts))["log_prob"].numpy().tolist()

    def sort(self, translations: "list[Translation]", config: "Config") -> "list[Translation]":
        """The translations of a sentence, best first."""
        scored = []
        log_probs = self.log_probs([translation.text for translation in translations])
        for translation, log_prob in zip(translations, log_probs, strict=True):
            penalty = ((5 + len(translation.tokens) + 1) / 6) ** config.length_penalty
            scored.append(replace(translation, score=(translation.log_prob + self.weight * log_prob) / penalty))
        return sorted(scored, key=lambda translation: -translation.score)
