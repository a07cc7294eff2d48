"""Live lists against what visitors clicked next: first the list is made, then the click tells its worth.

In: the interactions and the recommendations of one partition, each in their order, but interleaved
in any way. Out: fading averages of recall, MRR and NDCG at k.

A click b is judged against the list made for the click a before it in the same session. The
order of things is that of the recommendations alone: before a list counts, all interactions up
to the one it answers are taken, so b is taken when the first list comes that answers b or anything
later, and the list for a is there by then or never in time. So the figures are a function of
the two logs, however they are read, and pairs are folded in the order of b.

It begins with the first list it is given: what came in before the interaction that this one
answers is not looked at. A list for an interaction that is not in the log yet answers nothing: lists are
made from what the log holds, so it is of another topic, or of no scoring app.

Sources: prequential (test-then-learn) error with a fading factor, Gama, Sebastião and Rodrigues, "On
evaluating stream learning algorithms", Machine Learning 90, 2013; for recommenders, Vinagre,
Jorge and Gama, "Evaluation of recommender systems in streaming environments", 2014,
arXiv:1504.08175.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Final, Protocol

import msgspec

from streamrec.advance.records import InputRecord
from streamrec.config import Settings
from streamrec.evaluation.fading import FadingSums, Verdict
from streamrec.evaluation.teams import Credits
from streamrec.visits import Visit, Visits

__all__ = ["Observer", "Prequential"]


class _Head(msgspec.Struct, gc=False):
    """What a list is for. Fields as in Recommendation, of which the rest is left undecoded."""

    visitor_id: str
    input_partition: int
    input_offset: int
    challenger: str | None = None
    release: str = ""
    emit_time: int = 0


class Observer(Protocol):
    """Who else wants to know, besides the figures."""

    def judged(self, partition: int, visitor_id: str, verdict: Verdict) -> None:
        """A visitor's click, and what became of the list before, in the order of the partition."""

    def listed(self, version: str, emit_ms: int, late_ms: int) -> None:
        """A list: when it was emitted, and how long after the record it answers."""


class _Place(msgspec.Struct, gc=False):
    item_id: str
    sources: Annotated[list[str], msgspec.Meta(min_length=1)]


class _List(msgspec.Struct, gc=False):
    items: list[_Place]
    release: str
    challenger: str | None = None
    candidates: dict[str, list[str]] | None = None


_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode_list: Final = msgspec.json.Decoder(_List).decode


class _Waiting(msgspec.Struct, gc=False):
    """A visitor's last click, whose list waits for the next one."""

    offset: int
    session: int
    timestamp: int
    """Kafka's time of it."""
    missed: int
    """Offset of the click before, if it had no list when this one came, else -1."""
    list: bytes | None = None
    """The Recommendation for it, as it came: seldom needed twice, and smaller than decoded."""


