"""Which interaction a list answers.

Its id is a hash of topic, partition and offset, so that offsets are tried, the newest first. No list
has to be there any more.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streamrec.events import find_offset

__all__ = ["Answered", "find_answered"]

# Partitions are searched in turn, so much at a time: about 40 ms.
_AT_ONCE: Final = 100_000


class Answered(NamedTuple):
    """The interaction that a list answers."""

    partition: int
    offset: int


def find_answered(
    rec_id: str, topic: str, ends: Mapping[int, int], on_tried: Callable[[int], None] = lambda _: None
) -> Answered | None:
    """The interaction that the list `rec_id` answers; None if it is none of these.

    ends: by partition to be searched, the offset after its last. on_tried: called now and then with the
    number of offsets tried since the last call. Raises RecordError if `rec_id` is no such id.
    """
    left = dict(ends)
    while left:
        for partition, end in list(left.items()):
            start = max(0, end - _AT_ONCE)
            offset = find_offset(rec_id, topic, partition, range(end - 1, start - 1, -1))
            if offset is not None:
                return Answered(partition, offset)
            on_tried(end - start)
            left[partition] = start
            if not start:
                del left[partition]
    return None
