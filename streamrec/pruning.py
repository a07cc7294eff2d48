"""Which versions a registry no longer needs.

In: the versions, what the models topic names, and what rows name that have no list yet. Out: why each is
kept, or that it may go. Kept are the newest; what a slot names (live, previous, canary, challenger, shadows);
what a row names that scoring has yet to answer; what is young; and what a kept one went on from, as it cannot
be made again without.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kafka import TopicPartition
from msgspec import MsgspecError

from streamrec.config import Settings
from streamrec.errors import BrokerError
from streamrec.registry import Entry
from streamrec.releases import released
from streamrec.state.rows import VISITOR, decode_visitor_row
from streamrec.topics import connect, read_partition, topic_range

__all__ = ["LEFTOVER_AGE_S", "Named", "Reason", "chosen_versions", "named_versions", "reasons_to_keep"]

LEFTOVER_AGE_S: Final = 86_400.0
"""What a killed publish left is left alone for so long: somebody may still be at work."""
_MOST_ROWS: Final = 1_000_000
"""That are looked through for versions; who is further behind has other worries than room."""

Reason = str
"""Why a version is kept; "" if it may go."""


class Named(NamedTuple):
    """The versions that something in Kafka names."""

    slots: Mapping[str, str]
    """Version by slot: live, previous, canary, challenger, shadow:VERSION."""
    rows: Collection[str]
    """Of rows of visitor-states that scoring has yet to answer."""


def chosen_versions(settings: Settings, model: str) -> Named:
    """The version of a recommender that settings name as a source of lists."""
    chosen = settings.scoring.recommenders.get(model)
    return Named({} if chosen is None else {"scoring.recommenders": chosen.version}, ())


def reasons_to_keep(
    entries: Sequence[Entry],
    published: Mapping[str, float],
    named: Named,
    *,
    keep: int,
    younger_than_s: float,
    now_s: float,
    parents: bool = True,
) -> dict[str, Reason]:
    """Why each version of a model is kept, oldest first.

    published: when, s since 1970. keep: how many of the newest. parents: whether what a kept version went on
    from is kept too.
    """
    slots: dict[str, list[str]] = {}
    for slot, version in named.slots.items():
        slots.setdefault(version, []).append(slot)
    newest = [each.version for each in entries][-keep:]
    reasons = {}
    for each in entries:
        version = each.version
        if version in slots:
            reasons[version] = ", ".join(sorted(slots[version]))
        elif version in named.rows:
            reasons[version] = "named by rows without a list yet"
        elif version in newest:
            reasons[version] = f"one of the newest {keep}"
        elif now_s - published[version] < younger_than_s:
            reasons[version] = "too young"
        else:
            reasons[version] = ""
    if parents:
        for each in entries:
            parent = each.manifest.parent if each.manifest is not None and reasons[each.version] else None
            # Those of the parents are not needed: to make a version again takes the one before it.
            if parent and reasons.get(parent) == "":
                reasons[parent] = f"{each.version} went on from it"
    return reasons


def named_versions(settings: Settings, model: str) -> Named:
    """What Kafka names of a model. Raises BrokerError or TopicError if it cannot be asked."""
    slots = {each.slot: each.version for each in released(settings).values() if each.model == model}
    return Named(slots, _unanswered(settings))


def _unanswered(settings: Settings) -> set[str]:
    """Versions of the rows from where scoring is to the end of visitor-states."""
    scored, spans = _scored(settings), topic_range(settings, "visitor-states")
    places = {n: (max(first, scored.get(n, 0)), end) for n, (first, end) in spans.items()}
    waiting = sum(max(0, end - start) for start, end in places.values())
    if waiting > _MOST_ROWS:
        raise BrokerError(
            f"scoring is {waiting:,} rows behind, and any of them may name a version; prune when it is "
            f"behind by {_MOST_ROWS:,} at most"
        )
    found: set[str] = set()
    for partition, (start, end) in places.items():
        for records in read_partition(settings, "visitor-states", partition, start, end):
            found.update(_version(record) for record in records)
    return found - {""}


def _scored(settings: Settings) -> dict[int, int]:
    kafka = settings.kafka
    group, topic = kafka.topic("scoring"), kafka.topic("visitor-states")
    with connect(kafka) as admin:
        # Asking for a group that does not exist would make Kafka set up its topic of offsets.
        if group not in {each["group_id"] for each in admin.list_groups()}:
            return {}
        committed: Mapping[TopicPartition, Any] = admin.list_group_offsets([group])[group]
    return {place.partition: at.offset for place, at in committed.items() if place.topic == topic}


def _version(record: Any) -> str:
    if record.value is None or not (record.key or b"").startswith(VISITOR):
        return ""
    try:
        return decode_visitor_row(record.value).model_version
    except MsgspecError as error:
        raise BrokerError(
            f"the row at offset {record.offset} of partition {record.partition} cannot be read ({error}), so "
            "the version that it names is not known; prune with the streamrec that writes them"
        ) from None
