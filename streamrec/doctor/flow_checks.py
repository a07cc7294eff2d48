"""Checks of what flows: topics, rights, rows and workers.

In: facts and settings. Out: findings. Without Kafka there is nothing to judge.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from streamrec.config import KafkaSettings, Settings
from streamrec.doctor.facts import Facts, Group, KafkaFacts, RegistryFolder, Span, Tail, Topic, Unknown
from streamrec.doctor.kafka_facts import INPUTS
from streamrec.doctor.report import Finding, Outcome
from streamrec.rights import rights

__all__ = ["check_rights", "check_rows", "check_topics", "check_workers"]

_OK, _WARNING, _FAILED = Outcome
_REBUILD: Final = "stop the workers, then `streamrec state rebuild`"
# A worker that keeps up has a few batches at most in a partition before it.
_BATCHES: Final = 10


def check_rights(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether the user that we are may do what the apps do."""
    kafka = facts.kafka
    if isinstance(kafka, Unknown):
        return
    if kafka.authorizer is False:
        yield Finding("rights", _OK, "Kafka has no authorizer: whoever reaches it may do anything")
        return
    if isinstance(kafka.topics, Unknown):
        yield Finding("rights", _WARNING, f"could not be asked: {kafka.topics.why}")
        return
    needed = _needed_on_topics(settings.kafka)
    denied = {settings.kafka.topic(name) for name in kafka.denied}
    missing = {name: operations for name, operations in needed.items() if name in denied}
    for short, topic in kafka.topics.items():
        name = settings.kafka.topic(short)
        if lacking := needed[name] - topic.allowed:
            missing[name] = lacking
    prefix = settings.kafka.prefix
    lacks = [f"{'/'.join(sorted(lacking))} on {name}" for name, lacking in sorted(missing.items())]
    lacks += [
        f"READ on the group {prefix}{role}"
        for role, group in ({} if isinstance(kafka.groups, Unknown) else kafka.groups).items()
        if group.allowed is not None and "READ" not in group.allowed
    ]
    if lacks:
        yield Finding(
            "rights", _FAILED, f"not allowed: {', '.join(lacks)}", "grant it as `streamrec topics acl` prints"
        )
    elif isinstance(kafka.authorizer, Unknown):
        yield Finding(
            "rights", _WARNING, f"whether Kafka has an authorizer is unknown: {kafka.authorizer.why}"
        )
    else:
        yield Finding("rights", _OK, "all that the apps do with the topics is allowed")


def _needed_on_topics(kafka: KafkaSettings) -> dict[str, set[str]]:
    """What the apps do with each topic."""
    needed: dict[str, set[str]] = {}
    for role in ("state", "scoring"):
        for right in rights(kafka, role):
            if right.resource == "TOPIC":
                needed.setdefault(right.name, set()).add(right.operation)
    return needed


