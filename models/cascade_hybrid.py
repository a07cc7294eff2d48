"""Cascade hybrid: one recommender ranks coarsely, another decides among what is equal to the first.

Enters: feedback and knowledge, for both. Leaves: numbers to rank by. The order of `first` is cut into bands,
by a number of items or by a width in its scores; `then` orders each band, and never moves an item out of it.
What it cannot score stands at the end of its band, in the order of `first`; what `first` cannot score, nobody
does. So `then` may be costly to trust alone, and a wide first band has it re-rank the best of the first. A
third stage is a cascade hybrid as `first`.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.5.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, PositiveFloat, PositiveInt

from streamrec.contracts import IntArray
from streamrec.models._hybrid import Hybrid
from streamrec.models._nodes import Node
from streamrec.models._scales import Floats, by_place, places, ranks
from streamrec.recommender import Task

__all__ = ["CascadeHybrid", "CascadeHybridConfig"]


class CascadeHybridConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    first: Node = {"model": "wals"}
    """The recommender that ranks coarsely."""
    then: Node = {"model": "tfidf_content"}
    """The recommender that decides within a band."""
    band: PositiveInt = 20
    """Items of a band; of equal scores in the first all are in one."""
    width: PositiveFloat | None = None
    """Width of a band in the first's scores, from 0 on, instead of a number of items."""


class CascadeHybrid(Hybrid):
    """Bands of one recommender in the order of another; a recommender.Recommender."""

    Config = CascadeHybridConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})

    def _nodes(self) -> Sequence[Mapping[str, Any]]:
        return [self.config.first, self.config.then]

    def _together(self, table: Floats, had: IntArray) -> Floats:
        first, then = table
        if self.config.width is not None:
            bands = -np.floor(first / self.config.width)
        else:
            bands = np.floor((ranks(first, self._new(had)) - 1) / self.config.band)
        untold = np.isnan(then)
        found = by_place(places(bands, untold.astype(float), -np.where(untold, first, then)))
        return np.where(np.isnan(first), np.nan, found)

    def _shares(self, table: Floats, had: IntArray, place: int) -> Floats:
        told = np.isfinite(table[:, place])
        found: Floats = told / told.sum()
        return found
