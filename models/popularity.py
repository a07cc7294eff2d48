"""Popularity: what was clicked most in training, for every session alike.

Enters: sessions. Leaves: the number of clicks on each item. It is the least that a model has to beat.
The source of live lists of this name is another: it forgets, as decayed_popularity does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel

from streamrec.contracts import FloatArray, Session, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.models._counts import most_first
from streamrec.models._sessions import told

__all__ = ["Popularity", "PopularityConfig"]


class PopularityConfig(BaseModel, frozen=True, extra="forbid"):
    """There is nothing to set."""


class Popularity:
    """Clicks in training; a contracts.SessionModel."""

    Config = PopularityConfig

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()
        self.items: Sequence[str] = []
        """The items, the most clicked first; ties by id."""
        self._clicks: FloatArray = np.empty(0, np.float32)

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Count the clicks on each item; order and time play no part.

        Raises DatasetError if there is none.
        """
        on_step = options.on_step if options else None
        counts = Counter(item_id for session in told(list(sessions), on_step) for item_id in session.items)
        if not counts:
            raise DatasetError("there is not one click to count; give at least one session with an item")
        self.items = most_first(counts)
        self._clicks = np.array([counts[item_id] for item_id in self.items], np.float32)
        return TrainReport(counts.total(), [])

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Clicks on each item, after each click the same, from the first on; see contracts.SessionModel."""
        for _ in session.items:
            yield self._clicks.copy()
