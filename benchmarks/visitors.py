"""Many visitors held: the memory of one, and how fast a worker that starts has them all again.

The rows are those of the state app itself: `advance` over the bundled real sessions, which come again
and again under ids of visitors never seen before, appended as compaction leaves them: the last row of every
key. The app is started on them with a click waiting in each partition; it has recovered when it has handled
those. Beside it, a stock Faust table recovers a share of the same rows; and the memory is that beyond
an app that holds the same items and no visitors.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from statistics import mean, median
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace
from rich.progress import Progress

from benchmarks.load import own_settings, own_topics
from benchmarks.meter import Measured
from benchmarks.running import Contender
from benchmarks.workloads import Comparison
from streamrec.advance import Place, advance, partition_of
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks
from streamrec.engine.log import KafkaLog, Out, Record
from streamrec.events import Interaction, encode
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.scorer import load_step
from streamrec.state.rows import VISITOR, WATERMARK_KEY, decode_watermark, encode_row
from streamrec.state_opener import state_opener
from streamrec.topics import known_topics

__all__ = [
    "COMPARISONS",
    "Arrival",
    "Held",
    "Worked",
    "absolute_entries",
    "make_rows",
    "measure_visitors",
    "write_rows",
]

RECOVERY: Final = "state: a row of visitor-states recovered"
_STOCK: Final = "stock Faust table: a row of the same recovered"
EMPTY: Final = "state: the same items without visitors"
COMPARISONS: Final = (Comparison(RECOVERY, _STOCK, 5.0),)

_LEAST_ROWS_PER_S: Final = 100_000
_MOST_BYTES: Final = 2_000
"""Of memory for a visitor held."""
_STOCK_SHARE: Final = 0.05
_APART_MS: Final = 1
_BATCH: Final = 2_000


class Held(NamedTuple):
    """What was written for the app to recover."""

    visitors: int
    rows: int
    row_bytes: float
    """Mean size of a visitor's row, key and value."""


