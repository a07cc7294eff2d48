"""The rows of visitor-states: keys, fields and bytes (msgpack arrays).

A partition holds five kinds of row, told apart by the first two bytes of the key:

    v:<visitor id>  VisitorRow   one for every accepted interaction; also the request for a list
    s:<slot>        SessionRow   a session that is over, in a ring of the last ones
    i:<item id>     ItemRow      what the partition's online learner knows of an item
    g:              LearnerRow   the learner's global numbers
    w:              Watermark    how far the input is done; the last row of every append

A null value deletes the row. Between the appends stand records `o:` without a value: here a
worker has taken the partition over. Rows are positional: another order of fields is another
format. A visitor's factors and hidden state come last, but for a time, so that the rest can be encoded
before they are known.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ITEM",
    "LEARNER_KEY",
    "SESSION",
    "VISITOR",
    "WATERMARK_KEY",
    "Factors",
    "ItemRow",
    "LearnerRow",
    "Row",
    "SessionRow",
    "VisitorRow",
    "Watermark",
    "decode_item_row",
    "decode_learner_row",
    "decode_session_row",
    "decode_visitor_row",
    "decode_watermark",
    "deletion",
    "encode_row",
    "hidden_fields",
    "item_key",
    "session_key",
    "visitor_key",
    "with_outcomes",
]

VISITOR: Final = b"v:"
SESSION: Final = b"s:"
ITEM: Final = b"i:"
LEARNER_KEY: Final = b"g:"
WATERMARK_KEY: Final = b"w:"


Row = tuple[bytes, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers of a row to append; a value of None deletes."""


class Factors(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A vector of the online model and its bias. `vector` is float64, little endian."""

    vector: bytes = b""
    bias: float = 0.0


class VisitorRow(msgspec.Struct, array_like=True, gc=False):
    """A visitor after one accepted interaction."""

    offset: int
    """Input offset of that interaction."""
    clock_ms: int
    """Highest event time of the partition up to and with it."""
    event_id: str
    event_time: int
    record_time: int
    """Kafka's timestamp of the interaction, ms: where freshness starts."""
    asks: bool
    """Whether the interaction asks for a list."""
    session_id: str
    session_time: int
    """Highest event time of the session, ms."""
    items: list[str]
    """Items of the session, oldest first, at most `session_items`."""
    recent_events: bytes
    """8-byte digests of the last accepted event ids, oldest first."""
    model_version: str = ""
    """The model version that made `hidden`; empty without one."""
    factors: Factors = Factors()
    """The visitor's side of the online model."""
    last_time: int = 0
    """Highest event time of the visitor, ms: who has been silent the longest is forgotten first."""
    hidden: bytes = b""
    """GRU hidden state, float32; empty until the model knew an item of the session."""


class SessionRow(msgspec.Struct, array_like=True, gc=False):
    """A session that is over. It does not say whose it was, nor which interaction ended it: often the
    visitor's own next one."""

    number: int
    """How many sessions the partition had kept before it: those of the lowest numbers leave first."""
    time: int
    """Highest event time of the session, ms."""
    items: list[str]
    """As in the visitor's row, two at least."""


class ItemRow(msgspec.Struct, array_like=True, gc=False):
    """An item in the eyes of one partition."""

    offset: int
    """Input offset of the interaction that changed it last."""
    slot: int
    """Dense index within the partition: 0 ≤ slot < number of items."""
    time: int
    """Event time up to which `count` has decayed, ms; also orders eviction."""
    count: float
    """Weighted interactions, decayed by half-life to `time`."""
    factors: Factors


class LearnerRow(msgspec.Struct, array_like=True, gc=False):
    """Global numbers of the online learner: mean of the targets it has seen."""

    n: int = 0
    mean: float = 0.0


class Watermark(msgspec.Struct, array_like=True, gc=False):
    """How far the input is done."""

    offset: int
    """Last input offset whose effect is in the rows."""
    topic_id: str
    """Kafka's id of the input topic: a topic made anew is another topic."""
    clock_ms: int
    """Highest accepted event time of the partition, ms."""
    table_id: str = ""
    """Kafka's id of the visitor-states that the rows were written to: made anew, it lacks some of them."""
    n_sessions: int = 0
    """Session rows written so far, those overwritten since included: where their ring goes on."""


encode_row = msgspec.msgpack.Encoder().encode
decode_visitor_row = msgspec.msgpack.Decoder(VisitorRow).decode
decode_session_row = msgspec.msgpack.Decoder(SessionRow).decode
decode_item_row = msgspec.msgpack.Decoder(ItemRow).decode
decode_learner_row = msgspec.msgpack.Decoder(LearnerRow).decode
decode_watermark = msgspec.msgpack.Decoder(Watermark).decode


def hidden_fields(states: NDArray[np.float32]) -> list[bytes]:
    """Hidden states (n, hidden_size) as they stand at the end of visitors' rows, all encoded at once."""
    n_bytes = states.shape[1] * 4
    head = encode_row(bytes(n_bytes))[:-n_bytes]
    fields = np.empty((len(states), len(head) + n_bytes), np.uint8)
    fields[:, : len(head)] = np.frombuffer(head, np.uint8)
    fields[:, len(head) :] = np.ascontiguousarray(states, "<f4").view(np.uint8)
    encoded: list[bytes] = fields.view((np.void, fields.shape[1])).ravel().tolist()
    return encoded


def with_outcomes(row: VisitorRow, value: bytes, factors: bytes, hidden: bytes) -> bytes:
    """The bytes of a visitor's row, `value` so far, with the factors and the hidden state it waited for.

    row: as it was encoded. factors, hidden: encoded.
    """
    last_time = encode_row(row.last_time)
    end = len(encode_row(row.factors)) + len(last_time) + len(encode_row(row.hidden))
    return b"".join((value[:-end], factors, last_time, hidden))


def deletion(key: bytes, offset: int) -> Row:
    """The row that deletes a key; its header names the input offset that caused it."""
    return key, None, [("offset", b"%d" % offset)]


def visitor_key(visitor_id: str) -> bytes:
    """Key of a visitor's row."""
    return VISITOR + visitor_id.encode()


def session_key(slot: int) -> bytes:
    """Key of the row in a slot of the ring of sessions."""
    return b"%b%d" % (SESSION, slot)


def item_key(item_id: str) -> bytes:
    """Key of an item's row."""
    return ITEM + item_id.encode()
