"""Counts events and CPU seconds inside the process under measurement.

A thread looks at the process's own counter of events every few milliseconds. What comes
before `warm_up` events (imports, joining the group, first touches of memory) is left out.
The measured span, with all threads in it, is cut into slices so that its spread shows.
"""

import json
import os
import signal
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import psutil

__all__ = ["Measured", "Meter", "read_measured"]

_LOOK_S: Final = 0.05
_TELL_S: Final = 0.25
_SLICES: Final = 10


class Measured(NamedTuple):
    """What one process came to between its warm-up and its last event."""

    events: int
    wall_s: float
    cpu_s: float
    slices_us: list[float]
    """CPU microseconds per event in consecutive slices of the span."""
    rss_bytes: int
    """Memory of the process at the end."""
    ended_s: float = 0.0
    """When, by a clock that all processes of the machine share."""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per event."""
        return self.cpu_s / self.events * 1e6


class _Sample(NamedTuple):
    events: int
    wall_s: float
    cpu_s: float


class Meter:
    """Watches `count`, the events done so far, until there are `n_events`; then ends the process.

    progress, result: files for the number of events so far, and for the outcome.
    """

    def __init__(
        self, count: Callable[[], float], n_events: int, warm_up: int, progress: Path, result: Path
    ) -> None:
        self._count = count
        self._n_events = n_events
        self._warm_up = warm_up
        self._progress = progress
        self._result = result
        self._samples: list[_Sample] = []

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="meter", daemon=True).start()

    def _watch(self) -> None:
        told = 0.0
        while True:
            now = _Sample(int(self._count()), time.monotonic(), time.process_time())
            if now.wall_s - told > _TELL_S:
                told = now.wall_s
                self._progress.write_text(str(now.events), encoding="ascii")
            if now.events >= self._warm_up and (not self._samples or now.events > self._samples[-1].events):
                self._samples.append(now)
            if now.events >= self._n_events:
                break
            time.sleep(_LOOK_S)
        self._result.write_text(json.dumps(self._measured()), encoding="ascii")
        os.kill(os.getpid(), signal.SIGTERM)

    def _measured(self) -> Measured:
        first, last = self._samples[0], self._samples[-1]
        events = last.events - first.events
        # A slice ends with the first sample beyond its share of the events.
        ends = [
            self._samples[bisect_left(self._samples, (first.events + events * n // _SLICES,))]
            for n in range(_SLICES + 1)
        ]
        slices = [
            (after.cpu_s - before.cpu_s) / (after.events - before.events) * 1e6
            for before, after in pairwise(ends)
            if after.events > before.events
        ]
        return Measured(
            events,
            last.wall_s - first.wall_s,
            last.cpu_s - first.cpu_s,
            slices,
            psutil.Process().memory_info().rss,
            last.wall_s,
        )


def read_measured(path: Path) -> Measured:
    """What a meter wrote. Raises FileNotFoundError before it has."""
    return Measured(*json.loads(path.read_text(encoding="ascii")))
