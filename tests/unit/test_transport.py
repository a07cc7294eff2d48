"""What the batch transport makes of fetched bytes."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import IllegalStateError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streamrec.engine.transport import BatchConsumer, ParsedRecords

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
