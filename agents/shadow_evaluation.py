"""Follows shadow-recommendations beside the lists that are shown: thin wiring around ShadowJudge.

The figures are kept in memory alone. A worker that starts, or takes a partition over, folds the
shadows' lists of the last five windows once more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final, Protocol

from streamrec.config import Settings
from streamrec.evaluation.shadows import ShadowFigures, ShadowJudge, shadow_figures

__all__ = ["Ranges", "ShadowFollower"]

_WINDOWS_AGAIN: Final = 5


class Ranges(Protocol):
    """Reads a topic; engine.reader.RangeReader is one."""

    @property
    def end(self) -> Callable[[int], Awaitable[int]]:
        """Asks for the offset after a partition's last record."""

    @property
    def read(self) -> Callable[[int, int, int], AsyncIterator[list[Any]]]:
        """(partition, start, end) -> batches of records."""


class ShadowFollower:
    """Judges the shadows of this worker's partitions.

    lists, interactions: read shadow-recommendations, and what they are judged by.
    """

    def __init__(self, settings: Settings, *, lists: Ranges, interactions: Ranges) -> None:
        self._settings = settings
        self._topic = lists
        self._interactions = interactions
        self._judges: dict[int, ShadowJudge] = {}
        self._next: dict[int, int] = {}

    def keep(self, partitions: Collection[int]) -> None:
        """Let go what is known of all other partitions: they are another worker's now."""
        self._judges = {n: judge for n, judge in self._judges.items() if n in partitions}

    def figures(self) -> ShadowFigures:
        """The figures of this worker's partitions together."""
        in_order = (self._judges[partition] for partition in sorted(self._judges))
        return shadow_figures(in_order, self._settings.evaluation)

    async def follow(self, partition: int) -> None:
        """Take the partition's shadow lists up to the present end, and the interactions that they answer."""
        end = await self._topic.end(partition)
        judge = self._judges.get(partition)
        if judge is None:
            judge = self._judges[partition] = ShadowJudge(self._settings, partition)
            self._next[partition] = max(0, end - _WINDOWS_AGAIN * self._settings.evaluation.window)
        async for records in self._topic.read(partition, self._next[partition], end):
            judge.take_lists(records, await self._interactions.end(partition))
            start, wanted = judge.wanted
            async for taken in self._interactions.read(partition, start, wanted):
                judge.take_interactions(taken, taken[-1].offset + 1)
            judge.take_interactions((), wanted)
        self._next[partition] = end
