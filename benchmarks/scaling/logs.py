"""What workers read: the clicks that arrive, and the rows that another worker appends."""

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.scaling.arrivals import Seconds
from benchmarks.scaling.kernel import Process, Signal, Simulation

__all__ = ["Appended", "Clicks"]


class Clicks:
    """The input: arrival times by partition, all known in advance."""

    def __init__(self, times: Sequence[Seconds]) -> None:
        self.times = times

    def end(self, partition: int, now_s: float) -> int:
        """How many clicks are there."""
        return int(np.searchsorted(self.times[partition], now_s, side="right"))

    def until_there(
        self, simulation: Simulation, positions: Sequence[tuple[int, int]], timeout_s: float
    ) -> Process:
        """Wait until one of the partitions has a click at its position."""
        coming = [times[n] for p, n in positions if n < len(times := self.times[p])]
        yield max(0.0, min(min(coming, default=math.inf) - simulation.now_s, timeout_s))


class Appended:
    """What a worker has written: as many rows as there were clicks, in their order."""

    def __init__(self, n_partitions: int) -> None:
        self.ends = [0] * n_partitions
        self.grown = Signal()

    def append(self, partition: int, n: int) -> None:
        """So many rows more."""
        self.ends[partition] += n
        self.grown.fire()

    def end(self, partition: int, now_s: float) -> int:
        """How many rows are there."""
        return self.ends[partition]

    def until_there(
        self, simulation: Simulation, positions: Sequence[tuple[int, int]], timeout_s: float
    ) -> Process:
        """Wait until one of the partitions has a row at its position."""
        deadline_s = simulation.now_s + timeout_s
        while all(self.ends[p] <= n for p, n in positions) and simulation.now_s < deadline_s:
            yield self.grown, deadline_s - simulation.now_s
