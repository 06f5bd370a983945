"""What requests of a beam search have in common, and the searches of a model with beams of several widths."""

from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from tasks.serve.endpoint import Request, Text

MAX_BEAM = 10

Width = Annotated[int, Field(ge=1, le=MAX_BEAM)]
Count = Annotated[int, Field(ge=0, le=20)]

Search = TypeVar("Search")
Explainer = TypeVar("Explainer")


class SearchRequest(Request):
    """What a request may want of a search."""

    beam: Width | None = None
    """Width of the search; default: that of the model."""
    n_best: Width = 1
    """Number of results; not more than the width of the search."""
    prefix: Text = ""
    """The words that the results begin with."""
    alternatives: Count = 0
    """Number of words that may follow the prefix, each with the best result that has it."""
    tree: bool = False
    """Whether to return all beginnings that the search has kept."""

    @property
    def is_explained(self) -> bool:
        """Whether more is wanted than results, so that the request has a search of its own."""
        return bool(self.prefix.strip() or self.alternatives or self.tree)


class Searches(Generic[Search, Explainer]):
    """The searches of a model, and what explains their results; each is made when it is first needed.

    Args:
        usual: the search with the beam of the model.
        width: of that beam.
        search: makes that of another width.
        explainer: makes what explains the results of a search.
    """

    def __init__(
        self, usual: Search, width: int, search: Callable[[int], Search], explainer: Callable[[Search], Explainer]
    ):
        self._width, self._search, self._explainer = width, search, explainer
        self._searches = {width: usual}
        self._explainers: dict[int, Explainer] = {}

    def search(self, beam: int | None) -> Search:
        """The search of a width, by default that of the model."""
        beam = beam or self._width
        if beam not in self._searches:
            self._searches[beam] = self._search(beam)
        return self._searches[beam]

    def explainer(self, beam: int | None) -> Explainer:
        """What explains its results."""
        beam = beam or self._width
        if beam not in self._explainers:
            self._explainers[beam] = self._explainer(self.search(beam))
        return self._explainers[beam]
