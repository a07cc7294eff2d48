"""One partition of history through the state step and the list making, without a broker.

In: records of the input. Out: what asked for a list, with the list, in the order of the log. The clock
is the history's: a list is emitted when its interaction was recorded, or a stated time later.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Final, NamedTuple

from streamrec.advance import Changes, InputRecord, Place, advance
from streamrec.board_opener import board_opener
from streamrec.catalogue import Catalogue
from streamrec.config import Settings
from streamrec.contracts import ScoreModel, StepModel
from streamrec.events import Recommendation
from streamrec.list_requests import Visitor, list_requests
from streamrec.ranking import recommend
from streamrec.registry import Registry
from streamrec.scorer import load_scorer, load_step
from streamrec.state.rows import VisitorRow
from streamrec.state_opener import state_opener

__all__ = ["Asked", "Models", "PartitionRun"]

# The live version, the one before it and one more that a late row may name.
_RESIDENT: Final = 3


class Models:
    """The versions that records and rows name, loaded when they are asked for. Errors as in Registry.read."""

    def __init__(self, settings: Settings) -> None:
        registry = Registry.of(settings)
        self._step = lru_cache(_RESIDENT)(partial(load_step, registry))
        self._scorer = lru_cache(_RESIDENT)(partial(load_scorer, registry, threads=settings.scoring.threads))

    def step(self, version: str) -> StepModel | None:
        """The step model of a version; None for ""."""
        return self._step(version) if version else None

    def scorer(self, version: str) -> ScoreModel | None:
        """The score model of a version; None for ""."""
        return self._scorer(version) if version else None


class Asked(NamedTuple):
    """An interaction that asked for a list."""

    visitor_id: str
    row: VisitorRow
    """The visitor with it; its item is the last."""
    made: Recommendation | None
    """The list; None before lists are wanted."""


class _Written(NamedTuple):
    """A row as it would be read from visitor-states; `offset` is that of the input."""

    offset: int
    key: bytes
    value: bytes | None


class PartitionRun:
    """State and lists of one partition, from its first record on.

    from_ms: lists are made for what was recorded at or after it; before, there is only learning.
    latency_ms: time from an interaction's record to the emission of its list.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        models: Models,
        catalogue: Catalogue,
        *,
        from_ms: int,
        latency_ms: int,
    ) -> None:
        self._settings = settings
        self._models = models
        self._catalogue = catalogue
        self._from_ms = from_ms
        self._latency_ms = latency_ms
        self._partition = partition
        self._state = state_opener(settings)({}, Place("", partition, settings.kafka.partitions))
        self.boards = board_opener(settings)()
        """What lists may know of the partition, as of the visitors that `asking` yielded last."""
        self.outcomes: Counter[str] = Counter()
        """Records by what became of them: accepted, repeat, or the reason of the refusal."""
        self.state_s = 0.0
        self.lists_s = 0.0
        """Seconds spent in the state step, and on the lists."""

    def take(self, records: Sequence[InputRecord], version: str) -> list[Asked]:
        """What asked for a list among the next records, which are all under one release."""
        started, state_s = time.perf_counter(), self.state_s
        found = [each for visitors in self.asking(records, version) for each in self._answered(visitors)]
        self.lists_s += time.perf_counter() - started - (self.state_s - state_s)
        return found

    def asking(self, records: Sequence[InputRecord], version: str) -> Iterator[list[Visitor]]:
        """Who asks for a list among the next records, all under one release.

        When visitors are yielded, `boards` show what their lists may know.
        """
        model = self._models.step(version)
        while records:
            started = time.perf_counter()
            changes = advance(records, self._state, model)
            self._state.commit(changes)
            self.state_s += time.perf_counter() - started
            offset = changes.watermark.offset
            written = (_Written(offset, key, value) for key, value, _ in changes.rows)
            yield from list_requests(written, self.boards, "", self._settings.scoring.max_batch)
            self._count(changes)
            records = records[changes.consumed :]

    def lists(self, visitors: Sequence[Visitor]) -> list[Recommendation]:
        """The lists of visitors that `asking` has just yielded."""
        lists = recommend(
            visitors,
            self.boards,
            self._models.scorer,
            self._catalogue,
            self._settings,
            partition=self._partition,
            now_ms=0,
        )
        for (_, row), made in zip(visitors, lists, strict=True):
            made.emit_time = row.record_time + self._latency_ms
        return lists

    def _answered(self, visitors: Sequence[Visitor]) -> Iterator[Asked]:
        if all(row.record_time < self._from_ms for _, row in visitors):
            yield from (Asked(*visitor, None) for visitor in visitors)
            return
        for (visitor_id, row), made in zip(visitors, self.lists(visitors), strict=True):
            yield Asked(visitor_id, row, made if row.record_time >= self._from_ms else None)

    def _count(self, changes: Changes) -> None:
        for (_, outcome), n in changes.counts.items():
            if outcome != "rejected":
                self.outcomes[outcome] += n
        self.outcomes.update(letter.reason for letter in changes.rejected)
