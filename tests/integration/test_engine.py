"""The batch engine by itself on a real broker: kills, rebalances, appends and readers."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiokafka.consumer.fetcher
import engine_app
import pytest
from aiokafka.record.memory_records import MemoryRecords
from app_processes import App, committed, last, publish, read
from engine_app import WATERMARK, Mark, changed
from kafka import TopicPartition

from streamrec.config import Settings
from streamrec.engine.log import MAX_FETCH_BYTES, KafkaLog, Out
from streamrec.engine.reader import BroadcastReader, RangeReader, read_range
from streamrec.engine.table import RowStore
from streamrec.errors import EngineError, TopicError
from streamrec.topics import connect

_RECORDS = 4000
SMALL_BATCHES = {"kafka": {"max_poll_records": 200, "session_timeout_s": 6, "commit_interval_s": 0.2}}
small_batches = pytest.mark.parametrize("settings", [SMALL_BATCHES], indirect=True)

Rows = dict[int, dict[bytes, bytes]]


@contextmanager
def engine(settings: Settings, folder: Path, fault: str = "none", name: str = "engine") -> Iterator[App]:
    """The small app of engine_app.py as a process."""
    program = (engine_app.__file__, str(folder), fault)
    app = App("engine", settings, folder / f"{name}.log", program)
    try:
        yield app
    finally:
        app.kill()


def records(n: int, first: int = 0) -> list[tuple[bytes, bytes]]:
    """Of 97 keys; now and then one is forgotten."""
    return [
        (b"key-%d" % (number % 97), b"forget" if number % 31 == 0 else b"value-%d" % number)
        for number in range(first, first + n)
    ]


def expected_rows(settings: Settings) -> Rows:
    """What comes of the input, read whole and in order."""
    rows: Rows = {partition: {} for partition in range(settings.kafka.partitions)}
    for record in read(settings, "interactions"):
        for key, value in changed(rows[record.partition], [record]).items():
            put(rows[record.partition], key, value)
    return rows


def put(rows: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


def logged_rows(settings: Settings) -> Rows:
    """The newest row of every key on visitor-states; a watermark never falls."""
    rows: Rows = {partition: {} for partition in range(settings.kafka.partitions)}
    for record in read(settings, "visitor-states"):
        if record.key == WATERMARK:
            offset = Mark(*json.loads(record.value)).offset
            assert offset > Mark.of(rows[record.partition]).offset, f"partition {record.partition} went back"
        put(rows[record.partition], record.key, record.value)
    return rows


def done(settings: Settings) -> Callable[[], bool]:
    """Whether the whole input is handled, as far as the watermarks tell, which end every append."""
    ends = {partition: record.offset for partition, record in last(settings, "interactions").items()}

    def handled() -> bool:
        marks = last(settings, "visitor-states", WATERMARK)
        return ends == {partition: json.loads(each.value)[0] for partition, each in marks.items()}

    return handled


def recovered_rows(folder: Path) -> list[Rows]:
    """What each recovery gave, oldest first."""
    paths = sorted(folder.glob("recovered-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [
        {
            int(partition): {key.encode(): value.encode() for key, value in rows.items()}
            for partition, rows in json.loads(path.read_text()).items()
        }
        for path in paths
    ]


@small_batches
def test_every_record_counts_once_and_in_order_over_kills(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "interactions", records(_RECORDS))
    for fault in ("before 2", "after 3"):
        with engine(settings, tmp_path, fault) as app:
            assert app.process.wait(timeout=60) == -9, app.log
    at_kill = logged_rows(settings)
    handled = done(settings)
    assert not handled()
    with engine(settings, tmp_path) as app:
        app.wait(handled)
        app.wait_until_ready()
        assert app.stop() == 0
    assert recovered_rows(tmp_path)[-1] == at_kill
    assert logged_rows(settings) == expected_rows(settings)
    assert committed(settings, "interactions", "engine")[0] == {
        partition: Mark.of(rows).offset + 1 for partition, rows in logged_rows(settings).items()
    }


@small_batches
def test_rows_after_a_restart_are_those_before_without_the_deleted(
    settings: Settings, tmp_path: Path
) -> None:
    publish(settings, "interactions", [*records(_RECORDS), *((b"key-%d" % n, b"forget") for n in range(40))])
    with engine(settings, tmp_path) as app:
        app.wait(done(settings))
        assert app.stop() == 0
    with engine(settings, tmp_path) as app:
        app.wait_until_ready()
        app.wait(lambda: len(recovered_rows(tmp_path)) > 1)
        assert app.stop() == 0
    first, *_, last = recovered_rows(tmp_path)
    assert first == {0: {}, 1: {}}
    assert last == logged_rows(settings) == expected_rows(settings)
    left = {key for rows in last.values() for key in rows}
    assert WATERMARK in left
    assert not left & {b"key-%d" % n for n in range(40)}


@small_batches
def test_every_record_counts_once_while_workers_join_and_leave(settings: Settings, tmp_path: Path) -> None:
    fed = 0

    def feed() -> None:
        nonlocal fed
        publish(settings, "interactions", records(200, fed))
        fed += 200

    def feed_until_it_works(app: App) -> None:
        def works() -> bool:
            feed()
            return "handled" in app.log

        app.wait(works)

    with engine(settings, tmp_path, name="one") as one:
        feed_until_it_works(one)
        with engine(settings, tmp_path, name="two") as two:
            feed_until_it_works(two)
            assert one.stop() == 0
            feed()
            with engine(settings, tmp_path, name="three") as three:
                feed_until_it_works(three)
                two.kill()
                feed()
                three.wait(done(settings))
    assert logged_rows(settings) == expected_rows(settings)


def test_what_comes_while_a_rebalance_ends_is_handled_then(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "interactions", records(1))
    with engine(settings, tmp_path) as app:
        app.wait(done(settings))
        assert app.stop() == 0
    with engine(settings, tmp_path, "late", name="again") as app:
        app.wait(lambda: "sought" in app.log)
        publish(settings, "interactions", records(1))
        app.wait(done(settings), timeout_s=20)  # nothing comes after it that would show that it lacks
        assert app.stop() == 0
    assert logged_rows(settings) == expected_rows(settings)


@pytest.mark.parametrize("settings", [{"kafka": {"max_poll_records": 20, "partitions": 4}}], indirect=True)
def test_partitions_with_a_backlog_take_turns(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "interactions", records(6000))
    with engine(settings, tmp_path, "slow") as app:
        app.wait(done(settings))
        assert app.stop() == 0
    order = [int(line.split()[1]) for line in app.log.splitlines() if line.startswith("handled")]
    assert len(order) >= 300
    there = next(n for n in range(len(order)) if len(set(order[:n])) == 4)
    seen: Counter[int] = Counter()
    for partition in order[there:200]:  # all four have more to come for as long
        seen[partition] += 1
        assert max(seen.values()) - min(seen[each] for each in range(4)) <= 2


@small_batches
def test_a_handler_that_raises_ends_the_process_and_its_batch_comes_again(
    settings: Settings, tmp_path: Path
) -> None:
    publish(settings, "interactions", records(_RECORDS))
    with engine(settings, tmp_path, "raise 1 700") as app:
        assert app.process.wait(timeout=60) == 70
        assert "this record cannot be handled" in app.log
    stuck = Mark.of(logged_rows(settings)[1]).offset
    assert stuck < 700
    assert committed(settings, "interactions", "engine")[0][1] <= stuck + 1
    with engine(settings, tmp_path) as app:
        app.wait(done(settings))
    assert logged_rows(settings) == expected_rows(settings)


@pytest.mark.parametrize(
    "settings", [{"kafka": {"session_timeout_s": 6, "stall_timeout_s": 12.0}}], indirect=True
)
@pytest.mark.parametrize(
    ("fault", "said"), [("wait", "nothing has moved for 12 s"), ("block", "Timeout (0:00:12)!")]
)
def test_a_worker_that_stands_still_ends_itself(
    settings: Settings, fault: str, said: str, tmp_path: Path
) -> None:
    publish(settings, "interactions", records(100))
    with engine(settings, tmp_path, fault) as app:
        assert app.process.wait(timeout=60) == 1
        assert said in app.log
    with engine(settings, tmp_path) as app:
        app.wait(done(settings))


def test_exactly_once_stops_the_process_with_a_message(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")
    app = App("state", settings, tmp_path / "state.log")
    try:
        assert app.process.wait(timeout=60) == 1
    finally:
        app.kill()
    assert "unset PROCESSING_GUARANTEE" in " ".join(app.log.split())
    assert "Traceback" not in app.log


def write(settings: Settings, *writes: Callable[[KafkaLog], Any]) -> list[Any]:
    """What each of the writes gives."""

    async def run() -> list[Any]:
        log = KafkaLog(settings.kafka, "test")
        try:
            return [await each(log) for each in writes]
        finally:
            await log.stop()

    return asyncio.run(run())


def record_batches(settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First and last offset of every record batch in partition 0, as the broker keeps them."""
    found: list[tuple[int, int]] = []

    class Seen(MemoryRecords):  # type: ignore[misc]
        def next_batch(self) -> Any:
            batch = super().next_batch()
            found.append((batch.base_offset, batch.next_offset - 1))
            return batch

    monkeypatch.setattr(aiokafka.consumer.fetcher, "MemoryRecords", Seen)
    for _ in in_range(settings, topic, 0, 10**9):
        pass
    return found


