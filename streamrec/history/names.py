"""What a file of history is called: topic, topic id, partition and offset range, in the folder of a day."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

__all__ = ["DAY_MS", "FileName", "day_of", "parse_name"]

DAY_MS: Final = 86_400_000
# What calendars can hold: a producer may give a record any time.
_LAST_MS: Final = 253_402_300_799_999
_NAME: Final = re.compile(
    r"day=(?P<day>\d{4}-\d\d-\d\d)/"
    r"(?P<topic>[^/]+)-(?P<topic_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})"
    r"-(?P<partition>\d+)-(?P<start>\d{20})-(?P<end>\d{20})\.parquet$"
)


class FileName(NamedTuple):
    """A file that has every record of the log with start <= offset < end."""

    topic: str
    topic_id: str
    """Kafka's id of the topic; of an import, the digest of the imported file."""
    partition: int
    start: int
    end: int
    day: str
    """UTC day of its first record's timestamp: YYYY-MM-DD."""

    def __str__(self) -> str:
        """Folder of the day and name, below the folder of the topic."""
        return (
            f"day={self.day}/{self.topic}-{self.topic_id}-{self.partition}"
            f"-{self.start:020d}-{self.end:020d}.parquet"
        )


def parse_name(path: str) -> FileName | None:
    """The name at the end of a path; None for what is no file of history, such as one half written."""
    found = _NAME.search(path)
    if found is None:
        return None
    return FileName(
        found["topic"],
        found["topic_id"],
        int(found["partition"]),
        int(found["start"]),
        int(found["end"]),
        found["day"],
    )


def day_of(time_ms: int) -> str:
    """The UTC day of a time, YYYY-MM-DD; the nearest that a calendar has."""
    return datetime.fromtimestamp(min(max(time_ms, 0), _LAST_MS) // 1000, UTC).strftime("%Y-%m-%d")
