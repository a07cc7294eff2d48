"""Records and clicks out of history.

In: settings that say where it is. Out: the topic's records in the order of their offsets, each once, or
all clicks in sessions by the rules of the state app. A file at a time is read, and unpacked a row group
at a time; clicks are held whole, as whoever trains on them wants them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from streamrec.config import Settings
from streamrec.datasets import Clicks, make_clicks
from streamrec.errors import DatasetError
from streamrec.history.columns import HistoryRecord
from streamrec.history.coverage import Covered
from streamrec.history.sources import Source, find_sources, import_sources
from streamrec.history.store import HistoryStore
from streamrec.topic_clicks import SessionCutter, TopicClicks
from streamrec.topics import known_topics, read_partition

__all__ = ["history_clicks", "history_coverage", "history_records"]


def history_coverage(settings: Settings, topic_id: str | None = None) -> dict[int, Covered]:
    """What history has of each partition of the topic with this id; None: of the newest that it has.

    Raises StorageError or ConfigError.
    """
    source = _topic(HistoryStore(settings), settings, topic_id)
    found = source.covered() if source is not None else {}
    return {partition: found.get(partition, Covered()) for partition in range(settings.kafka.partitions)}


def history_records(
    settings: Settings,
    partition: int,
    start: int = 0,
    end: int | None = None,
    *,
    topic_id: str | None = None,
) -> Iterator[HistoryRecord]:
    """Records of a partition of the topic with start <= offset < end, in order, each once.

    end: up to where history reaches, if None. topic_id: as for `history_coverage`, which tells of gaps; here
    they are passed over.
    Raises StorageError or ConfigError; DatasetError if history does not reach `end`, or for a damaged file.
    """
    store = HistoryStore(settings)
    source = _topic(store, settings, topic_id)
    if end is not None:
        _require(store, source, {partition: end})
    if source is not None:
        yield from source.records(store, partition, start, end)


def history_clicks(
    settings: Settings,
    *,
    until: Mapping[int, int] | None = None,
    from_ms: int = 0,
    earlier: Collection[str] | None = None,
    topic_id: str | None = None,
    and_topic: bool = False,
) -> TopicClicks:
    """All clicks of history: of imported files, of the topic before it was made anew, and of the topic.

    until: the end, exclusive, of each partition of the topic; those that it does not name are left out.
    None: as far as history reaches. from_ms: only sessions that begin then or later. earlier: ids of the
    imports and of the topics of before to read; None for all. topic_id: the topic as it was; None for the
    newest that history has. and_topic: the topic as it is in Kafka, from where what history does not have
    up to `until` is read, so that the newest clicks are there too.
    Raises StorageError or ConfigError; BrokerError or TopicError if the topic is to be read and cannot be;
    DatasetError if history does not reach `until`, for a damaged file, or if there is no click.
    """
    store = HistoryStore(settings)
    topics = {each.topic_id: each for each in find_sources(store, settings)}
    if and_topic:
        topic_id = known_topics(settings, ["interactions"])["interactions"]
    elif topic_id is None:
        topic_id = next(reversed(topics), "")
    topic = topics.pop(topic_id, None)
    if until is not None and not and_topic:
        _require(store, topic, until)
    before = [
        (about, source)
        for about, source in (
            *(
                ({"source": each.file, "id": each.id, "digest": each.digest}, source)
                for each, source in import_sources(store)
            ),
            *(({"source": each.topic, "id": each.topic_id}, each) for each in topics.values()),
        )
        if earlier is None or source.topic_id in earlier
    ]
    missing = set(earlier or ()) - {source.topic_id for _, source in before}
    if missing:
        raise DatasetError(
            f"{store.url} has neither an import nor a topic {', '.join(sorted(missing))}; if a file was "
            "imported, import it again"
        )
    cuts = [_cut(store, settings, source, None) for _, source in before]
    tail = partial(read_partition, settings, "interactions") if and_topic else None
    last = _cut(store, settings, topic, until, tail)
    parts = [*(_named(cut.clicks, source.topic_id) for cut, (_, source) in zip(cuts, before, strict=True))]
    clicks = _joined([*parts, last.clicks]) if parts else last.clicks
    clicks = _from(clicks, from_ms) if from_ms else clicks
    left_out = last.left_out + sum(cut.left_out for cut in cuts)
    if not len(clicks):
        raise DatasetError(
            f"{store.url}: no click in history, left out were {left_out}; `streamrec archive` brings the "
            "topic into it, and `streamrec import` files"
        )
    data: dict[str, Any] = {
        "source": settings.kafka.topic("interactions"),
        "topic_id": topic_id,
        "offsets": last.offsets,
        "left_out": left_out,
    }
    if last.gaps:
        data["gaps"] = last.gaps
    if before:
        data["earlier"] = [
            {**about, "offsets": cut.offsets, "left_out": cut.left_out}
            for cut, (about, _) in zip(cuts, before, strict=True)
        ]
    return TopicClicks(clicks, data)


_Tail = Callable[[int, int, int], Iterable[list[Any]]]
"""Partition, start and end -> batches of the topic's records."""


