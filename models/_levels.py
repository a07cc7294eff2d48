"""What ratings are measured from, before what is alike is looked for: nothing, means or baselines.

Enters: ratings. Leaves: levels. Means are sums that go on growing; baselines, the mean of all and by how
much visitors and items deviate from it, are fitted to all ratings at once.

Source: Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", TKDD 4(1), 2010.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Baselines", "fit_baselines"]

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
    above = values - mean
    of_users, of_items = np.zeros(int(users.max()) + 1), np.zeros(int(items.max()) + 1)
    for _ in range(_TURNS):
        of_items = np.bincount(items, above - of_users[users]) / (np.bincount(items) + _ITEM_DAMPING)
        of_users = np.bincount(users, above - of_items[items]) / (np.bincount(users) + USER_DAMPING)
    return Baselines(mean, of_users, of_items)
