"""The options that `translate` and `evaluate` have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from shared.bounds import MAX_BEAM, Bounds, Weight
from shared.runs import Run

if TYPE_CHECKING:
    from tasks.translator.fusion import LanguageModel


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Which models translate, and with which search."""

    model: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Run or folder; given several times, the models form an ensemble; default: the released model of the direction,
    else the newest run."""
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config."""
    as_is: bool = False
    """Translate each line as one sentence, as it is written: without splitting, restored capitals and kept numbers."""
    language_model: str | None = None
    """Run or folder of an exported language model that rescores the translations."""
    language_model_weight: Weight = 0.2
    """Weight of the language model's log-probability beside the translator's."""

    def language_models(self) -> list[Path]:
        """The folder of the language model, if one is given; RunError if it does not exist."""
        return [Run.find(self.language_model, "language_model", "").path] if self.language_model else []

    def load_language_model(self) -> "LanguageModel | None":
        """The language model that rescores, if one is given."""
        from tasks.translator.fusion import LanguageModel

        return LanguageModel(self.language_model, self.language_model_weight) if self.language_model else None
