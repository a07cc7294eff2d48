"""The newest clicks that none of some models was trained on.

In: clicks, in any number, and the manifests of the models. Out: whole sessions.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from streamrec.artifact import Manifest
from streamrec.config import Settings
from streamrec.datasets import Clicks, sessions
from streamrec.errors import DatasetError
from streamrec.events import Window

__all__ = ["describe", "newest_window", "trained_until_ms"]


def newest_window(clicks: Clicks, manifests: Sequence[Manifest], settings: Settings) -> Clicks:
    """The newest sessions of two clicks or more that none of these models has learned from.

    gate.max_sessions at most, of those that begin after the last click of every training. May be empty.
    Raises DatasetError if a manifest does not say up to when its clicks were.
    """
    after_ms = max((trained_until_ms(manifest) for manifest in manifests), default=-1)
    found = [
        (int(clicks.time_ms[places[0]]), name)
        for name, places in sessions(clicks).items()
        if len(places) > 1 and clicks.time_ms[places[0]] > after_ms
    ]
    newest = {name for _, name in sorted(found)[-settings.gate.max_sessions :]}
    return clicks.take(np.fromiter((name in newest for name in clicks.session_ids), np.bool_, len(clicks)))


def trained_until_ms(manifest: Manifest) -> int:
    """Time of the last click that a model, or one that it went on from, has learned from.

    Raises DatasetError if its manifest does not say.
    """
    data = manifest.data
    own = _ms(manifest, data.get("last"))
    return max(own, _ms(manifest, data["parent_last"])) if "parent_last" in data else own


def _ms(manifest: Manifest, last: Any) -> int:
    try:
        # Rounded up: what is in the same millisecond may have been learned.
        return -int(-datetime.fromisoformat(str(last)).astimezone(UTC).timestamp() * 1000 // 1)
    except (ValueError, OverflowError):
        raise DatasetError(
            f"{manifest.version}: its manifest says {last!r} for the time of the last click it was trained "
            "on, no date: what it has not seen cannot be told; train it again, or release it by hand with "
            f"`streamrec models release {manifest.version}`"
        ) from None


def describe(window: Clicks) -> Window:
    """What a verdict says of the clicks it stands on."""
    digest = hashlib.sha256()
    for row in zip(window.session_ids, window.item_ids, window.time_ms.tolist(), strict=True):
        digest.update(repr(row).encode())
    return Window(
        sessions=sum(len(places) > 1 for places in sessions(window).values()),
        clicks=len(window),
        digest=digest.hexdigest(),
        first=window.first_ms if len(window) else None,
        last=window.last_ms if len(window) else None,
    )
