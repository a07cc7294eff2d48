"""What visitors had, each item once: for models to which a visitor is what it had, whole or as a stream.

Enters: interactions. Leaves: for each visitor its items, by how much and how often it had them. An item that
comes again adds to what is kept of it, so that memory is that of pairs.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamrec.contracts import IntArray
from streamrec.feedback import Feedback

__all__ = ["Histories", "History", "history_of"]

Vector = NDArray[np.float64]


class History(NamedTuple):
    """What a visitor had, each item once; (n,) each."""

    items: IntArray
    """By index."""
    values: Vector
    """The sum of its ratings of each."""
    times: Vector
    """How many these are."""


class _Had(NamedTuple):
    """A History that goes on."""

    items: "array[int]"
    values: "array[float]"
    times: "array[int]"

    @classmethod
    def of(cls, items: Sequence[int] = (), values: Sequence[float] = (), times: Sequence[int] = ()) -> Self:
        return cls(array("q", items), array("d", values), array("q", times))

    def add(self, item: int, value: float) -> None:
        if item not in self.items:
            self.items.append(item)
            self.values.append(value)
            self.times.append(1)
            return
        place = self.items.index(item)
        self.values[place] += value
        self.times[place] += 1

    def history(self) -> History:
        times = np.array(self.times, np.float64)
        return History(np.array(self.items, np.int64), np.array(self.values, np.float64), times)


class Histories:
    """Histories by visitor."""

    def __init__(self) -> None:
        self._had: dict[str, _Had] = {}

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """Of all visitors at once."""
        self = cls()
        order = np.argsort(feedback.users, kind="stable")
        ends = np.searchsorted(feedback.users[order], np.arange(len(feedback.user_ids)), side="right")
        for user_id, places in zip(feedback.user_ids, np.split(order, ends[:-1]), strict=True):
            items, which = np.unique(feedback.items[places], return_inverse=True)
            values = np.bincount(which, feedback.values[places])
            self._had[user_id] = _Had.of(items.tolist(), values.tolist(), np.bincount(which).tolist())
        return self

    def add(self, user_id: str, item: int, value: float) -> None:
        """One more interaction."""
        self._had.setdefault(user_id, _Had.of()).add(item, value)

    def get(self, user_id: str) -> History | None:
        """None of a visitor that is not known."""
        had = self._had.get(user_id)
        return None if had is None else had.history()

    @property
    def user_ids(self) -> Sequence[str]:
        """To be saved beside `arrays`."""
        return list(self._had)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For files."""
        had = self._had.values()
        return {
            "lengths": np.array([len(each.items) for each in had], np.int64),
            "had": np.concatenate([np.empty(0, np.int64), *(np.array(each.items) for each in had)]),
            "values": np.concatenate([np.empty(0), *(np.array(each.values) for each in had)]),
            "times": np.concatenate([np.empty(0, np.int64), *(np.array(each.times) for each in had)]),
        }

    @classmethod
    def saved(cls, user_ids: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `user_ids` and `arrays` gave."""
        self = cls()
        ends = np.cumsum(arrays["lengths"])[:-1]
        columns = zip(*(np.split(arrays[name], ends) for name in ("had", "values", "times")), strict=True)
        for user_id, own in zip(user_ids, columns, strict=False):
            self._had[user_id] = _Had.of(*(column.tolist() for column in own))
        return self


def history_of(interactions: Iterable[tuple[int, float]]) -> History:
    """Of items, by index, and ratings: for a visitor that is not known."""
    had = _Had.of()
    for item, value in interactions:
        had.add(item, value)
    return had.history()
