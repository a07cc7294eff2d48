"""Co-clustering: visitors in clusters and items in clusters, at once, and the mean rating of each block.

Enters: ratings. Leaves: the rating expected, A_gh + (A_u - A_g) + (A_i - A_h): the mean of the block of the
visitor's cluster g and the item's cluster h, by how much the visitor rates higher than its cluster, and the
item is rated higher than its own. Clusters are chosen by turns, each visitor's and then each item's being
the one that makes the squared error least.

Source: George and Merugu, "A Scalable Collaborative Filtering Framework Based on Co-clustering", ICDM 2005.
We differ: means are shrunk towards that of all ratings, means of blocks are computed anew before each half
of a turn, and of several beginnings the one with the least error is kept. By hand, as scikit-surprise has no
answer for visitors who came after training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveInt

from streamrec.contracts import FloatArray, TrainOptions, TrainReport
from streamrec.feedback import NOTHING, Feedback, Knowledge
from streamrec.models._rating_table import RatingTable, chosen, unknown_visitors_ratings
from streamrec.models._saving import load_state, save_state
from streamrec.recommender import Reason, Task, Visitor

__all__ = ["CoClustering", "CoClusteringConfig"]

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


class CoClusteringConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Hyperparameters."""

    user_clusters: PositiveInt = 3
    """Clusters of visitors."""
    item_clusters: PositiveInt = 3
    """Clusters of items."""
    damping: NonNegativeFloat = 5.0
    """Ratings at the mean of all that are added to those of each visitor, item and block."""
    epochs: PositiveInt = 20
    """Turns: the visitors' clusters, then the items'."""
    beginnings: PositiveInt = 3
    """Trainings from clusters drawn at random, of which the best is kept."""


class _Clusters(NamedTuple):
    """Who is in which, and the means that follow."""

    of_users: Indices
    of_items: Indices
    blocks: Numbers
    """(user clusters, item clusters)"""
    user_clusters: Numbers
    item_clusters: Numbers


