"""The state app's step, rule by rule. That they hold in any batch: test_advance_law.py."""

import msgspec
import pytest
from state_parts import BASE, Partition, Record, SmallOnline, SmallStep, click, states

from streamrec.advance import Place, advance, partition_of
from streamrec.config import StateSettings
from streamrec.errors import StateError
from streamrec.state.rows import (
    Watermark,
    decode_visitor_row,
    decode_watermark,
)

DAY = 86_400_000


def kinds(rows: list[tuple[bytes, bytes | None, int]]) -> list[str]:
    return [key.decode() + ("" if value is not None else " gone") for key, value, _ in rows]


BAD: list[tuple[str, Record, str]] = [
    ("null_value", Record(0, BASE, b"v", None), "JSON"),
    ("no_key", click(0)._replace(key=None), "visitor_id"),
    ("oversized", Record(0, BASE, b"v", b" " * 70_000), "STREAMREC_STATE__MAX_EVENT_BYTES"),
    ("undecodable", Record(0, BASE, b"v", b"\xff{"), "malformed"),
    ("undecodable", Record(0, BASE, b"v", b'{"x":' + b"[" * 10_000), ""),
    ("invalid", Record(0, BASE, b"v", b"{}"), "event_id"),
    ("invalid", click(0, value="much"), "value"),
    ("wrong_key", click(0)._replace(key=b"w"), "visitor_id"),
    ("wrong_key", click(0)._replace(key=b""), "visitor_id"),
    ("wrong_key", click(0)._replace(key=b"\xff"), "visitor_id"),
    ("unknown_type", click(0, type="stare"), "STREAMREC_STATE__WEIGHTS"),
    ("future", click(0, time=BASE + 300_001, timestamp=BASE), "STREAMREC_STATE__MAX_FUTURE_S"),
]


@pytest.mark.parametrize(("reason", "record", "advice"), BAD, ids=lambda value: str(value)[:20])
def test_a_bad_record_is_refused_with_its_reason_and_what_to_do(
    reason: str, record: Record, advice: str
) -> None:
    partition = Partition(make_online=SmallOnline)
    changes = partition.take(record)
    (letter,) = changes.rejected
    assert (letter.record, letter.reason, letter.with_body) == (record, reason, reason != "oversized")
    assert advice in letter.message
    assert changes.counts == {("unknown", "rejected"): 1}
    assert kinds(changes.rows) == ["w:"]
    assert partition.state.offset == 0


def test_an_event_time_at_the_bound_of_the_future_is_accepted() -> None:
    assert not Partition().take(click(0, time=BASE + 300_000, timestamp=BASE)).rejected


def test_a_visitor_of_another_partition_is_refused_until_it_is_known() -> None:
    here = partition_of(b"v", 8)
    wrong = Partition(place=Place("topic-1", (here + 1) % 8, 8)).take(click(0))
    assert [letter.reason for letter in wrong.rejected] == ["wrong_partition"]
    assert f"partition {here} of 8" in wrong.rejected[0].message
    assert not Partition(place=Place("topic-1", here, 8)).take(click(0)).rejected


def test_partitions_are_those_of_kafkas_own_clients() -> None:
    # Vectors of Apache Kafka's UtilsTest.testMurmur2.
    for key, value in [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
    ]:
        assert partition_of(key, 2**31) == value & 0x7FFFFFFF


