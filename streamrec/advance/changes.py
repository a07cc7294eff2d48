"""What a batch of input changes."""

from collections import Counter
from dataclasses import dataclass, field

from streamrec.advance.records import DeadLetter
from streamrec.state.rows import Row, Watermark

__all__ = ["Changes"]


@dataclass(slots=True)
class Changes:
    """The outcome of `advance`, to be appended as a whole and then committed to the state."""

    watermark: Watermark
    """How far the input is done with these changes."""
    rows: list[Row] = field(default_factory=list)
    """In the order of the append. Empty if every record had been dealt with before."""
    rejected: list[DeadLetter] = field(default_factory=list)
    """Records for the dead letters, in order."""
    consumed: int = 0
    """Records dealt with, from the first on; the others need another call."""
    replayed: int = 0
    """Records among them at or below the watermark of before."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Interactions by (type, outcome): accepted or repeat, or ("unknown", "rejected")."""
    clicked: int = 0
    """Accepted interactions of positive weight that name the list that caused them."""
    evictions: Counter[str] = field(default_factory=Counter)
    """What was forgotten, by reason: visitor_ttl, visitor_bound, item_bound."""
