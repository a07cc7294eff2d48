"""What the batch transport makes of fetched bytes."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import IllegalStateError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streamrec.config import KafkaSettings
from streamrec.engine import transport
from streamrec.engine.transport import BatchConsumer, Fetched, FetchedResult, ParsedRecords, _ConsumerThread

HEADERS = [("campaign", b"spring"), ("empty", None)]


def fetched(**deserializers: Any) -> list[Any]:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=1 << 20,
    )
    builder.append(0, 1000, b"key", b"value", HEADERS)
    builder.append(1, 1001, None, None, [])
    wanted = {"key_deserializer": None, "value_deserializer": None} | deserializers
    return list(
        fetcher.PartitionRecords(
            TopicPartition("topic", 3),
            MemoryRecords(bytes(builder.build())),
            [],
            0,
            check_crcs=True,
            isolation_level=0,
            **wanted,
        )
    )


def test_records_have_what_is_asked_of_them() -> None:
    assert fetcher.PartitionRecords is ParsedRecords
    first, second = fetched()
    assert (first.offset, first.timestamp, first.key, first.value) == (0, 1000, b"key", b"value")
    assert list(first.headers) == HEADERS
    assert (second.offset, second.timestamp, second.key, second.value) == (1, 1001, None, None)
    assert not second.headers


def test_a_consumer_with_deserializers_gets_what_they_make() -> None:
    first, _ = fetched(value_deserializer=lambda value: value and value.decode())
    assert (first.topic, first.partition, first.value) == ("topic", 3, "value")


def test_a_stream_that_stands_still_is_left_to_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(driver.Consumer, "verify_event_path", lambda _, __, tp: looked.append(tp.topic))
    consumer = BatchConsumer.__new__(BatchConsumer)  # a whole one starts a thread
    consumer.verify_event_path(0.0, TP("interactions", 0))
    assert not looked


@pytest.mark.parametrize(
    "gone", [IllegalStateError("No current assignment for partition"), AssertionError("No partitions")]
)
async def test_partitions_that_go_away_while_it_seeks_are_left_to_the_rebalance(
    gone: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = TP("interactions", 0)
    answers: list[Any] = [{place: 7}, gone, {place: 9}]

    async def seek(_: driver.Consumer) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(driver.Consumer, "seek_to_committed", seek)
    consumer = BatchConsumer.__new__(BatchConsumer)  # a whole one starts a thread
    consumer._sought = {}
    assert await consumer.seek_to_committed() == {place: 7}
    assert await consumer.seek_to_committed() == {}
    assert consumer.committed("interactions", 0) == 7
    assert await consumer.seek_to_committed() == {place: 9}
    assert consumer.committed("interactions", 0) == 9


async def test_a_commit_during_another_takes_what_was_handled_since(monkeypatch: pytest.MonkeyPatch) -> None:
    handled, committed, acknowledged = 1, list[int](), asyncio.Event()

    async def force_commit(*_: Any, **__: Any) -> bool:
        now = handled
        await acknowledged.wait()
        committed.append(now)
        return True

    monkeypatch.setattr(BatchConsumer, "force_commit", force_commit)
    consumer: Any = BatchConsumer.__new__(BatchConsumer)  # a whole one starts a thread
    consumer.app, consumer._commit_fut = SimpleNamespace(client_only=False), None
    consumer.loop = asyncio.get_running_loop()
    first = asyncio.ensure_future(consumer.commit())
    await asyncio.sleep(0)
    handled = 2
    second = asyncio.ensure_future(consumer.commit())
    await asyncio.sleep(0)
    acknowledged.set()
    await asyncio.gather(first, second)
    assert committed == [1, 2]


class _Queued:
    """An app with batches that its agent has not taken."""

    def __init__(self, queued: int) -> None:
        self.kafka = KafkaSettings()
        self.tables = SimpleNamespace(actives_ready=True)
        self.queued = queued
        self.full: frozenset[TP] = frozenset()
        self.works = None
        self.taken = asyncio.Event()
        self.consumer_generation_id = 1

    def batches_queued(self) -> int:
        return self.queued

    def take(self, full: frozenset[TP] = frozenset()) -> None:
        self.queued = max(0, self.queued - 1)
        self.full = full
        self.taken.set()


def polling(app: Any, polls: list[dict[TP, Fetched]], monkeypatch: pytest.MonkeyPatch) -> BatchConsumer:
    """A consumer whose polls bring these."""
    consumer: Any = BatchConsumer.__new__(BatchConsumer)  # a whole one starts a thread
    consumer.app, consumer.flow_active, consumer.handed = app, True, {}
    consumer._few, consumer._handed_at, consumer._read_offset = [], 0.0, {}
    consumer._active_partitions = {TP("interactions", 0)}

    async def poll(_: float) -> Any:
        brought = polls.pop(0)
        return brought, set(brought)

    monkeypatch.setattr(BatchConsumer, "should_stop", False)
    monkeypatch.setattr(consumer, "_wait_next_records", poll)
    return cast(BatchConsumer, consumer)


async def test_the_next_poll_waits_until_a_batch_could_be_begun_or_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, place = _Queued(2), TP("interactions", 0)
    polls = [{place: Fetched(fetched())}]
    consumer = polling(app, polls, monkeypatch)
    poll = asyncio.ensure_future(anext(consumer.getmany(1.0)))
    for full in (frozenset[TP](), frozenset({place}), frozenset[TP]()):
        await asyncio.sleep(0.01)
        assert polls  # not yet
        app.take(full)
    assert (await poll)[1].offset == 1


async def test_after_small_batches_a_poll_waits_as_long_as_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    place = TP("interactions", 0)
    few, many = Fetched(fetched()), Fetched(fetched() * 8)
    naps: list[float] = []
    consumer = polling(_Queued(0), [{place: each} for each in (few, many, few)], monkeypatch)
    sleep = asyncio.sleep

    async def nap(delay: float) -> None:
        naps.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", nap)
    for expected in (0, 1, 1):  # the first has none before it, the last one's was of many
        async for _ in consumer.getmany(1.0):
            pass
        assert len(naps) == expected
    assert 0 <= naps[0] <= 0.1


async def test_polls_are_short_until_tables_are_recovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is let in then waits until the poll is over that was begun without it."""
    app, asked = _Queued(0), list[float]()
    consumer = polling(app, [], monkeypatch)

    async def poll(timeout: float) -> Any:  # noqa: ASYNC109 (Faust's)
        asked.append(timeout)
        return {}, set()

    monkeypatch.setattr(consumer, "_wait_next_records", poll)
    for ready in (False, True):
        app.tables.actives_ready = ready
        async for _ in consumer.getmany(1.0):
            pass
    assert asked == [0.1, 1.0]


