"""The least rights on a Kafka with an authorizer, role by role.

One table: what `streamrec topics acl` prints, what the apps look for before they start, and what
the tests grant. READ, WRITE, ALTER and DELETE include DESCRIBE, and ALTER_CONFIGS includes
DESCRIBE_CONFIGS; so those stand here only where they are needed alone.
"""

import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from streamrec.config import KafkaSettings

__all__ = ["ROLES", "Resource", "Right", "acl_commands", "rights"]

Resource = Literal["TOPIC", "GROUP", "TRANSACTIONAL_ID"]

ROLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "state": "the state app",
        "scoring": "the scoring app",
        "evaluation": "the evaluation app",
        "archive": "the archive app",
        "publisher": "apps that publish interactions; `streamrec replay`; with reader, `streamrec loadtest`",
        "catalogue": "apps that publish items",
        "reader": "apps that read recommendations, in a consumer group; `streamrec loadtest`, without one",
        "training": "the training app; `train --from-topic` and `--release`; `models` verbs that release",
        "backtest": "`streamrec explain`, `streamrec backtest --from-topic`, `models interleaving`",
        "pruning": "`streamrec models prune`",
        "operator": "`streamrec topics` and `streamrec state rebuild`",
    }
)
"""Who connects, and what for."""

_TOPICS: Final = (
    *("interactions", "visitor-states", "recommendations", "shadow-recommendations"),
    *("items", "models", "dead-letters"),
)


class Right(NamedTuple):
    """One operation on one resource, or, if `prefixed`, on all whose names begin so."""

    operation: str
    resource: Resource
    name: str
    prefixed: bool = False


def rights(kafka: KafkaSettings, role: str, *, group: str | None = None) -> tuple[Right, ...]:
    """What a role of ROLES needs, with the names of these settings.

    group: the consumer group of a reader; prefix and `reader` if not given.
    """
    return _table(kafka, group or kafka.topic("reader"))[role]


def _table(kafka: KafkaSettings, group: str) -> dict[str, tuple[Right, ...]]:
    def topic(operation: str, *names: str) -> list[Right]:
        return [Right(operation, "TOPIC", kafka.topic(name)) for name in names]

    def groups(operation: str, *names: str) -> list[Right]:
        return [Right(operation, "GROUP", name) for name in names]

    apps = (kafka.topic("state"), kafka.topic("scoring"))
    return {
        "state": (
            *topic("READ", "interactions", "visitor-states", "models"),
            *topic("WRITE", "visitor-states", "dead-letters"),
            *groups("READ", apps[0]),
            # A producer for each partition, under an id of its own: the later one fences the earlier.
            Right("WRITE", "TRANSACTIONAL_ID", kafka.topic("visitor-states-"), prefixed=True),
        ),
        "scoring": (
            *topic("READ", "visitor-states", "models", "items"),
            *topic("WRITE", "recommendations", "shadow-recommendations"),
            *groups("READ", apps[1]),
        ),
        "evaluation": (
            *topic("READ", "interactions", "recommendations", "shadow-recommendations", "models"),
            # The guard takes versions back.
            *topic("WRITE", "models"),
            *groups("READ", kafka.topic("evaluation")),
        ),
        "archive": (*topic("READ", "interactions"), *groups("READ", kafka.topic("archive"))),
        "publisher": tuple(topic("WRITE", "interactions")),
        "catalogue": tuple(topic("WRITE", "items")),
        "reader": (*topic("READ", "recommendations"), *groups("READ", group)),
        "training": (
            *topic("READ", "interactions", "recommendations", "models"),
            *topic("WRITE", "models"),
            *groups("READ", kafka.topic("training")),
        ),
        "backtest": tuple(topic("READ", "interactions", "recommendations", "models", "items")),
        "pruning": (*topic("READ", "models", "visitor-states"), *groups("DESCRIBE", apps[1])),
        "operator": (
            *topic("CREATE", *_TOPICS),
            *topic("ALTER_CONFIGS", *_TOPICS),
            *topic("DESCRIBE", *_TOPICS),
            *topic("DELETE", "visitor-states"),
            *groups("DELETE", *apps),
        ),
    }


def acl_commands(granted: Iterable[Right], user: str, bootstrap: str) -> list[str]:
    """The kafka-acls.sh command of each resource that gives `user` these rights."""
    operations: dict[tuple[Resource, str, bool], list[str]] = {}
    for right in granted:
        operations.setdefault((right.resource, right.name, right.prefixed), []).append(right.operation)
    return [
        shlex.join(
            [
                *("kafka-acls.sh", "--bootstrap-server", bootstrap, "--add"),
                *("--allow-principal", f"User:{user}"),
                *(part for each in wanted for part in ("--operation", _camel(each))),
                *(_OPTIONS[resource], name),
                *(("--resource-pattern-type", "prefixed") if prefixed else ()),
            ]
        )
        for (resource, name, prefixed), wanted in operations.items()
    ]


_OPTIONS: Final[Mapping[Resource, str]] = {
    "TOPIC": "--topic",
    "GROUP": "--group",
    "TRANSACTIONAL_ID": "--transactional-id",
}


def _camel(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))
