"""The apps as child processes, and what they wrote, for tests on a real broker."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streamrec.access import client_options
from streamrec.config import Settings
from streamrec.errors import TopicError
from streamrec.topics import forget_state, topic_specs

T = TypeVar("T")
Place = tuple[int, int]
"""Partition and offset."""


class App:
    """A running app: `streamrec ROLE`, or another Python program. `log` is what it printed so far."""

    def __init__(self, role: str, settings: Settings, log: Path, program: Sequence[str] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        web = settings.web.model_copy(update={"port": self.port})
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "streamrec.cli", role))],
                env={**os.environ, **settings.model_copy(update={"web": web}).environment()},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def page(self, name: str) -> tuple[int, str]:
        """Status and text of an operators' page; 0 if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        self.wait(lambda: self.page("readyz")[0] == 200, timeout_s)

    def wait(self, condition: Any, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"the app ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"nothing after {timeout_s} s:\n{self.log}"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def running(role: str, settings: Settings, folder: Path) -> Iterator[App]:
    """An app that is ready; killed at the end if it still runs."""
    app = App(role, settings, folder / f"{role}.log")
    try:
        app.wait_until_ready()
        yield app
    finally:
        app.kill()


def publish(
    settings: Settings,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None]],
    partition: int | None = None,
    timestamp_ms: int | None = None,
    **producing: Any,
) -> list[Place]:
    """Write (key, value) records as an app would, in order; returns where each one went.

    partition: of all records; else each goes where its key belongs. timestamp_ms: theirs; else the
    producer's. producing: options of the producer.
    """

    async def send() -> list[Place]:
        producer = AIOKafkaProducer(**client_options(settings.kafka), linger_ms=2, acks="all", **producing)
        await producer.start()
        try:
            name = settings.kafka.topic(topic)
            sent = [await producer.send(name, value, key, partition, timestamp_ms) for key, value in records]
            return [(each.partition, each.offset) for each in await asyncio.gather(*sent)]
        finally:
            await producer.stop()

    return asyncio.run(send())


@asynccontextmanager
async def _reading(settings: Settings, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **client_options(settings.kafka),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # Whole records, with their partition, also where the engine's transport is imported.
        value_deserializer=lambda value: value,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def _done(work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; tests may have an event loop of their own running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _places(settings: Settings, topic: str) -> list[TopicPartition]:
    name = settings.kafka.topic(topic)
    (spec,) = [each for each in topic_specs(settings) if each.name == name]
    return [TopicPartition(name, each) for each in range(spec.partitions)]


def read(settings: Settings, topic: str, n: int | None = None, timeout_s: float = 60.0) -> list[Any]:
    """The records of a topic: up to its present end, or, given n, once there are so many."""

    async def run() -> list[Any]:
        places = _places(settings, topic)
        found: list[Any] = []
        async with _reading(settings) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            deadline = time.monotonic() + timeout_s
            while (
                len(found) < n
                if n is not None
                else any([await consumer.position(each) < ends[each] for each in places])
            ):
                assert time.monotonic() < deadline, f"{topic}: {len(found)} of {n}, no more for {timeout_s} s"
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
                    deadline = time.monotonic() + timeout_s
        return found

    return _done(run())


def last(settings: Settings, topic: str, key: bytes | None = None) -> dict[int, Any]:
    """The last record of every partition that has one; given a key, the last one with it."""

    async def run() -> dict[int, Any]:
        found: dict[int, Any] = {}
        async with _reading(settings) as consumer:
            ends = await consumer.end_offsets(_places(settings, topic))
            starts = {each: end - 1 for each, end in ends.items() if end}
            while starts:
                consumer.assign(list(starts))
                for each, start in starts.items():
                    consumer.seek(each, start)
                newest: dict[int, Any] = {}
                while any([await consumer.position(each) < ends[each] for each in starts]):
                    for each, records in (await consumer.getmany(timeout_ms=200)).items():
                        matching = [record for record in records if key is None or record.key == key]
                        if matching:
                            newest[each.partition] = matching[-1]
                found |= newest
                starts = {
                    each: max(0, start - 16)
                    for each, start in starts.items()
                    if start and each.partition not in newest
                }
        return found

    return _done(run())


def committed(settings: Settings, topic: str, role: str) -> tuple[dict[int, int], dict[int, int]]:
    """By partition: what the group of a role has committed of a topic, and the topic's ends."""

    async def run() -> tuple[dict[int, int], dict[int, int]]:
        async with _reading(settings, settings.kafka.topic(role)) as consumer:
            places = _places(settings, topic)
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            offsets = {each.partition: await consumer.committed(each) or 0 for each in places}
            return offsets, {each.partition: end for each, end in ends.items()}

    return _done(run())


def click(session_id: str, item_id: str, event_id: str, time_ms: int) -> tuple[bytes, bytes]:
    """Key and value of a click."""
    return session_id.encode(), msgspec.json.encode(
        {
            "event_id": event_id,
            "type": "click",
            "visitor_id": session_id,
            "session_id": session_id,
            "item_id": item_id,
            "time": time_ms,
        }
    )


def forget(settings: Settings, timeout_s: float = 30.0) -> None:
    """Make the state's topic anew, once Kafka knows that the worker has left."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return forget_state(settings)
        except TopicError:
            assert time.monotonic() < deadline
