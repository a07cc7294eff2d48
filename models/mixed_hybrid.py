"""Mixed hybrid: the lists of several recommenders, shown as one.

Enters: feedback and knowledge, for all parts. Leaves: numbers to rank by, one list made of the parts' lists.
By reciprocal rank each part adds weight / (60 + rank), so that what several parts name stands high. By round
robin the parts take turns with their best that is not yet there, twice as often with twice the weight, so
that each is to be seen in every list. Items of one score share a rank.

Source: Burke, "Hybrid Recommender Systems: Survey and Experiments", User Modeling and User-Adapted
Interaction 12, 2002, section 3.3; reciprocal ranks: Cormack, Clarke and Büttcher, SIGIR 2009.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, Field

from streamrec.contracts import IntArray
from streamrec.models._hybrid import Hybrid, Parts
from streamrec.models._scales import Floats, by_place, places, ranks
from streamrec.recommender import Task

__all__ = ["MixedHybrid", "MixedHybridConfig"]


class MixedHybridConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    parts: Parts = Field(
        default=({"weight": 2, "node": {"model": "wals"}}, {"node": {"model": "tfidf_content"}}),
        validate_default=True,
    )
    """The recommenders, with their weights."""
    merge: Literal["reciprocal rank", "round robin"] = "reciprocal rank"
    """How one list is made of several."""


class MixedHybrid(Hybrid):
    """Lists of parts, merged; a recommender.Recommender."""

    Config = MixedHybridConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"top-n"})

    def _nodes(self) -> Sequence[Mapping[str, Any]]:
        return [part.node for part in self.config.parts]

    def _together(self, table: Floats, had: IntArray) -> Floats:
        if self.config.merge == "reciprocal rank":
            found = self._added(table, had).sum(axis=0)
        else:
            turns = self._turns(table, had)
            # Of two parts whose turn comes at once the first is first.
            found = by_place(places(turns.min(axis=0), turns.argmin(axis=0).astype(float)))
        return np.where(np.isfinite(table).any(axis=0), found, np.nan)

    def _shares(self, table: Floats, had: IntArray, place: int) -> Floats:
        if self.config.merge == "reciprocal rank":
            return self._added(table, had)[:, place]
        found = np.zeros(len(table))
        found[self._turns(table, had)[:, place].argmin()] = 1.0
        return found

    def _ranks(self, table: Floats, had: IntArray) -> Floats:
        return np.array([ranks(row, self._new(had)) for row in table])

    def _added(self, table: Floats, had: IntArray) -> Floats:
        """What each part adds to each item, (parts, n); 0 where it cannot score it."""
        return np.nan_to_num(by_place(self._ranks(table, had))) * self._weights()

    def _turns(self, table: Floats, had: IntArray) -> Floats:
        """When each part has its turn with each item, (parts, n); never where it cannot score it."""
        return np.nan_to_num(self._ranks(table, had) / self._weights(), nan=np.inf)

    def _weights(self) -> Floats:
        return np.array([[part.weight] for part in self.config.parts])
