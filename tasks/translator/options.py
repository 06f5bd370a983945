"""The options that several commands have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from shared.bounds import MAX_BEAM, Bounds, Weight
from shared.cli import ExportOptions
from shared.runs import Run
from tasks.translator.config import find_run

if TYPE_CHECKING:
    from tasks.translator.fusion import LanguageModel


@dataclass(frozen=True, kw_only=True)
class DirectionOptions:
    """From which language to which a model translates."""

    source: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Language of the sentences, such as de or German; default: that of the model."""
    target: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """Language of the translations; default: that of the model."""

    def find_run(self, model: str | None) -> Run:
        """The run that `--model` names, else that of the direction, see `config.find_run`."""
        return find_run(model, self.source, self.target)


@dataclass(frozen=True, kw_only=True)
class DirectedExportOptions(DirectionOptions, ExportOptions):
    """Which model is exported, and with which search."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(DirectionOptions):
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
        if not self.language_model:
            return None
        from tasks.translator.fusion import LanguageModel

        return LanguageModel(self.language_model, self.language_model_weight)
