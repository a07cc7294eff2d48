"""Which visitors ask for a list, read from the rows of visitor-states. Pure: no clock, no Kafka.

In: the rows of a partition in the order of its log, and the boards of its items and sessions. Out:
the visitors to make lists for, while the boards show what those lists may know.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from streamrec.boards import Boards
from streamrec.errors import StateError
from streamrec.state.rows import (
    ITEM,
    SESSION,
    VISITOR,
    WATERMARK_KEY,
    VisitorRow,
    decode_visitor_row,
    decode_watermark,
)

__all__ = ["Visitor", "WrittenRow", "list_requests"]

Visitor = tuple[str, VisitorRow]
"""Id and row."""


class WrittenRow(Protocol):
    """A record of visitor-states."""

    @property
    def offset(self) -> int:
        """Place in the partition."""

    @property
    def key(self) -> bytes:
        """Kind and id; see streamrec.state.rows."""

    @property
    def value(self) -> bytes | None:
        """The row; None deletes it."""


def list_requests(
    rows: Iterable[WrittenRow], boards: Boards, table_id: str, max_batch: int
) -> Iterator[list[Visitor]]:
    """The visitors that ask, in the order of the log, cut where the boards' view changes.

    All rows go to the boards on the way; when visitors are yielded, at most `max_batch`, the
    boards show what their lists may know. Raises StateError if a row cannot be read, or stands
    in another topic than it was written to.
    """
    asking: list[Visitor] = []
    for record in rows:
        key, value = record.key, record.value
        try:
            if key.startswith(ITEM):
                boards.items.apply(key, value)
                continue
            if key.startswith(SESSION):
                boards.sessions.apply(key, value)
                continue
            if key == WATERMARK_KEY:
                _require_same_topic(decode_watermark(value or b"").table_id, table_id)
            if not key.startswith(VISITOR):
                continue
            visitor_id = key[len(VISITOR) :].decode()
            if value is None:
                boards.sessions.visit(visitor_id, None)
                continue
            row = decode_visitor_row(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(
                f"the {key[:2]!r} row at offset {record.offset} cannot be read ({error}); "
                "run the version that wrote it, or `streamrec state rebuild`"
            ) from error
        if boards.starts_tick(row.clock_ms):
            if asking:
                yield asking
                asking = []
            boards.advance_to(row.clock_ms)
        boards.sessions.visit(visitor_id, row)
        if row.asks:
            asking.append((visitor_id, row))
            if len(asking) == max_batch:
                yield asking
                asking = []
    if asking:
        yield asking


def _require_same_topic(written: str, read: str) -> None:
    if written != read:
        raise StateError(
            f"rows were written to visitor-states with id {written}, this one is {read}: the topic was made "
            "anew while a state worker ran, so rows are lost; run `streamrec state rebuild`"
        )