class _Cut(NamedTuple):
    """A source, cut into sessions."""

    clicks: Clicks
    left_out: int
    offsets: dict[str, list[int]]
    gaps: dict[str, list[list[int]]]


def _cut(
    store: HistoryStore,
    settings: Settings,
    source: Source | None,
    until: Mapping[int, int] | None,
    tail: _Tail | None = None,
) -> _Cut:
    kafka = settings.kafka
    n_partitions = (source and source.n_partitions) or kafka.partitions
    cutter = SessionCutter(
        settings.model_copy(update={"kafka": kafka.model_copy(update={"partitions": n_partitions})})
    )
    offsets: dict[str, list[int]] = {}
    gaps: dict[str, list[list[int]]] = {}
    for partition in range(n_partitions):
        found = Covered() if source is None else source.covered().get(partition, Covered())
        end = found.end if until is None else until.get(partition, 0)
        offsets[str(partition)] = [min(found.first, end), end]
        holes = [[first, min(last, end)] for first, last in found.gaps if first < end]
        if holes:
            gaps[str(partition)] = holes
        if source is not None:
            for record in source.records(store, partition, 0, end):
                cutter.take(record)
        if tail is not None and end > found.end:
            at = None
            for record in (each for batch in tail(partition, found.end, end) for each in batch):
                at = record.offset if at is None else at
                cutter.take(record)
            first = end if at is None else at
            if not found.end:
                offsets[str(partition)] = [first, end]
            elif first > found.end:
                gaps.setdefault(str(partition), []).append([found.end, first])
    return _Cut(cutter.clicks(), cutter.left_out, offsets, gaps)


def _topic(store: HistoryStore, settings: Settings, topic_id: str | None) -> Source | None:
    found = [each for each in find_sources(store, settings) if topic_id in (None, each.topic_id)]
    return found[-1] if found else None


def _require(store: HistoryStore, source: Source | None, until: Mapping[int, int]) -> None:
    there = {} if source is None else source.covered()
    for partition, end in sorted(until.items()):
        reached = there.get(partition, Covered()).end
        if end > reached:
            raise DatasetError(
                f"{store.url}: history of partition {partition} reaches to offset {reached}, not to {end}: "
                "is the archive app running? It writes a file every STREAMREC_HISTORY__ROLL_S seconds"
            )


def _named(clicks: Clicks, source: str) -> Clicks:
    """The clicks with sessions that are those of no other source."""
    return Clicks([f"{source[:8]}-{each}" for each in clicks.session_ids], clicks.item_ids, clicks.time_ms)


def _joined(parts: list[Clicks]) -> Clicks:
    return make_clicks(
        (each for part in parts for each in part.session_ids),
        (each for part in parts for each in part.item_ids),
        np.concatenate([part.time_ms for part in parts]).tolist(),
    )


def _from(clicks: Clicks, from_ms: int) -> Clicks:
    """The sessions that begin at a time or later."""
    before = set(compress(clicks.session_ids, clicks.time_ms < from_ms))
    mask = np.fromiter((each not in before for each in clicks.session_ids), np.bool_, len(clicks))
    return clicks.take(mask)
