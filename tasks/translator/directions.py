"""Lines of several languages, each translated by the released model for it; the language is guessed.

The guess is that of py3langid, a naive Bayes classifier over n-grams of bytes, among the languages of
`shared.languages`. A line has a language that is translated unless another one is `MARGIN` more probable; an unclear
one, such as "OK", has the language of the first model.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from shared.languages import is_known, language_name, primary_language
from tasks.translator.config import described_directions, released_runs

if TYPE_CHECKING:
    from tasks.translator.inference import Translator
    from tasks.translator.translation import Translation

MARGIN = 3.0  # in nats; with 2, 1 of 3,000 English sentences of Tatoeba is refused
LONGEST = 2000  # characters of a line that are looked at
UNCLEAR = 0.5  # in nats: below it, two languages that are translated are equally probable

Direction = tuple[str, str]


class LineTranslators:
    """The translators of all directions to a target; each is loaded when a line needs it.

    Args:
        load: loads the translator of a run by its name.
        target: code or name of the language to translate to; None for the first model of the source language.
    """

    def __init__(self, load: "Callable[[str], Translator]", target: str | None = None):
        code = target and primary_language(target)
        self.load, self.runs, self.translators = load, {}, {}
        for (source, other), name in released_runs().items():
            if code in (None, other):
                self.runs.setdefault(source, name)  # the first direction of each source

    def _translator(self, name: str) -> "Translator":
        if name not in self.translators:
            self.translators[name] = self.load(name)
        return self.translators[name]

    def language(self, line: str) -> str:
        """The code of the language of a line, see `guessed_language`."""
        return guessed_language(line, tuple(self.runs))

    def refusal(self, line: str) -> str | None:
        """Why a line cannot be translated: its language, or its length."""
        language = self.language(line)
        if language not in self.runs:
            seems = f"seems to be {language_name(language)}"
            return f"{seems}; {described_directions()}; --from names the language of all lines"
        return self._translator(self.runs[language]).refusal(line)

    def __call__(self, lines: Sequence[str]) -> "list[list[Translation]]":
        """The translations of lines without a refusal, best first."""
        by_run: dict[str, list[int]] = {}
        for i, line in enumerate(lines):
            by_run.setdefault(self.runs[self.language(line)], []).append(i)
        found: dict[int, list[Translation]] = {}
        for name, indices in by_run.items():
            found.update(zip(indices, self._translator(name)([lines[i] for i in indices]), strict=True))
        return [found[i] for i in range(len(lines))]


@lru_cache(maxsize=1024)  # of the lines of a batch, which are asked for several times
def guessed_language(text: str, expected: tuple[str, ...]) -> str:
    """The code of the language of a text; one of the expected languages, the first one if in doubt.

    >>> guessed_language("Où est la gare ?", ("de", "en")), guessed_language("OK", ("de", "en"))
    ('fr', 'de')
    """
    scores = dict(_identifier().rank(text[:LONGEST]))
    ranked = sorted(expected, key=lambda code: -scores.get(code, 0.0))
    best, *others = [max(scores.get(code, 0.0), 1e-30) for code in ranked]
    likeliest = max(scores, key=scores.__getitem__)
    if math.log(scores[likeliest] / best) > MARGIN:
        return likeliest
    return expected[0] if others and math.log(best / others[0]) < UNCLEAR else ranked[0]


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in identifier.labels if is_known(code)])
    return identifier
