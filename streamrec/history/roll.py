"""Records of a partition that wait until they are enough for a file."""

from collections.abc import Iterable, Iterator
from typing import Any

from streamrec.config import HistorySettings
from streamrec.history.names import DAY_MS, FileName, day_of

__all__ = ["Roll"]


class Roll:
    """The next file of a partition. Times are seconds of one monotonic clock.

    start: the offset that it begins with.
    """

    def __init__(self, settings: HistorySettings, start: int) -> None:
        self._settings = settings
        self.start = self.end = start
        """Every record of the log with start <= offset < end is in `records`."""
        self.records: list[Any] = []
        self.size_bytes = 0
        self.since_s = 0.0
        """When the first record came."""
        self._midnight_ms = 0

    def skip_to(self, offset: int) -> None:
        """Begin at a later offset: what lies before it is gone. Only while there are no records."""
        self.start = self.end = offset

    def take(self, records: Iterable[Any], now_s: float) -> Iterator[None]:
        """Take records in the order of their offsets, from `end` on; yields whenever the file is due.

        The caller writes it then, and calls `clear`.
        """
        for record in records:
            if self.records and record.timestamp >= self._midnight_ms:
                yield
            if not self.records:
                self.since_s = now_s
                self._midnight_ms = (record.timestamp // DAY_MS + 1) * DAY_MS
            self.records.append(record)
            self.end = record.offset + 1
            self.size_bytes += len(record.key or b"") + len(record.value or b"")
            if (
                len(self.records) >= self._settings.roll_records
                or self.size_bytes >= self._settings.roll_bytes
            ):
                yield

    def is_due(self, now_s: float) -> bool:
        """Whether the first record has waited for long enough."""
        return bool(self.records) and now_s - self.since_s >= self._settings.roll_s

    def name(self, topic: str, topic_id: str, partition: int) -> FileName:
        """What the file is called. Only while there are records."""
        day = day_of(self.records[0].timestamp)
        return FileName(topic, topic_id, partition, self.start, self.end, day)

    def clear(self) -> None:
        """Go on behind the file, which is written."""
        self.start = self.end
        self.records = []
        self.size_bytes = 0
