"""What a table makes of the batches that Faust's recovery hands it, in and out of turn."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streamrec.config import load_settings
from streamrec.engine.app import create_app
from streamrec.engine.log import Out
from streamrec.engine.memory import MemoryLog
from streamrec.engine.table import OWNER_KEY, PartitionTable
from streamrec.engine.transport import Fetched

PLACE = TP("rows", 0)


class World:
    """A log with rows in it, some compacted away, and the table of a worker."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        for n in range(40):
            self.log.publish("rows", 0, Out(b"k%d" % (n * 7 % 13), None if n % 5 == 4 else b"v%d" % n))
        self.gone: set[int] = set()
        app = create_app(load_settings(), "state")
        self.table = PartitionTable(
            app, name="rows", topic="rows", log=self.log, partitions=1, missing=self.missing
        )
        self.reread: list[tuple[int, int]] = []

    def read(self, start: int, end: int) -> Fetched:
        """What a poll that begins at `start` brings, up to `end`."""
        found = Fetched(
            record
            for record in self.log.records("rows", 0)
            if start <= record.offset < end and record.offset not in self.gone
        )
        found.start, found.end = start, min(end, len(self.log.records("rows", 0)))
        return found

    async def missing(self, _partition: int, start: int, end: int) -> AsyncIterator[list[Any]]:
        self.reread.append((start, end))
        yield list(self.read(start, end))

    def recover(self, *polls: tuple[int, int]) -> None:
        """Apply polls as Faust would: start and end of each."""
        for start, end in polls:
            if found := self.read(start, end):
                message = SimpleNamespace(tp=PLACE, partition=0, offset=found[-1].offset, value=found)
                self.table.apply_changelog_batch([SimpleNamespace(message=message)])

    @property
    def expected(self) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        for record in self.read(0, 10**9):
            if record.value is None:
                rows.pop(record.key, None)
            else:
                rows[record.key] = record.value
        return rows


def test_polls_in_turn_are_applied_and_nothing_is_read_again() -> None:
    world = World()
    world.recover((0, 10), (10, 25), (25, 40))
    assert world.table.rows(0) == world.expected
    assert world.table.persisted_offset(PLACE) == 39


def test_what_was_fetched_before_a_rebalance_does_not_hide_what_came_before_it() -> None:
    # Faust drops the polls from the beginning once it has seen a later one.
    world = World()
    world.recover((25, 40))
    assert world.table.rows(0) == {}
    assert world.table.persisted_offset(PLACE) is None


def test_old_polls_do_not_bring_old_rows_back() -> None:
    world = World()
    world.recover((0, 40), (0, 12), (10, 20))
    assert world.table.rows(0) == world.expected
    assert world.table.persisted_offset(PLACE) == 39


def test_compaction_leaves_no_gap() -> None:
    world = World()
    world.gone = {*range(8, 17), 20, 21}
    world.recover((0, 10), (10, 22), (22, 40))  # the second begins where the first ended
    assert world.table.rows(0) == world.expected
    assert world.table.persisted_offset(PLACE) == 39


@given(
    polls=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), max_size=12),
    gone=st.sets(st.integers(0, 39)),
)
async def test_whatever_recovery_did_a_partition_taken_over_has_all_its_rows(
    polls: list[tuple[int, int]], gone: set[int]
) -> None:
    world = World()
    world.gone = gone
    world.recover(*((start, start + length) for start, length in polls))
    before = world.table.persisted_offset(PLACE)
    await world.table.take_over(0)
    assert world.table.rows(0) == {key: value for key, value in world.expected.items() if key != OWNER_KEY}
    assert world.reread == [(0 if before is None else before + 1, 40)]


def test_a_poll_tells_from_where_to_where_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Records:
        """The client's: a batch of offsets 17 to 24 of which two records are left."""

        next_fetch_offset = 17

        def __iter__(self) -> Iterator[Any]:
            yield from (SimpleNamespace(offset=18), SimpleNamespace(offset=20))
            self.next_fetch_offset = 25

    found = polled(monkeypatch, SimpleNamespace(), Records())
    assert ([each.offset for each in found], found.start, found.end) == ([18, 20], 17, 25)


def polled(monkeypatch: pytest.MonkeyPatch, place: Any, records: Any) -> Fetched:
    assignment = SimpleNamespace(state_value=lambda _: place)
    result = fetcher.FetchResult(PLACE, assignment=assignment, partition_records=records, backoff=0)
    monkeypatch.setattr(result, "check_assignment", lambda _: True)
    monkeypatch.setattr(result, "_update_position", lambda: None)
    found = result.getall()
    assert isinstance(found, Fetched)
    return found


def test_a_poll_begins_behind_the_last_record_of_the_ones_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Records:
        def __init__(self, start: int, end: int, *offsets: int) -> None:
            self.next_fetch_offset, self._end, self._offsets = start, end, offsets

        def __iter__(self) -> Iterator[Any]:
            yield from (SimpleNamespace(offset=each) for each in self._offsets)
            self.next_fetch_offset = self._end

    place = SimpleNamespace()
    polls = [
        (0, 3, 0, 1, 2),
        *[(3, 4), (4, 5)],  # ends of transactions, each by itself
        (5, 8, 5, 6),  # another one behind the records
        (8, 9, 8),
        *[(20, 21), (40, 42, 40, 41)],  # after seeks
    ]
    found = [polled(monkeypatch, place, Records(*poll)) for poll in polls]
    assert [(each.start, each.end) for each in found if each] == [(0, 3), (3, 8), (7, 9), (40, 42)]
