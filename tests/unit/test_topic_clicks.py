"""Sessions to train on are the sessions that the state app sees."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_parts import BASE, VISITOR, Partition, Record, click

from streamrec.config import Settings, load_settings
from streamrec.datasets import click_sessions, sessions
from streamrec.state.rows import decode_visitor_row
from streamrec.topic_clicks import SessionCutter

SETTINGS = load_settings(kafka={"partitions": 1})
MINUTE = 60_000


class Consumed(NamedTuple):
    """A record as kafka-python gives it: with its partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0


def cut(*records: Record, settings: Settings = SETTINGS) -> SessionCutter:
    cutter = SessionCutter(settings)
    for record in records:
        cutter.take(Consumed(*record))
    return cutter


def sequences(cutter: SessionCutter) -> list[list[str]]:
    return [list(session.items) for session in click_sessions(cutter.clicks())]


def seen_by_state(records: list[Record]) -> list[list[str]]:
    """Items of every session, as the visitor rows show them one click after the other."""
    partition = Partition(SETTINGS.state)
    partition.take_all(*records)
    found: dict[bytes, list[list[str]]] = {}
    for key, value in partition.log:
        if key.startswith(VISITOR) and value is not None and (row := decode_visitor_row(value)).asks:
            visited = found.setdefault(key, [])
            if len(row.items) == 1:
                visited.append([])
            visited[-1].append(row.items[-1])
    return [session for visited in found.values() for session in visited]


events = st.lists(
    st.fixed_dictionaries(
        {
            "visitor": st.sampled_from("uvw"),
            "item": st.sampled_from("abc"),
            "minutes": st.integers(0, 120),
            "type": st.sampled_from(["click", "click", "cart", "impression", "dislike", "unheard-of"]),
            "session_id": st.sampled_from([None, None, "s1", "s2"]),
            "event_id": st.sampled_from([f"e{n}" for n in range(30)]),
        }
    ),
    max_size=40,
)


@given(events)
def test_sessions_are_those_of_the_state_app(drawn: list[dict[str, Any]]) -> None:
    records = [
        click(
            offset,
            fields.pop("visitor"),
            fields.pop("item"),
            BASE + fields.pop("minutes") * MINUTE,
            timestamp=BASE + 120 * MINUTE,
            **fields,
        )
        for offset, fields in enumerate(drawn)
    ]
    assert sorted(sequences(cut(*records))) == sorted(seen_by_state(records))


def test_an_explicit_session_id_or_a_silence_begins_a_session() -> None:
    cutter = cut(
        click(0, item="a", time=BASE),
        click(1, item="b", time=BASE + 29 * MINUTE),
        click(2, item="c", time=BASE + 60 * MINUTE),
        click(3, item="d", time=BASE + 61 * MINUTE, session_id="s1"),
        click(4, item="e", time=BASE + 300 * MINUTE, session_id="s1", timestamp=BASE + 300 * MINUTE),
    )
    assert sequences(cutter) == [["a", "b"], ["c"], ["d", "e"]]


def test_the_same_session_id_of_two_visitors_names_two_sessions() -> None:
    cutter = cut(click(0, "u", "a", session_id="s"), click(1, "v", "b", session_id="s"))
    assert sequences(cutter) == [["a"], ["b"]]


def test_a_late_click_stays_where_it_came() -> None:
    cutter = cut(
        click(0, item="a", time=BASE), click(1, item="b", time=BASE + MINUTE), click(2, item="c", time=BASE)
    )
    assert sequences(cutter) == [["a", "b", "c"]]


def test_sessions_are_ordered_by_time_across_visitors() -> None:
    cutter = cut(
        click(0, "u", "a", BASE + MINUTE), click(1, "v", "b", BASE), click(2, "u", "c", BASE + 2 * MINUTE)
    )
    assert sequences(cutter) == [["b"], ["a", "c"]]


@pytest.mark.parametrize(
    "bad",
    [
        Record(1, BASE, b"v", None),
        Record(1, BASE, b"v", b"{"),
        Record(1, BASE, None, click(1).value),
        Record(1, BASE, b"somebody else", click(1).value),
        click(1, type="unheard-of"),
        click(1, time=BASE + 3_600_000, timestamp=BASE),
        click(1, event_id="e0"),
    ],
    ids=["no value", "no JSON", "no key", "another key", "another type", "in the future", "a repeat"],
)
def test_what_the_state_app_refuses_is_left_out_and_counted(bad: Record) -> None:
    cutter = cut(click(0, item="a"), bad, click(2, item="c"))
    assert sequences(cutter) == [["a", "c"]]
    assert cutter.left_out == 1


def test_a_record_in_the_wrong_partition_is_left_out() -> None:
    cutter = SessionCutter(load_settings(kafka={"partitions": 5}))
    for partition in range(5):
        record = click(0, event_id=f"e{partition}")
        cutter.take(Consumed(*record, partition=partition))
    assert (len(cutter.clicks()), cutter.left_out) == (1, 4)


def test_impressions_and_dislikes_are_no_clicks_but_part_of_the_session() -> None:
    cutter = cut(
        click(0, item="a", time=BASE),
        click(1, item="x", time=BASE + 20 * MINUTE, type="impression"),
        click(2, item="y", time=BASE + 40 * MINUTE, type="dislike"),
        click(3, item="b", time=BASE + 60 * MINUTE),
    )
    assert sequences(cutter) == [["a", "b"]]
    assert len(sessions(cutter.clicks())) == 1
    assert cutter.left_out == 0
