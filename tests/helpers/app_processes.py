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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition
from kafka.net.compat import KafkaNetClient

from streamrec.access import client_options
from streamrec.config import Settings
from streamrec.errors import TopicError
from streamrec.topics import forget_state

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


@contextmanager
def reading(settings: Settings, group: str | None = None) -> Iterator[KafkaConsumer]:
    """A consumer, closed at the end with all its sockets, whatever has become of the broker."""
    clients: list[KafkaNetClient] = []

    def client(**config: Any) -> KafkaNetClient:
        clients.append(KafkaNetClient(**config))
        return clients[-1]

    try:
        with closing(
            KafkaConsumer(**client_options(settings.kafka), group_id=group, kafka_client=client)
        ) as consumer:
            yield consumer
    finally:
        for each in clients:
            each.close()
            each._manager._net.stop()


def read(settings: Settings, topic: str, n: int | None = None, timeout_s: float = 60.0) -> list[Any]:
    """The records of a topic: up to its present end, or, given n, once there are so many."""
    with reading(settings) as consumer:
        name = settings.kafka.topic(topic)
        partitions = [TopicPartition(name, each) for each in sorted(consumer.partitions_for_topic(name))]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while (
            len(found) < n
            if n is not None
            else any(consumer.position(each) < ends[each] for each in partitions)
        ):
            assert time.monotonic() < deadline, f"{name}: {len(found)} records of {n} after {timeout_s} s"
            for records in consumer.poll(timeout_ms=200).values():
                found.extend(records)
        return found


def last(settings: Settings, topic: str, key: bytes | None = None) -> dict[int, Any]:
    """The last record of every partition that has one; given a key, the last one with it."""
    with reading(settings) as consumer:
        name = settings.kafka.topic(topic)
        partitions = [TopicPartition(name, each) for each in sorted(consumer.partitions_for_topic(name))]
        ends = {each: end for each, end in consumer.end_offsets(partitions).items() if end}
        starts = {each: end - 1 for each, end in ends.items()}
        found: dict[int, Any] = {}
        while starts:
            consumer.assign(list(starts))
            for each, start in starts.items():
                consumer.seek(each, start)
            read: dict[int, list[Any]] = {each.partition: [] for each in starts}
            while any(consumer.position(each) < ends[each] for each in starts):
                for each, records in consumer.poll(timeout_ms=200).items():
                    read[each.partition] += records
            for each in list(starts):
                matching = [record for record in read[each.partition] if key is None or record.key == key]
                if matching:
                    found[each.partition] = matching[-1]
                if matching or not starts[each]:
                    del starts[each]
                else:
                    starts[each] = max(0, starts[each] - 16)
        return found


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
