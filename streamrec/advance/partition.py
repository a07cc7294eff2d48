"""The state of one partition: its rows, and what is derived from them for speed.

The rows are all there is to keep. Everything else here follows from them, so a state
restored from the bytes of the rows goes on exactly like the one that wrote them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

from streamrec.advance.changes import Changes
from streamrec.config import StateSettings
from streamrec.contracts import OnlineModel
from streamrec.errors import StateError
from streamrec.state.expiry import Expiry
from streamrec.state.items import ItemIndex
from streamrec.state.ring import SessionRing
from streamrec.state.rows import (
    ITEM,
    LEARNER_KEY,
    SESSION,
    VISITOR,
    WATERMARK_KEY,
    ItemRow,
    LearnerRow,
    VisitorRow,
    Watermark,
    decode_item_row,
    decode_learner_row,
    decode_session_row,
    decode_visitor_row,
    decode_watermark,
    encode_row,
)

__all__ = ["Held", "PartitionState", "Place"]

# A visitor's row with everything but the last field left undecoded: a third of the time.
_LastTime = msgspec.defstruct(
    "_LastTime",
    [
        (name, int, 0) if name == "last_time" else (name, msgspec.Raw, msgspec.Raw())
        for name in VisitorRow.__struct_fields__
    ],
    array_like=True,
)
_decode_last_time: Final[Callable[[bytes], Any]] = msgspec.msgpack.Decoder(_LastTime).decode


@dataclass(frozen=True, slots=True)
class Place:
    """Which partition of which input topic the state belongs to, and where its rows are."""

    topic_id: str
    partition: int
    n_partitions: int
    table_id: str = ""


class Held(msgspec.Struct, gc=False):
    """A visitor in work."""

    row: VisitorRow
    waits_for: int | None = None
    """The step whose outcome is the row's hidden state, if that is still to come."""
    learns: int | None = None
    """The interaction whose learning ends in the row's factors, if those are still to come."""


