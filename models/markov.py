"""Markov chain and sequential rules: what was clicked soon after the last item.

Enters: sessions, whole ones or click by click; they can be taken away again. Leaves: for each item the
items that followed it, with probabilities.

With a window of one step it is the first-order Markov chain over items. With a longer one, as by
default, items that followed after some steps count too, the less the further: the sequential rules of
Ludewig and Jannach, "Evaluation of Session-based Recommendation Algorithms", UMUAI 28, 2018,
arXiv:1803.09587.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from streamrec.contracts import FloatArray, Session, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.models._counts import ItemCounts, PairCounts
from streamrec.models._sessions import told

__all__ = ["Markov", "MarkovConfig"]


class MarkovConfig(BaseModel, frozen=True, extra="forbid"):
    """Hyperparameters."""

    window: int = Field(default=10, ge=1, le=50)
    """Steps up to which an item counts as a follower; 1 is the first-order Markov chain."""
    decay: Literal["reciprocal", "linear", "none"] = "reciprocal"
    """Weight of d steps: 1/d, 1 - (d-1)/window, or 1."""


class Markov:
    """Transitions between items; a contracts.SessionModel."""

    Config = MarkovConfig

    def __init__(self, config: MarkovConfig | None = None) -> None:
        self.config = config or MarkovConfig()
        self._weights = _weights(self.config)
        self._clicks = ItemCounts()
        self._followers = PairCounts()

    @property
    def items(self) -> Sequence[str]:
        """The items it can score, the most clicked first; ties by id."""
        return self._clicks.items

    @property
    def n_pairs(self) -> int:
        """Transitions between different pairs of items that it holds; memory grows with it."""
        return len(self._followers)

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Count the transitions; order and time of the sessions play no part.

        Raises DatasetError if no session has two items.
        """
        sessions = list(sessions)
        events = sum(max(0, len(session.items) - 1) for session in sessions)
        if not events:
            raise DatasetError("no session has two clicks or more: there is no next item to learn")
        self._clicks, self._followers = ItemCounts(), PairCounts()
        for session in told(sessions, options.on_step if options else None):
            self.add(session)
        return TrainReport(events, [])

    def add(self, session: Session) -> None:
        """Learn one more session."""
        for item_id in session.items:
            self._clicks.add(item_id)
        for first, second, weight in self._transitions(session.items):
            self._followers.add(first, second, weight)

    def extend(self, session: Session, item_id: str) -> None:
        """Learn one more click of a session that has been added so far."""
        self._clicks.add(item_id)
        for first, weight in zip(reversed(session.items), self._weights, strict=False):
            self._followers.add(first, item_id, weight)

    def remove(self, session: Session) -> None:
        """Forget a session that was added, with all its clicks. Raises ValueError if it cannot have been."""
        clicks = Counter(session.items)
        pairs: Counter[tuple[str, str]] = Counter()
        for first, second, weight in self._transitions(session.items):
            pairs[first, second] += weight
        if lacking := self._clicks.lacks(clicks) or self._followers.lacks(pairs):
            raise ValueError(f"session {session.session_id!r} was never added: {lacking} is missing")
        self._clicks.remove(clicks)
        self._followers.remove(pairs)

    def proposals(self, session: Session) -> dict[str, float]:
        """Probability of each item that followed the session's last one.

        Items that nothing ever followed are passed over like those it does not know.
        """
        followers = next(filter(None, map(self._followers.row, reversed(session.items))), {})
        total = sum(followers.values())
        return {item_id: weight / total for item_id, weight in followers.items()}

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Probability of each item after each click, NaN where there is none; see contracts.SessionModel."""
        for n in range(1, len(session.items) + 1):
            yield self._clicks.dense(self.proposals(Session(session.items[:n])))

    def _transitions(self, items: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        for steps, weight in enumerate(self._weights, start=1):
            for first, second in zip(items, items[steps:], strict=False):
                yield first, second, weight


def _weights(config: MarkovConfig) -> list[int]:
    """Weight of 1, 2, … steps, as whole numbers: sums of them are exact."""
    distances = range(1, config.window + 1)
    if config.decay == "reciprocal":
        return [math.lcm(*distances) // distance for distance in distances]
    if config.decay == "linear":
        return [config.window + 1 - distance for distance in distances]
    return [1] * config.window