class Worked(NamedTuple):
    """What a batch of clicks came to."""

    visitors: int
    """That were not known before."""
    clicks: int
    cpu_s: float
    """Of the state step."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record of the input, as `advance` takes it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def measure_visitors(
    bootstrap: str,
    settings: Settings,
    version: str,
    n_visitors: int,
    n_rounds: int,
    work: Path,
    progress: Progress,
) -> tuple[dict[str, list[Measured]], Held]:
    """What recovery came to, by the name of who recovered; and what there was to recover.

    settings: with the registry that holds the version. Raises BenchmarkError if a process does not get there.
    """
    rounds: dict[str, list[Measured]] = {}
    full, empty = (own_settings(settings, bootstrap, name) for name in ("held", "empty"))
    with own_topics(full), own_topics(empty):
        task = progress.add_task(f"{n_visitors:,} visitors", total=n_visitors)
        rows = make_rows(full, version, n_visitors, lambda worked: progress.advance(task, worked.visitors))
        n = full.kafka.partitions
        sizes = [len(key) + len(row) for each in rows for key, row in each.items() if key[:2] == VISITOR]
        held = Held(len(sizes), write_rows(full, rows), round(mean(sizes), 1))
        items = write_rows(empty, [_without_visitors(each) for each in rows])
        del rows
        contenders = (
            (RECOVERY, "recovery", full, held.rows + n),
            (_STOCK, "stock-recovery", full, round(held.rows * _STOCK_SHARE)),
            (EMPTY, "recovery", empty, items + n),
        )
        for each in (full, empty):
            announce(each, "gru4rec", version)
        for number in range(n_rounds):
            for name, kind, own, events in contenders:
                asyncio.run(_click_everywhere(own))
                task = progress.add_task(f"{name} ({number + 1}/{n_rounds})", total=events)
                folder = work / f"{own.kafka.prefix}{kind}-{number}"
                # From the first row on: to join the group takes seconds, whatever there is to recover.
                with Contender(name, kind, own, events, folder, warm_up=1) as contender:
                    measured = contender.join(partial(_advanced, progress, task))
                rounds.setdefault(name, []).append(measured)
                progress.update(task, completed=events)
    return rounds, held


def _without_visitors(rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: row for key, row in rows.items() if key[:2] != VISITOR}


def _advanced(progress: Progress, task: Any, done: int) -> None:
    progress.update(task, completed=done)


def absolute_entries(rounds: dict[str, list[Measured]], held: Held) -> list[dict[str, Any]]:
    """The figures that are held against fixed ones: rows a second, bytes a visitor."""
    rows_per_s = median(each.events / each.wall_s for each in rounds[RECOVERY])
    with_all, without = (median(each.rss_bytes for each in rounds[name]) for name in (RECOVERY, EMPTY))
    visitor_bytes = (with_all - without) / held.visitors
    return [
        {
            "work": "rows of visitor-states recovered in a second",
            "beside": f"{_LEAST_ROWS_PER_S:,}",
            "ratio": round(rows_per_s / _LEAST_ROWS_PER_S, 4),
            "at_least": 1.0,
            "of": "rows a second",
            "ratio_is": "rows per second of `work` / `beside`",
            "work_measured": {"rows_per_s": round(rows_per_s), **held._asdict()},
        },
        {
            "work": "memory for a visitor held",
            "beside": f"{_MOST_BYTES:,} bytes",
            "ratio": round(_MOST_BYTES / visitor_bytes, 4),
            "at_least": 1.0,
            "of": "bytes, the fewer the better",
            "ratio_is": "`beside` / resident memory per visitor, beyond that of an app without them",
            "work_measured": {"bytes": round(visitor_bytes), **held._asdict()},
        },
    ]


# -- the rows -----------------------------------------------------------------------------------


def make_rows(
    settings: Settings, version: str, n_visitors: int, on_batch: Callable[[Worked], object]
) -> list[dict[bytes, bytes]]:
    """The rows of so many visitors and of their clicks' items, by partition, as the state app makes them.

    on_batch: called with what each batch came to.
    """
    n_partitions, open_state = settings.kafka.partitions, state_opener(settings)
    step = load_step(Registry.of(settings), version)
    states = [open_state({}, Place("", each, n_partitions)) for each in range(n_partitions)]
    waiting: list[list[Arrival]] = [[] for _ in states]

    def work_off(partition: int) -> None:
        state, records = states[partition], waiting[partition]
        before, clicks, began_s = len(state.visitors), len(records), time.thread_time()
        while records:
            changes = advance(records, state, step)
            state.commit(changes)
            records = records[changes.consumed :]
        waiting[partition] = []
        on_batch(Worked(len(state.visitors) - before, clicks, time.thread_time() - began_s))

    for partition, arrival in _arrivals(n_visitors, n_partitions):
        waiting[partition].append(arrival)
        if len(waiting[partition]) == _BATCH:
            work_off(partition)
    for partition in range(n_partitions):
        work_off(partition)
    return [state.rows for state in states]


def _arrivals(n_visitors: int, n_partitions: int) -> Iterator[tuple[int, Arrival]]:
    """Clicks of bundled sessions, in their order, and the partition of each; each pass has other visitors."""
    clicks, draw = bundled_clicks(), np.random.default_rng(1)
    now, offsets, left = time.time_ns() // 1_000_000, [count() for _ in range(n_partitions)], n_visitors
    for n_pass in count():
        visitors: dict[str, tuple[str, int] | None] = {}
        for session_id, item_id in zip(clicks.session_ids, clicks.item_ids, strict=True):
            if session_id not in visitors:
                name = _uuid(draw)
                visitors[session_id] = (name, partition_of(name.encode(), n_partitions)) if left else None
                left -= left > 0
            visitor = visitors[session_id]
            if visitor is None:
                continue
            now += _APART_MS
            name, partition = visitor
            event = Interaction(
                event_id=_uuid(draw),
                type="click",
                visitor_id=name,
                item_id=item_id,
                time=now,
                session_id=f"{session_id}-{n_pass}",
            )
            yield partition, Arrival(next(offsets[partition]), now, name.encode(), encode(event))
        if not left:
            return


def _uuid(draw: np.random.Generator) -> str:
    """An id of the shape that apps give."""
    digits = draw.bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def write_rows(settings: Settings, partitions: Sequence[Mapping[bytes, bytes]]) -> int:
    """Append rows to visitor-states, each partition's watermark last; returns how many."""

    async def write() -> int:
        log, topic = KafkaLog(settings.kafka, "benchmarks"), settings.kafka.topic("visitor-states")
        ids, written = known_topics(settings, ["interactions", "visitor-states"]), 0
        try:
            for partition, rows in enumerate(partitions):
                await log.claim(topic, partition)
                for append in _appends(rows, ids["interactions"], ids["visitor-states"]):
                    await log.append(topic, partition, append)
                    written += len(append)
        finally:
            await log.stop()
        return written

    return asyncio.run(write())


def _appends(rows: Mapping[bytes, bytes], topic_id: str, table_id: str) -> Iterator[list[Record]]:
    """As many rows as a batch of the input has changed; the topics that they are of in the watermark."""
    watermark = replace(decode_watermark(rows[WATERMARK_KEY]), topic_id=topic_id, table_id=table_id)
    rows = {key: row for key, row in rows.items() if key != WATERMARK_KEY}
    last = (WATERMARK_KEY, encode_row(watermark), ())
    records: Iterator[Record] = chain(((key, row, ()) for key, row in rows.items()), [last])
    while append := list(islice(records, _BATCH)):
        yield append


async def _click_everywhere(settings: Settings) -> None:
    """A click for each partition. The watermarks are beyond it: it is handled, and changes nothing."""
    log, n = KafkaLog(settings.kafka, "benchmarks"), settings.kafka.partitions
    now = time.time_ns() // 1_000_000
    try:
        for partition in range(n):
            visitor_id = next(
                each for each in map(str, count()) if partition_of(each.encode(), n) == partition
            )
            event = Interaction(event_id=str(now), type="click", visitor_id=visitor_id, item_id="1", time=now)
            click = Out(visitor_id.encode(), encode(event))
            await log.send(settings.kafka.topic("interactions"), partition, [click])
    finally:
        await log.stop()
