"""What comes in, and what of it is refused: every check that needs no visitor's state."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from aiokafka.partitioner import murmur2

from streamrec.config import StateSettings
from streamrec.errors import RecordError, StreamrecError
from streamrec.events import Interaction, decode_interaction

__all__ = ["BatchError", "DeadLetter", "InputRecord", "Intake", "ModelError", "partition_of"]


class InputRecord(Protocol):
    """A record of the input topic."""

    @property
    def offset(self) -> int:
        """Place in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka's time of the record, ms."""

    @property
    def key(self) -> bytes | None:
        """The visitor id, UTF-8."""

    @property
    def value(self) -> bytes | None:
        """An Interaction, JSON."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Whatever the app sent along."""


class DeadLetter(NamedTuple):
    """A record that is refused, and why."""

    record: InputRecord
    reason: str
    """A short label, fit for a metric."""
    message: str
    """What is wrong and what to do."""
    with_body: bool = True
    """Whether the original value goes along; not if it is too large."""


class ModelError(RecordError):
    """A model cannot take the record at `offset`; those before it, it can."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__("model_failed", f"a model failed on it: {message}")
        self.offset = offset


class BatchError(StreamrecError):
    """A model fails on one of several records; which one shows when they are learned one by one."""


def partition_of(key: bytes, n_partitions: int) -> int:
    """The partition that Kafka's default partitioner gives a key."""
    partition: int = (murmur2(key) & 0x7FFFFFFF) % n_partitions
    return partition


class Intake:
    """Checks records of one partition. Every method raises RecordError with a reason."""

    def __init__(self, settings: StateSettings, partition: int, n_partitions: int) -> None:
        self._weights = settings.weights
        self._max_bytes = settings.max_event_bytes
        self._max_future_ms = settings.max_future_s * 1000
        self._ttl_s = settings.visitor_ttl_s
        self._ttl_ms = settings.visitor_ttl_s * 1000
        self._partition = partition
        self._n_partitions = n_partitions

    def read(self, record: InputRecord) -> tuple[Interaction, bytes]:
        """The interaction in a record, and the record's key.

        Reasons: null_value, no_key, oversized, undecodable, invalid, wrong_key.
        """
        value, key = record.value, record.key
        if value is None:
            raise RecordError("null_value", "the record has no value; send an Interaction as JSON")
        if key is None:
            raise RecordError("no_key", "the record has no key; send the visitor_id, UTF-8, as its key")
        size = len(value) + len(key)
        if record.headers:
            # Two bytes or more are their lengths: empty ones take room too.
            size += sum(len(name.encode()) + len(each or b"") + 2 for name, each in record.headers)
        if size > self._max_bytes:
            raise RecordError(
                "oversized",
                f"value, key and headers have {size} bytes, {self._max_bytes} are allowed; send less context "
                "or raise STREAMREC_STATE__MAX_EVENT_BYTES",
            )
        event = decode_interaction(value)
        if event.visitor_id.encode() != key:
            raise RecordError(
                "wrong_key", "the key is not the visitor_id; send the visitor_id, UTF-8, as the record's key"
            )
        return event, key

    def check_partition(self, key: bytes) -> None:
        """A visitor lives in one partition. Reason: wrong_partition."""
        partition = partition_of(key, self._n_partitions)
        if partition != self._partition:
            raise RecordError(
                "wrong_partition",
                f"the key belongs in partition {partition} of {self._n_partitions}, "
                f"not in {self._partition}; produce with Kafka's default partitioner "
                "(murmur2; librdkafka: partitioner=murmur2_random), without naming a partition",
            )

    def weight(self, event: Interaction, timestamp: int, horizon: int) -> float:
        """Weight of the interaction's type, if its time is neither ahead of the record's nor too old.

        Too old is what is below `horizon`, or older by the record's time than visitors are remembered:
        times in seconds are seen by that even if they are a partition's first.
        Reasons: unknown_type, future, late.
        """
        weight = self._weights.get(event.type)
        if weight is None:
            raise RecordError(
                "unknown_type",
                f"no weight is set for type {event.type!r}; give it one in STREAMREC_STATE__WEIGHTS",
            )
        time = event.time
        if time > timestamp + self._max_future_ms:
            raise RecordError(
                "future",
                f"the event time is {(time - timestamp) / 1000:.1f} s ahead of the record's timestamp, "
                f"{self._max_future_ms // 1000} s are allowed; send milliseconds, UTC, from a clock "
                "that is set, or raise STREAMREC_STATE__MAX_FUTURE_S",
            )
        if time < horizon or time < timestamp - self._ttl_ms:
            oldest = max(horizon, timestamp - self._ttl_ms)
            raise RecordError(
                "late",
                f"the event time is {(oldest - time) / 1000:.1f} s older than visitors are remembered "
                f"({self._ttl_s} s); send milliseconds, shift the times of history to now, or raise "
                "STREAMREC_STATE__VISITOR_TTL_S",
            )
        return weight