def test_a_time_in_seconds_is_refused_even_if_it_is_the_first() -> None:
    changes = Partition().take(click(0, time=BASE // 1000, timestamp=BASE))
    assert [letter.reason for letter in changes.rejected] == ["late"]
    assert "send milliseconds" in changes.rejected[0].message


def test_an_event_older_than_visitors_are_remembered_is_refused() -> None:
    partition = Partition(StateSettings(visitor_ttl_s=60))
    partition.take(click(0, "w"))
    changes = partition.take(click(1, time=BASE - 60_001), click(2, time=BASE - 60_000))
    assert [(letter.record.offset, letter.reason) for letter in changes.rejected] == [(1, "late")]
    assert "STREAMREC_STATE__VISITOR_TTL_S" in changes.rejected[0].message


def test_every_accepted_interaction_gives_one_row_in_order() -> None:
    partition = Partition()
    partition.take(*(click(n, "uv"[n % 2], time=BASE + n, timestamp=BASE + 5) for n in range(6)))
    rows = [(key, decode_visitor_row(value or b"")) for key, value in partition.visitor_log()]
    assert [(key, row.offset, row.clock_ms) for key, row in rows] == [
        (b"v:" + b"uv"[n % 2 : n % 2 + 1], n, BASE + n) for n in range(6)
    ]
    assert [row.record_time for _, row in rows] == [BASE + 5] * 6


def test_a_repeat_changes_nothing_but_the_watermark() -> None:
    partition = Partition(StateSettings(recent_events=2))
    partition.take(click(0, event_id="same"), click(1))
    before = dict(partition.rows)
    changes = partition.take(click(2, event_id="same", time=BASE + 5000))
    assert changes.counts == {("view", "repeat"): 1}
    assert kinds(changes.rows) == ["w:"]
    assert partition.rows == before | {b"w:": partition.rows[b"w:"]}
    assert decode_watermark(partition.rows[b"w:"]) == Watermark(2, "topic-1", BASE)


def test_an_event_id_is_one_visitors_and_forgotten_after_so_many_others() -> None:
    partition = Partition(StateSettings(recent_events=2))
    changes = partition.take(
        click(0, event_id="same"),
        click(1, "w", event_id="same"),
        click(2),
        click(3),
        click(4, event_id="same"),
    )
    assert changes.counts == {("view", "accepted"): 5}


def test_the_clock_is_the_highest_event_time_and_never_falls() -> None:
    partition = Partition()
    partition.take(click(0, time=BASE + 9000), click(1, time=BASE))
    row = partition.visitor()
    assert (row.clock_ms, row.event_time, row.session_time, row.last_time) == (
        BASE + 9000, BASE, BASE + 9000, BASE + 9000,
    )  # fmt: skip


def test_a_new_session_starts_with_nothing_but_the_visitors_factors() -> None:
    partition = Partition(make_online=SmallOnline)
    model = SmallStep()
    partition.take(click(0, item="a"), click(1, item="b"), model=model)
    assert (partition.visitor().items, partition.visitor().hidden) == (["a", "b"], states("ab"))
    factors = partition.visitor().factors
    partition.take(click(2, item="c", type="impression", session_id="next"), model=model)
    row = partition.visitor()
    assert (row.session_id, row.items, row.hidden, row.model_version) == ("next", [], b"", "")
    assert row.factors == factors
    partition.take(click(3, item="c"), model=model)
    assert (partition.visitor().items, partition.visitor().hidden) == (["c"], states("c"))


def test_the_last_items_of_the_session_are_kept() -> None:
    partition = Partition(StateSettings(session_items=2))
    partition.take(*(click(n, item=item) for n, item in enumerate("abc")))
    assert partition.visitor().items == ["b", "c"]


def test_silent_visitors_leave_before_the_interaction_that_finds_them_silent() -> None:
    partition = Partition(StateSettings(visitor_ttl_s=60))
    partition.take(click(0, "c"), click(1, "b"), click(2, "a", time=BASE + 1))
    changes = partition.take(click(3, "d", time=BASE + 60_001), click(4, "d", time=BASE + 60_001))
    assert kinds(changes.rows) == ["v:b gone", "v:c gone", "v:d", "v:d", "i:a", "w:"]
    assert [headers for _, value, headers in changes.rows if value is None] == [[("offset", b"3")]] * 2
    assert changes.evictions == {"visitor_ttl": 2}
    assert [key for key in partition.rows if key[:2] == b"v:"] == [b"v:a", b"v:d"]


def test_a_visitor_who_returns_after_expiry_starts_afresh_even_in_one_batch() -> None:
    partition = Partition(StateSettings(visitor_ttl_s=60), make_online=SmallOnline)
    changes = partition.take(
        click(0, item="a", event_id="same", session_id="s"),
        click(1, item="b", event_id="same", session_id="s", time=BASE + 70_000),
        model=SmallStep(),
    )
    assert [row for row in kinds(changes.rows) if row[0] == "v"] == ["v:v", "v:v gone", "v:v"]
    assert (partition.visitor().items, partition.visitor().hidden) == (["b"], states("b"))


def test_a_clock_that_jumps_lets_visitors_go_in_portions_but_nobody_outlives_the_limit() -> None:
    partition = Partition(StateSettings(visitor_ttl_s=60))
    partition.take(*(click(n, f"v{n:03}", item="a", time=BASE + n) for n in range(200)))
    later = BASE + DAY
    changes = partition.take(click(200, "v150", item="b", time=later))
    assert changes.evictions == {"visitor_ttl": 65}
    assert kinds(changes.rows)[-4:-2] == ["v:v150 gone", "v:v150"]
    assert partition.visitor("v150").items == ["b"]
    changes = partition.take(*(click(201 + n, "w", time=later) for n in range(3)))
    assert changes.evictions == {"visitor_ttl": 200 - 65}
    assert sorted(key for key in partition.rows if key[:2] == b"v:") == [b"v:v150", b"v:w"]


def test_beyond_the_bound_the_visitor_silent_the_longest_makes_room() -> None:
    partition = Partition(StateSettings(max_visitors=2))
    partition.take(click(0, "a"), click(1, "b"), click(2, "a", time=BASE + 5))
    changes = partition.take(click(3, "c", time=BASE - 5))
    assert kinds(changes.rows)[:2] == ["v:b gone", "v:c"]
    assert changes.evictions == {"visitor_bound": 1}


def test_item_rows_of_a_tick_stand_before_the_first_visitor_row_of_the_next() -> None:
    partition = Partition(tick_ms=1000)
    changes = partition.take(
        click(0, item="a", time=BASE),
        click(1, item="b", time=BASE + 999),
        click(2, item="c", time=BASE + 1000),
        click(3, item="a", time=BASE + 500),
    )
    assert kinds(changes.rows) == ["v:v", "v:v", "i:a", "i:b", "v:v", "v:v", "i:c", "i:a", "w:"]


def test_input_at_or_below_the_watermark_is_skipped() -> None:
    partition = Partition()
    partition.take(click(0), click(1))
    changes = partition.take(click(0), click(1))
    assert (changes.consumed, changes.replayed, changes.rows) == (2, 2, [])
    changes = partition.take(click(1), click(5))
    assert (changes.replayed, changes.counts) == (1, {("view", "accepted"): 1})
    assert changes.watermark.offset == 5


def test_no_records_are_no_changes() -> None:
    changes = Partition().take()
    assert (changes.consumed, changes.rows, changes.watermark.offset) == (0, [], -1)


def test_an_append_is_bounded_and_the_rest_left_for_the_next_call() -> None:
    partition = Partition(make_online=SmallOnline, n_negatives=3)
    records = [click(n, f"visitor {n}", f"item {n}", time=BASE + 500 * n) for n in range(500)]
    changes = partition.take_all(*records, model=SmallStep(), max_append_bytes=20_000)
    assert sum(part.consumed for part in changes) == 500
    sizes = [sum(len(key) + len(value or b"") for key, value, _ in part.rows) for part in changes]
    assert all(5_000 < size < 20_000 for size in sizes[:-1])
    assert all(kinds(part.rows)[-1] == "w:" for part in changes)


def test_a_record_larger_than_the_bound_is_still_taken() -> None:
    assert Partition().take(click(0), click(1), max_append_bytes=1).consumed == 1


def test_changes_have_to_be_committed_before_the_next_call() -> None:
    state = Partition().state
    changes = advance([click(0)], state, None)
    with pytest.raises(StateError, match="commit"):
        advance([click(1)], state, None)
    state.commit(changes)
    assert advance([click(1)], state, None).consumed == 1


def test_rows_of_another_input_topic_are_refused() -> None:
    partition = Partition()
    partition.take(click(0))
    with pytest.raises(StateError, match=r"topic-1.*streamrec state rebuild"):
        Partition(place=Place("topic-2", 0, 1), rows=dict(partition.rows))


def test_rows_written_to_another_table_are_refused() -> None:
    partition = Partition(place=Place("topic-1", 0, 1, "table-1"))
    partition.take(click(0))
    with pytest.raises(StateError, match=r"table-1.*table-2.*streamrec state rebuild"):
        Partition(place=Place("topic-1", 0, 1, "table-2"), rows=dict(partition.rows))


def test_a_row_whose_inside_is_damaged_is_refused_when_its_visitor_comes_back() -> None:
    partition = Partition()
    partition.take(click(0), click(1, "other"))
    fields = msgspec.msgpack.decode(partition.rows[b"v:v"])
    partition.rows[b"v:v"] = msgspec.msgpack.encode([*fields[:8], "no items", *fields[9:]])
    partition.restore()
    partition.take(click(2, "other"))
    with pytest.raises(StateError, match="streamrec state rebuild"):
        partition.take(click(3))


@pytest.mark.parametrize("key", [b"v:v", b"i:a", b"g:", b"w:"])
def test_damaged_rows_are_refused(key: bytes) -> None:
    with pytest.raises(StateError, match="streamrec state rebuild"):
        Partition(rows={key: b"\x01"})


def test_rows_of_kinds_unknown_are_left_alone() -> None:
    partition = Partition(rows={b"e:": b"epoch"})
    partition.take(click(0))
    assert partition.rows[b"e:"] == b"epoch"