class CoClustering:
    """Clusters of visitors and of items; a recommender.Recommender."""

    Config = CoClusteringConfig
    tasks: ClassVar[frozenset[Task]] = frozenset({"rating"})

    def __init__(self, config: CoClusteringConfig | None = None) -> None:
        self.config = config or CoClusteringConfig()
        self.items: Sequence[str] = []
        self._users: dict[str, int] = {}
        self._index: dict[str, int] = {}
        self._range = (0.0, 0.0)
        self._mean = 0.0
        self._of_users: Numbers = np.empty(0)
        self._of_items: Numbers = np.empty(0)
        none = np.empty(0, np.int64)
        self._clusters = _Clusters(none, none, np.empty((0, 0)), np.empty(0), np.empty(0))

    def train(
        self, feedback: Feedback, knowledge: Knowledge = NOTHING, options: TrainOptions | None = None
    ) -> TrainReport:
        """Choose clusters by turns. Raises DatasetError if there are no ratings."""
        options = options or TrainOptions()
        table = RatingTable.of(feedback)
        self._know(table.user_ids, table.item_ids)
        self._range, self._mean = table.bounds, float(table.values.mean())
        self._of_users = self._means(table.users, table.values, table.shape[0])
        self._of_items = self._means(table.items, table.values, table.shape[1])
        rng = np.random.default_rng(options.seed)
        turns = self.config.beginnings * self.config.epochs
        best: list[float] = []
        for beginning in range(self.config.beginnings):
            losses: list[float] = []
            clusters = self._drawn(table, rng)
            for epoch in range(self.config.epochs):
                clusters = self._turned(table, clusters)
                losses.append(float(np.mean((table.values - self._expected(table, clusters)) ** 2)))
                if options.on_step is not None:
                    done = beginning * self.config.epochs + epoch + 1
                    options.on_step(done * len(feedback), turns * len(feedback), losses[-1])
            if not best or losses[-1] < best[-1]:
                best, self._clusters = losses, clusters
        return TrainReport(turns * len(feedback), best)

    def score(self, visitor: Visitor, items: Sequence[str] | None = None) -> FloatArray:
        """The ratings expected, within the range of training; see recommender.Recommender.

        Of an unknown visitor without any, the items' means.
        """
        mean, cluster = self._place(visitor)
        if cluster is None:
            return chosen(self._of_items, self._index, items)
        of_items = self._clusters.of_items
        level = mean - self._clusters.user_clusters[cluster] + self._of_items
        expected = level + (self._clusters.blocks[cluster] - self._clusters.item_clusters)[of_items]
        return chosen(np.clip(expected, *self._range), self._index, items)

    def explain(self, visitor: Visitor, item_id: str) -> list[Reason]:
        """The block's mean, visitor and item: parts add up to the score, if in the range of ratings."""
        index = self._index.get(item_id)
        if index is None:
            return []
        mean, cluster = self._place(visitor)
        of_item = float(self._of_items[index])
        if cluster is None:
            parts = [Reason("rating", "", self._mean), Reason("item", item_id, of_item - self._mean)]
        else:
            found, other = self._clusters, self._clusters.of_items[index]
            parts = [
                Reason("rating", "", float(found.blocks[cluster, other])),
                Reason("user", visitor.visitor_id, float(mean - found.user_clusters[cluster])),
                Reason("item", item_id, float(of_item - found.item_clusters[other])),
            ]
        return sorted(parts, key=lambda reason: -abs(reason.weight))

    def save(self, directory: Path) -> None:
        """See recommender.Recommender."""
        found = self._clusters._asdict()
        numbers = {
            "range": np.array([*self._range, self._mean]),
            "users": self._of_users,
            "items": self._of_items,
        }
        ids = {"users": list(self._users), "items": self.items}
        save_state(directory, "CoClustering", self.config, ids, {**numbers, **found})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """See recommender.Recommender."""
        config, ids, numbers = load_state(directory, "CoClustering", cls.Config)
        model = cls(config)
        model._know(ids["users"], ids["items"])
        lowest, highest, model._mean = numbers["range"].tolist()
        model._range = (lowest, highest)
        model._of_users, model._of_items = numbers["users"], numbers["items"]
        model._clusters = _Clusters(*(numbers[name] for name in _Clusters._fields))
        return model

    def _know(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> None:
        self.items = list(item_ids)
        self._users = {user_id: index for index, user_id in enumerate(user_ids)}
        self._index = {item_id: index for index, item_id in enumerate(item_ids)}

    def _means(self, groups: Indices, values: Numbers, n: int) -> Numbers:
        """Each group's mean, shrunk towards that of all ratings; that, where there is nothing else."""
        above = np.bincount(groups, values - self._mean, minlength=n)
        counts = np.bincount(groups, minlength=n) + self.config.damping
        means: Numbers = self._mean + above / np.where(counts > 0, counts, 1.0)
        return means

    def _drawn(self, table: RatingTable, rng: np.random.Generator) -> _Clusters:
        of_users = rng.integers(self.config.user_clusters, size=table.shape[0])
        return self._averaged(table, of_users, rng.integers(self.config.item_clusters, size=table.shape[1]))

    def _averaged(self, table: RatingTable, of_users: Indices, of_items: Indices) -> _Clusters:
        """Clusters and the means of their ratings."""
        n_users, n_items = self.config.user_clusters, self.config.item_clusters
        mine, its = of_users[table.users], of_items[table.items]
        blocks = self._means(mine * n_items + its, table.values, n_users * n_items)
        return _Clusters(
            of_users,
            of_items,
            blocks.reshape(n_users, n_items),
            self._means(mine, table.values, n_users),
            self._means(its, table.values, n_items),
        )

    def _turned(self, table: RatingTable, clusters: _Clusters) -> _Clusters:
        """Each visitor, then each item, in its best cluster."""
        above = table.values - self._of_users[table.users] - self._of_items[table.items]
        its = clusters.of_items[table.items]
        of_users = _nearest(
            table.users,
            its,
            above + clusters.item_clusters[its],
            clusters.blocks - clusters.user_clusters[:, None],
            table.shape[0],
        )
        clusters = self._averaged(table, of_users, clusters.of_items)
        mine = of_users[table.users]
        of_items = _nearest(
            table.items,
            mine,
            above + clusters.user_clusters[mine],
            (clusters.blocks - clusters.item_clusters).T,
            table.shape[1],
        )
        return self._averaged(table, of_users, of_items)

    def _expected(self, table: RatingTable, found: _Clusters) -> Numbers:
        mine, its = found.of_users[table.users], found.of_items[table.items]
        level = self._of_users[table.users] + self._of_items[table.items]
        expected: Numbers = (
            level + found.blocks[mine, its] - found.user_clusters[mine] - found.item_clusters[its]
        )
        return expected

    def _place(self, visitor: Visitor) -> tuple[float, int | None]:
        """The visitor's mean and cluster: as learned, else by the ratings it comes with; None without any."""
        known = self._users.get(visitor.visitor_id)
        if known is not None:
            return float(self._of_users[known]), int(self._clusters.of_users[known])
        rated, given = unknown_visitors_ratings(visitor, self._index)
        if not len(rated):
            return self._mean, None
        alone = np.zeros(len(rated), np.int64)
        mean = float(self._means(alone, given, 1)[0])
        its = self._clusters.of_items[rated]
        above = given - mean - self._of_items[rated] + self._clusters.item_clusters[its]
        table = self._clusters.blocks - self._clusters.user_clusters[:, None]
        return mean, int(_nearest(alone, its, above, table, 1)[0])


def _nearest(rows: Indices, columns: Indices, values: Numbers, centres: Numbers, n_rows: int) -> Indices:
    """For each row the centre with the least Σ (value - centre[column])² over its values, (rows,).

    rows, columns, values: (n,). centres: (centres, columns).
    """
    n_columns = centres.shape[1]
    cells = rows * n_columns + columns
    sums = np.bincount(cells, values, minlength=n_rows * n_columns).reshape(n_rows, n_columns)
    counts = np.bincount(cells, minlength=n_rows * n_columns).reshape(n_rows, n_columns)
    nearest: Indices = np.argmin(counts @ (centres**2).T - 2 * sums @ centres.T, axis=1)
    return nearest