def check_topics(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether the topics are there, as specified, and can be written to."""
    kafka = facts.kafka
    if isinstance(kafka, Unknown):
        return
    if isinstance(kafka.topics, Unknown):
        yield Finding("topics", _WARNING, f"could not be described: {kafka.topics.why}")
        return
    if isinstance(kafka.problems, Unknown):
        yield Finding("topics", _WARNING, f"could not be checked: {kafka.problems.why}")
        return
    denied = {settings.kafka.topic(name) for name in kafka.denied}
    found = [
        Finding(
            "topics",
            _FAILED,
            f"{each.topic}: {each.setting} is {each.actual}, has to be {each.wanted}",
            each.remedy,
        )
        for each in kafka.problems
        if each.topic not in denied  # one that we may not see counts as missing there
    ]
    for name, topic in kafka.topics.items():
        full = settings.kafka.topic(name)
        if topic.without_leader:
            text = f"{full}: {topic.without_leader} partition(s) without a leader, out of reach"
            found.append(Finding("topics", _FAILED, text, "start the brokers that hold them"))
        elif topic.behind:
            text = f"{full}: {topic.behind} partition(s) have copies that are not in sync"
            found.append(Finding("topics", _WARNING, text, "start the brokers that hold them"))
    yield from found
    if not found:
        lag = settings.kafka.compaction_lag_s
        yield Finding(
            "topics",
            _OK,
            f"{len(kafka.topics)} topics as specified, {settings.kafka.partitions} partitions by visitor, "
            f"rows kept for lists for {lag:,} s at least",
        )


def check_rows(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether the rows belong to the input that is there, and those without a list name models that are."""
    kafka = facts.kafka
    if isinstance(kafka, Unknown):
        return
    if (
        isinstance(kafka.tails, Unknown)
        or isinstance(kafka.topics, Unknown)
        or isinstance(kafka.spans, Unknown)
        or isinstance(kafka.groups, Unknown)
    ):
        asked = (kafka.tails, kafka.topics, kafka.spans, kafka.groups)
        why = next(each.why for each in asked if isinstance(each, Unknown))
        yield Finding("rows", _WARNING, f"could not be compared with the interactions: {why}")
        return
    committed = kafka.groups["state"].committed
    states, inputs = (kafka.spans.get(name, {}) for name in ("visitor-states", "interactions"))
    found = [
        *_unreadable(kafka.tails, settings),
        *_made_anew(kafka.tails, kafka.topics, settings),
        *_cut_off(states, settings),
        *_versions(kafka.tails, kafka.groups["scoring"].committed, facts.registry),
    ]
    if not found:  # offsets of another topic would tell nothing
        found = [*_offsets(_done(kafka.tails, states), committed, inputs, settings)]
    yield from found
    if not found:
        marked = sum(tail.watermark is not None for tail in kafka.tails.values())
        of = f"{marked} of {len(kafka.tails)} partitions"
        text = f"{of} have some, made from the interactions that are there" if marked else "none yet"
        yield Finding("rows", _OK, text)


def _unreadable(tails: Mapping[int, Tail], settings: Settings) -> Iterator[Finding]:
    faults = {partition: tail.fault for partition, tail in tails.items() if tail.fault is not None}
    if faults:
        rows, why = settings.kafka.topic("visitor-states"), next(iter(faults.values()))
        text = f"{rows} has rows that this version cannot read ({why}): workers refuse to start"
        remedy = f"run the version that wrote them, or {_REBUILD}"
        yield Finding("rows", _FAILED, f"{text} ({_partitions([*faults])})", remedy)


def _made_anew(
    tails: Mapping[int, Tail], topics: Mapping[str, Topic], settings: Settings
) -> Iterator[Finding]:
    marks = {partition: tail.watermark for partition, tail in tails.items() if tail.watermark is not None}
    for name, since, ids in (
        ("interactions", " since the rows were made", {n: mark.topic_id for n, mark in marks.items()}),
        ("visitor-states", ", its rows are another topic's", {n: mark.table_id for n, mark in marks.items()}),
    ):
        topic = topics.get(name)
        other = [n for n, each in ids.items() if topic is not None and each != topic.topic_id]
        if other:
            text = f"{settings.kafka.topic(name)} has been made anew{since}"
            yield Finding(
                "rows", _FAILED, f"{text}: workers refuse to start ({_partitions(other)})", _REBUILD
            )


def _cut_off(states: Mapping[int, Span], settings: Settings) -> Iterator[Finding]:
    # Compaction leaves the beginning of a log where it is.
    if cut := [partition for partition, span in states.items() if span.first > 0]:
        rows = settings.kafka.topic("visitor-states")
        text = f"the beginning of {rows} was deleted: workers refuse to start ({_partitions(cut)})"
        yield Finding("rows", _FAILED, text, _REBUILD)


def _done(tails: Mapping[int, Tail], states: Mapping[int, Span]) -> dict[int, int]:
    """The input offset that each partition of rows goes on with, where that is known."""
    done = {n: tail.watermark.offset + 1 for n, tail in tails.items() if tail.watermark is not None}
    return {**{n: 0 for n, span in states.items() if span.first == span.end}, **done}


def _offsets(
    done: Mapping[int, int], committed: Mapping[int, int], inputs: Mapping[int, Span], settings: Settings
) -> Iterator[Finding]:
    interactions, rows = map(settings.kafka.topic, ("interactions", "visitor-states"))
    if ahead := [n for n, offset in done.items() if committed.get(n, 0) > offset]:
        text = f"offsets of {interactions} are committed that {rows} has no rows for: rows are lost"
        yield Finding("rows", _FAILED, f"{text} ({_partitions(ahead)})", _REBUILD)
    if beyond := [n for n, offset in done.items() if n in inputs and offset > inputs[n].end]:
        text = f"rows know of offsets that {interactions} does not have: new ones would be taken for repeats"
        yield Finding("rows", _FAILED, f"{text} ({_partitions(beyond)})", _REBUILD)
    # A partition that has just begun, at 0, has had nothing taken away.
    if lost := sum(max(0, inputs[n].first - offset) for n, offset in done.items() if n in inputs and offset):
        text = f"retention has taken {lost:,} interactions before they were handled"
        remedy = "start more state workers, or raise retention.ms of interactions"
        yield Finding("rows", _WARNING, text, remedy)


def _versions(
    tails: Mapping[int, Tail], scored: Mapping[int, int], registry: RegistryFolder | Unknown
) -> Iterator[Finding]:
    if isinstance(registry, Unknown):
        return
    needed = {
        version
        for partition, tail in tails.items()
        for version, offset in tail.versions.items()
        if offset >= scored.get(partition, 0)
    }
    if missing := sorted(needed - registry.versions):
        names = ", ".join(missing)
        text = f"scoring will stop at rows whose model version is not in {registry.path}: {names}"
        remedy = f"copy it into {registry.path}, or set STREAMREC_REGISTRY__PATH"
        yield Finding("rows", _FAILED, text, remedy)


def check_workers(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether somebody works on each input, and keeps up."""
    kafka = facts.kafka
    if isinstance(kafka, Unknown):
        return
    if isinstance(kafka.groups, Unknown):
        yield Finding("workers", _WARNING, f"could not be asked for: {kafka.groups.why}")
        return
    if isinstance(kafka.spans, Unknown):
        yield Finding("workers", _WARNING, f"what waits for them is unknown: {kafka.spans.why}")
        return
    for role, topic in INPUTS.items():
        waiting = _waiting(kafka.groups[role], kafka.spans.get(topic, {}))
        late = _late(kafka, kafka.groups[role]) if role == "scoring" else 0
        yield _worker(role, kafka.groups[role].workers, waiting, late, settings)


def _worker(role: str, workers: int, waiting: Mapping[int, int], late: int, settings: Settings) -> Finding:
    check, total = f"{role} workers", sum(waiting.values())
    lag = f"{total:,} records of {settings.kafka.topic(INPUTS[role])} wait"
    if not workers:
        return Finding(check, _WARNING, f"none runs; {lag}", f"streamrec {role}")
    text = f"{workers} in the group; {lag}"
    if late:
        hours = settings.kafka.compaction_lag_s / 3600
        return Finding(
            check,
            _WARNING,
            f"{text}, {late:,} for longer than half of the {hours:g} h after which rows may be compacted "
            "away without a list",
            f"streamrec {role} (one more, up to {settings.kafka.partitions})",
        )
    if max(waiting.values(), default=0) > _BATCHES * settings.kafka.max_poll_records:
        return Finding(
            check, _WARNING, text, f"streamrec {role} (one more, up to {settings.kafka.partitions})"
        )
    if workers > settings.kafka.partitions:
        text += f"; {workers - settings.kafka.partitions} more than partitions have nothing to do"
    return Finding(check, _OK, text)


def _waiting(group: Group, spans: Mapping[int, Span]) -> dict[int, int]:
    """Records not yet committed, by partition."""
    return {
        partition: max(0, span.end - max(span.first, group.committed.get(partition, 0)))
        for partition, span in spans.items()
    }


def _late(kafka: KafkaFacts, scoring: Group) -> int:
    """Rows that have waited too long for their list."""
    if isinstance(kafka.overdue, Unknown) or isinstance(kafka.spans, Unknown):
        return 0
    spans = kafka.spans.get(INPUTS["scoring"], {})
    return sum(
        max(0, offset - max(spans[partition].first, scoring.committed.get(partition, 0)))
        for partition, offset in kafka.overdue.items()
        if partition in spans
    )


def _partitions(numbers: list[int]) -> str:
    return f"partition{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
