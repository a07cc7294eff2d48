"""An answer explained: the list made again out of history, beside the one that was sent.

In: the id of a list. Out: its interaction, the session, every place with what each source said of it, and
whether the list is what was sent, byte for byte.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import msgspec

from streamrec.advance import InputRecord, partition_of
from streamrec.backtest.releases import announced_releases
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.errors import AnswerError
from streamrec.events import Recommendation, encode
from streamrec.explaining.emitted import Emitted, Sent, read_sent
from streamrec.explaining.finding import Answered, find_answered
from streamrec.explaining.past import Past
from streamrec.explaining.rebuilding import NoList, Rebuilt, Voice, rebuild
from streamrec.topics import read_topic, topic_range

__all__ = ["ExplainedItem", "Explanation", "Question", "explain"]

OnStep = Callable[[str, int, int], None]
"""Called now and then with what is done, how much of it is, and how much there is."""

_TOLD: Final = 3
"""Differing places that are told one by one."""


class ExplainedItem(msgspec.Struct, frozen=True):
    """One place of the list."""

    place: int
    item_id: str
    title: str | None
    """As the items topic has it now."""
    score: float
    sources: list[str]
    reason: str
    voices: dict[str, Voice]
    """By source of the blend, in the list that the item was drawn from."""
    team: str | None = None
    """Of an interleaved list: live or challenger, whoever is credited with a click on it."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How a list came about."""

    rec_id: str
    topic: str
    partition: int
    offset: int
    """Of the interaction."""
    recorded_ms: int
    """Kafka's time of it."""
    visitor_id: str
    event_id: str
    session_id: str
    session_items: list[str]
    """Oldest first; the last one is the interaction's."""
    model: str
    release: str
    """The version that the list is from; empty without one."""
    challenger: str | None
    """The version that the list was interleaved with."""
    release_from: Literal["list", "announced", "given"]
    """Who says so: the list as it was sent, the models topic for that time, or whoever asked."""
    items: list[ExplainedItem]
    emitted_ms: int | None
    """Kafka's time of the list that was sent; None if it is not on the topic."""
    equal: bool | None
    """Whether the list is what was sent, byte for byte; None if that is not on the topic."""
    differences: list[str]
    """What differs from the list that was sent."""
    lost: list[tuple[int, int]]
    """First offset and end of what neither topic nor history has of the partition before the interaction."""
    records: int
    """Gone through to make the list again."""
    seconds: float

    def faults(self) -> list[str]:
        """Why this may not be how the list came about; none if it is."""
        if self.equal:
            return []
        found = [
            f"history begins at offset {end:,} of {self.topic}[{self.partition}]: this list knows nothing of "
            f"the {end - start:,} records from {start:,} on"
            for start, end in self.lost
        ]
        if self.equal is False:
            found += [
                f"it is not what was sent: {'; '.join(self.differences)}. Settings that are not those of "
                "the apps make other lists, and so do items that are new, renamed or not available since"
            ]
        return found


class Question(NamedTuple):
    """What is asked."""

    rec_id: str
    visitor_id: str | None = None
    """Whose list it is, if that is known: then one partition is searched."""
    partition: int | None = None
    version: str | None = None
    """The session model that was live, where no list says so any more; None: as it was announced."""


def explain(
    settings: Settings, question: Question, on_step: OnStep = lambda what, done, total: None
) -> Explanation:
    """Explain the list with an id.

    Raises AnswerError if there is no such list or its interaction is gone; RecordError, BrokerError,
    TopicError, StorageError, RegistryError or ArtifactError.
    """
    started = time.monotonic()
    answered = _find(settings, question, on_step)
    record = _interaction(settings, answered)
    sent = read_sent(settings, answered.partition, record)
    traced = sent.answer is not None and sent.answer.made.candidates is not None
    scoring = settings.scoring.model_copy(update={"trace": traced})
    settings = settings.model_copy(update={"scoring": scoring})
    version_of, release_from = _versions(settings, question, record, sent)
    catalogue = Catalogue()
    read_topic(settings, "items", partial(_take_items, catalogue))
    past = Past(settings, answered.partition, answered.offset + 1)
    done = 0

    def on_records(n: int) -> None:
        nonlocal done
        done += n
        on_step("records", done, past.end)

    challenger = sent.answer.made.challenger if sent.answer else None
    rebuilt = rebuild(
        settings, answered.partition, past.records(), record, version_of, catalogue, on_records, challenger
    )
    if isinstance(rebuilt, NoList):
        raise AnswerError(f"{_place(settings, answered)} has no list: {rebuilt.why}")
    return _explanation(settings, answered, record, sent, rebuilt, release_from, catalogue, past, started)


