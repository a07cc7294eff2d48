"""Lists of shadows against what visitors clicked next, beside the lists that they were shown.

In: the interactions and the shadow-recommendations of one partition, each in their order, but interleaved
in any way. Out: for each shadow, fading hit rates at k of its lists and of the shown ones, over the same
clicks: a click b counts where the shadow made a list for the click a before it in the session, and
the record of that list tells what was shown. So nothing else has to be read.

The order of things is that of the shadow-recommendations alone, as in `streamrec.evaluation.prequential`:
before a list counts, all interactions up to the one it answers are taken. Lists that come after
the click that they would be judged by, or come again, judge nothing.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrec.advance.records import InputRecord
from streamrec.config import EvaluationSettings, Settings
from streamrec.visits import Visit, Visits

__all__ = ["ShadowFigures", "ShadowJudge", "shadow_figures"]

Role = Literal["shadow", "live"]


class _Place(msgspec.Struct, gc=False):
    item_id: str


class _List(msgspec.Struct, gc=False):
    """Fields as in ShadowRecommendation."""

    visitor_id: str
    release: str
    items: list[_Place]
    shown: list[str]
    input_partition: int
    input_offset: int


_decode: Final = msgspec.json.Decoder(_List).decode


class _Waiting(msgspec.Struct, gc=False):
    """A visitor's last click, and the shadows' lists for it."""

    offset: int
    session: int
    lists: dict[str, _List] = {}


class _Sums(msgspec.Struct, gc=False):
    """Sums over clicks that weigh the less the longer ago they were judged."""

    clicks: float
    hits: NDArray[np.float64]
    """(2, cutoffs): of the shadow, and of what was shown."""
    time_ms: int


class ShadowFigures(msgspec.Struct):
    """Hit rates by k, role and the shadow's version, and what they stand on by version."""

    recall: dict[tuple[str, ...], float]
    clicks: dict[tuple[str, ...], float]


class ShadowJudge:
    """The judge of one partition. Of visitors at most `evaluation.max_visitors` are remembered."""

    def __init__(self, settings: Settings, partition: int) -> None:
        self.sums: dict[str, _Sums] = {}
        """By version."""
        evaluation = settings.evaluation
        self._cutoffs = np.array(evaluation.cutoffs)
        self._factor = 1.0 - 1.0 / evaluation.window
        self._partition = partition
        most = min(evaluation.max_visitors, settings.state.max_visitors)
        self._visits = Visits(settings, partition, max_visitors=most, on_forget=self._forget)
        self._waiting: dict[str, _Waiting] = {}
        self._lists: deque[_List] = deque()
        self._interactions: deque[InputRecord] = deque()
        self._first: int | None = None
        self._end = 0

    @property
    def wanted(self) -> tuple[int, int]:
        """Offsets, from and to, of the interactions without which the lists so far cannot be taken."""
        end = 1 + max((each.input_offset for each in self._lists), default=-1)
        return max(self._end, self._first or 0), end

    def take_lists(self, records: Iterable[InputRecord], end: int) -> None:
        """Take the next records of shadow-recommendations.

        end: that of the log of interactions, asked for when these were there.
        """
        for record in records:
            try:
                made = _decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if made.input_partition == self._partition and 0 <= made.input_offset < end:
                if self._first is None:
                    self._first = made.input_offset
                self._lists.append(made)
        self._go_on()

    def take_interactions(self, records: Sequence[InputRecord], end: int) -> None:
        """Take the next records of interactions: all that there are before offset `end`."""
        self._interactions.extend(records)
        self._end = max(self._end, end)
        self._go_on()

    def _go_on(self) -> None:
        while self._lists:
            made = self._lists[0]
            while self._interactions and self._interactions[0].offset <= made.input_offset:
                self._take_interaction(self._interactions.popleft())
            if made.input_offset >= self._end:
                return
            self._lists.popleft()
            waiting = self._waiting.get(made.visitor_id)
            if waiting is not None and waiting.offset == made.input_offset:
                waiting.lists.setdefault(made.release, made)

    def _take_interaction(self, record: InputRecord) -> None:
        if record.offset < (self._first or 0):
            return
        visit = self._visits.take(record)
        if visit is None or not visit.asks:
            return
        before = self._waiting.get(visit.event.visitor_id)
        if before is not None and before.session == visit.session:
            for made in before.lists.values():
                self._judge(made, visit)
        self._waiting[visit.event.visitor_id] = _Waiting(visit.offset, visit.session)

    def _judge(self, made: _List, visit: Visit) -> None:
        lists = ([place.item_id for place in made.items], made.shown)
        ranks = [each.index(visit.event.item_id) if visit.event.item_id in each else np.inf for each in lists]
        hits = (np.array(ranks)[:, None] < self._cutoffs).astype(np.float64)
        sums = self.sums.get(made.release)
        if sums is None:
            self.sums[made.release] = _Sums(1.0, hits, visit.timestamp)
            return
        sums.clicks = 1.0 + self._factor * sums.clicks
        sums.hits = hits + self._factor * sums.hits
        sums.time_ms = max(sums.time_ms, visit.timestamp)

    def _forget(self, visitor_id: str) -> None:
        self._waiting.pop(visitor_id, None)


def shadow_figures(parts: Iterable[ShadowJudge], settings: EvaluationSettings) -> ShadowFigures:
    """The hit rates over partitions, of the `settings.shadows` versions whose clicks are the newest."""
    joined: dict[str, _Sums] = {}
    for part in parts:
        for version, sums in part.sums.items():
            old = joined.get(version) or _Sums(0.0, np.zeros_like(sums.hits), 0)
            joined[version] = _Sums(
                old.clicks + sums.clicks, old.hits + sums.hits, max(old.time_ms, sums.time_ms)
            )
    newest = sorted(joined, key=lambda version: (joined[version].time_ms, version), reverse=True)
    found = ShadowFigures({}, {})
    roles: tuple[Role, Role] = ("shadow", "live")
    for version in newest[: settings.shadows]:
        sums = joined[version]
        found.clicks[(version,)] = sums.clicks
        for role, hits in zip(roles, sums.hits.tolist(), strict=True):
            for k, hit in zip(settings.cutoffs, hits, strict=True):
                found.recall[str(k), role, version] = hit / sums.clicks
    return found
