"""Small random indexes and sessions, for the nearest neighbour models and their slow statements."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from streamrec.contracts import Session
from streamrec.session_index import IndexedSession, SessionIndex

HOUR_MS = 3_600_000

HISTORY = [
    IndexedSession(1, "n1", ("a", "b", "x")),
    IndexedSession(2, "n2", ("b", "y")),
    IndexedSession(3, "n3", ("a", "x", "z")),
    IndexedSession(4, "n4", ("u", "v")),
]
"""Three sessions that resemble [a, b], and one that does not."""

clicks = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6)


@st.composite
def histories(draw: st.DrawFn) -> list[IndexedSession]:
    """Sessions of few items, some of one click only, many at the same hour."""
    hours = st.integers(0, 8)
    bodies = draw(st.lists(st.tuples(hours, clicks), max_size=12))
    return [IndexedSession(hour * HOUR_MS, f"s{n}", tuple(items)) for n, (hour, items) in enumerate(bodies)]


def listed(history: Sequence[IndexedSession]) -> list[IndexedSession]:
    return [session for session in history if len(session.items) > 1]


def known(history: Sequence[IndexedSession], items: Sequence[str], last: int) -> list[str]:
    """The last clicks on items that the history holds."""
    return [item for item in items if any(item in session.items for session in listed(history))][-last:]


def recent_sharing(
    history: Sequence[IndexedSession], items: Sequence[str], m: int, own: str
) -> list[IndexedSession]:
    """The m most recent sessions with an item in common, the slow way."""
    sharing = [each for each in listed(history) if each.key != own and set(each.items) & set(items)]
    return sorted(sharing, key=lambda session: (session.time_ms, session.key))[-m:]


def index_of(history: Sequence[IndexedSession]) -> SessionIndex:
    return SessionIndex(history)


def sessions_of(history: Sequence[IndexedSession]) -> list[Session]:
    return [Session(each.items, [each.time_ms] * len(each.items), each.key) for each in history]


def by_item(model: Any, session: Session) -> list[dict[str, float]]:
    """What `scores` gives after each click, without the items that it leaves out."""
    return [
        {item: float(value) for item, value in zip(model.items, row, strict=True) if value == value}
        for row in model.scores(session)
    ]
