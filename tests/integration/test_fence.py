"""One owner of a partition at a time: the broker refuses whoever had it before."""

import asyncio
import time
from functools import partial

import pytest
from app_processes import read

from streamrec.config import Settings
from streamrec.engine.app import create_app
from streamrec.engine.log import KafkaLog, Out
from streamrec.engine.reader import read_range
from streamrec.engine.table import OWNER_KEY, PartitionTable
from streamrec.errors import EngineError


def row(text: bytes) -> list[Out]:
    return [Out(b"row", text)]


def table(settings: Settings, log: KafkaLog) -> PartitionTable:
    topic = settings.kafka.topic("visitor-states")
    return PartitionTable(
        create_app(settings, "state"),
        name="rows",
        topic=topic,
        log=log,
        partitions=settings.kafka.partitions,
        missing=partial(read_range, settings.kafka, topic),
    )


def test_a_claim_shuts_out_the_one_before_it_with_its_first_append(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")

    async def run() -> None:
        old, new = KafkaLog(settings.kafka, "old"), KafkaLog(settings.kafka, "new")
        try:
            await old.claim(topic, 0)
            await old.claim(topic, 1)
            await old.append(topic, 0, row(b"old"))
            await new.claim(topic, 0)
            await old.append(topic, 0, row(b"old, claimed but not yet appended to"))
            await new.append(topic, 0, row(b"new"))
            for _ in range(2):
                with pytest.raises(EngineError, match=r"visitor-states\[0\]: another worker has taken"):
                    await old.append(topic, 0, row(b"zombie"))
            await old.append(topic, 1, row(b"still mine"))
            await new.append(topic, 0, row(b"new again"))
        finally:
            await old.stop()
            await new.stop()

    asyncio.run(run())
    written = [(each.partition, each.value) for each in read(settings, "visitor-states")]
    assert [value for partition, value in written if partition == 0] == [
        b"old",
        b"old, claimed but not yet appended to",
        b"new",
        b"new again",
    ]
    assert (1, b"still mine") in written


def test_without_a_claim_nothing_is_appended(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")

    async def run() -> None:
        log = KafkaLog(settings.kafka, "late")
        try:
            await log.claim(topic, 0)
            await log.append(topic, 0, row(b"mine"))
            await log.release(topic, 0)
            with pytest.raises(EngineError, match=r"visitor-states\[0\]: an append without a claim"):
                await log.append(topic, 0, row(b"not mine any more"))
        finally:
            await log.stop()

    asyncio.run(run())
    assert [each.value for each in read(settings, "visitor-states")] == [b"mine"]


def test_a_claim_is_made_anew_long_before_kafka_forgets_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        log = KafkaLog(settings.kafka, "only")
        rows = table(settings, log)
        try:
            await rows.take_over(0)
            assert rows.has_fresh_claim(0)
            later = time.monotonic() + 7 * 3600
            monkeypatch.setattr(time, "monotonic", lambda: later)
            assert rows.owns(0)
            assert not rows.has_fresh_claim(0)
        finally:
            monkeypatch.undo()
            await log.stop()

    asyncio.run(run())


def test_a_claim_given_up_can_be_taken_again(settings: Settings) -> None:
    topic = settings.kafka.topic("visitor-states")

    async def run() -> None:
        log = KafkaLog(settings.kafka, "only")
        try:
            for number in range(3):
                await log.claim(topic, 0)
                await log.append(topic, 0, row(b"%d" % number))
                await log.release(topic, 0)
            await log.release(topic, 0)
        finally:
            await log.stop()

    asyncio.run(run())
    assert [each.value for each in read(settings, "visitor-states")] == [b"0", b"1", b"2"]


def test_who_takes_over_knows_what_the_one_before_wrote_until_then(settings: Settings) -> None:
    async def run() -> None:
        old_log, new_log = KafkaLog(settings.kafka, "old"), KafkaLog(settings.kafka, "new")
        old, new = table(settings, old_log), table(settings, new_log)
        try:
            await old.take_over(0)
            await old.append(0, row(b"known to both"))
            # What Faust's recovery does: here, before the old owner's last append.
            new.store.apply(0, read(settings, "visitor-states"))
            await old.append(0, [*row(b"written late"), Out(b"more", b"1")])
            await new.take_over(0)
            assert new.rows(0) == {b"row": b"written late", b"more": b"1"}
            with pytest.raises(EngineError, match="another worker has taken the partition over"):
                await old.append(0, row(b"zombie"))
            await new.append(0, row(b"new"))
        finally:
            await old_log.stop()
            await new_log.stop()

    asyncio.run(run())
    assert [(each.key, each.value) for each in read(settings, "visitor-states")] == [
        (OWNER_KEY, None),
        (b"row", b"known to both"),
        (b"row", b"written late"),
        (b"more", b"1"),
        (OWNER_KEY, None),
        (b"row", b"new"),
    ]