def in_range(settings: Settings, topic: str, start: int, end: int) -> list[Any]:
    async def run() -> list[Any]:
        batches = read_range(settings.kafka, settings.kafka.topic(topic), 0, start, end)
        return [record async for batch in batches for record in batch]

    return asyncio.run(run())


def rows(n: int, size: int = 10) -> list[Out]:
    return [Out(b"%d" % number, b"x" * size, [("n", b"%d" % number)]) for number in range(n)]


def test_an_append_is_one_record_batch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = settings.kafka.topic("visitor-states")
    appended = write(
        settings,
        lambda log: log.claim(topic, 0),
        lambda log: log.append(topic, 0, rows(3)),
        lambda log: log.append(topic, 0, [Out(b"gone", None)]),
        lambda log: log.append(topic, 0, rows(5000, 1000)),
    )
    assert [each.last_offset for each in appended[1:]] == [2, 3, 5003]
    assert 5000 * 1000 < appended[3].size_bytes < 5000 * 1100
    assert record_batches(settings, "visitor-states", monkeypatch) == [(0, 2), (3, 3), (4, 5003)]
    found = in_range(settings, "visitor-states", 0, 4)
    assert [(each.key, each.value, tuple(each.headers)) for each in found] == [
        *((row.key, row.value, tuple(row.headers)) for row in rows(3)),
        (b"gone", None, ()),
    ]


