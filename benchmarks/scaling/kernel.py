"""A small kernel of discrete events: a clock, processes, cores that they share.

A process is a generator. It yields what it waits for: a number of seconds, or a signal with the longest time
that it waits for it (inf: for good).
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from itertools import count
from typing import Any

__all__ = ["Cores", "Process", "Signal", "Simulation", "Slots"]

Process = Generator[Any, None, None]


class Signal:
    """Something that processes wait for; each time it fires, all that wait go on."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when it fires next."""
        self._waiting.append(go_on)

    def fire(self) -> None:
        """Let everybody go on who waits now."""
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()


class Simulation:
    """The clock and what is to come."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._next: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, when_s: float, do: Callable[[], None]) -> None:
        """Call `do` at a time; in the order asked for where several are at the same one."""
        heapq.heappush(self._next, (max(when_s, self.now_s), next(self._number), do))

    def start(self, process: Process) -> None:
        """Let a process begin now."""
        self.at(self.now_s, partial(self._go_on, process))

    def run(self, until_s: float) -> None:
        """Let time pass up to `until_s`."""
        while self._next and self._next[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._next)
            do()
        self.now_s = until_s

    def _go_on(self, process: Process) -> None:
        try:
            waits = next(process)
        except StopIteration:
            return
        if not isinstance(waits, tuple):
            self.at(self.now_s + waits, partial(self._go_on, process))
            return
        signal, timeout_s = waits
        gone_on = False

        def once() -> None:
            nonlocal gone_on
            if not gone_on:
                gone_on = True
                self._go_on(process)

        signal.wait(once)
        if timeout_s < math.inf:
            self.at(self.now_s + timeout_s, once)


class Cores:
    """Cores that share what there is to do evenly: each piece gets a core, or an equal part of all.

    beside: how many pieces of others there are at any time, in the mean.
    """

    def __init__(self, simulation: Simulation, cores: float, beside: float = 0.0) -> None:
        self._simulation = simulation
        self._cores = cores
        self._beside = beside
        self._left_s: dict[Signal, float] = {}
        self._since_s = 0.0
        self._version = 0

    def work(self, cpu_s: float) -> Process:
        """Wait until so much is done; to be had with `yield from`."""
        done = Signal()
        self._pass()
        self._left_s[done] = cpu_s
        self._plan()
        yield done, math.inf

    @property
    def _speed(self) -> float:
        return min(1.0, self._cores / (len(self._left_s) + self._beside))

    def _pass(self) -> None:
        """Take off what was done since the last change."""
        now_s = self._simulation.now_s
        if self._left_s:
            done_s = (now_s - self._since_s) * self._speed
            self._left_s = {each: left_s - done_s for each, left_s in self._left_s.items()}
        self._since_s = now_s

    def _plan(self) -> None:
        """The next piece that is finished, unless something changes before."""
        self._version += 1
        if self._left_s:
            done = min(self._left_s, key=self._left_s.__getitem__)
            when_s = self._simulation.now_s + max(0.0, self._left_s[done]) / self._speed
            self._simulation.at(when_s, partial(self._finish, done, self._version))

    def _finish(self, done: Signal, version: int) -> None:
        if version == self._version:
            self._pass()
            del self._left_s[done]
            self._plan()
            done.fire()


class Slots:
    """Room for so many processes at a time; others wait, in the order in which they came."""

    def __init__(self, n: int) -> None:
        self._free = n
        self._waiting: deque[Signal] = deque()

    def enter(self) -> Process:
        """Wait for room; to be had with `yield from`."""
        if self._free:
            self._free -= 1
            return
        turn = Signal()
        self._waiting.append(turn)
        yield turn, math.inf

    def leave(self) -> None:
        """Give the room on."""
        if self._waiting:
            self._waiting.popleft().fire()
        else:
            self._free += 1
