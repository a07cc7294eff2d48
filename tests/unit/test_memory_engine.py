"""The engine's in-memory twin: what is written can be read back, in order, cut anywhere."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrec.engine.log import MAX_BATCH_BYTES, MAX_SENT_BYTES, Append, Out
from streamrec.engine.memory import MemoryLog
from streamrec.engine.table import RowStore
from streamrec.errors import EngineError

outs = st.builds(Out, st.binary(max_size=2), st.none() | st.binary(max_size=3))


def test_offsets_rise_by_one_in_each_partition() -> None:
    log = MemoryLog()
    assert [log.publish("t", partition, Out(b"k", b"v")) for partition in (0, 0, 1, 0)] == [0, 1, 0, 2]
    assert [record.offset for record in log.records("t", 0)] == [0, 1, 2]
    assert list(log.records("u", 0)) == []


def test_a_record_keeps_key_value_headers_and_time() -> None:
    log = MemoryLog()
    log.publish("t", 0, Out(None, None, [("a", b"1"), ("a", b"2")]), timestamp_ms=12)
    [record] = log.records("t", 0)
    assert (record.key, record.value, record.timestamp) == (None, None, 12)
    assert record.headers == (("a", b"1"), ("a", b"2"))


def test_an_append_is_noted_as_one() -> None:
    log = MemoryLog()
    rows = [Out(b"a", b"12"), Out(b"b", None, [("offset", b"3")])]
    assert asyncio.run(log.append("t", 0, rows)) == Append(last_offset=1, size_bytes=4)
    assert asyncio.run(log.append("t", 0, rows[:1])).last_offset == 2
    asyncio.run(log.send("t", 0, rows))
    assert log.appends == [("t", 0, 2), ("t", 0, 1)]
    assert [record.key for record in log.records("t", 0)] == [b"a", b"b", b"a", b"a", b"b"]


@given(st.lists(st.integers(0, MAX_SENT_BYTES * 5 // 4), max_size=6), st.integers(0, 200))
def test_what_is_sent_goes_in_batches_that_every_topic_takes(sizes: list[int], n: int) -> None:
    log = MemoryLog()
    outs = [Out(b"k", bytes(size)) for size in [*sizes, *[40_000] * n]]
    asyncio.run(log.send("t", 0, outs))
    assert [len(record.value or b"") for record in log.records("t", 0)] == [*sizes, *[40_000] * n]
    sent = [size for _, _, size in log.sent_bytes]
    large = [size for size in sent if size > MAX_SENT_BYTES]
    assert len(large) == sum(size > MAX_SENT_BYTES - 100 for size in sizes)
    # No two neighbours would have fitted one batch.
    assert all(one + other > MAX_SENT_BYTES for one, other in pairwise(sent))


def test_a_record_too_large_for_any_topic_is_refused() -> None:
    with pytest.raises(EngineError, match=rf"one record has .* bytes, {MAX_BATCH_BYTES} are allowed"):
        asyncio.run(MemoryLog().send("t", 0, [Out(b"k", bytes(MAX_BATCH_BYTES))]))


@given(n=st.integers(0, 30), start=st.integers(0, 30), size=st.integers(1, 9))
def test_batches_are_the_records_from_start_on(n: int, start: int, size: int) -> None:
    log = MemoryLog()
    for _ in range(n):
        log.publish("t", 3, Out(b"k", b"v"))
    batches = list(log.batches("t", 3, start=start, size=size))
    assert all(batch.partition == 3 and 0 < len(batch.records) <= size for batch in batches)
    assert [record.offset for batch in batches for record in batch.records] == list(range(start, n))


@given(st.lists(outs, max_size=20), st.integers(1, 5))
def test_rows_recovered_in_batches_are_the_newest_of_every_key(written: list[Out], size: int) -> None:
    log = MemoryLog()
    for out in written:
        log.publish("t", 0, out)
    store = RowStore()
    rows = store.rows(0)
    for batch in log.batches("t", 0, size=size):
        store.apply(0, batch.records)
    expected = {out.key: out.value for out in written}
    assert rows == {key: value for key, value in expected.items() if value is not None}
    assert store.rows(0) is rows


def test_a_dropped_partition_starts_with_other_rows() -> None:
    store = RowStore()
    rows = store.rows(0)
    rows[b"k"] = b"v"
    store.drop(0)
    store.drop(0)
    assert store.rows(0) == {}
    assert rows == {b"k": b"v"}
