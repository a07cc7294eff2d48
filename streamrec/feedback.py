"""What visitors did with items, as recommenders of visitors and items learn it.

In: columns, one entry for each interaction. Out: `Feedback`, in the order of time, with dense indices; and
`Knowledge`, what is known of items and visitors beside it.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamrec.errors import DatasetError
from streamrec.events import Item

__all__ = ["NOTHING", "Feedback", "Knowledge", "Tagging", "Trust", "checked_value", "make_feedback"]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Feedback:
    """Columns of equal length, one interaction a place, in the order of time.

    Every id occurs: what was never interacted with is not among `items`.
    """

    user_ids: Sequence[str]
    """By dense index, in the order of their first interactions."""
    item_ids: Sequence[str]
    users: IntArray
    """(n,) indices into user_ids."""
    items: IntArray
    """(n,) indices into item_ids."""
    values: FloatArray
    """(n,) ratings, or what an interaction of its type weighs; 1 each where all that is known is that it
    happened."""
    time_ms: IntArray
    """(n,) since 1970; 0 each where times are not known."""
    contexts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By name, (n,) labels each: time of day, company, place."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, places: ArrayLike) -> "Feedback":
        """Some of the interactions, (m,) places or a mask of (n,); their ids alone, order of time kept."""
        given = np.asarray(places)
        # An empty list is one of floats to numpy.
        chosen = np.arange(len(self))[given if given.size else given.astype(np.int64)]
        chosen.sort()
        users, user_ids = _dense(self.users[chosen], self.user_ids)
        items, item_ids = _dense(self.items[chosen], self.item_ids)
        return Feedback(
            user_ids,
            item_ids,
            users,
            items,
            self.values[chosen],
            self.time_ms[chosen],
            self._contexts_at(chosen),
        )

    def without_repeats(self) -> "Feedback":
        """Of each pair of visitor and item the last interaction alone; ids, and the order of time, stay."""
        _, from_the_end = np.unique(self._pairs()[::-1], return_index=True)
        if len(from_the_end) == len(self):
            return self
        last = np.sort(len(self) - 1 - from_the_end)
        return replace(
            self,
            users=self.users[last],
            items=self.items[last],
            values=self.values[last],
            time_ms=self.time_ms[last],
            contexts=self._contexts_at(last),
        )

    def with_means(self) -> "Feedback":
        """As without_repeats, but each pair has the mean of its values."""
        once = self.without_repeats()
        pairs, of_pair = np.unique(self._pairs(), return_inverse=True)
        means = np.bincount(of_pair, self.values) / np.bincount(of_pair)
        return replace(once, values=means[np.searchsorted(pairs, once._pairs())].astype(np.float32))

    def _pairs(self) -> IntArray:
        """(n,) a number for each pair of visitor and item."""
        pairs: IntArray = self.users * len(self.item_ids) + self.items
        return pairs

    def _contexts_at(self, places: IntArray) -> dict[str, list[str]]:
        return {name: [labels[place] for place in places.tolist()] for name, labels in self.contexts.items()}


class Tagging(NamedTuple):
    """A visitor gave an item a tag."""

    user_id: str
    item_id: str
    tag: str


class Trust(NamedTuple):
    """A visitor trusts another, by a weight above 0."""

    user_id: str
    trusted_id: str
    weight: float = 1.0


class Knowledge(NamedTuple):
    """What is known beside feedback; whatever a model has no use for it passes over."""

    items: Mapping[str, Item] = {}
    """By id: what their records on the items topic say."""
    tags: Sequence[Tagging] = ()
    trust: Sequence[Trust] = ()
    groups: Mapping[str, Sequence[str]] = {}
    """By id of the group: its members' ids."""


NOTHING: Final = Knowledge()


def make_feedback(
    user_ids: Iterable[str],
    item_ids: Iterable[str],
    values: ArrayLike | None = None,
    time_ms: ArrayLike | None = None,
    contexts: Mapping[str, Sequence[str]] | None = None,
) -> Feedback:
    """Feedback of columns of equal length, in any order; of equal times the order given is kept.

    values, time_ms: (n,), or None if not known. Raises DatasetError if lengths differ or one is no number.
    """
    users, items = list(user_ids), list(item_ids)
    with np.errstate(over="ignore"):  # refused below
        value = np.ones(len(users), np.float32) if values is None else np.asarray(values, np.float32)
    time = np.zeros(len(users), np.int64) if time_ms is None else np.asarray(time_ms, np.int64)
    columns: dict[str, Sized] = {"items": items, "values": value, "times": time, **(contexts or {})}
    for name, column in columns.items():
        if len(column) != len(users):
            raise DatasetError(f"{len(users):,} users but {len(column):,} {name}: one is needed for each")
    if not np.isfinite(value).all():
        place = int(np.flatnonzero(~np.isfinite(value))[0])
        raise _no_number(users[place], items[place], float(value[place]))
    order = np.argsort(time, kind="stable")
    user_index: dict[str, int] = {}
    item_index: dict[str, int] = {}
    for place in order.tolist():
        user_index.setdefault(users[place], len(user_index))
        item_index.setdefault(items[place], len(item_index))
    return Feedback(
        list(user_index),
        list(item_index),
        np.array([user_index[users[place]] for place in order.tolist()], np.int64),
        np.array([item_index[items[place]] for place in order.tolist()], np.int64),
        value[order],
        time[order],
        {name: [labels[place] for place in order.tolist()] for name, labels in (contexts or {}).items()},
    )


def checked_value(user_id: str, item_id: str, value: float) -> float:
    """A value as Feedback holds it, in single precision. Raises DatasetError if there it is not finite."""
    if not abs(value) <= _LARGEST:
        raise _no_number(user_id, item_id, value)
    return float(np.float32(value))


def _no_number(user_id: str, item_id: str, value: float) -> DatasetError:
    return DatasetError(
        f"the value of user {user_id!r} and item {item_id!r} is {value:g}; ratings are finite numbers: "
        "leave out what is not known"
    )


def _dense(indices: IntArray, ids: Sequence[str]) -> tuple[IntArray, list[str]]:
    """Indices among those that occur, and the ids of these, in the order in which they first do."""
    there, first, inverse = np.unique(indices, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse], [ids[index] for index in there[order].tolist()]
