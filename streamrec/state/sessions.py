"""Session windows and repeats: where a session ends, and which interaction came before.

Pure functions of a visitor's row and the next interaction's fields; times are event
times in milliseconds.
"""

from typing import Final, Protocol

import msgspec
from xxhash import xxh3_64_digest

__all__ = ["DIGEST_BYTES", "InSession", "Window", "event_digest", "is_repeat", "remember", "session_window"]

DIGEST_BYTES: Final = 8


class InSession(Protocol):
    """A visitor in a session; a VisitorRow is one."""

    session_id: str
    session_time: int
    """Highest event time of the session, ms."""


class Window(msgspec.Struct, frozen=True, gc=False):
    """The session that an interaction belongs to."""

    session_id: str
    session_time: int
    """Highest event time of the session, this interaction included."""
    is_new: bool
    """Whether the session begins with this interaction."""


def session_window(
    row: InSession | None, visitor_id: str, session_id: str | None, time: int, gap_ms: int
) -> Window:
    """The session of the visitor's next interaction; `row` is None for a new visitor.

    An explicit session id rules: another one begins a session, the same one continues it
    however long the silence. Without one, a silence of more than `gap_ms` begins a session
    named after the visitor and its first event time, and anything else, late interactions
    included, continues the session at hand, whoever named it.
    """
    if row is None:
        return Window(session_id or f"{visitor_id}@{time}", time, True)
    if session_id is None:
        if time - row.session_time > gap_ms:
            return Window(f"{visitor_id}@{time}", time, True)
    elif session_id != row.session_id:
        return Window(session_id, time, True)
    return Window(row.session_id, time if time > row.session_time else row.session_time, False)


def event_digest(event_id: str) -> bytes:
    """The 8 bytes by which an event id is remembered: XXH3, 64 bits, seed 0."""
    return xxh3_64_digest(event_id.encode())


def is_repeat(recent: bytes, digest: bytes) -> bool:
    """Whether `digest` is one of the digests laid end to end in `recent`."""
    if digest not in recent:
        return False
    place = recent.find(digest)
    while place % DIGEST_BYTES and place >= 0:  # found across the border of two digests
        place = recent.find(digest, place + 1)
    return place >= 0


def remember(recent: bytes, digest: bytes, n: int) -> bytes:
    """The last n digests once `digest` has been added to `recent`."""
    return (recent + digest)[-n * DIGEST_BYTES :]
