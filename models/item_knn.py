"""Item-based nearest neighbours: what shared sessions with the items of this one.

Enters: sessions, whole ones or click by click; they can be taken away again. Leaves: for each item its
most similar items. Two items are the more similar the more sessions have both, by the cosine of their
incidence in sessions, with a damping so that rare items do not come out on top by chance:

    similarity(i, j) = n_ij / √((n_i + damping) · (n_j + damping))

Source: the baseline Item-KNN of Hidasi et al., "Session-based Recommendations with Recurrent Neural
Networks", ICLR 2016, arXiv:1511.06939, which regularises without saying how.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations

from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt

from streamrec.contracts import FloatArray, Session, TrainOptions, TrainReport
from streamrec.errors import DatasetError
from streamrec.models._counts import ItemCounts, PairCounts
from streamrec.models._sessions import told

__all__ = ["ItemKNN", "ItemKNNConfig"]


class ItemKNNConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    k: PositiveInt = 100
    """Neighbours of an item, the most similar ones."""
    damping: NonNegativeFloat = 20.0
    """Sessions added to those of each item; 0 is the plain cosine."""
    decay: float = Field(default=0.5, ge=0, lt=1)
    """Weight of a click of the session against the one after it; at 0 the last alone counts (the paper)."""
    last_items: PositiveInt = 10
    """Clicks of the session that count, the last ones."""


class ItemKNN:
    """Similarities of items; a contracts.SessionModel."""

    Config = ItemKNNConfig

    def __init__(self, config: ItemKNNConfig | None = None) -> None:
        self.config = config or ItemKNNConfig()
        self._sessions = ItemCounts()
        self._shared = PairCounts()

    @property
    def items(self) -> Sequence[str]:
        """The items it can score, those of most sessions first; ties by id."""
        return self._sessions.items

    @property
    def n_pairs(self) -> int:
        """Ordered pairs of items that share sessions; memory grows with it."""
        return len(self._shared)

    def train(self, sessions: Iterable[Session], options: TrainOptions | None = None) -> TrainReport:
        """Count the sessions of items and of pairs; order and time play no part.

        Raises DatasetError if no session has two different items.
        """
        sessions = list(sessions)
        if not any(len(set(session.items)) > 1 for session in sessions):
            raise DatasetError("no session has two different items: there is no pair to learn from")
        self._sessions, self._shared = ItemCounts(), PairCounts()
        for session in told(sessions, options.on_step if options else None):
            self.add(session)
        return TrainReport(sum(len(session.items) for session in sessions), [])

    def add(self, session: Session) -> None:
        """Learn one more session."""
        items = dict.fromkeys(session.items)
        for item_id in items:
            self._sessions.add(item_id)
        for first, second in permutations(items, 2):
            self._shared.add(first, second)

    def extend(self, session: Session, item_id: str) -> None:
        """Learn one more click of a session that has been added so far."""
        others = dict.fromkeys(session.items)
        if item_id in others:
            return
        self._sessions.add(item_id)
        for other in others:
            self._shared.add(item_id, other)
            self._shared.add(other, item_id)

    def remove(self, session: Session) -> None:
        """Forget a session that was added, with all its clicks. Raises ValueError if it cannot have been."""
        items = Counter(dict.fromkeys(session.items, 1))
        pairs = Counter(permutations(items, 2))
        if lacking := self._sessions.lacks(items) or self._shared.lacks(pairs):
            raise ValueError(f"session {session.session_id!r} was never added: {lacking} is missing")
        self._sessions.remove(items)
        self._shared.remove(pairs)

    def neighbours(self, item_id: str) -> dict[str, float]:
        """Similarity of the k items most similar to one, the most similar first; ties by id."""
        sessions, damping = self._sessions.counts, self.config.damping
        own = sessions.get(item_id, 0) + damping
        found = sorted(
            (-shared / math.sqrt(own * (sessions[other] + damping)), other)
            for other, shared in self._shared.row(item_id).items()
        )
        return {other: -negated for negated, other in found[: self.config.k]}

    def proposals(self, session: Session) -> dict[str, float]:
        """Neighbours of the session's items: how similar they are to them, the later the more.

        Items that share no session with another one are passed over like those it does not know.
        """
        last_items = self.config.last_items if self.config.decay else 1
        clicks = [item_id for item_id in session.items if self._shared.row(item_id)][-last_items:]
        scores: dict[str, float] = {}
        weight = 1.0
        for item_id in reversed(clicks):
            for other, similarity in self.neighbours(item_id).items():
                scores[other] = scores.get(other, 0.0) + weight * similarity
            weight *= self.config.decay
        return scores

    def scores(self, session: Session) -> Iterator[FloatArray]:
        """Scores of all items after each click, NaN for those not proposed; see contracts.SessionModel."""
        for n in range(1, len(session.items) + 1):
            yield self._sessions.dense(self.proposals(Session(session.items[:n])))