def consumer_of(there: dict[TP, Any]) -> Any:
    """aiokafka's consumer, with what has been fetched."""
    return SimpleNamespace(
        _coordinator=SimpleNamespace(check_errors=lambda: None), _fetcher=SimpleNamespace(_records=there)
    )


def thread_of(full: frozenset[TP] = frozenset()) -> Any:
    """The consumer's thread, of an app with batches that wait; not started."""
    thread: Any = _ConsumerThread.__new__(_ConsumerThread)
    thread.app = SimpleNamespace(full=full)
    return thread


async def test_errors_come_before_records_and_each_partition_has_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[set[TP], int | None]] = []

    async def fetch(_: Any, consumer: Any, active: set[TP], timeout: float, max_records: int | None) -> Any:  # noqa: ASYNC109
        asked.append((active, max_records))
        for tp in active:
            consumer._fetcher._records.pop(tp, None)
        return {tp: Fetched([tp]) for tp in active}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    places = [TP("interactions", n) for n in range(4)]
    result = FetchedResult.__new__(FetchedResult)
    error = fetcher.FetchError(error=IllegalStateError(), backoff=0.0)
    consumer = consumer_of({places[0]: result, places[1]: result, places[2]: error})
    thread = thread_of()
    found = await thread._fetch_records(consumer, {*places[1:]}, timeout=1.0, max_records=20)
    assert asked == [({places[2]}, 20), ({places[1]}, 20)]  # the first is not ours to read now
    assert set(found) == {places[1], places[2]}
    asked.clear()
    consumer._fetcher._records.clear()
    live = {*places}
    await thread._fetch_records(consumer, live, timeout=1.0, max_records=20)
    live.clear()
    assert asked == [({*places}, 20)]  # not the set that Faust changes: an empty one means all partitions
    assert await thread._fetch_records(consumer, live, timeout=1.0, max_records=20) == {}
    assert len(asked) == 1


def at(*offsets: int) -> Fetched:
    return Fetched([SimpleNamespace(offset=offset) for offset in offsets])


@pytest.mark.parametrize(
    ("ends", "begins", "expected"),
    [
        (3, 3, (0, [0, 1, 2, 4, 5])),
        (3, 4, (4, [4, 5])),  # they do not join
        (4, 3, (0, [0, 1, 2, 4, 5])),  # at 3 a transaction ended: see FetchedResult._join
    ],
)
async def test_what_came_since_the_last_poll_goes_along(
    ends: int, begins: int, expected: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, other = TP("interactions", 0), TP("interactions", 1)
    first, second, third = at(0, 1, 2), at(4, 5), at(9)
    first.start, first.end, second.start, second.end = 0, ends, begins, 6
    result = FetchedResult.__new__(FetchedResult)
    there: dict[TP, Any] = {place: result}
    batches = {place: [first, second], other: [third]}
    asked: list[tuple[TP, int | None]] = []

    async def fetch(_: Any, consumer: Any, active: set[TP], timeout: float, max_records: int | None) -> Any:  # noqa: ASYNC109
        (tp,) = active
        asked.append((tp, max_records))
        del there[tp]
        return {tp: batches[tp].pop(0)}

    async def arrive(_: float) -> None:
        there.update({place: result, other: result})

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(transport.asyncio, "sleep", arrive)
    found = await thread_of()._fetch_records(consumer_of(there), {place, other}, timeout=1.0, max_records=20)
    assert (found[place].start, [each.offset for each in found[place]]) == expected
    assert found[place].end == 6
    assert found[other] == at(9)
    assert asked == [(place, 20), (place, 17), (other, 20)]


async def test_a_poll_that_has_all_it_may_bring_waits_for_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = TP("interactions", 0)
    there: dict[TP, Any] = {place: FetchedResult.__new__(FetchedResult)}

    async def fetch(*_: Any, **__: Any) -> Any:
        return {place: at(0, 1, 2)}

    async def never(_: float) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(transport.asyncio, "sleep", never)
    found = await thread_of()._fetch_records(consumer_of(there), {place}, timeout=1.0, max_records=3)
    assert found[place] == at(0, 1, 2)


async def test_a_partition_of_which_a_batch_waits_is_left_out_and_polls_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [TP("interactions", n) for n in range(3)]
    asked: list[tuple[set[TP], float]] = []

    async def fetch(_: Any, __: Any, active: set[TP], timeout: float, max_records: int | None) -> Any:  # noqa: ASYNC109
        asked.append((active, timeout))
        return {}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    for full in (frozenset({places[1]}), frozenset[TP](), frozenset(places)):
        await thread_of(full)._fetch_records(consumer_of({}), {*places}, timeout=1.0, max_records=20)
    assert asked == [({places[0], places[2]}, 0.1), ({*places}, 1.0)]
