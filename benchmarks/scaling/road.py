"""The way of clicks through one state worker and the scoring workers that read its partitions, simulated.

What the workers do is what `streamrec/engine/transport.py` and `works.py` make of Faust:

- A client asks a broker for all partitions of which nothing waits in it, and waits up to 50 ms there if there
  is nothing; what arrives in other partitions meanwhile waits for the next request.
- A poll takes all that has been fetched, one batch a partition, of at most `max_poll_records`; where
  something had lain there, once more 3 ms later.
- Up to eight batches are in work at once, each of another partition: a fixed cost and one for each click, one
  after the other, then the time until Kafka has acknowledged, side by side. A poll leaves out partitions of
  which a batch waits for the one in work: what arrives there meanwhile makes its next one larger.
- After a poll of fewer than 4 records a partition a worker first finishes it, and pauses for as long as that
  took, 100 ms at most.

Partitions do not know of each other: a worker's share of them, with the traffic of its share, stands for the
fleet.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from benchmarks.scaling.arrivals import Seconds
from benchmarks.scaling.kernel import Cores, Process, Signal, Simulation, Slots
from benchmarks.scaling.logs import Appended, Clicks

__all__ = ["Costs", "Hop", "Outage", "Road", "Worker"]

# As in streamrec/engine/transport.py.
_FETCH_WAIT_S: Final = 0.05
_FEW: Final = 4
_LONGEST_PAUSE_S: Final = 0.1
_AGAIN_S: Final = 0.003
# As in streamrec/engine/works.py.
_AT_ONCE: Final = 8


_Batch = tuple[int, int, int]
"""Partition, first click, end."""


@dataclass(frozen=True)
class Costs:
    """What a batch costs an app."""

    batch_s: float
    """CPU of any batch."""
    click_s: float
    """CPU of each click in it, beyond."""
    write_s: float
    """From the request to write until its acknowledgement."""
    records: float = 1.0
    """That the app reads for a click: scoring has rows of items and watermarks beside the visitor's."""

    def cpu_s(self, n: int) -> float:
        """CPU of a batch of n clicks."""
        return self.batch_s + n * self.click_s


@dataclass(frozen=True)
class Hop:
    """How clients fetch. brokers: that the partitions lie on, each asked for itself."""

    fetch_s: float
    brokers: int = 1
    max_poll_records: int = 2000


@dataclass(frozen=True)
class Outage:
    """A state worker has died, and another gets partitions of it. Times from the start of the simulation."""

    inherited: int
    """Partitions that were the dead one's, the last of all. Their clicks are those after its death: nobody
    handles them before `back_s`."""
    stopped_s: float
    """From here on the group rebalances and the other one recovers rows: it handles nothing,"""
    back_s: float
    """until it handles its own and the dead one's."""


