"""Looking for missing rights before they are needed, in what Kafka tells of topics and groups.

Kafka lists with each topic and group what the client may do there. Of transactional ids, and of
topics that are still to be made, it tells nothing ahead: those fail when they are first used.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from kafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    GroupIdNotFoundError,
    TopicAuthorizationFailedError,
)

from streamrec.access import denied
from streamrec.config import KafkaSettings, Settings
from streamrec.rights import rights
from streamrec.topics.connection import connect

__all__ = ["group_members", "require_on_topics", "require_rights"]

_UNTOLD: Final[frozenset[str]] = frozenset()
"""What a broker without an answer tells."""


def require_rights(settings: Settings, role: str) -> None:
    """Raise AccessError if the role lacks a right that Kafka tells of."""
    kafka = settings.kafka
    wanted = rights(kafka, role)
    with connect(kafka) as admin:
        names = sorted({right.name for right in wanted if right.resource == "TOPIC"})
        topics = {topic["name"]: topic for topic in admin.describe_topics(names)}
        for right in wanted:
            if right.resource == "TOPIC":
                require_on_topics(kafka, [topics[right.name]], right.operation)
            elif right.resource == "GROUP":
                # Kafka looks at the right first; on a new cluster there is no group to tell of yet.
                with suppress(CoordinatorNotAvailableError):
                    group_members(admin, kafka, right.name, right.operation)


def require_on_topics(kafka: KafkaSettings, topics: Iterable[Mapping[str, Any]], operation: str) -> None:
    """Raise AccessError if the operation is not allowed on one of these topics.

    topics: as the admin client describes them; one that does not exist is passed over.
    """
    for topic in topics:
        told = frozenset(topic.get("authorized_operations") or _UNTOLD)
        if topic["error_code"] == TopicAuthorizationFailedError.errno or (told and operation not in told):
            raise denied(kafka, operation, "topic", topic["name"])


def group_members(admin: Any, kafka: KafkaSettings, group: str, operation: str) -> int:
    """How many members a group has; 0 if there is no such group.

    Raises AccessError if the operation is not allowed on it.
    """
    try:
        described = admin.describe_groups([group])[group]
    except GroupIdNotFoundError:
        return 0
    except GroupAuthorizationFailedError:
        raise denied(kafka, operation, "group", group) from None
    told = frozenset(described.get("authorized_operations") or _UNTOLD)
    if described["error"] is None and told and operation not in told:
        raise denied(kafka, operation, "group", group)
    return len(described["members"])
