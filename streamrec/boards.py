"""What lists know of a partition beside the visitor, as of the last tick of event time."""

from dataclasses import dataclass, field

from streamrec.item_board import ItemBoard
from streamrec.session_board import SessionBoard

__all__ = ["Boards"]


@dataclass(frozen=True, slots=True)
class Boards:
    """The items and the sessions of one partition."""

    items: ItemBoard
    sessions: SessionBoard = field(default_factory=SessionBoard)

    def starts_tick(self, clock_ms: int) -> bool:
        """Whether `advance_to(clock_ms)` would begin a new tick."""
        return self.items.starts_tick(clock_ms)

    def advance_to(self, clock_ms: int) -> None:
        """Bring what was noted in sight if the partition's clock has passed a tick."""
        if self.items.starts_tick(clock_ms):
            self.items.advance_to(clock_ms)
            self.sessions.begin_tick()
