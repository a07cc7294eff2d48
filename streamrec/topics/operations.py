"""Making, checking, mending and describing the topics at the broker."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from streamrec.access import denied
from streamrec.config import KafkaSettings, Settings
from streamrec.errors import TopicError
from streamrec.topics.connection import REQUEST_TIMEOUT_S, connect
from streamrec.topics.granted import require_on_topics
from streamrec.topics.specs import MIN_IN_SYNC, TopicSpec, min_in_sync, topic_specs

__all__ = [
    "Problem",
    "TopicDescription",
    "check_topics",
    "create_topics",
    "describe_topics",
    "mend_topics",
    "require",
    "require_topics",
    "topic_id",
]

_POLL_S = 0.05


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it has to be."""

    topic: str
    setting: str
    actual: str
    wanted: str
    remedy: str
    """The command or setting that mends it."""

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.actual}, has to be {self.wanted}; {self.remedy}"


@dataclass(frozen=True)
class TopicDescription:
    """A topic as it is at the broker."""

    name: str
    topic_id: str
    partitions: int
    replication: int
    offsets: int
    """Offsets in use, summed over the partitions: the records, and those compacted away."""
    config: Mapping[str, str]
    """What was set on the topic itself."""


def create_topics(settings: Settings) -> list[str]:
    """Make the topics that are missing; returns their names.

    Every partition has a leader when it returns. Topics that exist stay as they are.
    Raises BrokerError, or TopicError if the broker refuses one.
    """
    specs = topic_specs(settings)
    with connect(settings.kafka) as admin:
        existing = _existing(admin, settings.kafka, specs)
        missing = [spec for spec in specs if spec.name not in existing]
        if missing:
            _create(admin, settings.kafka, missing)
        admin.wait_for_topics([spec.name for spec in specs], timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    return [spec.name for spec in missing]


def _create(admin: Any, kafka: KafkaSettings, specs: Sequence[TopicSpec]) -> None:
    wanted = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication,
            "configs": {**spec.defaults, **spec.config},
        }
        for spec in specs
    }
    for topic in admin.create_topics(wanted, raise_errors=False)["topics"]:
        code = topic["error_code"]
        if code == TopicAuthorizationFailedError.errno:
            raise denied(kafka, "CREATE", "topic", topic["name"])
        # Somebody else may be making them too.
        if code not in (0, TopicAlreadyExistsError.errno):
            reason = topic["error_message"] or for_code(code).__name__
            raise TopicError(f"topic {topic['name']} could not be made: {reason}")


def check_topics(settings: Settings) -> list[Problem]:
    """What keeps the apps from working on the topics as they are; empty if nothing does."""
    problems: list[Problem] = []
    with connect(settings.kafka) as admin:
        specs = topic_specs(settings)
        existing = _existing(admin, settings.kafka, specs)
        configs = _configs(admin, settings.kafka, existing, "all")
    for spec in specs:
        topic = existing.get(spec.name)
        if topic is None:
            problems.append(Problem(spec.name, "topic", "missing", "there", "run `streamrec topics create`"))
            continue
        partitions, replication = len(topic["partitions"]), _replication(topic)
        if partitions != spec.partitions:
            problems.append(
                Problem(
                    spec.name,
                    "partitions",
                    str(partitions),
                    str(spec.partitions),
                    _mend_partitions(partitions),
                )
            )
        if replication < spec.replication:
            remedy = (
                "reassign its partitions (kafka-reassign-partitions), or lower STREAMREC_KAFKA__REPLICATION"
            )
            problems.append(
                Problem(spec.name, "replication", str(replication), f"{spec.replication} or more", remedy)
            )
        # Where copies are missing, what the settings ask for could stop every write.
        in_sync = min_in_sync(min(replication, spec.replication))
        problems += [
            Problem(spec.name, key, actual, value, "run `streamrec topics mend`")
            for key, value in {**spec.config, MIN_IN_SYNC: in_sync}.items()
            if (actual := configs[spec.name].get(key, "unset")) != value
        ]
    return problems


def _mend_partitions(actual: int) -> str:
    return (
        f"set STREAMREC_KAFKA__PARTITIONS={actual}, or make new topics under another STREAMREC_KAFKA__PREFIX "
        "(with another number of partitions visitors would move away from their state)"
    )


