"""What the session nearest neighbour models have in common.

Enters: an index of recent sessions, and the clicks of a session. Leaves: the sessions of the index
that resemble it, each with its similarity; and what makes a contracts.SessionModel of a way to score
with them.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heapreplace
from math import log, log2
from typing import Final, Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, Field, PositiveInt

from streamrec.contracts import FloatArray, OnStep, Session, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.models._counts import most_first
from streamrec.models._sessions import require_times, told
from streamrec.session_index import IndexedSession, SessionIndex

__all__ = [
    "DECAYS",
    "Decay",
    "Match",
    "NeighbourConfig",
    "NeighbourModel",
    "click_weights",
    "idf",
    "matches",
    "nearest",
    "vote",
]

Match = tuple[float, IndexedSession, str]
"""A session's similarity, the session, and the latest item that it shares with the one at hand.

They compare by similarity; of equal ones the more recent session is the greater.
"""

Decay = Literal["same", "linear", "quadratic", "div", "log", "tenths"]
DECAYS: Final[Mapping[Decay, Callable[[int, int], float]]] = {
    "same": lambda _steps, _length: 1.0,
    "linear": lambda steps, length: (length - steps) / length,
    "quadratic": lambda steps, length: ((length - steps) / length) ** 2,
    "div": lambda steps, _length: 1 / (steps + 1),
    "log": lambda steps, _length: 1 / log2(steps + 2),
    "tenths": lambda steps, _length: max(0.0, 1 - steps / 10),
}
"""Weight of a click, given how many came after it and how many there are: 1 for the last one."""


class NeighbourConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters of every session nearest neighbour model."""

    k: PositiveInt = 500
    """Neighbours: the most similar sessions of the sample."""
    sample_size: PositiveInt = 1000
    """m: how many sessions are looked at, the most recent ones that share an item."""
    last_items: PositiveInt = 10
    """Clicks of the session at hand that count, the last ones."""
    repeat_share: bool = True
    """Whether the item of the last click gets that share of all scores which clicks on the same item
    as the click before have in the index. If not it is scored like any other, as in the papers,
    and comes first even where nobody clicks twice."""
    max_sessions: PositiveInt = 1_000_000
    """Sessions that the index keeps, the most recent ones."""
    max_items: int = Field(default=100, ge=2)
    """Clicks that the index keeps of a session, the last ones."""


C = TypeVar("C", bound=NeighbourConfig)


class NeighbourModel(ABC, Generic[C]):
    """A contracts.SessionModel that learns from every click as it comes.

    Its own index is what it is trained on. For live scoring `item_scores` takes any other.
    """

    Config: type[C]

    def __init__(self, config: C | None = None) -> None:
        self.config = config or self.Config()
        self.index = self._index()
        self.items: list[str] = []
        """Those trained on, the most clicked first; then those learned, the first one first."""
        self._places: dict[str, int] = {}

    @abstractmethod
    def votes(self, index: SessionIndex, clicks: Sequence[str], own: str) -> dict[str, float]:
        """Scores of the items of the neighbours, as the paper has them; none is below 0.

        clicks: of the session at hand, oldest first, all on items in the index; at least one.
        """

    def item_scores(self, index: SessionIndex, items: Sequence[str], own: str = "") -> dict[str, float]:
        """Scores of the items of a session's neighbours; higher is better.

        index: where neighbours are looked for. items: the session's clicks, oldest first; those on
        items that no session of the index holds are passed over. own: the session's own key, as it
        is no neighbour of itself. There is no time to give: the most recent sessions are
        found by their order, and what age weighs depends on how much younger others are.
        """
        clicks = [item for item in items if index.n_holding(item)][-self.config.last_items :]
        scores = self.votes(index, clicks, own) if clicks else {}
        if self.config.repeat_share and clicks and clicks[-1] in scores and index.repeat_share < 1:
            others = sum(scores.values()) - scores[clicks[-1]]
            scores[clicks[-1]] = others * index.repeat_share / (1 - index.repeat_share)
        return scores

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Index the sessions; without times each is taken for younger than those before it.

        Raises DatasetError if no session has two clicks, an id comes twice, only some of the clicks have
        a time, or a session has another number of times than of items.
        """
        sessions = [session for session in sessions if len(session.items)]
        on_step = (options or TrainOptions()).on_step
        index = self._index(_indexed(sessions, on_step))
        if not index.n_listed:
            raise DatasetError("no session has two clicks or more: there is no next item to learn")
        counts = Counter(item for session in index for item in session.items)
        self.index = index
        self.items = most_first({item: counts[item] for item in index.items})
        self._places = {item: n for n, item in enumerate(self.items)}
        return TrainReport(sum(len(session.items) for session in sessions), [])

    def learn_click(self, session_key: str, item: str, time_ms: int) -> None:
        """Learn one more click of a session, or the first of a new one."""
        self.index.click(session_key, item, time_ms)
        if item not in self._places:
            self._places[item] = len(self.items)
            self.items.append(item)

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores after each click, the highest being 1; NaN for items that no neighbour has."""
        for n in range(1, len(session.items) + 1):
            found = self.item_scores(self.index, session.items[:n], session.session_id)
            scores = np.full(len(self.items), np.nan, np.float32)
            if found:
                # Scaled first: what is small in float64 can be nothing at all in float32.
                values = np.fromiter(found.values(), np.float64, len(found))
                scores[[self._places[item] for item in found]] = values / (values.max() or 1.0)
            yield scores

    def _index(self, sessions: Iterable[IndexedSession] = ()) -> SessionIndex:
        return SessionIndex(sessions, max_sessions=self.config.max_sessions, max_items=self.config.max_items)


