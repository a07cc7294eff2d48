"""k-means CF: visitors in clusters by what they rated, and what the visitor's cluster thinks of an item.

Enters: ratings. Leaves: the rating expected, μ + b_u + c_gi: the mean of all ratings, by how much the
visitor rates higher than its cluster, and by how much its cluster g rates item i higher than the mean. By
turns, each visitor goes to the cluster that is nearest by squared error over what it rated, with the b_u
that is best there; and each cluster's centre becomes the mean of its members' ratings, shrunk towards what
all visitors think of the item.

Source: Ungar and Foster, "Clustering Methods for Collaborative Filtering", AAAI Workshop on Recommendation
Systems 1998; the centres' shrinkage follows the smoothing of Xue et al., "Scalable Collaborative Filtering
Using Cluster-based Smoothing", SIGIR 2005. Written by hand, as libraries' k-means has no missing values:
with them filled in, visitors would be clustered by how much they rated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy import sparse

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import RatingTable, chosen, unknown_visitors_ratings
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["KMeansCF", "KMeansCFConfig"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


class KMeansCFConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    clusters: PositiveInt = 6
    """Clusters of visitors."""
    user_damping: PositiveFloat = 5.0
    """Ratings just as its cluster's that are added to those of each visitor."""
    item_damping: NonNegativeFloat = 5.0
    """Ratings at the mean of all that are added to those of each item."""
    cluster_damping: PositiveFloat = 30.0
    """Ratings as all visitors' of an item that are added to those of each cluster."""
    epochs: PositiveInt = 20
    """Turns: the visitors' clusters, then the clusters' centres."""
    beginnings: PositiveInt = 3
    """Trainings from clusters drawn at random, of which the best is kept."""


class _Clusters(NamedTuple):
    """Who is in which, and what each thinks."""

    of_users: Indices
    levels: Numbers
    """(users,) b_u"""
    everyone: Numbers
    """(N,) by how much all visitors rate an item higher than the mean."""
    centres: Numbers
    """(clusters, N) c_gi"""


class KMeansCF:
    """Clusters of visitors; a recommender.Recommender."""

    Config = KMeansCFConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: KMeansCFConfig | None = None) -> None:
        self.config = config or KMeansCFConfig()
        self.items: Sequence[str] = []
        self._users: dict[str, int] = {}
        self._index: dict[str, int] = {}
        self._range = (0.0, 0.0)
        self._mean = 0.0
        none = np.empty(0)
        self._clusters = _Clusters(np.empty(0, np.int64), none, none, np.empty((0, 0)))

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Choose clusters and centres by turns. Raises DatasetError if there are no ratings."""
        options = options or TrainOptions()
        table = RatingTable.of(feedback)
        self._know(table.user_ids, table.item_ids)
        self._range, self._mean = table.bounds, float(table.values.mean())
        above = table.matrix(table.values - self._mean)
        rng = np.random.default_rng(options.seed)
        turns = self.config.beginnings * self.config.epochs
        best: list[float] = []
        for beginning in range(self.config.beginnings):
            losses: list[float] = []
            of_users = rng.integers(self.config.clusters, size=table.shape[0])
            clusters = self._centred(table, of_users, np.zeros(table.shape[0]))
            for epoch in range(self.config.epochs):
                of_users, levels, errors = self._nearest(above, clusters.centres)
                clusters = self._centred(table, of_users, levels)
                losses.append(float(errors.sum()) / len(table))
                if options.on_step is not None:
                    done = beginning * self.config.epochs + epoch + 1
                    options.on_step(done * len(feedback), turns * len(feedback), losses[-1])
            if not best or losses[-1] < best[-1]:
                best, self._clusters = losses, clusters
        return TrainReport(turns * len(feedback), best)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected, within the range of training; see recommender.Recommender."""
        level, centre = self._place(visitor)
        expected = np.clip(self._mean + level + centre, *self._range)
        return chosen(expected, self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """Mean, item, cluster and visitor: parts add up to the score, if in the range of ratings."""
        index = self._index.get(item_id)
        if index is None:
            return []
        level, centre = self._place(visitor)
        of_item = float(self._clusters.everyone[index])
        parts = [
            Reason("rating", "", self._mean),
            Reason("item", item_id, of_item),
            Reason("group", "", float(centre[index]) - of_item),
            Reason("user", visitor.visitor_id, level),
        ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        numbers = {"range": np.array([*self._range, self._mean]), **self._clusters._asdict()}
        save_state(
            directory, "KMeansCF", self.config, {"users": list(self._users), "items": self.items}, numbers
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "KMeansCF", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        lowest, highest, model._mean = numbers["range"].tolist()
        model._range = (lowest, highest)
        model._clusters = _Clusters(*(numbers[name] for name in _Clusters._fields))
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _place(self, visitor: Visitor) -> tuple[float, Numbers]:
        """b_u and the centre of the visitor's cluster: as learned, else by the ratings it comes with."""
        found = self._clusters
        known = self._users.get(visitor.visitor_id)
        if known is not None:
            return float(found.levels[known]), found.centres[found.of_users[known]]
        rated, given = unknown_visitors_ratings(visitor, self._index)
        if not len(rated):
            return 0.0, found.everyone
        above = sparse.csr_array((given - self._mean, ([0] * len(rated), rated)), shape=(1, len(self.items)))
        clusters, levels, _ = self._nearest(above, found.centres)
        return float(levels[0]), found.centres[clusters[0]]

    def _nearest(self, above: Any, centres: Numbers) -> tuple[Indices, Numbers, Numbers]:
        """For each visitor its cluster, its b_u there, and the squared error, (users,) each.

        above: (users, N) sparse, by how much each rating is above the mean.
        """
        there = sparse.csr_array((np.ones_like(above.data), above.indices, above.indptr), shape=above.shape)
        # Σ (x - c)² and Σ (x - c) over the ratings x of each visitor, for the centre c of each cluster.
        squares = there @ (centres**2).T - 2 * (above @ centres.T) + (above**2).sum(axis=1)[:, None]
        sums = above.sum(axis=1)[:, None] - there @ centres.T
        counts = there.sum(axis=1)[:, None] + self.config.user_damping
        errors = squares - sums**2 / counts
        best = np.argmin(errors, axis=1)
        users = np.arange(len(best))
        return best, (sums / counts)[users, best], errors[users, best]

    def _centred(self, table: RatingTable, of_users: Indices, levels: Numbers) -> _Clusters:
        """The clusters' centres by who is in them."""
        rest = table.values - self._mean - levels[table.users]
        n, n_items = self.config.clusters, table.shape[1]
        raters = np.bincount(table.items, minlength=n_items)
        everyone: Numbers = np.bincount(table.items, rest, minlength=n_items) / (
            raters + self.config.item_damping
        )
        cells = of_users[table.users] * n_items + table.items
        sums = np.bincount(cells, rest, minlength=n * n_items).reshape(n, n_items)
        counts = np.bincount(cells, minlength=n * n_items).reshape(n, n_items)
        damping = self.config.cluster_damping
        centres = (sums + damping * everyone) / (counts + damping)
        return _Clusters(of_users, levels, everyone, centres)
