"""The topics: how each is cut and kept; made, checked and described through the admin API."""

from streamrec.topics.connection import connect
from streamrec.topics.continuity import known_topics, watch_topics
from streamrec.topics.granted import require_rights
from streamrec.topics.operations import (
    Problem,
    TopicDescription,
    check_topics,
    create_topics,
    describe_topics,
    mend_topics,
    require_topics,
    topic_id,
)
from streamrec.topics.reading import answering, offset_at, read_partition, read_tail, read_topic, topic_range
from streamrec.topics.rebuild import forget_state
from streamrec.topics.specs import TopicSpec, topic_specs

__all__ = [
    "Problem",
    "TopicDescription",
    "TopicSpec",
    "answering",
    "check_topics",
    "connect",
    "create_topics",
    "describe_topics",
    "forget_state",
    "known_topics",
    "mend_topics",
    "offset_at",
    "read_partition",
    "read_tail",
    "read_topic",
    "require_rights",
    "require_topics",
    "topic_id",
    "topic_range",
    "topic_specs",
    "watch_topics",
]
