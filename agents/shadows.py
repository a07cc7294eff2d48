"""Lists that nobody sees, made by shadows after the lists that are shown.

In: what the list maker has just sent. Out: the shadows' lists, on shadow-recommendations. They wait in a
queue with a bound, and are made in a thread, a few at a time, only while no batch is in work:
when rows wait for their own lists shadows stand still, and what finds no room in the queue is dropped
and counted. What waits when the worker stops is not made.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from streamrec import metrics
from streamrec.catalogue import Catalogue
from streamrec.challengers import Challenger
from streamrec.config import Settings
from streamrec.contenders import Contender, Contenders
from streamrec.engine.log import Log, Out
from streamrec.events import Recommendation, ShadowRecommendation, encode
from streamrec.interleaving import in_share
from streamrec.list_requests import Visitor
from streamrec.ranking import BySource, to_some

__all__ = ["Shadows", "shadow_lists"]

log = logging.getLogger(__name__)

# What a batch that comes meanwhile has to share the processor with.
_AT_ONCE: Final = 16


class _Waiting(NamedTuple):
    """Visitors of one partition with what the sources but the model proposed, and what they were shown."""

    visitors: Sequence[Visitor]
    others: BySource
    shown: Sequence[Recommendation]


class Shadows:
    """Makes the shadows' lists of one worker."""

    def __init__(self, settings: Settings, log: Log, contenders: Contenders, catalogue: Catalogue) -> None:
        self._settings = settings
        self._log = log
        self.contenders = contenders
        """The shadows and the challenger."""
        self._catalogue = catalogue
        self._queue: deque[_Waiting] = deque()
        self._n_waiting = 0
        self._batches = 0
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    async def settled(self) -> None:
        """Wait until no list waits."""
        await self._settled.wait()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """While a batch is in work."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self._wake.set()

    def offer(self, visitors: Sequence[Visitor], others: BySource, shown: Sequence[Recommendation]) -> None:
        """Take lists that were sent, of one partition, to make those of the shadows beside them."""
        n_shadows = len(self.contenders.shadows)
        share, room = self._settings.contest.shadow_share, self._settings.contest.shadow_lists
        sample = [n for n, (visitor_id, _) in enumerate(visitors) if in_share(visitor_id, share, "shadow")]
        if not n_shadows or not sample:
            return
        for first in range(0, len(sample), _AT_ONCE):
            part = sample[first : first + _AT_ONCE]
            if self._n_waiting + len(part) > room:
                metrics.shadow_lists_dropped.labels("busy").inc(n_shadows * len(part))
                continue
            self._settled.clear()
            self._n_waiting += len(part)
            self._queue.append(
                _Waiting([visitors[n] for n in part], to_some(others, part), [shown[n] for n in part])
            )
        self._wake.set()

    async def run(self) -> None:
        """Make what waits, for as long as the worker lives."""
        while True:
            await self._turn()
            for contender in self.contenders.shadows:
                await self._turn()
                await self._work(contender, self._queue[0])
            self._n_waiting -= len(self._queue.popleft().visitors)
            if not self._queue:
                self._settled.set()

    async def _turn(self) -> None:
        """Wait until something waits, and no batch is in work."""
        while self._batches or not self._queue:
            self._wake.clear()
            await self._wake.wait()

    async def _work(self, contender: Contender, waiting: _Waiting) -> None:
        try:
            with metrics.stage_seconds.labels("shadow").time():
                made = await asyncio.to_thread(self._make, contender.model, waiting)
        except Exception as error:  # the shadow's own fault, whatever it is
            metrics.shadow_lists_dropped.labels("failed").inc(len(waiting.visitors))
            self.contenders.refuse(contender, error)
            return
        if made:
            await self._send(made)

    def _make(self, shadow: Challenger, waiting: _Waiting) -> list[ShadowRecommendation]:
        return shadow_lists(shadow, *waiting, self._catalogue, self._settings, time.time_ns() // 1_000_000)

    async def _send(self, made: list[ShadowRecommendation]) -> None:
        topic = self._settings.kafka.topic("shadow-recommendations")
        records = [Out(each.visitor_id.encode(), encode(each)) for each in made]
        try:
            await self._log.send(topic, made[0].input_partition, records)
        except Exception as error:  # lists that are shown go on
            metrics.shadow_lists_dropped.labels("unsent").inc(len(made))
            log.error("%d lists of shadows could not be written to %s: %s", len(made), topic, error)
        else:
            metrics.shadow_lists.inc(len(made))


def shadow_lists(
    shadow: Challenger,
    visitors: Sequence[Visitor],
    others: BySource,
    shown: Sequence[Recommendation],
    catalogue: Catalogue,
    settings: Settings,
    now_ms: int,
) -> list[ShadowRecommendation]:
    """What a shadow would have shown, but for visitors whose rows it has made itself.

    shown: the visitors' lists, of one partition. Errors as in `Challenger.lists`.
    """
    places = [n for n, (_, row) in enumerate(visitors) if row.model_version != shadow.version]
    if not places:
        return []
    made = shadow.lists(
        [visitors[n] for n in places],
        to_some(others, places),
        catalogue,
        settings,
        partition=shown[0].input_partition,
        now_ms=now_ms,
    )
    return [
        ShadowRecommendation(
            rec_id=each.rec_id,
            visitor_id=each.visitor_id,
            session_id=each.session_id,
            event_id=each.event_id,
            items=each.items,
            model=each.model,
            release=each.release,
            shown=[item.item_id for item in shown[n].items],
            shown_release=shown[n].release,
            event_time=each.event_time,
            emit_time=each.emit_time,
            input_partition=each.input_partition,
            input_offset=each.input_offset,
        )
        for n, each in zip(places, made, strict=True)
    ]
