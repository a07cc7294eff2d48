"""Which visitors ask for a list, read from the rows of visitor-states. Pure: no clock, no Kafka.

In: the rows of a partition in the order of its log, and the board of its items. Out: the
visitors to make lists for, while the board shows what those lists may know.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from streamrec.errors import StateError
from streamrec.item_board import ItemBoard
from streamrec.state.rows import (
    ITEM,
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
    rows: Iterable[WrittenRow], board: ItemBoard, table_id: str, max_batch: int
) -> Iterator[list[Visitor]]:
    """The visitors that ask, in the order of the log, cut where the board's view changes.

    Item rows go to the board on the way; when visitors are yielded, at most `max_batch`, the
    board shows what their lists may know. Raises StateError if a row cannot be read, or stands
    in another topic than it was written to.
    """
    asking: list[Visitor] = []
    for record in rows:
        key, value = record.key, record.value
        try:
            if key.startswith(ITEM):
                board.apply(key, value)
                continue
            if key == WATERMARK_KEY:
                _require_same_topic(decode_watermark(value or b"").table_id, table_id)
            if not key.startswith(VISITOR) or value is None:
                continue
            visitor_id, row = key[len(VISITOR) :].decode(), decode_visitor_row(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(
                f"the {key[:2]!r} row at offset {record.offset} cannot be read ({error}); "
                "run the version that wrote it, or `streamrec state rebuild`"
            ) from error
        if board.starts_tick(row.clock_ms):
            if asking:
                yield asking
                asking = []
            board.advance_to(row.clock_ms)
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
