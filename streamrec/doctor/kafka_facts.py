"""What Kafka says of itself, its topics, the groups and the rows. Everything is only read.

Each question stands alone: what one user may not ask, or an older Kafka cannot answer, leaves
the others their answers.
"""

import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import msgspec
from kafka import TopicPartition
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    OffsetSpec,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import ClusterAuthorizationFailedError, SecurityDisabledError, TopicAuthorizationFailedError

from streamrec.config import Settings
from streamrec.doctor.asking import known
from streamrec.doctor.facts import Clock, Cluster, Disk, Group, Span, Tail, Topic, Unknown
from streamrec.errors import BrokerError
from streamrec.releases import released
from streamrec.state.rows import VISITOR, WATERMARK_KEY, decode_visitor_row, decode_watermark
from streamrec.topics import check_topics, connect, read_tail, topic_specs

__all__ = ["INPUTS", "ask_kafka", "knock"]

INPUTS: Final[Mapping[str, str]] = {"state": "interactions", "scoring": "visitor-states"}
"""What each app reads."""

_CONNECT_S: Final = 3.0
_REQUEST_S: Final = 3.0
# The last row of an append is its watermark; a few more show which versions the rows name.
_TAIL_OFFSETS: Final = 200


def knock(address: str, timeout_s: float) -> str | None:
    """Why nothing can be connected to at host:port; None if it can."""
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s):
            return None
    except (ValueError, OverflowError):
        return "not host:port"
    except OSError as error:
        return error.strerror or str(error)


def ask_kafka(settings: Settings, found: MutableMapping[str, Any]) -> None:
    """Everything that Kafka can be asked, as fields of KafkaFacts.

    found: gets each answer when it comes, so that those before a question that hangs are there. Raises
    BrokerError if Kafka does not answer at all.
    """
    with connect(settings.kafka, _CONNECT_S, _REQUEST_S) as admin:
        found["cluster"] = known(lambda: _cluster(admin))
        found["clock"] = known(lambda: _clock(admin))
        found["disks"] = known(lambda: _disks(admin))
        found["authorizer"] = known(lambda: _has_authorizer(admin))
        described = known(lambda: _described(admin, settings))
        if isinstance(described, Unknown):
            found["topics"] = described
        else:
            found["denied"], found["topics"] = described[1], described[0]
        # In this order what is committed cannot seem to be ahead of rows that were only read before.
        found["groups"] = known(lambda: _groups(admin, settings))
        found["tails"] = known(lambda: _tails(settings))
        found["spans"] = known(lambda: _spans(admin, settings))
        found["overdue"] = known(lambda: _overdue(admin, settings))
        found["problems"] = known(lambda: check_topics(settings))
        found["releases"] = known(lambda: released(settings))


def _cluster(admin: Any) -> Cluster:
    started = time.monotonic()
    described = admin.describe_cluster()
    answer_s = time.monotonic() - started
    features = {
        name: levels["finalized"][1]
        for name, levels in admin.describe_features().items()
        if "finalized" in levels
    }
    return Cluster(
        answer_s=answer_s,
        version=tuple(admin.get_broker_version_data(described["brokers"][0]["broker_id"]).broker_version),
        features=features,
        brokers=sum(not broker.get("is_fenced", False) for broker in described["brokers"]),
        controller=described["controller_id"] if described["controller_id"] >= 0 else None,
    )


def _clock(admin: Any) -> Clock:
    """The controller's clock: it says of every voter when it was caught up, and of itself: now."""
    before = time.time()
    quorum = admin.describe_metadata_quorum()["topics"][0]["partitions"][0]
    after = time.time()
    leader: dict[str, Any] = next(
        (voter for voter in quorum["current_voters"] if voter["replica_id"] == quorum["leader_id"]), {}
    )
    now_ms = leader.get("last_caught_up_timestamp") or -1
    if now_ms < 0:
        raise BrokerError("the controllers do not tell their time")
    return Clock(ahead_s=now_ms / 1000 - (before + after) / 2, within_s=(after - before) / 2)


def _disks(admin: Any) -> list[Disk]:
    return [
        Disk(
            f"{directory['log_dir']} of broker {broker['broker']}",
            directory.get("usable_bytes", -1),
            directory.get("total_bytes", -1),
            f"error {directory['error_code']}" if directory["error_code"] else None,
        )
        for broker in admin.describe_log_dirs()
        for directory in broker["log_dirs"]
    ]


