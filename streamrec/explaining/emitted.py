"""What was sent: the list of one interaction, and the releases that the visitor's lists name.

In: the recommendations topic. Out: the first list for the interaction, byte for byte, if it is still there.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import Final, NamedTuple

import msgspec

from streamrec.advance import InputRecord
from streamrec.config import Settings
from streamrec.events import Recommendation
from streamrec.topics import offset_at, read_partition, topic_range

__all__ = ["Emitted", "Sent", "read_sent"]

# How long before its list a visitor's session may have begun for the earlier lists of it to be looked at;
# before that the releases announced decide, which for a session that old is the same.
_LOOK_BACK_MS: Final = 3_600_000

_decode: Final = msgspec.json.Decoder(Recommendation).decode


class Emitted(NamedTuple):
    """A list on recommendations."""

    value: bytes
    made: Recommendation
    time_ms: int
    """Kafka's timestamp."""


class Sent(NamedTuple):
    """What is still there."""

    answer: Emitted | None
    """The list of the interaction: the first one, if a restart sent it twice."""
    releases: Mapping[int, str]
    """By input offset, the release that the visitor's lists name, up to the interaction's own."""


def read_sent(settings: Settings, partition: int, record: InputRecord) -> Sent:
    """What was sent to the visitor of an interaction, up to its own list. Errors as in read_partition."""
    _, end = topic_range(settings, "recommendations")[partition]
    since = offset_at(settings, "recommendations", partition, record.timestamp - _LOOK_BACK_MS)
    releases: dict[int, str] = {}
    batches = read_partition(settings, "recommendations", partition, end if since is None else since, end)
    with closing(batches):
        for batch in batches:
            for each in batch:
                if each.key != record.key or each.value is None:
                    continue
                try:
                    made = _decode(each.value)
                except (msgspec.DecodeError, UnicodeDecodeError):  # none of the scoring app's
                    continue
                releases[made.input_offset] = made.release
                if made.input_offset == record.offset:
                    return Sent(Emitted(each.value, made, each.timestamp), releases)
    return Sent(None, releases)
