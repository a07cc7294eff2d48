"""The evaluation app's judge on the in-memory log: figures follow from the two logs alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from prequential_reference import reference
from state_parts import BASE, click

from streamrec import metrics
from streamrec.agents.evaluation import ListJudge
from streamrec.config import Settings, load_settings
from streamrec.engine.log import Out
from streamrec.engine.memory import MemoryLog, MemoryRecord
from streamrec.engine.runner import Batch

SETTINGS = load_settings(kafka={"partitions": 1}, evaluation={"window": 20})
WINDOW_OF_FIVE = load_settings(kafka={"partitions": 1}, evaluation={"window": 5})
INTERACTIONS = SETTINGS.kafka.topic("interactions")
LISTS = SETTINGS.kafka.topic("recommendations")


def filled(n: int = 120) -> MemoryLog:
    """Clicks of some visitors, and a list for each, but for a few; one came twice."""
    log = MemoryLog()
    for offset in range(n):
        visitor = f"v{offset * offset % 7}"
        record = click(offset, visitor, "abcdef"[offset * 5 % 6], BASE + offset * 1000)
        log.publish(INTERACTIONS, 0, Out(record.key, record.value), record.timestamp)
        for _ in range((1, 1, 1, 0, 1, 1, 2)[offset % 7]):
            items = [
                {"item_id": item, "score": 1.0, "sources": ["gru4rec" if offset % 2 else "popularity"]}
                for item in "abcdef"[offset % 3 : offset % 3 + 3]
            ]
            body = {
                "visitor_id": visitor,
                "input_partition": 0,
                "input_offset": offset,
                "items": items,
                "release": f"v{offset // 50}",
            }
            log.publish(LISTS, 0, Out(visitor.encode(), json.dumps(body).encode()))
    return log


class MemoryJudge:
    """An evaluation worker that has just started."""

    def __init__(self, log: MemoryLog, settings: Settings = SETTINGS) -> None:
        self.log = log
        self.reread: list[tuple[int, int]] = []
        """Ranges of the recommendations that were read again."""
        self.judge = ListJudge(
            settings, interactions=self._interactions, end=self._end, missing=self._missing
        )

    def handle(self, batches: Iterable[Batch]) -> None:
        async def all_of_them() -> None:
            for batch in batches:
                await self.judge.handle(batch)

        asyncio.run(all_of_them())

    async def _interactions(self, partition: int, start: int, end: int) -> AsyncIterator[list[MemoryRecord]]:
        records = self.log.records(INTERACTIONS, partition)[start:end]
        for first in range(0, len(records), 7):
            yield list(records[first : first + 7])

    async def _end(self, partition: int) -> int:
        return len(self.log.records(INTERACTIONS, partition))

    async def _missing(self, partition: int, start: int, end: int) -> AsyncIterator[list[MemoryRecord]]:
        self.reread.append((start, end))
        yield list(self.log.records(LISTS, partition)[start:end])


def expected(log: MemoryLog, settings: Settings = SETTINGS, start: int = 0) -> Any:
    """What the logs give, from the list at offset `start` on."""
    return reference(settings, {0: (log.records(INTERACTIONS, 0), log.records(LISTS, 0)[start:])})


def cut(log: MemoryLog, size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
    records = log.records(LISTS, 0)[:stop]
    for first in range(start, len(records), size):
        yield Batch(0, records[first : first + size])


def counted() -> dict[str, float]:
    return {
        "judged": metrics.total(metrics.online_judged),
        "no_list": metrics.total(metrics.online_no_list),
        "ignored": metrics.total(metrics.online_ignored_lists),
    }


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_figures_are_those_of_the_logs_however_they_are_cut(size: int) -> None:
    log = filled()
    before = counted()
    worker = MemoryJudge(log)
    worker.handle(cut(log, size))
    figures, counts = expected(log)
    assert worker.judge.figures() == figures
    assert counts["judged"] > 60
    assert counts["no_list"] > 5
    gained = {name: n - before[name] for name, n in counted().items()}
    assert gained == {
        "judged": counts["judged"],
        "no_list": counts["no_list"],
        "ignored": len(log.records(LISTS, 0)) - len({each.value for each in log.records(LISTS, 0)}),
    }


def test_a_new_worker_has_the_figures_of_the_last_windows_and_counts_only_new_lists() -> None:
    log = filled()
    lists = len(log.records(LISTS, 0))
    MemoryJudge(log).handle(cut(log, 10, stop=100))
    before = counted()
    whole = MemoryJudge(log)
    whole.handle(cut(log, 10, start=100))
    assert whole.reread == [(0, 100)]
    assert whole.judge.figures() == expected(log)[0]
    gained = counted()["judged"] - before["judged"]
    assert 0 < gained <= lists - 100

    short = MemoryJudge(log, WINDOW_OF_FIVE)
    short.handle(cut(log, 10, start=100))
    assert short.reread == [(75, 100)]
    assert short.judge.figures() == expected(log, WINDOW_OF_FIVE, start=75)[0]


def test_what_the_engine_skipped_is_read_and_what_comes_again_is_not_taken_again() -> None:
    log = filled()
    worker = MemoryJudge(log)
    worker.handle(cut(log, 10, stop=40))
    worker.handle(cut(log, 10, start=60, stop=90))
    assert worker.reread == [(40, 60)]
    worker.handle(cut(log, 13, start=50))
    assert worker.judge.figures() == expected(log)[0]


@pytest.mark.parametrize("size", [1, 10])
def test_lists_for_what_the_topic_does_not_hold_change_nothing(size: int) -> None:
    """Those made before interactions was made anew, or by somebody who errs."""
    log, mixed = filled(), MemoryLog()
    for record in log.records(INTERACTIONS, 0):
        mixed.publish(INTERACTIONS, 0, Out(record.key, record.value), record.timestamp)
    stray = {"visitor_id": "v0", "input_partition": 0, "input_offset": 10**9}
    for n, record in enumerate(log.records(LISTS, 0)):
        if n in (0, 50):
            mixed.publish(LISTS, 0, Out(b"v0", json.dumps(stray).encode()))
        mixed.publish(LISTS, 0, Out(record.key, record.value))
    worker = MemoryJudge(mixed)
    worker.handle(cut(mixed, size))
    assert worker.judge.figures() == expected(log)[0]


def test_a_partition_that_moved_away_and_came_back_is_judged_anew() -> None:
    log = filled()
    worker = MemoryJudge(log)
    worker.handle(cut(log, 10, stop=40))
    worker.judge.keep({0, 3})
    worker.handle(cut(log, 10, start=40, stop=60))
    assert worker.reread == []
    worker.judge.keep({3})
    assert worker.judge.figures().recall == {}
    worker.handle(cut(log, 10, start=80))
    assert worker.reread == [(0, 80)]
    assert worker.judge.figures() == expected(log)[0]
