"""Decayed popularity: what was clicked most of late, for every session alike.

Enters: sessions with the times of their clicks. Leaves: the logarithm of each item's decayed count, in
which a click loses half its weight in every half-life. Items stand in the order in which the live
popularity has them (streamrec.item_board): log₂ of the count + its time / half-life.

It is this model, not `popularity`, that the source of live lists called `popularity` is; only the half-life
is a day here and six hours there (STREAMREC_STATE__POPULARITY_HALF_LIFE_S).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat

from streamrec.contracts import FloatArray, OnStep, Session, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.models._counts import most_first
from streamrec.models._sessions import require_times, told

__all__ = ["DecayedPopularity", "DecayedPopularityConfig"]


class DecayedPopularityConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    half_life_s: PositiveFloat = 86_400.0
    """Time in which a click loses half its weight, seconds."""


class DecayedPopularity:
    """Decayed counts of clicks; a contracts.SessionModel."""

    Config = DecayedPopularityConfig

    def __init__(self, config: DecayedPopularityConfig | None = None) -> None:
        self.config = config or DecayedPopularityConfig()
        self.items: Sequence[str] = []
        """The items, the most clicked first; ties by id."""
        self._heat: FloatArray = np.empty(0, np.float32)

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Count the clicks on each item by their age at the end of training.

        Where no session has times, all clicks count alike. Raises DatasetError if there is no click, if only
        some of them have a time, or if a session has another number of times than of items.
        """
        item_ids, times_ms = _clicks(list(sessions), options.on_step if options else None)
        counts = Counter(item_ids)
        self.items = most_first(counts)
        index = {item_id: n for n, item_id in enumerate(self.items)}
        places = np.array([index[item_id] for item_id in item_ids])
        ages = (times_ms.max() - times_ms) / (self.config.half_life_s * 1000.0)
        self._heat = _log2_of_decayed_counts(places, ages).astype(np.float32)
        return TrainReport(len(item_ids), [])

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """log₂ of each item's decayed count, from the first click on; see contracts.SessionModel.

        As of the end of training: by the time of a session all items have lost the same. A logarithm, as a
        count is nothing in float32 after 150 half-lives, and then the older items would all be alike.
        """
        for _ in session.items:
            yield self._heat.copy()


def _clicks(sessions: Sequence[Session], on_step: OnStep | None) -> tuple[list[str], NDArray[np.int64]]:
    """Items and times of all clicks; times are 0 where no session has any."""
    require_times(sessions)
    item_ids: list[str] = []
    times_ms: list[int] = []
    for session in told(sessions, on_step):
        item_ids.extend(session.items)
        times_ms.extend(session.times_ms)
    if not item_ids:
        raise DatasetError("there is not one click to count; give at least one session with an item")
    return item_ids, np.array(times_ms or [0] * len(item_ids), np.int64)


def _log2_of_decayed_counts(places: NDArray[np.int64], ages: NDArray[np.float64]) -> NDArray[np.float64]:
    """log₂ of each item's decayed count now, shape (N,).

    places: the item of each click, 0 to N-1; ages: half-lives since. Counted as of an item's own last click,
    where the sum is 1 or more however long ago that was.
    """
    newest = np.full(places.max() + 1, np.inf)
    np.minimum.at(newest, places, ages)
    counts = np.bincount(places, np.exp2(newest[places] - ages))
    heat: NDArray[np.float64] = np.log2(counts) - newest
    return heat