def click_weights(clicks: Sequence[str], decay: Callable[[int, int], float]) -> dict[str, float]:
    """The items of a session, the latest first, each with the weight of its last click."""
    weights: dict[str, float] = {}
    for steps, item in enumerate(reversed(clicks)):
        if item not in weights:
            weights[item] = decay(steps, len(clicks))
    return weights


def matches(index: SessionIndex, weights: Mapping[str, float], m: int, own: str) -> list[Match]:
    """The m most recent sessions that hold one of the items: VMIS-kNN's search, which stops early.

    weights: of the items, the latest first; a session's similarity is the sum over those that it holds.
    Source: Kersbergen et al., SIGMOD 2022, algorithm 2.
    """
    similarity: dict[str, float] = {}
    latest: dict[str, str] = {}
    sample: list[IndexedSession] = []  # from the m-th on a heap, the least recent first
    for item, weight in weights.items():
        for session in index.holding(item):
            key = session.key
            if key in similarity:
                similarity[key] += weight
                continue
            if key == own:
                continue
            if len(sample) < m:
                sample.append(session)
                if len(sample) == m:
                    heapify(sample)
            elif sample[0] < session:
                del similarity[heapreplace(sample, session).key]
            else:
                break  # so are all that follow, and none of them is in the sample
            similarity[key] = weight
            latest[key] = item
    return [(similarity[session.key], session, latest[session.key]) for session in sample]


def nearest(found: list[Match], k: int) -> list[Match]:
    """The k most similar sessions, the most similar first."""
    return sorted(found, reverse=True)[:k]


def vote(neighbours: Iterable[Match], weights: Mapping[str, float]) -> dict[str, float]:
    """Scores of the items of neighbours: the similarities of those that have an item, summed up.

    weights: of the items of the session at hand; each similarity times that of the latest shared one.
    """
    scores: dict[str, float] = {}
    for similarity, session, latest in neighbours:
        share = similarity * weights[latest]
        for item in dict.fromkeys(session.items):
            scores[item] = scores.get(item, 0.0) + share
    return scores


def idf(index: SessionIndex, item: str) -> float:
    """log(|H| / h): the inverse of the share of the sessions that hold an item."""
    return log(index.n_listed / index.n_holding(item))


def _indexed(sessions: Sequence[Session], on_step: OnStep | None) -> Iterator[IndexedSession]:
    require_times(sessions)
    keys: set[str] = set()
    for n, session in enumerate(told(sessions, on_step)):
        key = session.session_id or f"session {n} without an id"
        if key in keys:
            raise DatasetError(f"session {key!r} comes twice; join its clicks, or give each part an id")
        keys.add(key)
        yield IndexedSession(max(session.times_ms, default=n), key, tuple(session.items))