def _find(settings: Settings, question: Question, on_step: OnStep) -> Answered:
    topic = settings.kafka.topic("interactions")
    ends = {partition: end for partition, (_, end) in topic_range(settings, "interactions").items()}
    wanted = question.partition
    if question.visitor_id is not None:
        wanted = partition_of(question.visitor_id.encode(), len(ends))
        if question.partition not in (None, wanted):
            raise AnswerError(f"that visitor is in partition {wanted}, not in {question.partition}")
    if wanted is not None:
        if wanted not in ends:
            raise AnswerError(f"{topic} has no partition {wanted}; it has {len(ends)}")
        ends = {wanted: ends[wanted]}
    tried, total = 0, sum(ends.values())

    def on_tried(n: int) -> None:
        nonlocal tried
        tried += n
        on_step("offsets", tried, total)

    found = find_answered(question.rec_id, topic, ends, on_tried)
    if found is None:
        where = topic if wanted is None else f"{topic}[{wanted}]"
        raise AnswerError(
            f"none of the {total:,} interactions of {where} asks for list {question.rec_id}; is it of "
            "another topic (STREAMREC_KAFKA__PREFIX), or of one that was made anew?"
        )
    return found


def _interaction(settings: Settings, answered: Answered) -> InputRecord:
    past = Past(settings, answered.partition, answered.offset + 1)
    record = next(past.records(answered.offset), None)
    if record is None:
        start, _ = topic_range(settings, "interactions")[answered.partition]
        raise AnswerError(
            f"{_place(settings, answered)}, which the list answers, is gone: the topic begins at offset "
            f"{start:,}, and history does not have it either; keep interactions for longer (retention.ms), "
            "or run `streamrec archive`"
        )
    return record


def _place(settings: Settings, answered: Answered) -> str:
    return f"{settings.kafka.topic('interactions')}[{answered.partition}] offset {answered.offset:,}"


def _versions(
    settings: Settings, question: Question, record: InputRecord, sent: Sent
) -> tuple[Callable[[InputRecord], str], Literal["list", "announced", "given"]]:
    """Which version was live for the visitor's interactions, and who says so of the one in question."""
    given = question.version if sent.answer is None else None
    announced = announced_releases(settings)

    def version_of(each: InputRecord) -> str:
        named = sent.releases.get(each.offset)
        if named is not None:
            return named
        return announced.at(each) if given is None else given

    return version_of, "list" if sent.answer else "announced" if given is None else "given"


def _take_items(catalogue: Catalogue, records: list[Any]) -> None:
    for record in records:
        catalogue.on_record(record.key, record.value)


def _explanation(
    settings: Settings,
    answered: Answered,
    record: InputRecord,
    sent: Sent,
    rebuilt: Rebuilt,
    release_from: Literal["list", "announced", "given"],
    catalogue: Catalogue,
    past: Past,
    started: float,
) -> Explanation:
    row, made = rebuilt.row, rebuilt.made
    equal, differences = (None, []) if sent.answer is None else _compared(made, sent.answer)
    return Explanation(
        rec_id=made.rec_id,
        topic=settings.kafka.topic("interactions"),
        partition=answered.partition,
        offset=answered.offset,
        recorded_ms=record.timestamp,
        visitor_id=made.visitor_id,
        event_id=made.event_id,
        session_id=made.session_id,
        session_items=row.items,
        model=made.model,
        release=made.release,
        challenger=made.challenger,
        release_from=release_from,
        items=_items(rebuilt, catalogue),
        emitted_ms=None if sent.answer is None else sent.answer.time_ms,
        equal=equal,
        differences=differences,
        lost=past.lost,
        records=past.end - sum(end - start for start, end in past.lost),
        seconds=time.monotonic() - started,
    )


def _items(rebuilt: Rebuilt, catalogue: Catalogue) -> list[ExplainedItem]:
    found = []
    for place, (item, voices) in enumerate(zip(rebuilt.made.items, rebuilt.voices, strict=True), 1):
        known = catalogue.items.get(item.item_id)
        title = None if known is None else known.title
        found.append(
            ExplainedItem(
                place, item.item_id, title, item.score, item.sources, item.reason, voices, item.team
            )
        )
    return found


def _compared(made: Recommendation, sent: Emitted) -> tuple[bool, list[str]]:
    """Whether a list is, byte for byte, the one that was sent, but for the time it was made; what differs."""
    made.emit_time = sent.made.emit_time
    if encode(made) == sent.value:
        return True, []
    here, there = made.items, sent.made.items
    found = [
        f"{name} is {getattr(made, name)!r}, sent was {getattr(sent.made, name)!r}"
        for name in made.__struct_fields__
        if name not in ("items", "candidates") and getattr(made, name) != getattr(sent.made, name)
    ]
    places = [n for n, (one, other) in enumerate(zip(here, there, strict=False)) if one != other]
    for n in places[:_TOLD]:
        one, other = here[n], there[n]
        if one.item_id != other.item_id:
            found.append(f"place {n + 1} is item {one.item_id}, sent was {other.item_id}")
        else:
            found.append(f"item {one.item_id} at place {n + 1} has another score, source or reason")
    if len(places) > _TOLD:
        found.append(f"{len(places) - _TOLD} more places")
    if len(here) != len(there):
        found.append(f"it has {len(here)} items, sent were {len(there)}")
    return False, found or ["the lists of the sources alone, or the order of fields"]