@dataclass
class Worker:
    """A worker of one app and the client in it.

    source: what it reads. handled: called with partition, first and end of every batch that is acknowledged.
    """

    simulation: Simulation
    cores: Cores
    costs: Costs
    hop: Hop
    source: Clicks | Appended
    partitions: list[int]
    handled: Callable[[int, int, int], object]
    batches: int = 0
    clicks: int = 0
    cpu_s: float = 0.0
    stopped: bool = False
    _done: dict[int, int] = field(default_factory=dict)
    _read: dict[int, int] = field(default_factory=dict)
    _fetched: dict[int, int] = field(default_factory=dict)
    _queue: deque[_Batch] = field(default_factory=deque)
    _in_work: dict[int, _Batch] = field(default_factory=dict)
    """Begun, by partition."""

    def start(self) -> None:
        """Begin to read all partitions from their start."""
        self._arrived, self._asked, self._put, self._changed = Signal(), Signal(), Signal(), Signal()
        self._interpreter = Slots(1)
        self._own(self.partitions)
        self.simulation.start(self._poll())
        self.simulation.start(self._handle())

    def stop(self) -> None:
        """Handle nothing more; what is in work is finished."""
        self.stopped = True
        self._queue.clear()

    def go_on(self, more: Sequence[int] = ()) -> None:
        """Handle everything again, from where it was read to, and further partitions from their start on."""
        self.stopped = False
        for p in self.partitions:
            self._fetched[p] = self._read[p] = self._done[p]
        self.partitions = [*self.partitions, *more]
        self._own(more)
        self._asked.fire()
        self._changed.fire()

    def _own(self, partitions: Sequence[int]) -> None:
        for p in partitions:
            self._done[p] = self._read[p] = self._fetched[p] = 0
        for broker in range(self.hop.brokers):
            if of_it := [p for p in partitions if p % self.hop.brokers == broker]:
                self.simulation.start(self._fetch(of_it))

    def _fetch(self, partitions: Sequence[int]) -> Process:
        while True:
            empty = [p for p in partitions if self._fetched[p] == self._read[p]]
            if not empty:
                yield self._asked, math.inf
                continue
            yield self.hop.fetch_s / 2
            positions = [(p, self._fetched[p]) for p in empty]
            yield from self.source.until_there(self.simulation, positions, _FETCH_WAIT_S)
            ends = {p: self.source.end(p, self.simulation.now_s) for p in empty}
            yield self.hop.fetch_s / 2
            for p, before in positions:
                # Unless it has begun anew meanwhile.
                if self._fetched[p] == before:
                    self._fetched[p] = max(before, ends[p])
            self._arrived.fire()

    def _poll(self) -> Process:
        were_few, handed_s = False, 0.0
        while True:
            while self._no_room() or (were_few and self._in_work):
                yield self._changed, math.inf
            if were_few:
                were_few = False
                yield min(self.simulation.now_s - handed_s, _LONGEST_PAUSE_S)
                continue
            full = {p for p, _, _ in self._queue}
            before = {p: read for p, read in self._read.items() if p not in full}
            if self._take(before):
                yield _AGAIN_S
            else:
                yield self._arrived, math.inf
            self._take(before)
            taken = [(p, first, end) for p, first in before.items() if (end := self._read[p]) > first]
            if self.stopped or not taken:
                continue
            handed_s = self.simulation.now_s
            n_clicks = sum(end - first for _, first, end in taken)
            were_few = n_clicks * self.costs.records < _FEW * len(taken)
            self._queue.extend(taken)
            self._put.fire()

    def _no_room(self) -> bool:
        """Whether a batch of every partition waits, or it is stopped."""
        return self.stopped or (bool(self._queue) and {p for p, _, _ in self._queue} >= set(self._read))

    def _take(self, before: Mapping[int, int]) -> bool:
        """Take what is there of each partition, as much as there is room for; whether there was anything.

        before: where they stood when the poll began.
        """
        most = max(1, int(self.hop.max_poll_records / self.costs.records))
        ends = {p: min(self._fetched[p], first + most) for p, first in before.items()}
        found = any(end > self._read[p] for p, end in ends.items())
        self._read.update(ends)
        self._asked.fire()
        return found

    def _handle(self) -> Process:
        """Begin batches, in their order, those whose partition has no other in work."""
        while True:
            ready = [batch for batch in self._queue if batch[0] not in self._in_work]
            if not ready or len(self._in_work) == _AT_ONCE:
                yield self._put, math.inf
                continue
            batch = ready[0]
            self._queue.remove(batch)
            self._in_work[batch[0]] = batch
            self.simulation.start(self._work(batch))
            self._changed.fire()

    def _work(self, batch: _Batch) -> Process:
        partition, first, end = batch
        yield from self._interpreter.enter()
        cpu_s = self.costs.cpu_s(end - first)
        yield from self.cores.work(cpu_s)
        self._interpreter.leave()
        yield self.costs.write_s
        self.batches, self.clicks, self.cpu_s = (
            self.batches + 1,
            self.clicks + end - first,
            self.cpu_s + cpu_s,
        )
        self._done[partition] = end
        del self._in_work[partition]
        self.handled(partition, first, end)
        self._put.fire()
        self._changed.fire()


@dataclass
class Road:
    """One state worker, and the scoring workers that read its partitions.

    clicks: arrival times by partition. scorers: how many share the partitions. together: the cores of all of
    them, where they share a machine with so many pieces of work `beside`; otherwise each worker has a core of
    its own.
    """

    clicks: Sequence[Seconds]
    state: Costs
    scoring: Costs
    hop: Hop
    scorers: int = 1
    together: float | None = None
    beside: float = 0.0
    outage: Outage | None = None

    def __post_init__(self) -> None:
        self._simulation = Simulation()
        shared = None if self.together is None else Cores(self._simulation, self.together, self.beside)
        n, self.rows = len(self.clicks), Appended(len(self.clicks))
        self.emitted_s = [np.full(len(times), np.nan) for times in self.clicks]

        def worker(
            costs: Costs, source: Clicks | Appended, own: list[int], handled: Callable[..., object]
        ) -> Worker:
            cores = shared or Cores(self._simulation, 1.0)
            return Worker(self._simulation, cores, costs, self.hop, source, own, handled)

        every = list(range(n))
        own = every[: n - self.outage.inherited] if self.outage else every
        self.keeper = worker(self.state, Clicks(self.clicks), own, self._kept)
        self.makers = [
            worker(self.scoring, self.rows, every[first :: self.scorers], self._emitted)
            for first in range(min(self.scorers, n))
        ]

    def run(self, until_s: float) -> None:
        """Simulate from an empty start to this time."""
        for each in (self.keeper, *self.makers):
            each.start()
        if self.outage:
            inherited = range(len(self.clicks) - self.outage.inherited, len(self.clicks))
            self._simulation.at(self.outage.stopped_s, self.keeper.stop)
            self._simulation.at(self.outage.back_s, partial(self.keeper.go_on, inherited))
        self._simulation.run(until_s)

    def _kept(self, partition: int, first: int, end: int) -> None:
        self.rows.append(partition, end - first)

    def _emitted(self, partition: int, first: int, end: int) -> None:
        self.emitted_s[partition][first:end] = self._simulation.now_s
