"""How high visitors rate at all, and items are rated at all: what other models measure ratings from.

Enters: ratings. Leaves: by how much visitors and items deviate from the mean of all.

Source: Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", TKDD 4(1), 2010.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Baselines", "deviations", "fit_baselines"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

USER_DAMPING: Final = 15.0
_ITEM_DAMPING: Final = 10.0
# Both as in BaselinePredictor, whose deviations these are.
_TURNS: Final = 10


class Baselines(NamedTuple):
    """μ + b_u + b_i."""

    mean: float
    of_users: Floats
    of_items: Floats

    def of_stranger(self, items: Ints, values: Floats) -> float:
        """By how much a visitor deviates that was not there."""
        above = values - self.mean - self.of_items[items]
        return float(above.sum() / (USER_DAMPING + len(above)))


def fit_baselines(users: Ints, items: Ints, values: Floats) -> Baselines:
    """Baselines of ratings; every index occurs."""
    mean = float(values.mean())
    *_, (of_users, of_items) = deviations(users, items, values - mean, USER_DAMPING, _ITEM_DAMPING, _TURNS)
    return Baselines(mean, of_users, of_items)


def deviations(
    users: Ints, items: Ints, above: Floats, user_damping: float, item_damping: float, turns: int
) -> Iterator[tuple[Floats, Floats]]:
    """Deviations of visitors and of items after each turn, the items' found first; every index occurs.

    above: (n,) ratings above the mean. Each deviation is a mean, as of so many more ratings at the mean.
    """
    of_users = np.zeros(int(users.max()) + 1)
    raters, rated = np.bincount(items) + item_damping, np.bincount(users) + user_damping
    for _ in range(turns):
        of_items = np.bincount(items, above - of_users[users]) / raters
        of_users = np.bincount(users, above - of_items[items]) / rated
        yield of_users, of_items