class PartitionState:
    """Rows of one partition with their indexes. One call of `advance`, one `commit`, in turn.

    rows: all current rows by key, as recovered; kept by reference.
    make_online: makes an empty online learner; None leaves online learning out.
    n_negatives: items drawn as unwanted for every interaction learned.
    tick_ms: event-time ticks at which item rows become visible to lists.
    Raises StateError if the rows cannot be read or belong to other topics.
    """

    def __init__(
        self,
        rows: dict[bytes, bytes],
        place: Place,
        settings: StateSettings,
        *,
        make_online: Callable[[], OnlineModel] | None = None,
        n_negatives: int = 0,
        tick_ms: int = 1000,
    ) -> None:
        self.rows = rows
        self.place = place
        self.settings = settings
        self.n_negatives = n_negatives
        self.tick_ms = tick_ms
        self._make_online = make_online
        self.rebuild()

    def is_current(self) -> bool:
        """Whether the rows are still those that this state made or was derived from."""
        value = self.rows.get(WATERMARK_KEY)
        try:
            return (-1 if value is None else decode_watermark(value).offset) == self.offset
        except msgspec.DecodeError as error:
            raise self._unreadable(error) from error

    def rebuild(self) -> None:
        """Derive everything from the rows anew, forgetting what is not in them."""
        try:
            self._rebuild()
        except (ValueError, msgspec.DecodeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StateError:
        return StateError(
            f"partition {self.place.partition}: the stored rows cannot be read ({error}); "
            "run the version that wrote them, or `streamrec state rebuild`"
        )

    def _rebuild(self) -> None:
        visitors: Expiry[bytes] = Expiry(self._last_time)
        items: list[tuple[str, ItemRow]] = []
        slots: list[tuple[int, int]] = []
        self.size_bytes = 0
        """Keys and values of the rows."""
        for key, value in self.rows.items():
            self.size_bytes += len(key) + len(value)
            kind = key[:2]
            if kind == VISITOR:
                visitors.add(_decode_last_time(value).last_time, key)
            elif kind == ITEM:
                items.append((key[2:].decode(), decode_item_row(value)))
            elif kind == SESSION:
                slots.append((decode_session_row(value).number, int(key[2:])))
        self.uncommitted = False
        self.held: dict[bytes, Held | None] = {}
        """Visitors met in the call at hand, by key; None if forgotten in it."""
        self.visitors = visitors
        """By key: the very object that is the row's, so that a visitor has one."""
        n_sessions = self._restore_watermark()
        self.past = SessionRing(self.settings.recent_sessions, n_sessions, slots)
        self._restore_learner(items)
        self.items = ItemIndex(
            items,
            max_items=self.settings.max_items,
            half_life_ms=self.settings.popularity_half_life_s * 1000,
            draw_key=blake2b(b"%d/%d" % (self.settings.seed, self.place.partition)).digest(),
            factors_bytes=0 if self.online is None else len(encode_row(self.online.item(""))),
        )

    def _restore_watermark(self) -> int:
        """Take over how far the input is done; returns how many sessions were kept up to there."""
        value = self.rows.get(WATERMARK_KEY)
        place = self.place
        watermark = (
            Watermark(-1, place.topic_id, 0, place.table_id) if value is None else decode_watermark(value)
        )
        if watermark.topic_id != place.topic_id:
            raise StateError(
                f"partition {place.partition}: the state was made from input topic "
                f"{watermark.topic_id}, this one is {place.topic_id}: the topic was made anew; "
                "run `streamrec state rebuild`"
            )
        if watermark.table_id != place.table_id:
            raise StateError(
                f"partition {place.partition}: the rows were written to visitor-states with id "
                f"{watermark.table_id}, this one is {place.table_id}: the topic was made anew while a worker "
                "ran, so rows are lost; run `streamrec state rebuild`"
            )
        self.offset = watermark.offset
        self.clock_ms = watermark.clock_ms
        return watermark.n_sessions

    def watermark(self, offset: int) -> Watermark:
        """The watermark of the state as it is now, with the input done up to `offset`."""
        place = self.place
        return Watermark(offset, place.topic_id, self.clock_ms, place.table_id, self.past.n_kept)

    def _restore_learner(self, items: list[tuple[str, ItemRow]]) -> None:
        value = self.rows.get(LEARNER_KEY)
        self.learner = LearnerRow() if value is None else decode_learner_row(value)
        self.online = None if self._make_online is None else self._make_online()
        if self.online is None:
            return
        for item_id, row in items:
            if row.factors.vector:
                self.online.set_item(item_id, row.factors)
        if value is not None:
            self.online.set_numbers(self.learner.n, self.learner.mean)

    def visitor(self, key: bytes) -> Held | None:
        """A visitor as of now, by the key of the row; None if there is no row."""
        if key in self.held:
            return self.held[key]
        value = self.rows.get(key)
        if value is None:
            return None
        try:
            return Held(decode_visitor_row(value))
        except msgspec.DecodeError as error:
            raise self._unreadable(error) from error

    def _last_time(self, key: bytes) -> int:
        held = self.held.get(key)
        if held is not None:
            return held.row.last_time
        last_time: int = _decode_last_time(self.rows[key]).last_time
        return last_time

    def begin(self) -> None:
        """Start a call. Raises StateError if the changes of the one before are not committed."""
        if self.uncommitted:
            raise StateError("the changes of the last call are not committed; commit them, or start anew")
        self.held = {}

    def commit(self, changes: Changes) -> None:
        """Take over changes whose append is acknowledged."""
        rows, size = self.rows, self.size_bytes
        for key, value, _ in changes.rows:
            old = rows.get(key)
            if old is not None:
                size -= len(key) + len(old)
            if value is not None:
                size += len(key) + len(value)
                rows[key] = value
            elif old is not None:
                del rows[key]
        self.size_bytes = size
        self.offset = changes.watermark.offset
        self.uncommitted = False
