"""The state app's keeper on the in-memory log: cuts, kills, gaps and refusals."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_worker import FailingLog, Killed, MemoryWorker, small_settings
from state_parts import BASE, Record, SmallStep, click

from streamrec import metrics
from streamrec.advance import PartitionState, advance, partition_of
from streamrec.config import load_settings
from streamrec.engine.log import MAX_SENT_BYTES, Out
from streamrec.engine.memory import MemoryLog, MemoryRecord
from streamrec.engine.runner import Batch
from streamrec.engine.transport import Fetched
from streamrec.errors import StateError
from streamrec.state.rows import (
    VISITOR,
    WATERMARK_KEY,
    decode_visitor_row,
    decode_watermark,
    item_key,
    visitor_key,
)
from streamrec.topics.specs import DEAD_LETTER_BYTES

SETTINGS = small_settings()
INPUT = SETTINGS.kafka.topic("interactions")
STATES = SETTINGS.kafka.topic("visitor-states")
DEAD = SETTINGS.kafka.topic("dead-letters")

interactions = st.tuples(
    st.sampled_from("uvwxyz"),
    st.sampled_from("abcdefg!"),
    st.sampled_from([0, 1, 300, 1500, 12_000, 70_000, -500]),
    st.sampled_from(["click", "click", "click", "dislike", "impression", "wave", None]),
)


def published(drawn: list[tuple[str, str, int, str | None]], log: MemoryLog) -> None:
    """Put interactions on the input; one without a type is no JSON."""
    time = BASE
    for offset, (visitor, item, pause, kind) in enumerate(drawn):
        time += pause
        put(log, click(offset, visitor, item, time, type=kind or "click"))
        if kind is None:
            log.records(INPUT, 0)[-1].value = b"{"


def put(log: MemoryLog, record: Record, headers: Any = ()) -> None:
    assert log.publish(INPUT, 0, Out(record.key, record.value, headers), record.timestamp) == record.offset


def clicks(log: MemoryLog, n: int, visitor: str = "v") -> None:
    for offset in range(n):
        put(log, click(offset, visitor, "abcdefg"[offset % 7], BASE + offset))


def whole(log: MemoryLog, size: int = 2000) -> Iterator[Batch]:
    return log.batches(INPUT, 0, size=size)


def newest(log: MemoryLog) -> dict[bytes, bytes]:
    """The rows, as compaction would leave them."""
    rows: dict[bytes, bytes] = {}
    for record in log.records(STATES, 0):
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    return rows


def visitor_log(log: MemoryLog) -> list[tuple[bytes, bytes | None]]:
    return [(each.key, each.value) for each in log.records(STATES, 0) if each.key.startswith(VISITOR)]


def header(record: MemoryRecord, name: str) -> str:
    [value] = [value for key, value in record.headers if key == name]
    return value.decode()


def places(log: MemoryLog) -> list[int]:
    """Input offsets of the dead letters."""
    return [int(header(letter, "offset")) for letter in log.records(DEAD, 0)]


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"streamrec_{name}", labels) or 0.0


@given(
    drawn=st.lists(interactions, max_size=30),
    cuts=st.lists(st.integers(1, 7), min_size=1),
    kills=st.lists(st.sampled_from(["no", "restart", "before 1", "before 2", "after 1", "after 2"])),
    append_bytes=st.sampled_from([1, 2000, 1 << 20]),
)
def test_rows_are_the_same_however_the_input_is_cut_and_the_worker_killed(
    drawn: list[tuple[str, str, int, str | None]], cuts: list[int], kills: list[str], append_bytes: int
) -> None:
    undisturbed, log = MemoryLog(), FailingLog()
    for each in (undisturbed, log):
        published(drawn, each)
    model = SmallStep()
    MemoryWorker(undisturbed, SETTINGS, step_model=model).handle(*whole(undisturbed))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamrec.agents.state.advance", partial(advance, max_append_bytes=append_bytes))
        worker = MemoryWorker(log, SETTINGS, step_model=model)
        first = 0
        while first < len(drawn):
            records = log.records(INPUT, 0)[first : first + cuts[first % len(cuts)]]
            kill = kills.pop() if kills else "no"
            if kill.startswith(("before", "after")):
                moment, write = kill.split()
                log.arm(**{moment: int(write)})
            try:
                worker.handle(Batch(0, records))
                first += len(records)
            except Killed:
                kill = "restart"  # the batch was not committed and comes again
            log.arm()
            if kill == "restart":
                worker = MemoryWorker(log, SETTINGS, step_model=model)

    assert newest(log) == newest(undisturbed)
    assert visitor_log(log) == visitor_log(undisturbed)
    assert sorted(set(places(log))) == places(undisturbed)
    assert worker.asked_again == []


def test_a_kill_between_dead_letters_and_append_repeats_the_dead_letters_alone() -> None:
    log = FailingLog()
    clicks(log, 3)
    put(log, Record(3, BASE, b"v", b"not JSON"))
    log.arm(before=2)
    with pytest.raises(Killed):
        MemoryWorker(log, SETTINGS).handle(*whole(log))
    assert (places(log), list(log.records(STATES, 0))) == ([3], [])

    log.arm()
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    assert places(log) == [3, 3]
    assert [decode_visitor_row(row).offset for _, row in visitor_log(log) if row] == [0, 1, 2]
    assert log.records(DEAD, 0)[0].headers == log.records(DEAD, 0)[1].headers


def test_an_append_that_was_not_heard_of_is_not_made_twice() -> None:
    log = FailingLog()
    clicks(log, 5)
    log.arm(after=1)
    with pytest.raises(Killed):
        MemoryWorker(log, SETTINGS).handle(*whole(log))
    before = list(log.records(STATES, 0))
    replayed = value("replayed_events_total")
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    assert list(log.records(STATES, 0)) == before
    assert value("replayed_events_total") == replayed + 5


def test_every_append_is_bounded_and_ends_with_its_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrec.agents.state.advance", partial(advance, max_append_bytes=60_000))
    log = MemoryLog()
    clicks(log, 1200)
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    ends: list[int] = []
    rows = iter(log.records(STATES, 0))
    for topic, partition, n in log.appends:
        assert (topic, partition) == (STATES, 0)
        append = [next(rows) for _ in range(n)]
        assert [each.key for each in append].count(WATERMARK_KEY) == 1
        assert append[-1].key == WATERMARK_KEY
        watermark = decode_watermark(append[-1].value)
        offsets = [decode_visitor_row(each.value).offset for each in append if each.key[:2] == VISITOR]
        assert offsets == list(range(ends[-1] + 1 if ends else 0, watermark.offset + 1))
        ends.append(watermark.offset)
    assert ends[-1] == 1199
    assert len(ends) > 2


def test_a_gap_is_filled_from_the_log() -> None:
    log, undisturbed = MemoryLog(), MemoryLog()
    for each in (log, undisturbed):
        clicks(each, 20)
    MemoryWorker(undisturbed, SETTINGS).handle(*whole(undisturbed))
    gaps = value("input_gaps_total")
    worker = MemoryWorker(log, SETTINGS)
    records = log.records(INPUT, 0)
    worker.handle(Batch(0, records[:4]), Batch(0, records[9:15]), Batch(0, records[15:]))
    assert worker.asked_again == [(0, 4, 9)]
    assert visitor_log(log) == visitor_log(undisturbed)
    assert newest(log) == newest(undisturbed)
    assert value("input_gaps_total") == gaps


def test_offsets_without_records_in_front_of_a_batch_are_no_gap_where_its_read_began_before_them() -> None:
    log = MemoryLog()
    clicks(log, 20)
    gaps = value("input_gaps_total")
    worker = MemoryWorker(log, SETTINGS)
    records = log.records(INPUT, 0)
    behind = Fetched(records[6:])
    behind.start = 4
    worker.handle(Batch(0, records[:4]), Batch(0, behind))
    assert worker.asked_again == []
    assert decode_watermark(newest(log)[WATERMARK_KEY]).offset == 19
    assert value("input_gaps_total") == gaps


def test_of_what_is_read_again_only_the_beginning_can_be_gone() -> None:
    log = MemoryLog()
    clicks(log, 20)
    gaps = value("input_gaps_total")
    records = log.records(INPUT, 0)
    first, last = Batch(0, records[:4]), Batch(0, records[10:])
    del records[9], records[4:6]  # a transaction ended at 9; retention took 4 and 5
    worker = MemoryWorker(log, SETTINGS)
    worker.handle(first, last)
    assert value("input_gaps_total") == gaps + 2


def test_what_is_missing_from_the_log_is_counted_and_passed() -> None:
    log = MemoryLog()
    clicks(log, 20)
    gaps = value("input_gaps_total")
    worker = MemoryWorker(log, SETTINGS)
    batches = list(log.batches(INPUT, 0, size=4))
    worker.handle(batches[0])
    del log.records(INPUT, 0)[4:]
    worker.handle(*batches[2:])
    kept = [decode_visitor_row(row).offset for _, row in visitor_log(log) if row]
    assert kept == [*range(4), *range(8, 20)]
    assert value("input_gaps_total") == gaps + 4


def test_what_retention_took_before_the_first_batch_is_no_gap() -> None:
    log = MemoryLog()
    gaps = value("input_gaps_total")
    records = [MemoryRecord(7 + n, BASE, Out(b"v", click(n).value)) for n in range(3)]
    MemoryWorker(log, SETTINGS).handle(Batch(0, records))
    assert decode_watermark(newest(log)[WATERMARK_KEY]).offset == 9
    assert value("input_gaps_total") == gaps


@pytest.mark.parametrize(("committed", "refused"), [(None, False), (0, False), (5, False), (6, True)])
def test_a_committed_offset_ahead_of_the_watermark_is_refused(committed: int | None, refused: bool) -> None:
    log = MemoryLog()
    clicks(log, 10)
    MemoryWorker(log, SETTINGS).handle(Batch(0, log.records(INPUT, 0)[:5]))
    worker = MemoryWorker(log, SETTINGS, committed=lambda _: committed)
    rest = Batch(0, log.records(INPUT, 0)[5:])
    if refused:
        with pytest.raises(StateError, match=r"offset 6 .* end at 4: .*`streamrec state rebuild`"):
            worker.handle(rest)
    else:
        worker.handle(rest)
        assert decode_watermark(newest(log)[WATERMARK_KEY]).offset == 9


def test_rows_of_another_input_topic_are_refused() -> None:
    log = MemoryLog()
    clicks(log, 2)
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    with pytest.raises(StateError, match=r"topic-1.*topic-2.*`streamrec state rebuild`"):
        MemoryWorker(log, SETTINGS, topic_id="topic-2").handle(*whole(log))


def test_a_partition_that_comes_back_is_read_anew() -> None:
    log, undisturbed = MemoryLog(), MemoryLog()
    for each in (log, undisturbed):
        clicks(each, 9)
    MemoryWorker(undisturbed, SETTINGS).handle(*whole(undisturbed))
    records = log.records(INPUT, 0)
    here, elsewhere = MemoryWorker(log, SETTINGS), MemoryWorker(log, SETTINGS)
    here.handle(Batch(0, records[:3]))
    elsewhere.table.recover(0)
    elsewhere.handle(Batch(0, records[3:6]))
    here.table.recover(0)
    here.handle(Batch(0, records[4:]))
    assert visitor_log(log) == visitor_log(undisturbed)
    assert newest(log) == newest(undisturbed)


def test_a_dead_letter_has_the_original_bytes_its_place_and_the_reason() -> None:
    log = MemoryLog()
    clicks(log, 1)
    put(log, Record(1, BASE + 5, b"\xff", b"\x00not JSON"), [("trace", b"7")])
    before = value("dlq_total", reason="undecodable")
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    [letter] = log.records(DEAD, 0)
    assert (letter.key, letter.value) == (b"\xff", b"\x00not JSON")
    assert (header(letter, "topic"), header(letter, "partition"), header(letter, "offset")) == (
        INPUT,
        "0",
        "1",
    )
    assert header(letter, "timestamp") == str(BASE + 5)
    assert header(letter, "reason") == "undecodable"
    assert "JSON" in header(letter, "message")
    assert header(letter, "trace") == "7"
    assert value("dlq_total", reason="undecodable") == before + 1


def test_an_oversized_record_is_a_dead_letter_without_its_body() -> None:
    log = MemoryLog()
    put(log, Record(0, BASE, b"v", b"x" * 401))
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    [letter] = log.records(DEAD, 0)
    assert (letter.key, letter.value, header(letter, "reason")) == (b"v", None, "oversized")


def test_dead_letters_of_one_batch_are_sent_in_batches_that_their_topic_takes() -> None:
    log = MemoryLog()
    for offset in range(2000):
        put(log, Record(offset, BASE, b"v", b"{" * 390))
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    assert places(log) == [*range(2000)]
    assert len(log.sent_bytes) > 1
    assert all(topic == DEAD and size <= MAX_SENT_BYTES for topic, _, size in log.sent_bytes)


@pytest.mark.parametrize("limit", [400, load_settings().state.max_event_bytes, 1 << 20])
def test_the_largest_dead_letter_fits_its_topic(limit: int) -> None:
    log = MemoryLog()
    put(log, Record(0, BASE, b"v", b"{" * (limit - 1)))
    put(log, Record(1, BASE, b"v", b"{"), [("", b"")] * (limit // 2 - 1))
    put(log, Record(2, BASE, b"v", b"{"), [("é" * 62, b"")] * ((limit - 2) // 126))
    MemoryWorker(log, small_settings(max_event_bytes=limit)).handle(*whole(log))
    assert [header(each, "reason") for each in log.records(DEAD, 0)] == ["undecodable"] * 3
    assert all(size <= DEAD_LETTER_BYTES for _, _, size in log.sent_bytes)


def test_a_claim_that_is_renewed_keeps_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    log, undisturbed = MemoryLog(), MemoryLog()
    for each in (log, undisturbed):
        clicks(each, 30)
    MemoryWorker(undisturbed, SETTINGS).handle(*whole(undisturbed))

    opened: list[int] = []
    worker = MemoryWorker(log, SETTINGS)
    monkeypatch.setattr(
        PartitionState,
        "rebuild",
        lambda self, rebuild=PartitionState.rebuild: (opened.append(1), rebuild(self)),
    )
    first, second, third = log.batches(INPUT, 0, size=10)
    worker.handle(first)
    worker.table.age()
    worker.handle(second)
    assert len(opened) == 1

    # Another worker was here in between: now there are rows that the state does not know.
    MemoryWorker(log, SETTINGS).handle(Batch(0, third.records[:4]))
    worker.table.age()
    worker.handle(third)
    assert len(opened) == 3
    assert newest(log) == newest(undisturbed)
    assert visitor_log(log) == visitor_log(undisturbed)


def test_claims_that_grow_old_together_are_renewed_with_their_states(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_settings()
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": 2})})
    log = MemoryLog()
    visitors = {partition_of(b"v%d" % n, 2): f"v{n}" for n in range(9)}
    for partition, visitor in visitors.items():
        for n in range(4):
            record = click(n, visitor, "a", BASE + n)
            log.publish(INPUT, partition, Out(record.key, record.value), record.timestamp)
    opened: list[int] = []
    monkeypatch.setattr(
        PartitionState,
        "rebuild",
        lambda self, rebuild=PartitionState.rebuild: (opened.append(1), rebuild(self)),
    )
    worker = MemoryWorker(log, settings)
    for start in (0, 2):
        worker.table.age()
        worker.handle(*(Batch(each, log.records(INPUT, each)[start : start + 2]) for each in (0, 1)))
    assert len(opened) == 2


def test_a_deletion_tells_the_offset_that_caused_it() -> None:
    log = MemoryLog()
    put(log, click(0, "gone", "a", BASE))
    put(log, click(1, "here", "a", BASE + 61_000))
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    [deletion] = [each for each in log.records(STATES, 0) if each.value is None]
    assert (deletion.key, header(deletion, "offset")) == (visitor_key("gone"), "1")


def test_accepted_interactions_are_counted() -> None:
    log = MemoryLog()
    clicks(log, 4)
    put(log, click(4, "v", "a", BASE + 4, event_id="e3"))
    accepted = value("events_total", type="click", outcome="accepted")
    views = value("events_total", type="view", outcome="accepted")
    repeats = value("events_total", type="view", outcome="repeat")
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    assert value("events_total", type="click", outcome="accepted") == accepted
    assert value("events_total", type="view", outcome="accepted") == views + 4
    assert value("events_total", type="view", outcome="repeat") == repeats + 1


def test_without_online_learning_rows_carry_no_factors() -> None:
    rows = {}
    for online in (True, False):
        log = MemoryLog()
        clicks(log, 3)
        MemoryWorker(log, small_settings(online=online)).handle(*whole(log))
        rows[online] = decode_visitor_row(newest(log)[visitor_key("v")])
        assert item_key("a") in newest(log)
    assert len(rows[True].factors.vector) == 4 * 8
    assert rows[False].factors.vector == b""
    assert rows[True].items == rows[False].items == ["a", "b", "c"]


def test_a_state_left_behind_by_another_worker_is_made_anew() -> None:
    log, undisturbed = MemoryLog(), MemoryLog()
    for each in (log, undisturbed):
        clicks(each, 30)
    MemoryWorker(undisturbed, SETTINGS).handle(*whole(undisturbed))

    first, second, third = log.batches(INPUT, 0, size=10)
    one = MemoryWorker(log, SETTINGS)
    one.handle(first)
    MemoryWorker(log, SETTINGS).handle(second)
    # The partition comes back to the first worker, which never saw it go: recovery adds the rows.
    one.table.store.apply(0, log.records(STATES, 0))
    one.handle(third)
    assert newest(log) == newest(undisturbed)
    assert visitor_log(log) == visitor_log(undisturbed)


def test_a_key_or_headers_too_large_are_refused_and_not_carried_along() -> None:
    log = MemoryLog()
    limit = SETTINGS.state.max_event_bytes
    good = click(0, "v", "a", BASE)
    log.publish(INPUT, 0, Out(b"k" * (limit + 1), good.value), BASE)
    log.publish(INPUT, 0, Out(good.key, good.value, [("note", b"n" * limit)]), BASE)
    MemoryWorker(log, SETTINGS).handle(*whole(log))
    letters = log.records(DEAD, 0)
    assert [header(letter, "reason") for letter in letters] == ["oversized", "oversized"]
    assert all(letter.value is None and len(letter.key or b"") <= 1024 for letter in letters)
    assert all("note" not in dict(letter.headers) for letter in letters)
