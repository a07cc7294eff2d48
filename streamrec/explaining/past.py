"""The records of a partition up to one of them: of history what the topic has lost, the rest of the topic.

In: settings, partition, offset. Out: records in the order of their offsets, and what is in neither.
"""

from collections.abc import Iterator
from contextlib import closing

from streamrec.advance import InputRecord
from streamrec.config import Settings
from streamrec.history import history_coverage, history_records
from streamrec.topics import known_topics, read_partition, topic_range

__all__ = ["Past"]


class Past:
    """The records of one partition before `end`. Errors as in read_partition and history_records."""

    def __init__(self, settings: Settings, partition: int, end: int) -> None:
        self._settings = settings
        self._partition = partition
        self._topic_start = topic_range(settings, "interactions")[partition][0]
        self.end = end
        self.lost: list[tuple[int, int]] = []
        """First offset and end of each stretch that is in neither; known with the first of `records`."""

    def records(self, start: int = 0) -> Iterator[InputRecord]:
        """Those from `start` on."""
        self.lost = []
        kept_until = min(self._topic_start, self.end)
        if start < kept_until:
            topic_id = known_topics(self._settings, ["interactions"])["interactions"]
            kept = history_coverage(self._settings, topic_id)[self._partition]
            holes = ((start, kept.first), *kept.gaps, (kept.end, kept_until))
            clipped = ((max(first, start), min(end, kept_until)) for first, end in holes)
            self.lost = [(first, end) for first, end in clipped if first < end]
            # Without an end: history may not reach it.
            for record in history_records(self._settings, self._partition, start, topic_id=topic_id):
                if record.offset >= kept_until:
                    break
                yield record
        first = max(start, self._topic_start)
        batches = read_partition(self._settings, "interactions", self._partition, first, self.end)
        with closing(batches):
            for batch in batches:
                yield from batch
