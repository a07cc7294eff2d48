"""Sessions without the state app are those of the state app."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from state_parts import BASE, VISITOR, Partition, Record, click

from streamrec.config import load_settings
from streamrec.state.rows import decode_visitor_row
from streamrec.visits import Visits

SETTINGS = load_settings(
    kafka={"partitions": 1},
    # Bounds that a few interactions reach.
    state={
        "session_gap_s": 10,
        "recent_events": 3,
        "visitor_ttl_s": 40,
        "max_visitors": 3,
        "max_future_s": 5,
        "online": False,
    },
)
SECOND = 1000

events = st.lists(
    st.fixed_dictionaries(
        {
            "visitor": st.sampled_from("uvwxy"),
            "item": st.sampled_from("abc"),
            "seconds": st.sampled_from([0, 0, 1, 3, 11, 30, 60, -2, -15, -50, 20_000]),
            "type": st.sampled_from(["click", "click", "cart", "impression", "dislike", "unheard-of"]),
            "session_id": st.sampled_from([None, None, "s1", "s2"]),
            "event_id": st.sampled_from([f"e{n}" for n in range(12)]),
        }
    ),
    max_size=60,
)


def records_of(drawn: list[dict[str, Any]]) -> list[Record]:
    """Records whose times mostly rise, with the odd one far behind or ahead."""
    time = BASE
    records = []
    for offset, fields in enumerate(drawn):
        shift = fields.pop("seconds") * SECOND
        record_time = time + max(0, shift if shift < 10_000 * SECOND else 0)
        visitor, item = fields.pop("visitor"), fields.pop("item")
        records.append(click(offset, visitor, item, time + shift, timestamp=record_time, **fields))
        time = record_time
    return records


@given(events)
def test_what_is_accepted_its_session_and_who_is_forgotten_are_those_of_state(
    drawn: list[dict[str, Any]],
) -> None:
    records = records_of(drawn)
    partition = Partition(SETTINGS.state)
    partition.take_all(*records)
    expected: list[Any] = []
    for key, value in partition.log:
        if key.startswith(VISITOR) and value is None:
            expected.append(key[2:].decode())
        elif key.startswith(VISITOR) and value is not None:
            row = decode_visitor_row(value)
            expected.append((row.offset, row.asks, row.items, row.session_time))

    found: list[Any] = []
    items: dict[tuple[str, int], list[str]] = {}
    visits = Visits(SETTINGS, 0, on_forget=found.append)
    for record in records:
        visit = visits.take(record)
        if visit is not None:
            session = items.setdefault((visit.event.visitor_id, visit.session), [])
            session += [visit.event.item_id] * visit.asks
            found.append((visit.offset, visit.asks, list(session), visit.session_time))
    assert found == expected


def test_a_lower_bound_forgets_those_silent_the_longest_and_counts_them() -> None:
    forgotten: list[str] = []
    visits = Visits(SETTINGS, 0, max_visitors=2, on_forget=forgotten.append)
    for offset, visitor in enumerate(["u", "v", "u", "w", "x"]):
        assert visits.take(click(offset, visitor, time=BASE + offset)) is not None
    assert forgotten == ["v", "u"]
    assert visits.crowded_out == 2
