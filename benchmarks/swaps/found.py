"""What the topics hold after a run: clicks, rows and lists, as far as the claims need them."""

from typing import Any, Final, NamedTuple

import msgspec

from streamrec.config import Settings
from streamrec.state.rows import VISITOR, decode_visitor_row
from streamrec.topics import read_topic

__all__ = ["Found", "ListFound", "Place", "RowFound", "find"]

Place = tuple[int, int]
"""Partition and offset of an interaction."""


class ListFound(NamedTuple):
    """A list, in the order of its partition."""

    place: Place
    visitor_id: str
    release: str
    emit_ms: int


class RowFound(NamedTuple):
    """A visitor's row."""

    version: str
    items: list[str]
    hidden: bytes


class Found(NamedTuple):
    """Everything, in the order of the logs."""

    clicks: dict[Place, int]
    """Kafka's time of each interaction, ms."""
    rows: dict[Place, RowFound]
    """By the interaction that made it; kept as of `rows_from_ms` on, versions alone before."""
    lists: list[ListFound]


class _List(msgspec.Struct):
    visitor_id: str
    release: str
    emit_time: int
    input_partition: int
    input_offset: int


_decode_list: Final = msgspec.json.Decoder(_List).decode


def find(settings: Settings, every: int) -> Found:
    """Read the three topics whole.

    every: of the rows each so-manieth keeps its items and hidden state, the others their version alone.
    """
    found = Found({}, {}, [])

    def take_clicks(records: list[Any]) -> None:
        for record in records:
            found.clicks[record.partition, record.offset] = record.timestamp

    def take_rows(records: list[Any]) -> None:
        for record in records:
            if record.key.startswith(VISITOR) and record.value is not None:
                row = decode_visitor_row(record.value)
                kept = row.offset % every == 0
                found.rows[record.partition, row.offset] = RowFound(
                    row.model_version, row.items if kept else [], row.hidden if kept else b""
                )

    def take_lists(records: list[Any]) -> None:
        for record in records:
            made = _decode_list(record.value)
            place = made.input_partition, made.input_offset
            found.lists.append(ListFound(place, made.visitor_id, made.release, made.emit_time))

    read_topic(settings, "interactions", take_clicks)
    read_topic(settings, "visitor-states", take_rows)
    read_topic(settings, "recommendations", take_lists)
    return found