def _has_authorizer(admin: Any) -> bool:
    anything = ACLFilter(
        principal=None,
        host="*",
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePattern(ResourceType.TOPIC, "*"),
    )
    try:
        admin.describe_acls(anything)
    except SecurityDisabledError:
        return False
    except ClusterAuthorizationFailedError:
        pass  # somebody has to have forbidden it
    return True


def _names(settings: Settings) -> dict[str, str]:
    """Names without prefix, by full name."""
    prefix = settings.kafka.prefix
    return {spec.name: spec.name.removeprefix(prefix) for spec in topic_specs(settings)}


def _described(admin: Any, settings: Settings) -> tuple[dict[str, Topic], frozenset[str]]:
    """The topics that exist, and the names of those that we may not see."""
    names = _names(settings)
    described = admin.describe_topics(list(names))
    topics = {
        names[each["name"]]: Topic(
            topic_id=str(each["topic_id"]),
            copies=min(len(partition["replica_nodes"]) for partition in each["partitions"]),
            without_leader=sum(partition["leader_id"] < 0 for partition in each["partitions"]),
            behind=sum(
                len(partition["isr_nodes"]) < len(partition["replica_nodes"])
                for partition in each["partitions"]
            ),
            allowed=frozenset(each["authorized_operations"] or ()),
        )
        for each in described
        if each["error_code"] == 0
    }
    denied = (each["name"] for each in described if each["error_code"] == TopicAuthorizationFailedError.errno)
    return topics, frozenset(names[name] for name in denied)


def _groups(admin: Any, settings: Settings) -> dict[str, Group]:
    # Asking for a group that does not exist would make Kafka set up its topic of offsets.
    there = {each["group_id"] for each in admin.list_groups()}
    return {
        role: _group(admin, settings, role) if settings.kafka.topic(role) in there else Group(0)
        for role in INPUTS
    }


def _group(admin: Any, settings: Settings, role: str) -> Group:
    group, topic = settings.kafka.topic(role), settings.kafka.topic(INPUTS[role])
    described = admin.describe_groups([group])[group]
    committed = admin.list_group_offsets([group])[group]
    operations = described.get("authorized_operations")
    return Group(
        workers=len(described["members"]),
        committed={
            place.partition: offset.offset
            for place, offset in committed.items()
            if place.topic == topic and offset.offset >= 0
        },
        allowed=None if operations is None else frozenset(operations),
    )


def _tails(settings: Settings) -> dict[int, Tail]:
    return {
        partition: _tail(records)
        for partition, records in read_tail(settings, "visitor-states", _TAIL_OFFSETS).items()
    }


def _tail(records: Sequence[Any]) -> Tail:
    try:
        marks = [record.value for record in records if record.key == WATERMARK_KEY]
        versions = {
            decode_visitor_row(record.value).model_version: record.offset
            for record in records
            if (record.key or b"").startswith(VISITOR) and record.value is not None
        }
        versions.pop("", None)  # rows without a model
        return Tail(decode_watermark(marks[-1]) if marks else None, versions)
    except msgspec.MsgspecError as error:
        return Tail(None, {}, str(error))


def _places(admin: Any, settings: Settings, names: Iterable[str]) -> list[TopicPartition]:
    described = admin.describe_topics([settings.kafka.topic(name) for name in names])
    return [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in described
        for partition in topic["partitions"]
    ]


def _spans(admin: Any, settings: Settings) -> dict[str, dict[int, Span]]:
    names = _names(settings)
    places = _places(admin, settings, INPUTS.values())
    first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    spans: dict[str, dict[int, Span]] = {}
    for place in places:
        span = Span(first[place].offset, last[place].offset)
        spans.setdefault(names[place.topic], {})[place.partition] = span
    return spans


def _overdue(admin: Any, settings: Settings) -> dict[int, int]:
    limit_ms = round((time.time() - settings.kafka.compaction_lag_s / 2) * 1000)
    places = _places(admin, settings, ["visitor-states"])
    younger = admin.list_partition_offsets(dict.fromkeys(places, limit_ms))
    last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    # Without a younger row all of them are old.
    return {
        place.partition: younger[place].offset if younger[place].offset >= 0 else last[place].offset
        for place in places
    }