class Prequential:
    """The judge of one partition.

    What is ahead of its turn waits in memory: whoever feeds it decides how much that is. Of
    visitors with an open session at most `evaluation.max_visitors` are remembered.
    """

    def __init__(self, settings: Settings, partition: int, observer: Observer | None = None) -> None:
        self.sums = FadingSums(settings.evaluation)
        """What the figures are made of."""
        self.counts: Counter[str] = Counter()
        """Clicks `judged` and those without a list (`no_list`), and lists that judged nothing: `repeated`;
        `late`, after the next click was taken; `unasked`, for no interaction that is known; `undecodable`;
        `interleaved`, which are no version's, but tell in `credits` which of two is better."""
        self.credits = Credits(settings, partition, settings.evaluation.interleaved_lists)
        """What clicks say of two versions whose lists were shown as one."""
        self._partition = partition
        self._observer = observer
        most = min(settings.evaluation.max_visitors, settings.state.max_visitors)
        self._visits = Visits(settings, partition, max_visitors=most, on_forget=self._forget)
        self._waiting: dict[str, _Waiting] = {}
        self._lists: deque[tuple[_Head, bytes]] = deque()
        self._interactions: deque[InputRecord] = deque()
        self._first: int | None = None
        """Offset of the interaction that the first list answers."""
        self._reached = -1
        """Highest offset of an interaction whose list was taken."""
        self._end = 0
        """Offset after the interactions that are known."""

    @property
    def forgotten(self) -> int:
        """Visitors forgotten for lack of room, and their last list with them."""
        return self._visits.crowded_out

    @property
    def wanted(self) -> tuple[int, int]:
        """Offsets, from and to, of the interactions without which the lists so far cannot be taken."""
        end = 1 + max((head.input_offset for head, _ in self._lists), default=-1)
        return max(self._end, self._first or 0), end

    def take_lists(self, records: Iterable[InputRecord], end: int) -> None:
        """Take the next records of recommendations.

        end: that of the log of interactions, the offset after its last one, asked for when these were there.
        """
        for record in records:
            try:
                head = _decode_head(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.counts["undecodable"] += 1
                continue
            if head.input_partition != self._partition or not 0 <= head.input_offset < end:
                self.counts["unasked"] += 1
                continue
            if self._first is None:
                self._first = head.input_offset
            self._lists.append((head, record.value or b""))
        self._go_on()

    def take_interactions(self, records: Sequence[InputRecord], end: int) -> None:
        """Take the next records of interactions: all that there are before offset `end`."""
        self._interactions.extend(records)
        self._end = max(self._end, end)
        self._go_on()

    def _go_on(self) -> None:
        """Take the interactions up to the one that the next list answers; that list, when all are known."""
        while self._lists:
            head, value = self._lists[0]
            while self._interactions and self._interactions[0].offset <= head.input_offset:
                self._take_interaction(self._interactions.popleft())
            if head.input_offset >= self._end:
                return
            self._lists.popleft()
            self._take_list(head, value)

    def _take_interaction(self, record: InputRecord) -> None:
        if record.offset < (self._first or 0):
            return
        visit = self._visits.take(record)
        if visit is None or not visit.asks:
            return
        visitor_id = visit.event.visitor_id
        before, missed = self._waiting.get(visitor_id), -1
        in_session = before is not None and before.session == visit.session
        self.credits.click(visit, before.offset if before is not None and in_session else None)
        if before is not None:
            if in_session:
                self._judge(before.list, visit)
            missed = before.offset if before.list is None else -1
        self._waiting[visitor_id] = _Waiting(visit.offset, visit.session, visit.timestamp, missed)

    def _take_list(self, head: _Head, value: bytes) -> None:
        offset, waiting = head.input_offset, self._waiting.get(head.visitor_id)
        is_next = offset > self._reached
        self._reached = max(self._reached, offset)
        if waiting is not None and waiting.offset == offset and waiting.list is None:
            waiting.list = value
            if head.challenger is not None:
                self._show(value)
            if self._observer is not None:
                late_ms = head.emit_time - waiting.timestamp
                self._observer.listed(head.release, head.emit_time, late_ms)
        elif waiting is not None and waiting.missed == offset:
            self.counts["late"] += 1
        else:
            self.counts["unasked" if is_next else "repeated"] += 1

    def _judge(self, value: bytes | None, visit: Visit) -> None:
        if value is None:
            self.counts["no_list"] += 1
            return
        try:
            made = _decode_list(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.counts["undecodable"] += 1
            self.counts["no_list"] += 1
            return
        if made.challenger is not None:
            self.counts["interleaved"] += 1
            return
        self.counts["judged"] += 1
        verdict = _verdict(made, visit)
        self.sums.add(verdict)
        if self._observer is not None:
            self._observer.judged(self._partition, visit.event.visitor_id, verdict)

    def _show(self, value: bytes) -> None:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # counted when the next click comes
            self.credits.show(value)

    def _forget(self, visitor_id: str) -> None:
        self._waiting.pop(visitor_id, None)


def _verdict(made: _List, visit: Visit) -> Verdict:
    item_id = visit.event.item_id
    rank = _rank(item_id, (place.item_id for place in made.items))
    return Verdict(
        version=made.release,
        time_ms=visit.timestamp,
        rank=rank,
        lead=made.items[rank - 1].sources[0] if rank else None,
        leads={place.sources[0] for place in made.items},
        own={source: _rank(item_id, ids) for source, ids in (made.candidates or {}).items()},
    )


def _rank(item_id: str, ids: Iterable[str]) -> int:
    """1-based; 0 if it is not among them."""
    return next((rank for rank, each in enumerate(ids, 1) if each == item_id), 0)