def mend_topics(settings: Settings) -> list[Problem]:
    """Set the topics' configuration as it has to be; returns what it mended.

    Numbers of partitions and copies are left alone. Raises TopicError if a topic does not exist
    or the broker refuses a change.
    """
    with connect(settings.kafka) as admin:
        topics = require(admin, settings.kafka, [spec.name for spec in topic_specs(settings)])
        require_on_topics(settings.kafka, topics.values(), "ALTER_CONFIGS")
    problems = _config_problems(settings)
    if problems:
        with connect(settings.kafka) as admin:
            outcome = admin.alter_configs(
                [
                    ConfigResource(
                        "TOPIC", topic, {p.setting: p.wanted for p in problems if p.topic == topic}
                    )
                    for topic in {problem.topic for problem in problems}
                ]
            )
        refused = {topic: answer for topic, answer in outcome["topic"].items() if answer != "OK"}
        if refused:
            raise TopicError(f"the broker refused to change the configuration of topics: {refused}")
        # A change is acknowledged before every broker acts on it.
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while left := _config_problems(settings):
            if time.monotonic() > deadline:
                raise TopicError(f"the change did not take effect within {REQUEST_TIMEOUT_S:g} s: {left[0]}")
            time.sleep(_POLL_S)
    return problems


def _config_problems(settings: Settings) -> list[Problem]:
    keys = {(spec.name, key) for spec in topic_specs(settings) for key in spec.config}
    return [problem for problem in check_topics(settings) if (problem.topic, problem.setting) in keys]


def describe_topics(settings: Settings) -> list[TopicDescription]:
    """The topics that exist, as they are. Raises BrokerError, or TopicError if there is none."""
    with connect(settings.kafka) as admin:
        existing = _existing(admin, settings.kafka, topic_specs(settings))
        if not existing:
            raise TopicError(
                f"no topic with prefix {settings.kafka.prefix!r} exists at {settings.kafka.bootstrap}; "
                "create them with `streamrec topics create`"
            )
        configs = _configs(admin, settings.kafka, existing, "modified")
        places = [
            TopicPartition(name, partition["partition_index"])
            for name, topic in existing.items()
            for partition in topic["partitions"]
        ]
        first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    return [
        TopicDescription(
            name=name,
            topic_id=str(topic["topic_id"]),
            partitions=len(topic["partitions"]),
            replication=_replication(topic),
            offsets=sum(last[place].offset - first[place].offset for place in places if place.topic == name),
            config=configs[name],
        )
        for name, topic in existing.items()
    ]


def require_topics(settings: Settings, names: Iterable[str], *, to: str = "DESCRIBE") -> None:
    """Raises TopicError if one of the topics (names without prefix) does not exist, or has
    another number of partitions than the settings say: visitors would be looked for elsewhere.

    to: what is going to be done there; raises AccessError if that is not allowed.
    """
    specs = {spec.name: spec for spec in topic_specs(settings)}
    with connect(settings.kafka) as admin:
        wanted = [settings.kafka.topic(name) for name in names]
        for name, topic in require(admin, settings.kafka, wanted, to).items():
            partitions = len(topic["partitions"])
            if partitions != specs[name].partitions:
                raise TopicError(
                    f"{name} has {partitions} partitions, the settings say {specs[name].partitions}; "
                    + _mend_partitions(partitions)
                )


def topic_id(settings: Settings, name: str) -> str:
    """Kafka's id of a topic (name without prefix): made anew, it has another.

    Raises TopicError if there is no such topic.
    """
    with connect(settings.kafka) as admin:
        topic = settings.kafka.topic(name)
        return str(require(admin, settings.kafka, [topic])[topic]["topic_id"])


def require(admin: Any, kafka: KafkaSettings, wanted: Sequence[str], to: str = "DESCRIBE") -> dict[str, Any]:
    """Descriptions of topics by full name. Raises TopicError if one does not exist, and AccessError if
    what is going to be done there (`to`) is not allowed."""
    topics = _described(admin, kafka, wanted, to)
    missing = [name for name in wanted if name not in topics]
    if missing:
        some = f"topic {missing[0]} does" if len(missing) == 1 else f"topics {', '.join(missing)} do"
        raise TopicError(f"{some} not exist at {kafka.bootstrap}; create with `streamrec topics create`")
    return topics


def _existing(admin: Any, kafka: KafkaSettings, specs: Iterable[TopicSpec]) -> dict[str, Any]:
    names = [spec.name for spec in specs]
    found = _described(admin, kafka, names, "DESCRIBE")
    return {name: found[name] for name in names if name in found}


def _described(admin: Any, kafka: KafkaSettings, names: Sequence[str], to: str) -> dict[str, Any]:
    topics = admin.describe_topics(names)
    require_on_topics(kafka, topics, to)
    return {topic["name"]: topic for topic in topics if topic["error_code"] == 0}


def _replication(topic: dict[str, Any]) -> int:
    return min((len(partition["replica_nodes"]) for partition in topic["partitions"]), default=0)


def _configs(
    admin: Any, kafka: KafkaSettings, topics: Mapping[str, Any], which: str
) -> dict[str, dict[str, str]]:
    require_on_topics(kafka, topics.values(), "DESCRIBE_CONFIGS")
    resources = [ConfigResource("TOPIC", name) for name in topics]
    if not resources:
        return {}
    described = admin.describe_configs(resources, config_filter=which)["topic"]
    return {
        name: {key: value["value"] for key, value in config.items()} for name, config in described.items()
    }
