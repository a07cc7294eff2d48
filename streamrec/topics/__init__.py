"""The topics: how each is cut and kept; made, checked and described through the admin API."""

from streamrec.topics.connection import connect
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
from streamrec.topics.specs import TopicSpec, topic_specs

__all__ = [
    "Problem",
    "TopicDescription",
    "TopicSpec",
    "check_topics",
    "connect",
    "create_topics",
    "describe_topics",
    "mend_topics",
    "require_topics",
    "topic_id",
    "topic_specs",
]