def test_an_append_that_does_not_fit_writes_nothing(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")
    with pytest.raises(EngineError, match=r"20 rows do not fit one append .* lower STREAMREC_KAFKA__"):
        write(settings, lambda log: log.claim(topic, 0), lambda log: log.append(topic, 0, rows(20, 1 << 20)))
    assert read(settings, "visitor-states") == []


def test_what_is_sent_arrives_in_order_in_as_few_batches_as_it_needs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = settings.kafka.topic("visitor-states")
    large = [*rows(40, 100_000), Out(b"large", bytes(3 << 20))]
    write(settings, lambda log: log.send(topic, 0, large), lambda log: log.send(topic, 0, []))
    # Ten fit into a mebibyte; what is larger goes alone.
    assert record_batches(settings, "visitor-states", monkeypatch) == [
        *[(0, 9), (10, 19), (20, 29), (30, 39)],
        (40, 40),
    ]
    found = in_range(settings, "visitor-states", 0, 41)
    assert [(each.key, each.value) for each in found] == [(each.key, each.value) for each in large]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 3000, range(3000)), (700, 705, range(700, 705)), (2990, 10**9, range(2990, 3000)), (5, 5, [])],
)
def test_a_range_is_read_whole_and_no_further(
    settings: Settings, start: int, end: int, expected: Iterable[int]
) -> None:
    topic = settings.kafka.topic("interactions")
    write(settings, lambda log: log.send(topic, 0, rows(3000)))
    assert [each.offset for each in in_range(settings, "interactions", start, end)] == list(expected)


def test_a_range_begins_where_retention_has_left_something(settings: Settings) -> None:
    topic = settings.kafka.topic("interactions")
    write(settings, lambda log: log.send(topic, 0, rows(100)))
    with connect(settings.kafka) as admin:
        admin.delete_records({TopicPartition(topic, 0): 40})
    assert [each.offset for each in in_range(settings, "interactions", 10, 50)] == list(range(40, 50))
    assert in_range(settings, "interactions", 10, 20) == []


