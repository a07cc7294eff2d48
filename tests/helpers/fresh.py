"""Topics of a test's own on a shared broker."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamrec.config import Settings, load_settings
from streamrec.topics import connect, create_topics


@contextmanager
def fresh_topics(bootstrap: str, folder: Path, overrides: Mapping[str, Any]) -> Iterator[Settings]:
    """Settings with a prefix of their own, whose topics are made, and deleted at the end.

    Two partitions, a registry and history in `folder`, unless `overrides` say otherwise.
    """
    kafka = {"bootstrap": bootstrap, "prefix": f"t{uuid.uuid4().hex[:12]}.", "partitions": 2}
    made = load_settings(
        **{
            **overrides,
            "kafka": {**kafka, **overrides.get("kafka", {})},
            "registry": {"path": folder / "registry", **overrides.get("registry", {})},
            "history": {"url": str(folder / "history"), **overrides.get("history", {})},
        }
    )
    create_topics(made)
    yield made
    with connect(made.kafka) as admin:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith(made.kafka.prefix)])
