"""What happened, by partition: the records that a backtest goes through.

A file of clicks is cut into partitions as Kafka's producers would have cut it, so that its backtest
is that of the topic after a replay of the file. An event has the same place in its history
however that is cut, so that runs over the same history can be compared event by event.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamrec.advance import InputRecord, partition_of
from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.events import encode
from streamrec.replay import interactions
from streamrec.topics import read_partition, topic_range

__all__ = ["ArchivedHistory", "ClicksHistory", "History", "HistoryRecord", "TopicHistory"]


class History(Protocol):
    """Records by partition."""

    @property
    def n_partitions(self) -> int:
        """Number of partitions."""

    def size(self, partition: int) -> int:
        """Number of its records, or somewhat more."""

    def records(self, partition: int) -> Iterator[InputRecord]:
        """Its records by offset."""

    def place(self, partition: int, offset: int) -> int:
        """A number for the event, the same one in every history of the same events."""

    def recorded_ms(self, partition: int, offset: int) -> int | None:
        """Kafka's time, ms, of the first record from an offset on; None if there is none any more."""


class HistoryRecord(NamedTuple):
    """A record that was in no topic; an InputRecord."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class ClicksHistory:
    """Clicks as interactions: each session a visitor, each click recorded when it was made."""

    def __init__(self, clicks: Clicks, n_partitions: int) -> None:
        self.n_partitions = n_partitions
        self._clicks = clicks
        partitions = {name: partition_of(name.encode(), n_partitions) for name in set(clicks.session_ids)}
        of_click = np.array([partitions[name] for name in clicks.session_ids], np.int64)
        self._places = [np.flatnonzero(of_click == partition) for partition in range(n_partitions)]

    def size(self, partition: int) -> int:
        """See History."""
        return len(self._places[partition])

    def records(self, partition: int) -> Iterator[InputRecord]:
        """See History. The first run of a replay at the speed of life."""
        mask = np.zeros(len(self._clicks), np.bool_)
        mask[self._places[partition]] = True
        clicks = self._clicks.take(mask)
        for offset, event in enumerate(interactions(clicks, clicks.time_ms, run=0)):
            yield HistoryRecord(offset, event.time, event.visitor_id.encode(), encode(event))

    def place(self, partition: int, offset: int) -> int:
        """See History: the place in the clicks."""
        return int(self._places[partition][offset])

    def recorded_ms(self, partition: int, offset: int) -> int | None:
        """See History."""
        if offset >= self.size(partition):
            return None
        return int(self._clicks.time_ms[self.place(partition, offset)])


class TopicHistory:
    """The interactions topic up to the end that it has now, or to its first record from `to_ms` on.

    Raises BrokerError or TopicError, here or while it is read.
    """

    def __init__(self, settings: Settings, to_ms: int | None = None) -> None:
        self.n_partitions = settings.kafka.partitions
        self._settings = settings
        self._to_ms = to_ms
        self._ranges = topic_range(settings, "interactions")

    def size(self, partition: int) -> int:
        """See History."""
        start, end = self._ranges[partition]
        return end - start

    def records(self, partition: int) -> Iterator[InputRecord]:
        """See History."""
        for batch in read_partition(self._settings, "interactions", partition, *self._ranges[partition]):
            record: Any
            for record in batch:
                if self._to_ms is not None and record.timestamp >= self._to_ms:
                    return
                yield record

    def place(self, partition: int, offset: int) -> int:
        """See History."""
        return offset * self.n_partitions + partition

    def recorded_ms(self, partition: int, offset: int) -> int | None:
        """See History."""
        first, end = self._ranges[partition]
        batches = read_partition(self._settings, "interactions", partition, max(first, offset), end)
        with closing(batches):
            return next((batch[0].timestamp for batch in batches), None)


class ArchivedHistory:
    """The interactions that are archived, up to the first record from `to_ms` on.

    Raises StorageError, ConfigError or DatasetError, here or while it is read.
    """

    def __init__(self, settings: Settings, to_ms: int | None = None) -> None:
        self.n_partitions = settings.kafka.partitions
        self._settings = settings
        self._to_ms = to_ms
        from streamrec.history import history_coverage  # brings pyarrow, an extra

        self._covered = history_coverage(settings)

    def size(self, partition: int) -> int:
        """See History."""
        covered = self._covered[partition]
        return covered.end - covered.first

    def records(self, partition: int) -> Iterator[InputRecord]:
        """See History."""
        for record in self._read(partition, 0):
            if self._to_ms is not None and record.timestamp >= self._to_ms:
                return
            yield record

    def place(self, partition: int, offset: int) -> int:
        """See History."""
        return offset * self.n_partitions + partition

    def recorded_ms(self, partition: int, offset: int) -> int | None:
        """See History."""
        first = next(self._read(partition, offset), None)
        return None if first is None else first.timestamp

    def _read(self, partition: int, start: int) -> Iterator[InputRecord]:
        from streamrec.history import history_records

        return history_records(self._settings, partition, start, self._covered[partition].end)
