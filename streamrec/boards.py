"""What lists know of a partition beside the visitor, as of the last tick of event time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamrec.item_board import ItemBoard
from streamrec.recommender_source import RecommenderSource
from streamrec.session_board import SessionBoard

__all__ = ["Boards"]


@dataclass(frozen=True, slots=True)
class Boards:
    """The items and the sessions of one partition, and the recommenders, which are the same for all."""

    items: ItemBoard
    sessions: SessionBoard = field(default_factory=SessionBoard)
    recommenders: Mapping[str, RecommenderSource] = field(default_factory=dict)
    """By name."""

    def starts_tick(self, clock_ms: int) -> bool:
        """Whether `advance_to(clock_ms)` would begin a new tick."""
        return self.items.starts_tick(clock_ms)

    def advance_to(self, clock_ms: int) -> None:
        """Bring what was noted in sight if the partition's clock has passed a tick."""
        if self.items.starts_tick(clock_ms):
            self.items.advance_to(clock_ms)
            self.sessions.begin_tick()
