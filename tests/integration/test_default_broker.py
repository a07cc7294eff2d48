"""The apps on a broker that nobody has set up for them: it takes batches of a mebibyte."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from app_processes import click, last, publish, read, running
from kafka.admin import ConfigResource

from streamrec.config import Settings
from streamrec.engine.broker import Broker
from streamrec.engine.log import MAX_SENT_BYTES, KafkaLog, Out
from streamrec.events import Recommendation
from streamrec.state.rows import WATERMARK_KEY, decode_watermark
from streamrec.topics import check_topics, connect

_N = 2000
_DEFAULT_BYTES = "1048588"
one_partition = pytest.mark.parametrize("settings", [{"kafka": {"partitions": 1}}], indirect=True)


@pytest.fixture(scope="module")
def broker(broker: object) -> Iterator[Broker]:
    """One of our own, with Kafka's defaults for sizes."""
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    with Broker.start(timeout_s=120, overrides={"message.max.bytes": _DEFAULT_BYTES}) as started:
        yield started


@one_partition
def test_a_poll_full_of_records_that_are_refused(settings: Settings, tmp_path: Path) -> None:
    publish(settings, "interactions", [(b"visitor", b"{" * 1000)] * _N)
    with running("state", settings, tmp_path) as state:
        letters = read(settings, "dead-letters", n=_N)
        state.wait(lambda: 'streamrec_batch_size_count{app="state"} 1.0' in state.page("metrics")[1])
        assert state.stop() == 0
    assert sum(len(each.value) for each in letters) > MAX_SENT_BYTES
    assert [dict(each.headers)["offset"] for each in letters] == [b"%d" % n for n in range(_N)]


@one_partition
def test_a_poll_full_of_rows_that_ask(settings: Settings, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000 - _N
    clicks = [click(f"visitor-{n}", f"{n % 40:060d}", f"event-{n}", now + n) for n in range(_N)]
    publish(settings, "interactions", clicks)

    def handled() -> bool:
        marks = last(settings, "visitor-states", WATERMARK_KEY)
        return bool(marks) and decode_watermark(marks[0].value).offset == _N - 1

    with running("state", settings, tmp_path) as state:
        state.wait(handled)
    # As a topic is that was made before its size was looked after.
    topic = settings.kafka.topic("recommendations")
    with connect(settings.kafka) as admin:
        admin.alter_configs([ConfigResource("TOPIC", topic, {"max.message.bytes": _DEFAULT_BYTES})])
    assert [(each.topic, each.setting) for each in check_topics(settings)] == [(topic, "max.message.bytes")]

    with running("scoring", settings, tmp_path) as scoring:
        records = read(settings, "recommendations", n=_N)
        assert scoring.stop() == 0
    assert sum(len(each.value) for each in records) > 2 * MAX_SENT_BYTES
    lists = [msgspec.json.decode(each.value, type=Recommendation) for each in records]
    assert [each.input_offset for each in lists] == list(range(_N))


@one_partition
def test_a_list_larger_than_that(settings: Settings) -> None:
    async def send() -> None:
        log = KafkaLog(settings.kafka, "test")
        try:
            await log.send(settings.kafka.topic("recommendations"), 0, [Out(b"visitor", bytes(10 << 20))])
        finally:
            await log.stop()

    asyncio.run(send())
    (found,) = read(settings, "recommendations")
    assert len(found.value) == 10 << 20
