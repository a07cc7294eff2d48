"""Which of two versions visitors prefer: the interleaved lists on the topics, and the clicks on them.

In: recommendations and interactions as the topics hold them. Out: for each pair of versions, wins, losses
and ties of the challenger, with how sure that is. The same credits as in the evaluation app
(streamrec.evaluation.teams), over all that retention has left.
"""

from collections import Counter
from typing import Any, NamedTuple

import msgspec

from streamrec.config import Settings
from streamrec.evaluation.teams import Credit, Credits, Pair, Preference, Result, preference
from streamrec.topics import read_topic
from streamrec.visits import Visit, Visits

__all__ = ["Clicked", "read_preferences"]


class Clicked(NamedTuple):
    """What clicks say of a pair of versions."""

    preference: Preference
    clicks: int
    """Credits: first clicks on the items of a list."""
    named: int
    """Those that said which list they were on."""


class _Partition:
    """One partition: its lists first, then its interactions."""

    def __init__(self, settings: Settings, partition: int, *, named_only: bool) -> None:
        self.credits = Credits(settings, partition)
        self.found: list[Credit] = []
        self._named_only = named_only
        self._last: dict[str, Visit] = {}
        self._visits = Visits(settings, partition, on_forget=self._forget)

    def _forget(self, visitor_id: str) -> None:
        self._last.pop(visitor_id, None)

    def take(self, record: Any) -> None:
        visit = self._visits.take(record)
        if visit is None or not visit.asks:
            return
        visitor_id = visit.event.visitor_id
        before = self._last.get(visitor_id)
        self._last[visitor_id] = visit
        goes_on = before is not None and before.session == visit.session and not self._named_only
        credit = self.credits.click(visit, before.offset if before is not None and goes_on else None)
        if credit is not None:
            self.found.append(credit)


def read_preferences(settings: Settings, *, named_only: bool = False) -> dict[Pair, Clicked]:
    """What the clicks on interleaved lists say, by pair of versions.

    named_only: count only clicks that say which list they were on. Raises BrokerError or TopicError.
    """
    parts: dict[int, _Partition] = {}

    def part(partition: int) -> _Partition:
        if partition not in parts:
            parts[partition] = _Partition(settings, partition, named_only=named_only)
        return parts[partition]

    def take_lists(records: list[Any]) -> None:
        for record in records:
            if b'"challenger"' in (record.value or b""):
                try:
                    part(record.partition).credits.show(record.value)
                except (msgspec.DecodeError, UnicodeDecodeError):  # none of the scoring app's
                    continue

    def take_interactions(records: list[Any]) -> None:
        for record in records:
            if record.partition in parts:
                parts[record.partition].take(record)

    read_topic(settings, "recommendations", take_lists)
    read_topic(settings, "interactions", take_interactions)
    return _by_pair([credit for each in parts.values() for credit in each.found])


def _by_pair(found: list[Credit]) -> dict[Pair, Clicked]:
    visitors: dict[Pair, dict[str, Counter[Result]]] = {}
    clicks: Counter[Pair] = Counter()
    named: Counter[Pair] = Counter()
    for credit in found:
        results = visitors.setdefault(credit.pair, {}).setdefault(credit.visitor_id, Counter())
        if credit.before is not None:
            results[credit.before] -= 1
        results[credit.after] += 1
        clicks[credit.pair] += 1
        named[credit.pair] += credit.named
    return {
        pair: Clicked(preference(visitors[pair].values()), clicks[pair], named[pair])
        for pair in sorted(visitors)
    }
