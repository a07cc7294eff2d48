"""Forgetting the state, so that the workers make it again from the input."""

import time
from typing import Any

from kafka.errors import GroupIdNotFoundError, KafkaError

from streamrec.config import KafkaSettings, Settings
from streamrec.errors import TopicError
from streamrec.topics.connection import REQUEST_TIMEOUT_S, connect
from streamrec.topics.granted import group_members, require_on_topics
from streamrec.topics.operations import create_topics

__all__ = ["forget_state"]

_POLL_S = 0.1


def forget_state(settings: Settings) -> None:
    """Make visitor-states anew and drop what the state and scoring groups have committed.

    The workers then read `interactions` from the beginning, as far back as it is kept, and
    send its lists once more, with the same `rec_id`s. Raises TopicError while a worker runs.
    """
    kafka = settings.kafka
    topic = kafka.topic("visitor-states")
    with connect(kafka) as admin:
        require_on_topics(kafka, admin.describe_topics([topic]), "DELETE")
        for role in ("state", "scoring"):
            _require_stopped(admin, kafka, kafka.topic(role))
        if topic in admin.list_topics():
            admin.delete_topics([topic])
            deadline = time.monotonic() + REQUEST_TIMEOUT_S
            while topic in admin.list_topics():
                if time.monotonic() > deadline:
                    raise TopicError(
                        f"{topic} is still there {REQUEST_TIMEOUT_S:.0f} s after its deletion; try again"
                    )
                time.sleep(_POLL_S)
        for role in ("state", "scoring"):
            _forget_group(admin, kafka.topic(role))
    create_topics(settings)


def _require_stopped(admin: Any, kafka: KafkaSettings, group: str) -> None:
    members = group_members(admin, kafka, group, "DELETE")
    if members:
        raise TopicError(
            f"{group} has {members} running workers; stop them, wait for the session timeout if "
            "one was killed, and try again"
        )


def _forget_group(admin: Any, group: str) -> None:
    try:
        outcome = admin.delete_groups([group])[group]
    except KafkaError as error:
        outcome = type(error).__name__
    if outcome not in ("OK", GroupIdNotFoundError.__name__):
        raise TopicError(f"group {group} cannot be deleted: {outcome}")
