"""Writing to Kafka in whole record batches, acknowledged.

A record batch is appended to a partition whole or not at all (Kafka protocol, record
batch v2); `append` puts all its records into exactly one. The producer is idempotent:
a retry after a lost acknowledgement appends nothing twice. And it can be fenced: the broker
refuses appends to a claimed partition by whoever had claimed it before (decision 007).
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol import produce, types

from streamrec.access import client_options, may
from streamrec.backoff import with_backoff
from streamrec.config import KafkaSettings
from streamrec.errors import EngineError

__all__ = [
    "MAX_BATCH_BYTES",
    "MAX_FETCH_BYTES",
    "MAX_SENT_BYTES",
    "Append",
    "KafkaLog",
    "Log",
    "Out",
    "Record",
    "in_batches",
]

MAX_BATCH_BYTES: Final = (16 << 20) - 4096
"""The largest append, as max.message.bytes of visitor-states allows; with room for its header."""
MAX_SENT_BYTES: Final = (1 << 20) - 4096
"""The largest batch of records that are sent, but for a larger one alone: brokers that are not told
otherwise take 1 MiB."""
MAX_FETCH_BYTES: Final = 4 << 20
"""What a consumer fetches of a partition at once, but for a larger batch alone: what waits in a worker is
some such fetches. Larger ones go round the processor's caches: at 16 MiB a row takes a fifth more to read."""


Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers of a record to write. A value of None deletes the key in a compacted topic."""


class Out(NamedTuple):
    """A Record, with names."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def _pieces(kind: Any, value: Any) -> Iterator[bytes]:
    """The bytes of a value of the protocol, by its schema, not yet joined."""
    if value is None:
        yield kind.encode(value)
    elif isinstance(kind, types.Schema):
        for field, each in zip(kind.fields, value, strict=True):
            yield from _pieces(field, each)
    elif isinstance(kind, types.Array):
        yield types.Int32.encode(len(value))
        for each in value:
            yield from _pieces(kind.array_of, each)
    elif kind is types.Bytes:
        yield types.Int32.encode(len(value))
        yield value
    else:
        yield kind.encode(value)


def _joined_once(request: Any) -> bytes:
    """A request's bytes. aiokafka joins them on every level of the schema, and copies an append each time."""
    schema = request.SCHEMA
    return b"".join(_pieces(schema, [getattr(request, name) for name in schema.names]))


# The newest that aiokafka sends. It offers no setting for it: this holds for every producer in the process.
produce.ProduceRequest_v7.encode = _joined_once


def in_batches(records: Iterable[Record], new: Callable[[], BatchBuilder]) -> Iterator[BatchBuilder]:
    """Batches that hold the records in order, each as many as it takes, and at least one.

    new: makes an empty batch. Raises EngineError if a record is too large for any topic.
    """
    batch = new()
    for key, value, headers in records:
        record = {"key": key, "value": value, "timestamp": None, "headers": list(headers)}
        if batch.append(**record) is None:
            yield batch
            batch = new()
            batch.append(**record)  # the first one is taken whatever its size
        if batch.size() > MAX_BATCH_BYTES:
            raise EngineError(f"one record has {batch.size()} bytes, {MAX_BATCH_BYTES} are allowed")
    if batch.record_count():
        yield batch


class Append(NamedTuple):
    """What was written where."""

    last_offset: int
    size_bytes: int


class Log(Protocol):
    """The write side of the seam; KafkaLog and MemoryLog implement it."""

    async def claim(self, topic: str, partition: int) -> None:
        """Become the one who appends to a partition: after the first append that follows, the broker
        refuses those of whoever claimed it before.

        Raises AccessError if the broker does not allow it.
        """

    async def release(self, topic: str, partition: int) -> None:
        """Give a claim up, if there is one."""

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> Append:
        """Write all records, at least one, as one atomic append to a partition that is claimed; returns
        when acknowledged.

        Raises EngineError, with nothing written, if they do not fit one record batch, or if
        another process has claimed the partition and appended to it since.
        """

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        """Write records in order, in batches of at most MAX_SENT_BYTES; returns when acknowledged.

        A larger record is a batch of its own. Raises EngineError if it is too large for that as well.
        """


class KafkaLog:
    """The Log on a real broker. Starts with its first use, in the loop that uses it."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._claims: dict[tuple[str, int], AIOKafkaProducer] = {}

    async def _start(self, max_batch_size: int, transactional_id: str | None = None) -> Any:
        producer = with_backoff(
            AIOKafkaProducer(
                **client_options(self._settings),
                client_id=self._client_id,
                enable_idempotence=True,
                acks="all",
                max_batch_size=max_batch_size,
                transactional_id=transactional_id,
            )
        )
        # Where a broker that is away said before that it leads no longer, aiokafka gives what waits for it up
        # when a request would be. To wait costs nothing: who ends begins anew, and waits as well.
        producer._message_accumulator._batch_ttl = math.inf
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _started(self) -> Any:
        async with self._starting:  # batches of several partitions may be the first at once
            if self._producer is None:
                self._producer = await self._start(MAX_SENT_BYTES)
        return self._producer

    async def claim(self, topic: str, partition: int) -> None:
        """Become the one who appends to a partition. See Log."""
        await self.release(topic, partition)
        with may(self._settings, "WRITE"):
            producer = await self._start(MAX_BATCH_BYTES, transactional_id=f"{topic}-{partition}")
        # The id brought an epoch above that of every claim before. No transaction is wanted with it:
        # they take 28 ms each, and hide what is written until they end.
        producer._txn_manager.transactional_id = None
        self._claims[topic, partition] = producer

    async def release(self, topic: str, partition: int) -> None:
        """Give a claim up, if there is one. See Log."""
        claim = self._claims.pop((topic, partition), None)
        if claim is not None:
            await claim.stop()

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> Append:
        """Write all records as one record batch. See Log."""
        with may(self._settings, "WRITE", topic):
            return await self._append(topic, partition, records)

    async def _append(self, topic: str, partition: int, records: Sequence[Record]) -> Append:
        producer = self._claims.get((topic, partition))
        if producer is None:
            raise EngineError(
                f"{topic}[{partition}]: an append without a claim; take the partition over first"
            )
        builder = producer.create_batch()
        now = time.time_ns() // 1_000_000
        for key, value, headers in records:
            if builder.append(key=key, value=value, timestamp=now, headers=list(headers)) is None:
                raise EngineError(
                    f"{topic}[{partition}]: {len(records)} rows do not fit one append of "
                    f"{MAX_BATCH_BYTES} bytes; lower STREAMREC_KAFKA__MAX_POLL_RECORDS"
                )
        size = builder.size()
        try:
            written = await (await producer.send_batch(builder, topic, partition=partition))
        except ProducerFenced as error:
            raise EngineError(
                f"{topic}[{partition}]: another worker has taken the partition over while this one was "
                "out of touch. Nothing of this append is written, and the other one goes on; start this "
                "one again"
            ) from error
        return Append(written.offset + len(records) - 1, size)

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        """Write records in order. See Log."""
        with may(self._settings, "WRITE", topic):
            await self._send(topic, partition, records)

    async def _send(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        producer = await self._started()
        acknowledgements = [
            await producer.send_batch(batch, topic, partition=partition)
            for batch in in_batches(records, producer.create_batch)
        ]
        for acknowledgement in acknowledgements:
            await acknowledgement

    async def stop(self) -> None:
        """Wait for what is under way and disconnect."""
        for topic, partition in list(self._claims):
            await self.release(topic, partition)
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
