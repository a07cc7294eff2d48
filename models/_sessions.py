"""What models ask of the sessions that they are trained on."""

from collections.abc import Iterator, Sequence
from typing import Final

from streamrec.contracts import OnStep, Session
from streamrec.errors import DatasetError

__all__ = ["require_times", "told"]

_CLICKS_A_STEP: Final = 20_000
"""Clicks taken between two words on progress: a few of them a second."""


def told(sessions: Sequence[Session], on_step: OnStep | None) -> Iterator[Session]:
    """The sessions one by one, with word to on_step of how far they have been taken."""
    total = sum(len(session.items) for session in sessions)
    done = reported = 0
    for session in sessions:
        yield session
        done += len(session.items)
        if on_step and done > reported and (done == total or done - reported >= _CLICKS_A_STEP):
            on_step(done, total, float("nan"))
            reported = done


def require_times(sessions: Sequence[Session]) -> None:
    """Raises DatasetError unless every click has a time, or none has: ages compare, or play no part."""
    for session in sessions:
        if len(session.times_ms) not in (0, len(session.items)):
            raise DatasetError(
                f"session {session.session_id!r} has {len(session.times_ms)} times for "
                f"{len(session.items)} items; give one for each, or none"
            )
    n_clicks = sum(len(session.items) for session in sessions)
    without = n_clicks - sum(len(session.times_ms) for session in sessions)
    if 0 < without < n_clicks:
        raise DatasetError(
            f"{without:,} of {n_clicks:,} clicks have no time; give times to all of them, or to none"
        )