def test_range_after_range_is_read_over_one_connection(settings: Settings) -> None:
    topic = settings.kafka.topic("interactions")
    reader = RangeReader(settings.kafka, topic)

    async def read_here(partition: int, start: int, end: int) -> list[int]:
        return [each.offset async for batch in reader.read(partition, start, end) for each in batch]

    async def run() -> None:
        log = KafkaLog(settings.kafka, "test")
        await log.send(topic, 0, rows(5000))
        await log.send(topic, 1, rows(30))
        connected = asyncio.create_task(reader.run())
        await asyncio.wait_for(reader.connected.wait(), 30)
        for partition, start, end in [
            *[(0, 0, 10), (1, 0, 30), (0, 10, 4000), (0, 4000, 4000)],  # one after the other, as a join asks
            *[(0, 4100, 4200), (0, 50, 60), (1, 10, 20)],  # as after a rebalance
        ]:
            assert await read_here(partition, start, end) == list(range(start, end))
        assert [await reader.end(0), await reader.end(1)] == [5000, 30]
        assert await read_here(0, 4990, 10**9) == list(range(4990, 5000))
        assert await read_here(0, 5000, 10**9) == []
        reader.keep({1})
        await log.send(topic, 0, rows(5))
        assert await read_here(0, 5000, 5005) == list(range(5000, 5005))
        with connect(settings.kafka) as admin:
            admin.delete_records({TopicPartition(topic, 0): 4000})
        assert await read_here(0, 3000, 4010) == list(range(4000, 4010))
        assert await read_here(0, 20, 40) == []
        assert await read_here(0, 4010, 4020) == list(range(4010, 4020))
        await log.stop()
        connected.cancel()
        await asyncio.wait([connected])

    asyncio.run(run())


def follow(
    settings: Settings, topic: str, until: int, add: Callable[[KafkaLog], Any] | None = None
) -> tuple[list[tuple[bytes | None, bytes | None]], int]:
    """What a broadcast reader hands on, and how much of it until it had caught up.

    add: written once it has caught up; it then reads on until it has `until` records.
    """

    async def run() -> tuple[list[tuple[bytes | None, bytes | None]], int]:
        found: list[tuple[bytes | None, bytes | None]] = []
        enough = asyncio.Event()

        def take(key: bytes | None, value: bytes | None) -> None:
            found.append((key, value))
            if len(found) >= until:
                enough.set()

        reader = BroadcastReader(settings.kafka, settings.kafka.topic(topic), take)
        running = asyncio.create_task(reader.run())
        caught_up = asyncio.create_task(reader.caught_up.wait())
        await asyncio.wait([running, caught_up], timeout=30, return_when=asyncio.FIRST_COMPLETED)
        at_first = len(found)
        try:
            if running.done():
                caught_up.cancel()
                await running
            if add is not None:
                log = KafkaLog(settings.kafka, "test")
                await add(log)
                await log.stop()
            if until:
                await asyncio.wait_for(enough.wait(), 30)
        finally:
            running.cancel()
            await asyncio.wait([running])
        return found, at_first

    return asyncio.run(run())


def test_a_broadcast_reader_has_caught_up_once_all_is_handed_on_and_then_follows(settings: Settings) -> None:
    topic = settings.kafka.topic("items")
    write(settings, lambda log: log.send(topic, 0, rows(2500)))
    later = [Out(b"later", None), Out(b"last", b"1")]
    found, at_first = follow(settings, "items", 2502, lambda log: log.send(topic, 0, later))
    assert at_first == 2500
    assert found == [(each.key, each.value) for each in [*rows(2500), *later]]


def test_a_broadcast_reader_has_caught_up_with_an_empty_topic_at_once(settings: Settings) -> None:
    assert follow(settings, "items", 0) == ([], 0)


def test_a_broadcast_reader_reads_every_partition(settings: Settings) -> None:
    topic = settings.kafka.topic("interactions")
    write(settings, *(lambda log, at=at: log.send(topic, at, rows(10 + at)) for at in (0, 1)))
    assert follow(settings, "interactions", 21)[1] == 21


def test_appends_larger_than_a_fetch_are_read_from_every_partition(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")
    large = rows(10, 1 << 20)
    assert sum(len(each.value) for each in large) > 2 * MAX_FETCH_BYTES
    for at in (0, 1):
        append = [
            lambda log, at=at, some=some: log.append(topic, at, some) for some in (large, rows(1), large)
        ]
        write(settings, lambda log, at=at: log.claim(topic, at), *append)
    assert follow(settings, "visitor-states", 42)[1] == 42


def test_a_broadcast_reader_names_a_topic_that_is_missing(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"nothing does not exist .* `streamrec topics create`"):
        follow(settings, "nothing", 0)


def test_recovered_batches_are_applied_in_order() -> None:
    store = RowStore()

    class Record:
        def __init__(self, key: bytes, value: bytes | None) -> None:
            self.key, self.value = key, value

    store.apply(0, [Record(b"a", b"1"), Record(b"b", b"2"), Record(b"a", None)])
    store.apply(0, [Record(b"b", b"3"), Record(b"c", None)])
    assert store.rows(0) == {b"b": b"3"}
