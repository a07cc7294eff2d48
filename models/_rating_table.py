"""Ratings by visitor and item, each pair once: what models of ratings learn from, whole or as a stream.

Where a visitor rated an item again, the last rating counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from streamrec.contracts import FloatArray
from streamrec.errors import DatasetError
from streamrec.feedback import Feedback, checked_value
from streamrec.models._growing import Growing
from streamrec.models._levels import deviations
from streamrec.recommender import Visitor

__all__ = ["Rated", "RatingTable", "chosen", "unknown_visitors_ratings"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]
Rated = tuple[Indices, Numbers]
"""The items that a visitor rated, (m,) ascending indices, and its ratings of them, (m,)."""

_USER_SHIFT: Final = 32
"""Bits for the item in the key of a pair."""


class RatingTable:
    """Ratings with dense indices of visitors and items; grows at its end."""

    def __init__(
        self,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        users: Indices,
        items: Indices,
        values: NDArray[Any],
        bounds: tuple[float, float],
    ) -> None:
        self.user_ids = list(user_ids)
        self.item_ids = list(item_ids)
        self.user_index = {user_id: index for index, user_id in enumerate(self.user_ids)}
        self.item_index = {item_id: index for index, item_id in enumerate(self.item_ids)}
        self._users, self._items = Growing(users), Growing(items)
        self._values = Growing(values.astype(np.float64))
        self.bounds = bounds
        """The lowest and the highest rating ever seen."""
        # Only a stream has to find the place of a pair: made for the first that is added.
        self._places: dict[int, int] | None = None

    @classmethod
    def of(cls, feedback: Feedback) -> Self:
        """The last rating of each pair. Raises DatasetError if there are none."""
        if not len(feedback):
            raise DatasetError("there are no ratings to learn from")
        bounds = (float(feedback.values.min()), float(feedback.values.max()))
        once = feedback.without_repeats()
        # What is of one visitor side by side: scores go through all ratings, and memory is slow.
        order = np.lexsort((once.items, once.users))
        users, items, values = once.users[order], once.items[order], once.values[order]
        return cls(feedback.user_ids, feedback.item_ids, users, items, values, bounds)

    @classmethod
    def empty(cls) -> Self:
        """No ratings yet."""
        none = np.empty(0, np.int64)
        return cls([], [], none, none, np.empty(0), (np.inf, -np.inf))

    def __len__(self) -> int:
        return len(self._values.values)

    @property
    def users(self) -> Indices:
        """(n,) indices."""
        return self._users.values

    @property
    def items(self) -> Indices:
        """(n,) indices."""
        return self._items.values

    @property
    def values(self) -> Numbers:
        """(n,) ratings."""
        return self._values.values

    @property
    def shape(self) -> tuple[int, int]:
        """How many visitors and items there are."""
        return len(self.user_ids), len(self.item_ids)

    def add(self, user_id: str, item_id: str, value: float) -> None:
        """One more rating, instead of an earlier one of the pair if there is any.

        Raises DatasetError if it is no finite number.
        """
        rating = checked_value(user_id, item_id, value)
        user = _index(self.user_index, self.user_ids, user_id)
        item = _index(self.item_index, self.item_ids, item_id)
        self.bounds = (min(self.bounds[0], rating), max(self.bounds[1], rating))
        if self._places is None:
            keys = ((self.users << _USER_SHIFT) | self.items).tolist()
            self._places = {key: place for place, key in enumerate(keys)}
        place = self._places.setdefault((user << _USER_SHIFT) | item, len(self))
        if place < len(self):
            self._values.values[place] = rating
            return
        self._users.append(user)
        self._items.append(item)
        self._values.append(rating)

    def rated_by(self, visitor: Visitor) -> Rated:
        """What the visitor rated: as learned; of one that is unknown, what it comes with."""
        user = self.user_index.get(visitor.visitor_id)
        if user is None:
            return unknown_visitors_ratings(visitor, self.item_index)
        places = np.flatnonzero(self.users == user)
        places = places[np.argsort(self.items[places])]
        return self.items[places], self.values[places]

    def matrix(self, values: NDArray[Any] | None = None) -> Any:
        """Ratings, or other values of theirs, (users, items) as sparse rows; a zero stays an entry."""
        stored = self.values if values is None else values
        return sparse.csr_array((stored, (self.users, self.items)), shape=self.shape)

    def means_of_users(self) -> Numbers:
        """The mean rating of each visitor, (users,)."""
        sums = np.bincount(self.users, self.values, minlength=len(self.user_ids))
        means: Numbers = sums / np.bincount(self.users, minlength=len(self.user_ids))
        return means

    def levels(self, user_damping: float, item_damping: float, epochs: int = 10) -> tuple[Numbers, Numbers]:
        """By how much visitors rate above the mean, (users,), and items are rated above it, (N,).

        The deviations of the baseline predictor (baseline_predictor).
        """
        above = self.values - self.values.mean()
        *_, found = deviations(self.users, self.items, above, user_damping, item_damping, epochs)
        return found

    def ids(self) -> Mapping[str, Sequence[str]]:
        """What to save of it, beside `arrays`."""
        return {"users": self.user_ids, "items": self.item_ids}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What to save of it, beside `ids`."""
        return {
            "users": self.users,
            "items": self.items,
            "values": self.values,
            "bounds": np.array(self.bounds),
        }

    @classmethod
    def saved(cls, ids: Mapping[str, Sequence[str]], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `ids` and `arrays` gave."""
        lowest, highest = arrays["bounds"].tolist()
        columns = (arrays["users"], arrays["items"], arrays["values"])
        return cls(ids["users"], ids["items"], *columns, (lowest, highest))


def unknown_visitors_ratings(visitor: Visitor, item_index: Mapping[str, int]) -> Rated:
    """The ratings that an unknown visitor comes with, of the items that are known; the last of each."""
    found = {
        item_index[item_id]: float(np.float32(value))
        for item_id, value in zip(visitor.items, visitor.values, strict=False)
        if item_id in item_index
    }
    items = sorted(found)
    return np.array(items, np.int64), np.array([found[item] for item in items], np.float64)


def chosen(scores: Numbers, index: Mapping[str, int], items: Sequence[str] | None) -> FloatArray:
    """Scores of the items named, (n,) float32, out of those of all; NaN for one that is unknown."""
    if items is None:
        return scores.astype(np.float32)
    places = np.array([index.get(item_id, -1) for item_id in items], np.int64)
    picked = np.append(scores, np.nan)[places]
    return picked.astype(np.float32)


def _index(index: dict[str, int], ids: list[str], new: str) -> int:
    known = index.setdefault(new, len(ids))
    if known == len(ids):
        ids.append(new)
    return known
