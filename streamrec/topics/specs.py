"""How every topic is cut and kept.

In: settings. Out: one TopicSpec for each. `interactions`, `visitor-states`, `recommendations` and
`shadow-recommendations` are co-partitioned by visitor; `items` and `models` are read whole by
every worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from streamrec.config import KafkaSettings, Settings

__all__ = [
    "DEAD_LETTER_BYTES",
    "INTERACTION_BATCH_BYTES",
    "LIST_BYTES",
    "MIN_IN_SYNC",
    "STATE_BATCH_BYTES",
    "TopicSpec",
    "min_in_sync",
    "topic_specs",
]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_KIB: Final = 1 << 10
_MIB: Final = 1 << 20

MIN_IN_SYNC: Final = "min.insync.replicas"

INTERACTION_BATCH_BYTES: Final = _MIB
"""Largest record batch that apps may send."""
DEAD_LETTER_BYTES: Final = INTERACTION_BATCH_BYTES + 64 * _KIB
"""Largest dead letter: the original bytes, with the headers that say where they come from."""
STATE_BATCH_BYTES: Final = 16 * _MIB
"""Largest append to visitor-states."""
LIST_BYTES: Final = 16 * _MIB
"""Largest list: of 500 items with the longest ids and titles, and what eight sources proposed, 11 MiB."""

# What workers write has the broker's time: by their own, one whose clock is behind would have its
# records deleted or compacted too early, one whose clock is far ahead would have them refused.
_BROKERS_TIME: Final = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True)
class TopicSpec:
    """How one topic has to be.

    `config` is what the apps rely on, and is checked. `defaults` are set when the topic
    is made and are the operator's to change (how long to keep, how often to clean).
    """

    name: str
    """Full name, with the prefix."""
    partitions: int
    replication: int
    config: Mapping[str, str]
    defaults: Mapping[str, str]


def topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """How every topic has to be, given the settings."""
    kafka = settings.kafka
    by_visitor = kafka.partitions
    return (
        _spec(
            kafka,
            "interactions",
            by_visitor,
            {
                "cleanup.policy": "delete",
                "max.message.bytes": str(INTERACTION_BATCH_BYTES),
                # Freshness starts at the time the app gave the record. Event times may be ahead of it,
                # and the newest one is the partition's clock: nothing new is seen until life catches up.
                "message.timestamp.type": "CreateTime",
                "message.timestamp.after.max.ms": str(settings.state.max_future_s * 1000),
            },
            {"retention.ms": str(7 * _DAY_MS)},
        ),
        _spec(
            kafka,
            "visitor-states",
            by_visitor,
            {
                "cleanup.policy": "compact",
                # A row is also the request for a list: scoring may lag this long and miss none.
                "min.compaction.lag.ms": str(kafka.compaction_lag_s * 1000),
                # All that one batch of input changes goes out as one record batch.
                "max.message.bytes": str(STATE_BATCH_BYTES),
                **_BROKERS_TIME,
            },
            {
                # The open segment is never compacted: closed hourly or at 128 MiB, so that a quiet
                # partition is cleaned too and recovery reads little that is out of date.
                "segment.ms": str(_HOUR_MS),
                "segment.bytes": str(128 * _MIB),
                # Clean when a third is out of date: half, the default, doubles what recovery reads.
                "min.cleanable.dirty.ratio": "0.33",
                # A reader that started before a row was deleted has a day to learn of it.
                "delete.retention.ms": str(_DAY_MS),
            },
        ),
        _spec(
            kafka,
            "recommendations",
            by_visitor,
            {"cleanup.policy": "delete", "max.message.bytes": str(LIST_BYTES), **_BROKERS_TIME},
            {"retention.ms": str(_DAY_MS)},
        ),
        _spec(
            kafka,
            "shadow-recommendations",
            by_visitor,
            {"cleanup.policy": "delete", "max.message.bytes": str(LIST_BYTES), **_BROKERS_TIME},
            {"retention.ms": str(_DAY_MS)},
        ),
        _spec(kafka, "items", 1, {"cleanup.policy": "compact"}, _broadcast(64 * _MIB)),
        _spec(kafka, "models", 1, {"cleanup.policy": "compact"}, _broadcast(16 * _MIB)),
        _spec(
            kafka,
            "dead-letters",
            by_visitor,
            {"cleanup.policy": "delete", "max.message.bytes": str(DEAD_LETTER_BYTES), **_BROKERS_TIME},
            {"retention.ms": str(30 * _DAY_MS)},
        ),
    )


def min_in_sync(copies: int) -> str:
    """Copies that an acknowledged record is on at least, given how many a partition has.

    Of three copies two, and one may be down; never more than there are, or nothing could be written.
    """
    return str(max(1, copies - 1))


def _broadcast(segment_bytes: int) -> dict[str, str]:
    # Every worker reads these whole at its start: compact early, in small segments.
    return {
        "segment.ms": str(_DAY_MS),
        "segment.bytes": str(segment_bytes),
        "min.cleanable.dirty.ratio": "0.1",
        "delete.retention.ms": str(_DAY_MS),
    }


def _spec(
    kafka: KafkaSettings, name: str, partitions: int, config: dict[str, str], defaults: dict[str, str]
) -> TopicSpec:
    config[MIN_IN_SYNC] = min_in_sync(kafka.replication)
    return TopicSpec(
        kafka.topic(name), partitions, kafka.replication, MappingProxyType(config), MappingProxyType(defaults)
    )
